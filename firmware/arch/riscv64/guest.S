/* The guest's own start and what its C cannot say. It begins in VS-mode with its
 * translation off at the first byte of its RAM. Each vCPU leads from table to table, and in
 * the same way. */
    .attribute arch, "rv64i2p0_m2p0_a2p0_f2p0_d2p0_c2p0"
#include "hypercall.h"

/* An entry of Sv39, see pte.h: the frame's number from bit 10 on, and D A - - X W R V. */
#define LEAF(address) ((address) >> 2 | 0xcf)
#define TABLE_V       1
#define BIG           0x200000

#define SLOT(address) (((address) >> 21) & 511)
#define RAM_SLOT      SLOT(GUEST_RAM)
#define RAM_SLOTS     (GUEST_RAM_SIZE / BIG)
#define WINDOW_SLOT   SLOT(GUEST_WINDOW)
#define WINDOW_SLOTS  (GUEST_WINDOW_SIZE / BIG)

#define SATP_SV39_SHIFT (60 + 3) /* MODE is 8 */
#define SSTATUS_SPP   0x0100
#define SSTATUS_FS    0x6000 /* floating point on */

    .globl guest_ram, guest_pages /* for agent.ld */
    .set guest_ram, GUEST_RAM
    .set guest_pages, GUEST_PAGES

/* Some entries, from `entry` on, lead to as many tables, from `table` on. */
    .macro lead entry, table, count
    la t0, \entry
    la t1, \table
    srli t1, t1, 2
    ori t1, t1, TABLE_V
    .rept \count
    sd t1, 0(t0)
    addi t0, t0, 8
    addi t1, t1, PAGE_SIZE >> 2
    .endr
    .endm

/* The vCPU's stack, whatever is on it, becomes empty. Its last 16 bytes are not used, so that
 * its pointer never points to another's. */
    .macro empty_stack
    li t0, GUEST_STACK_SIZE - 1
    or sp, sp, t0
    addi sp, sp, -15
    .endm

    .macro use_tables
    la t0, root
    srli t0, t0, 12
    li t1, 1
    slli t1, t1, SATP_SV39_SHIFT
    or t0, t0, t1
    csrw satp, t0
    sfence.vma
    .endm

    .section .text.boot, "ax"
    .globl _start
_start:
    la sp, stacks
    li t0, GUEST_STACK_SIZE
    mul t0, t0, a0
    add sp, sp, t0
    empty_stack
    lead root, pd_0, 3
    lead alias_of_window, pt_window, WINDOW_SLOTS
    lead alias_of_ram, pt_ram, RAM_SLOTS
    use_tables
    la t0, exception
    csrw stvec, t0
    li t0, SSTATUS_FS
    csrs sstatus, t0
    call agent_main

/* uint64_t call_hypervisor(uint64_t registers[CALL_REGISTERS]): what the counter says
 * about the hypercall alone. The hypervisor leaves all others as they are. */
    .globl call_hypervisor
call_hypervisor:
    mv t0, a0
    ld a1, 0x08(t0)
    ld a2, 0x10(t0)
    ld a3, 0x18(t0)
    ld a4, 0x20(t0)
    ld a5, 0x28(t0)
    ld a6, 0x30(t0)
    ld a0, 0x00(t0)
    rdinstret t1
    ecall
    rdinstret t2
    sd a0, 0x00(t0)
    sd a1, 0x08(t0)
    sd a2, 0x10(t0)
    sd a3, 0x18(t0)
    sd a4, 0x20(t0)
    sd a5, 0x28(t0)
    sd a6, 0x30(t0)
    sub a0, t2, t1
    ret

/* uint64_t read_counter(void): instructions, when QEMU counts them (-icount shift=0) */
    .globl read_counter
read_counter:
    rdinstret a0
    ret

/* void remember(uint64_t), uint64_t recall(void): a floating-point register. On the way
 * the rounding mode becomes another than at the start, and a system register the value. */
    .globl remember, recall, residue, rest
remember:
    fmv.d.x f7, a0
    fsrmi 1
    csrw sscratch, a0
    ret
recall:
    fmv.x.d a0, f7
    ret

/* uint64_t residue(void) */
residue:
    frcsr a0
    csrr t0, sscratch
    or a0, a0, t0
    ret

/* void rest(void) */
rest:
    wfi
    ret

/* Nobody calls it: a debugger leads a guest here, whatever its registers hold. */
    .globl rest_for_ever
rest_for_ever:
    wfi
    j rest_for_ever

/* The guest's user goes on behind this, without translation: the tables' pages are not his. */
    .macro become_user
    csrw satp, zero
    li t0, SSTATUS_SPP
    csrc sstatus, t0
    la t0, 1f
    csrw sepc, t0
    sret
1:
    .endm

/* void load_as_user(uint64_t gva): it ends in a fault of stage 2, as nobody comes back from a
 * page that is there. */
    .globl load_as_user
load_as_user:
    become_user
    ld a0, 0(a0)
    unimp

/* What no guest may do: each of these must stop it and hurt nobody else. */
#define HSTATUS 0x600
#define HEDELEG 0x602
#define HGATP   0x680
#define VSATP   0x280
read_root: /* of its stage 2 */
    csrr a0, HGATP
    ret
write_root:
    csrw HGATP, zero
    ret
write_status: /* so that WFI does not trap */
    csrw HSTATUS, zero
    ret
take_exceptions:
    csrw HEDELEG, zero
    ret
write_own_by_its_other_name:
    csrw VSATP, zero
    ret
read_clock:
    rdtime a0
    ret
read_cycles:
    rdcycle a0
    ret
fence_all: /* HFENCE.GVMA */
    .insn r 0x73, 0, 0x31, x0, x0, x0
    ret
load_as_guest: /* HLV.D */
    .insn r 0x73, 4, 0x36, a0, sp, x0
    ret
ask_as_user: /* to wait, which its kernel alone may: the call comes to that, and it stops */
    la t0, refused
    csrw stvec, t0
    become_user
    li a0, 1
    ecall
    .balign 4
refused:
    .insn r 0x73, 0, 0x31, x0, x0, x0
lose_tables:
    li t0, 1
    slli t0, t0, SATP_SV39_SHIFT
    csrw satp, t0
    sfence.vma
    ret

    .section .rodata
    .balign 8
    .globl forbidden_acts, forbidden_acts_end
forbidden_acts:
    .quad read_root, write_root, write_status, take_exceptions, write_own_by_its_other_name
    .quad read_clock, read_cycles, fence_all, load_as_guest, ask_as_user, lose_tables
forbidden_acts_end:
    .text

/* Where the hypervisor resumes the guest after a stage-2 fault: (gpa, access). Its user has
 * had no tables. */
    .globl recovery
recovery:
    use_tables
    empty_stack
    call agent_fault

/* The guest's own exceptions: (gva, vector) */
    .balign 4
exception:
    csrr a0, stval
    csrr a1, scause
    empty_stack
    call agent_exception

/* Stage 1. GVA = GPA in 2 MiB leaves, and the same again GUEST_ALIAS higher in pages:
 *
 *   root[0] -> pd_0   window
 *   root[1] -> pd_1   RAM;           GUEST_ALIAS + window -> pt_window
 *   root[2] -> pd_2                  GUEST_ALIAS + RAM    -> pt_ram
 *
 * No relocation puts a symbol's address into an entry: _start leads from table to table. */
/* `count` leaves from `first` on, `step` bytes apart. */
    .macro leaves first, step, count
    .set number, 0
    .rept \count
    .quad LEAF(\first + number * \step)
    .set number, number + 1
    .endr
    .endm

    .section .data.tables, "aw"
    .balign 4096
    .globl root
root:
    .fill 512, 8, 0
pd_0:
    .fill WINDOW_SLOT, 8, 0
    leaves GUEST_WINDOW, BIG, WINDOW_SLOTS
    .fill 512 - WINDOW_SLOT - WINDOW_SLOTS, 8, 0
pd_1:
    .fill RAM_SLOT, 8, 0
    leaves GUEST_RAM, BIG, RAM_SLOTS
    .fill WINDOW_SLOT - RAM_SLOT - RAM_SLOTS, 8, 0
alias_of_window:
    .fill 512 - WINDOW_SLOT, 8, 0
pd_2:
    .fill RAM_SLOT, 8, 0
alias_of_ram:
    .fill 512 - RAM_SLOT, 8, 0
pt_ram:
    leaves GUEST_RAM, 4096, (512 * RAM_SLOTS)
pt_window:
    leaves GUEST_WINDOW, 4096, (512 * WINDOW_SLOTS)
