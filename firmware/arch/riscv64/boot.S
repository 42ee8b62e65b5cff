/* From OpenSBI to C, on the hart that boots and on each that hypervisor code starts: in
 * HS-mode, translation and interrupts off. */

    .section .text.boot, "ax"

/* a0: this hart, a1: the device tree */
    .globl _start
_start:
    la t0, boot_hart
    sd a0, 0(t0)
    la t0, device_tree
    sd a1, 0(t0)
    la sp, boot_stack_end
    la tp, cpus
    la t0, hart_trap
    csrw stvec, t0
    call hypervisor_main

/* a1: the top of its stack, where its struct cpu is named */
    .globl start_hart
start_hart:
    mv sp, a1
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

    .section .bss
    .balign 16
    .skip 16384
boot_stack_end:
