// Enters EL1 with the tables that the harness has named in `controls` and does what
// `requests` say. Both stages must map the program where it is.
//
//   controls: TCR_EL1, TTBR0_EL1 and TTBR1_EL1, VTCR_EL2, VTTBR_EL2
#include "requests.inc"

    .set HCR_RW_VM, 1 << 31 | 1 << 0            // EL1 is AArch64; stage 2 is on
    .set SCTLR_RES1_M, 0x30d00800 | 1 << 0      // stage 1 is on; PAN is left alone (SPAN)
    .set SPSR_EL1H_MASKED, 0x3c5

    .globl start
start:
    ldr x0, =controls
    ldp x1, x2, [x0]
    msr tcr_el1, x1
    msr ttbr0_el1, x2
    msr ttbr1_el1, x2
    ldp x1, x2, [x0, #16]
    msr vtcr_el2, x1
    msr vttbr_el2, x2
    mov x1, #-1                                 // every MAIR attribute is Normal memory
    msr mair_el1, x1
    ldr x1, =vectors
    msr vbar_el1, x1
    msr vbar_el2, x1
    ldr x1, =HCR_RW_VM
    msr hcr_el2, x1
    ldr x1, =SCTLR_RES1_M
    msr sctlr_el1, x1
    adr x1, guest
    msr elr_el2, x1
    mov x1, #SPSR_EL1H_MASKED
    msr spsr_el2, x1
    isb
    eret

guest:
    ldr x20, =requests
next:
    ldp x1, x2, [x20]
    cbz x1, end
    mov x3, #0
    cmp x1, #ACCESS_WRITE
    b.lo read
    b.eq write
    adr x30, success
    ret x2                                      // no BTI needed there, as after BLR
read:
    ldr x3, [x2]
    b success
write:
    str x20, [x2]
success:
    mov x4, #OUTCOME_SUCCESS
    b answer
stage1_fault:
    mov x4, #OUTCOME_STAGE1_FAULT
    b answer
stage2_fault:
    mov x4, #OUTCOME_STAGE2_FAULT
answer:
    stp x4, x3, [x20, #16]
    add x20, x20, #REQUEST_SIZE
    b next
end:
    ldr x0, =finished
    mov x1, #1
    str x1, [x0]
    b .

filler:
    ret
    ret

// Of both levels: EL1 takes its own faults in the row "current EL with SPx", EL2 takes
// those of stage 2 in the row "lower EL, AArch64".
    .balign 0x800
vectors:
    .skip 0x200
    b stage1_fault
    .balign 0x200
    adr x4, stage2_fault
    msr elr_el2, x4
    eret
    .balign 0x200
