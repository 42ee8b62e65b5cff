/* A trap of the hypervisor itself is its end: interrupts are never open, so nothing of
 * what it did is kept. */
    .text
    .balign 4
    .globl hart_trap
hart_trap:
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
    call trap
