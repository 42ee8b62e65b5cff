/* From the emulator's or the firmware's entry (EL2, MMU off) to C with MMU and caches on.
 * Locks need them: exclusive accesses work on cacheable memory only. */

#define CURRENT_EL2 8

/* The EL2 registers (Arm ARM DDI 0487, D19.2) as they are for good.
 *
 *   MAIR   attribute 0: normal memory, write-back; 1: device, nGnRnE
 *   TCR    T0SZ 25: 39 bits in, so that the root covers 512 GiB in entries of 1 GiB;
 *          tables write-back, inner shareable; PS 010: 40 bits out; bits 31, 23 are one
 *   SCTLR  I, SA, C, M; the bits that are one */
#define MAIR_VALUE  0x00ff
#define TCR_VALUE   0x80823519
#define SCTLR_VALUE (0x30c50830 | 0x100d)

    .section .text.boot, "ax"
    .globl _start
_start:
    adrp x0, cpus
    add x0, x0, :lo12:cpus
    adr x20, boot_cpu
    b enable_mmu

/* Every other CPU enters here from PSCI, with its struct cpu in X0. */
    .globl other_cpu
other_cpu:
    adr x20, start_other
    b enable_mmu

boot_cpu:
    adrp x0, boot_stack_end
    add sp, x0, :lo12:boot_stack_end
    bl hypervisor_main

start_other:
    adrp x0, cpu_stack
    ldr x0, [x0, :lo12:cpu_stack]
    mov sp, x0
    bl start_other_cpu

/* Both, with the CPU's struct cpu in X0 and where to go on in X20. */
enable_mmu:
    msr daifset, #15
    mrs x1, CurrentEL
    cmp x1, #CURRENT_EL2
    b.ne wrong_level
    msr tpidr_el2, x0
    ldr x1, =MAIR_VALUE
    msr mair_el2, x1
    ldr x1, =TCR_VALUE
    msr tcr_el2, x1
    adrp x1, root
    msr ttbr0_el2, x1
    isb
    tlbi alle2
    tlbi alle1
    ic iallu
    dsb nsh
    isb
    ldr x1, =SCTLR_VALUE
    msr sctlr_el2, x1
    isb
    br x20

/* Whoever started us at EL1 gets to know it; nothing here may touch EL2. */
wrong_level:
    adrp x0, boot_stack_end
    add sp, x0, :lo12:boot_stack_end
    bl not_at_el2

/* The hypervisor's own map, VA = HPA: devices below 1 GiB, 16 MiB of RAM above, of which
 * only the 2 MiB that hold it are executable.
 *
 *   54   47 ...... 12  10  9..8  7..6  4..2  1..0
 *   XN   output        AF  SH    AP    attr  01 block, 11 table
 *
 * (DDI 0487, D8.3). AP 01: EL2 reads and writes. SH 11: inner shareable. */
#define DEVICE 0x0040000000000445
#define DATA   0x0040000000000741
#define CODE   0x0000000000000741
#define TABLE  3
#define BLOCK  0x200000
#define RAM    0x40000000

    .globl device_tree_end, executable, executable_end /* for hypervisor.ld */
    .set device_tree_end, RAM + 0x100000
    .set executable, RAM + BLOCK
    .set executable_end, RAM + 2 * BLOCK

    .section .data
    .balign 4096
root:
    .quad DEVICE
    .quad blocks + TABLE
    .fill 510, 8, 0
blocks:
    .quad RAM + DATA
    .quad executable + CODE
    .set address, RAM + 2 * BLOCK
    .rept 6
    .quad address + DATA
    .set address, address + BLOCK
    .endr
    .fill 504, 8, 0

    .globl cpu_stack
cpu_stack:
    .quad 0

    .section .bss
    .balign 16
    .skip 16384
boot_stack_end:
