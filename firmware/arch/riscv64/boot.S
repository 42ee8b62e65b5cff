/* From OpenSBI to C: in HS-mode, translation and interrupts off. */

    .section .text.boot, "ax"

/* The hart that boots. a0: its number, a1: the device tree. Another hart comes here too if
 * it wakes while OpenSBI 1.1 starts it: that says "start" before it says where, and where
 * was here until then. */
    .globl _start
_start:
    la t0, booted
    li t1, 1
    amoswap.w.aq t1, t1, (t0)
    bnez t1, start_hart
    la t0, boot_hart
    sd a0, 0(t0)
    la t0, device_tree
    sd a1, 0(t0)
    la sp, boot_stack_end
    la tp, cpus
    la t0, hart_trap
    csrw stvec, t0
    call hypervisor_main

/* Each other hart. One starts at a time, and its stack names its struct cpu. */
    .globl start_hart
start_hart:
    fence
    la t0, starting_stack
    ld sp, 0(t0)
    ld tp, 0(sp)
    la t0, hart_trap
    csrw stvec, t0
    call hart_main

    .section .data
    .balign 8
    .globl boot_hart, device_tree
boot_hart:
    .quad 0
device_tree:
    .quad 0
booted:
    .word 0

    .section .bss
    .balign 16
    .skip 16384
boot_stack_end:
