// Enters VS-mode with the tables that the harness has named in `controls` and does what
// `requests` say. Both stages must map the program where it is.
//
//   controls: vsatp, hgatp
#include "requests.inc"

    .set VSATP, 0x280
    .set HSTATUS, 0x600
    .set HEDELEG, 0x602
    .set HGATP, 0x680
    .set HSTATUS_SPV_SPVP, 1 << 7 | 1 << 8      // sret goes to a guest, to its supervisor
    .set SSTATUS_SPP, 1 << 8

    .globl start
start:
    lla t0, controls
    ld t1, 0(t0)
    csrw VSATP, t1
    ld t1, 8(t0)
    csrw HGATP, t1
    csrw HEDELEG, zero
    lla t1, fault
    csrw stvec, t1
    li t1, HSTATUS_SPV_SPVP
    csrs HSTATUS, t1
    li t1, SSTATUS_SPP
    csrs sstatus, t1
    lla t1, guest
    csrw sepc, t1
    sret

guest:
    lla s0, requests
next:
    ld t1, 0(s0)
    ld t2, 8(s0)
    beqz t1, end
    li t3, 0
    li t4, ACCESS_WRITE
    bltu t1, t4, read
    beq t1, t4, write
    jalr t2
    j success
read:
    ld t3, 0(t2)
    j success
write:
    sd s0, 0(t2)
success:
    li t4, OUTCOME_SUCCESS
answer:
    sd t4, 16(s0)
    sd t3, 24(s0)
    addi s0, s0, REQUEST_SIZE
    j next
end:
    lla t0, finished
    li t1, 1
    sd t1, 0(t0)
    j .

    .balign 8
filler:
    .4byte 0x00008067, 0x00008067               // ret, not compressed

// In HS-mode. Page faults of the guest's own tables are 12, 13 and 15; those of the
// hypervisor's 20, 21 and 23 (privileged architecture, table 8.6).
    .balign 4
fault:
    csrr t5, scause
    li t4, OUTCOME_STAGE2_FAULT
    li t6, 20
    bgeu t5, t6, 1f
    li t4, OUTCOME_STAGE1_FAULT
    li t6, 12
    bgeu t5, t6, 1f
    li t4, OUTCOME_ELSE
1:  lla t5, answer
    csrw sepc, t5
    sret
