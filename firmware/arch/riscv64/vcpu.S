    .attribute arch, "rv64i2p0_m2p0_a2p0_f2p0_d2p0_c2p0"

/* Offsets into struct arch_vcpu; vcpu.c holds them against it. */
#define PC      0x0f8
#define SSTATUS 0x100
#define VSATP   0x108
#define HOST_SP 0x110

#define STVEC    0x105
#define CSR_VSATP 0x280

/* Each register with its place in struct gprs, a0 excepted. */
    .macro each_register act
    \act a1, 0x08(a0)
    \act a2, 0x10(a0)
    \act a3, 0x18(a0)
    \act a4, 0x20(a0)
    \act a5, 0x28(a0)
    \act a6, 0x30(a0)
    \act a7, 0x38(a0)
    \act ra, 0x40(a0)
    \act sp, 0x48(a0)
    \act gp, 0x50(a0)
    \act tp, 0x58(a0)
    \act t0, 0x60(a0)
    \act t1, 0x68(a0)
    \act t2, 0x70(a0)
    \act t3, 0x78(a0)
    \act t4, 0x80(a0)
    \act t5, 0x88(a0)
    \act t6, 0x90(a0)
    \act s0, 0x98(a0)
    \act s1, 0xa0(a0)
    \act s2, 0xa8(a0)
    \act s3, 0xb0(a0)
    \act s4, 0xb8(a0)
    \act s5, 0xc0(a0)
    \act s6, 0xc8(a0)
    \act s7, 0xd0(a0)
    \act s8, 0xd8(a0)
    \act s9, 0xe0(a0)
    \act s10, 0xe8(a0)
    \act s11, 0xf0(a0)
    .endm

/* What C expects to find as it was, and tp. */
    .macro each_of_the_host act
    \act ra, 0x00(sp)
    \act tp, 0x08(sp)
    \act s0, 0x10(sp)
    \act s1, 0x18(sp)
    \act s2, 0x20(sp)
    \act s3, 0x28(sp)
    \act s4, 0x30(sp)
    \act s5, 0x38(sp)
    \act s6, 0x40(sp)
    \act s7, 0x48(sp)
    \act s8, 0x50(sp)
    \act s9, 0x58(sp)
    \act s10, 0x60(sp)
    \act s11, 0x68(sp)
    .endm
#define HOST_FRAME 0x70

/* void vcpu_enter(struct arch_vcpu *): until the guest traps into HS-mode. Interrupts of
 * HS-mode are open in there, for its privilege is lower, and stay pending afterwards. */
    .text
    .globl vcpu_enter
vcpu_enter:
    addi sp, sp, -HOST_FRAME
    each_of_the_host sd
    sd sp, HOST_SP(a0)
    csrw sscratch, a0
    la t0, guest_trap
    csrw STVEC, t0
    ld t0, PC(a0)
    csrw sepc, t0
    ld t0, SSTATUS(a0)
    csrw sstatus, t0
    each_register ld
    ld a0, 0x00(a0)
    sret

    .balign 4
guest_trap:
    csrrw a0, sscratch, a0
    each_register sd
    csrr t0, sscratch
    sd t0, 0x00(a0)
    la t0, hart_trap
    csrw STVEC, t0
    csrr t0, sepc
    sd t0, PC(a0)
    csrr t0, sstatus
    sd t0, SSTATUS(a0)
    csrr t0, CSR_VSATP
    sd t0, VSATP(a0)
    ld sp, HOST_SP(a0)
    each_of_the_host ld
    addi sp, sp, HOST_FRAME
    ret

/* void fpu_load(const struct fpu *), void fpu_save(struct fpu *) */
    .macro each_float act
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    \act f\n, (8 * \n)(a0)
    .endr
    .endm

    .globl fpu_load, fpu_save
fpu_load:
    each_float fld
    ld t0, 0x100(a0)
    fscsr t0
    ret
fpu_save:
    each_float fsd
    frcsr t0
    sd t0, 0x100(a0)
    ret
