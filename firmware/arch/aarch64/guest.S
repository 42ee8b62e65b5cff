/* The guest's own start and what its C cannot say. It begins at EL1 with the MMU off at
 * the first byte of its RAM. */
#include "hypercall.h"

/* EL1 registers (Arm ARM DDI 0487, D19.2)
 *
 *   MAIR   attribute 0: normal memory, write-back
 *   TCR    T0SZ 25: 39 bits in, in three levels; tables write-back, inner shareable; EPD1:
 *          no upper half; IPS 010: 40 bits out
 *   SCTLR  I, C, M; the bits that are one */
#define MAIR_VALUE  0xff
#define TCR_VALUE   0x200803519
#define SCTLR_VALUE (0x30d00800 | 0x1005)
#define SCTLR_M     1

/* A leaf: AF, inner shareable, EL1 reads and writes, and executes; EL0 nothing.
 *
 *   47 ...... 12  10  9..8  7..6  4..2  1..0
 *   output        AF  SH    AP    attr  01 block, 11 page or table   (D8.3) */
#define LEAF  0x701
#define PAGE  0x703
#define TABLE 3

    .arch_extension fp
    .globl guest_ram, guest_pages /* for agent.ld */
    .set guest_ram, GUEST_RAM
    .set guest_pages, GUEST_PAGES

/* The vCPU's stack, whatever is on it, becomes empty. Its last 16 bytes are not used, so that
 * its pointer never points to another's. */
    .macro empty_stack
    mov x2, sp
    orr x2, x2, #GUEST_STACK_SIZE - 1
    sub x2, x2, #15
    mov sp, x2
    .endm

    .section .text.boot, "ax"
    .globl _start
_start:
    adrp x1, stacks
    mov x2, #GUEST_STACK_SIZE
    madd x1, x0, x2, x1
    mov sp, x1
    empty_stack
    ldr x0, =MAIR_VALUE
    msr mair_el1, x0
    ldr x0, =TCR_VALUE
    msr tcr_el1, x0
    adrp x0, root
    msr ttbr0_el1, x0
    adrp x0, vectors
    msr vbar_el1, x0
    isb
    tlbi vmalle1
    dsb nsh
    ldr x0, =SCTLR_VALUE
    msr sctlr_el1, x0
    isb
    bl agent_main

/* uint64_t call_hypervisor(uint64_t registers[CALL_REGISTERS]): what the counter says
 * about the hypercall alone. The hypervisor leaves X9 and X10 as they are. */
    .globl call_hypervisor
call_hypervisor:
    mov x9, x0
    ldp x1, x2, [x9, #8]
    ldp x3, x4, [x9, #24]
    ldp x5, x6, [x9, #40]
    ldr x0, [x9]
    isb
    mrs x10, cntvct_el0
    hvc #0
    isb
    mrs x11, cntvct_el0
    stp x0, x1, [x9, #0]
    stp x2, x3, [x9, #16]
    stp x4, x5, [x9, #32]
    str x6, [x9, #48]
    sub x0, x11, x10
    ret

/* uint64_t read_counter(void): instructions, when QEMU counts them (-icount shift=0) and
 * the counter runs at 1 GHz */
    .globl read_counter
read_counter:
    isb
    mrs x0, cntvct_el0
    ret

/* Every system register that the hypervisor must switch for us and that can hold any
 * value, the stage-1 tables' of the unused upper half among them. */
    .macro each_register instruction
    \instruction tpidr_el0
    \instruction tpidrro_el0
    \instruction tpidr_el1
    \instruction ttbr1_el1
    \instruction contextidr_el1
    \instruction esr_el1
    \instruction far_el1
    \instruction elr_el1
    \instruction sp_el0
    \instruction cntv_cval_el0
    \instruction spsr_el1
    \instruction par_el1
    \instruction cntkctl_el1
    .endm

#define FPCR_ROUND_UP (1 << 22)
#define TIMER_MASKED  (1 << 1)
#define EL0_MASKED    0x3c0

    .macro put register
    msr \register, x0
    .endm
    .macro collect register
    mrs x1, \register
    orr x0, x0, x1
    .endm

/* void remember(uint64_t), uint64_t recall(void): a floating-point register. On the way a
 * division by zero leaves a flag behind, system registers the value, and the rounding mode
 * and the timer's mask are others than at the start. */
    .globl remember, recall, residue, rest
remember:
    each_register put
    mov x1, #FPCR_ROUND_UP
    msr fpcr, x1
    mov x1, #TIMER_MASKED
    msr cntv_ctl_el0, x1
    fmov d7, x0
    fmov d0, #1.0
    fmov d1, xzr
    fdiv d0, d0, d1
    ret
recall:
    fmov x0, d7
    ret

/* uint64_t residue(void) */
residue:
    mrs x0, fpsr
    mrs x1, fpcr
    orr x0, x0, x1
    mrs x1, cntv_ctl_el0
    orr x0, x0, x1
    each_register collect
    ret

/* void rest(void) */
rest:
    wfi
    ret

/* Nobody calls it: a debugger leads a guest here, whatever its registers hold. */
    .globl rest_for_ever
rest_for_ever:
    wfi
    b rest_for_ever

/* void load_as_user(uint64_t gva): without tables, which leave EL0 nothing. It ends in a fault
 * of stage 2: nobody comes back from a page that is there. */
    .globl load_as_user
load_as_user:
    mrs x1, sctlr_el1
    bic x1, x1, #SCTLR_M
    msr sctlr_el1, x1
    isb
    adr x2, 1f
    msr elr_el1, x2
    mov x2, #EL0_MASKED
    msr spsr_el1, x2
    eret
1:  ldr x0, [x0]
    .inst 0 /* undefined */

/* What no guest may do: each of these must stop it and hurt nobody else. */
call_firmware: /* PSCI: system off */
    ldr x0, =0x84000008
    smc #0
    ret
send_interrupt: /* to every other CPU */
    mov x0, #1 << 40
    msr icc_sgi1r_el1, x0
    ret
split_priorities: /* of group 1, at its own interface */
    msr icc_bpr1_el1, xzr
    ret
split_fast_priorities: /* of group 0 */
    msr icc_bpr0_el1, xzr
    ret
mask_all_interrupts: /* of every priority */
    msr icc_pmr_el1, xzr
    ret
write_timer: /* the physical one */
    mov x0, #1
    msr cntp_ctl_el0, x0
    ret
write_debug: /* a breakpoint */
    msr dbgbvr0_el1, xzr
    ret
count_events:
    msr pmcr_el0, xzr
    ret
drop_cache: /* by set and way: not its own lines alone */
    dc isw, xzr
    ret
write_auxiliary: /* what the implementation defines */
    msr actlr_el1, xzr
    ret
write_cache_selector: /* a register that nobody switches */
    msr csselr_el1, xzr
    ret
lose_tables: /* and with them the way to recovery */
    mov x0, #1 << 37
    msr ttbr0_el1, x0
    isb
    tlbi vmalle1
    dsb nsh
    isb
    ret

    .section .rodata
    .balign 8
    .globl forbidden_acts, forbidden_acts_end
forbidden_acts:
    .quad call_firmware, send_interrupt, split_priorities, split_fast_priorities
    .quad mask_all_interrupts, write_timer, write_debug, count_events
    .quad drop_cache, write_auxiliary, write_cache_selector, lose_tables
forbidden_acts_end:
    .text

/* Where the hypervisor resumes the guest after a stage-2 fault: (gpa, access). Its user has
 * had no tables. */
    .globl recovery
recovery:
    ldr x2, =SCTLR_VALUE
    msr sctlr_el1, x2
    isb
    empty_stack
    bl agent_fault

/* The guest's own exceptions: (gva, class of ESR_EL1) */
    .balign 2048
vectors:
    .rept 16
    .balign 128
    b exception
    .endr
exception:
    empty_stack
    mrs x0, far_el1
    mrs x1, esr_el1
    lsr x1, x1, #26
    bl agent_exception

#include "../../guest/tables.h"

root:
    .quad low + TABLE, middle + TABLE, high + TABLE
    .fill 509, 8, 0
