/* The virtual machine control block (AMD64 APM vol. 2, appendix B): the bits of it
 * that we set or read, at the offsets that the CPU knows. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Offset 00Ch */
#define INTERCEPT_INTR      (1u << 0)
#define INTERCEPT_NMI       (1u << 1)
#define INTERCEPT_SMI       (1u << 2)
#define INTERCEPT_INIT      (1u << 3)
#define INTERCEPT_RDPMC     (1u << 15)
#define INTERCEPT_INVD      (1u << 22)
#define INTERCEPT_HLT       (1u << 24)
#define INTERCEPT_INVLPGA   (1u << 26)
#define INTERCEPT_IO        (1u << 27)
#define INTERCEPT_MSR       (1u << 28)
#define INTERCEPT_TASK      (1u << 29)
#define INTERCEPT_FERR_FREEZE (1u << 30)
#define INTERCEPT_SHUTDOWN  (1u << 31)

/* Offset 008h: an alignment check that faults on its own delivery never ends. */
#define INTERCEPT_AC (1u << 17)

/* Offset 010h: VMRUN, VMMCALL, VMLOAD, VMSAVE, STGI, CLGI, SKINIT, RDTSCP, ICEBP,
 * WBINVD, MONITOR, MWAIT (two), XSETBV: none is for a guest to execute itself. */
#define INTERCEPT_SVM_AND_SYSTEM 0x3fffu

#define INTERCEPT_CR4_WRITE (1u << (16 + 4))
#define INTERCEPT_ALL_DR    0xffffffffu

#define V_INTR_MASKING (1ull << 24)
#define NP_ENABLE      1ull
#define TLB_KEEP       0
#define TLB_FLUSH_ALL  1

/* Offset 0A8h: valid, exception, vector 6 (APM vol. 2, 15.20) */
#define INJECT_UNDEFINED 0x80000306ull

/* Exit codes (APM vol. 2, appendix C) */
#define VMEXIT_CR4_WRITE 0x014
#define VMEXIT_INTR      0x060
#define VMEXIT_NMI       0x061
#define VMEXIT_SMI       0x062
#define VMEXIT_INIT      0x063
#define VMEXIT_HLT       0x078
#define VMEXIT_IOIO      0x07b
#define VMEXIT_MSR       0x07c
#define VMEXIT_SHUTDOWN  0x07f
#define VMEXIT_VMMCALL   0x081
#define VMEXIT_NPF       0x400
#define VMEXIT_INVALID   0xffffffff /* its low half: all that every CPU shows */

/* EXITINFO1 of a nested page fault (APM vol. 2, 15.25.6) */
#define NPF_WRITE (1ull << 1)
#define NPF_FETCH (1ull << 4)

struct vmcb_control {
    uint32_t intercept_cr, intercept_dr, intercept_exceptions;
    uint32_t intercept_events, intercept_instructions;
    uint8_t reserved_014[0x040 - 0x014];
    uint64_t iopm_base, msrpm_base, tsc_offset;
    uint32_t asid;
    uint8_t tlb_control, reserved_05d[3];
    uint64_t v_intr, interrupt_shadow;
    uint64_t exit_code, exit_info_1, exit_info_2, exit_int_info;
    uint64_t np_enable;
    uint8_t reserved_098[0x0a8 - 0x098];
    uint64_t event_injection, n_cr3;
    uint8_t reserved_0b8[0x400 - 0x0b8];
};

struct vmcb_segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct vmcb_save {
    struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_0a0[0x0cb - 0x0a0], cpl, reserved_0cc[4];
    uint64_t efer;
    uint8_t reserved_0d8[0x148 - 0x0d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_180[0x1d8 - 0x180];
    uint64_t rsp;
    uint8_t reserved_1e0[0x1f8 - 0x1e0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_248[0x268 - 0x248];
    uint64_t g_pat;
};

struct vmcb {
    struct vmcb_control control;
    struct vmcb_save save;
    uint8_t reserved_670[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, control.n_cr3) == 0x0b0, "APM vol. 2, table B-1");
_Static_assert(offsetof(struct vmcb, save.efer) == 0x4d0, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, save.rip) == 0x578, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, save.rax) == 0x5f8, "APM vol. 2, table B-2");
_Static_assert(offsetof(struct vmcb, save.g_pat) == 0x668, "APM vol. 2, table B-2");
_Static_assert(sizeof(struct vmcb) == 0x1000, "one page");
