/* The vectors of EL2 (Arm ARM DDI 0487, D1.3.1.5): 16 entries of 128 bytes, four of each
 * origin. What comes from a guest ends its run; interrupts of the hypervisor itself are
 * masked for good, so whatever comes from there is a panic. */

    .macro from_hypervisor
    .balign 128
    mrs x0, esr_el2
    mrs x1, elr_el2
    mrs x2, far_el2
    bl trap
    .endm

    .macro from_guest interrupt
    .balign 128
    stp x0, x1, [sp, #-16]!
    mov x1, #\interrupt
    b guest_exit
    .endm

    .text
    .balign 2048
    .globl trap_vectors
trap_vectors:
    .rept 8 /* EL2 with SP_EL0, which nobody uses, and with its own */
    from_hypervisor
    .endr
    .rept 2 /* a guest in AArch64; its user in AArch32 */
    from_guest 0 /* synchronous */
    from_guest 1 /* IRQ */
    from_guest 1 /* FIQ */
    from_guest 0 /* SError, whose syndrome says what it is */
    .endr
