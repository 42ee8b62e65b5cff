/* The CPU's part of the core's structures, its instructions in C, and the SBI. */
#pragma once

#include "address.h"

#define ARCH_NAME "riscv64"
#define RAM_BASE  0x80000000ul
#define RAM_SIZE  0x01000000ul /* what the hypervisor uses of it */

/* A guest's registers as vcpu.S moves them, those of a hypercall first. */
struct gprs {
    uint64_t a0, a1, a2, a3, a4, a5, a6, a7;
    uint64_t ra, sp, gp, tp;
    uint64_t t0, t1, t2, t3, t4, t5, t6;
    uint64_t s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11;
};

/* f0 to f31 as bits, and the rounding mode with the flags. */
struct fpu {
    uint64_t registers[32];
    uint64_t fcsr;
};

struct arch_vcpu {
    /* Switched by each run (vcpu.S). */
    struct gprs gprs;
    uint64_t pc, sstatus, vsatp; /* as the guest left them last */
    uint64_t host_sp;
    /* Switched by load and save. */
    uint64_t hgatp;
    uint64_t vsstatus, vstvec, vsscratch, vsepc, vscause, vstval;
    uint64_t scounteren, senvcfg; /* of which V=1 has no copy of its own */
    struct fpu fpu;
    uint64_t cause; /* of the last exit */
};

/* Control and status registers by number: the compilers do not know all by name. */
#define CSR_SSTATUS    0x100
#define CSR_SIE        0x104
#define CSR_STVEC      0x105
#define CSR_SCOUNTEREN 0x106
#define CSR_SENVCFG    0x10a
#define CSR_SCAUSE     0x142
#define CSR_STVAL      0x143
#define CSR_SIP        0x144
#define CSR_VSSTATUS   0x200
#define CSR_VSTVEC     0x205
#define CSR_VSSCRATCH  0x240
#define CSR_VSEPC      0x241
#define CSR_VSCAUSE    0x242
#define CSR_VSTVAL     0x243
#define CSR_VSATP      0x280
#define CSR_HSTATUS    0x600
#define CSR_HEDELEG    0x602
#define CSR_HIDELEG    0x603
#define CSR_HTIMEDELTA 0x605
#define CSR_HCOUNTEREN 0x606
#define CSR_HENVCFG    0x60a
#define CSR_HTVAL      0x643
#define CSR_HVIP       0x645
#define CSR_HTINST     0x64a
#define CSR_HGATP      0x680
#define CSR_TIME       0xc01

#define csr_read(number)                                                             \
    ({                                                                               \
        uint64_t value_;                                                             \
        __asm__ volatile("csrr %0, %1" : "=r"(value_) : "i"(number) : "memory");     \
        value_;                                                                      \
    })
#define csr_write(number, value) \
    __asm__ volatile("csrw %0, %1" : : "i"(number), "r"((uint64_t)(value)) : "memory")
#define csr_clear(number, bits) \
    __asm__ volatile("csrc %0, %1" : : "i"(number), "r"((uint64_t)(bits)) : "memory")

/* HFENCE.GVMA (privileged architecture, 8.3.2): for one page of one VM, and for all. */
static inline void hfence_gvma(gpa_t page, uint64_t vmid)
{
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, %0, %1" : : "r"(page.value >> 2), "r"(vmid) : "memory");
}

static inline void hfence_gvma_all(void)
{
    __asm__ volatile(".insn r 0x73, 0, 0x31, x0, x0, x0" : : : "memory");
}

/* The SBI (its specification 1.0): what OpenSBI does for us in machine mode. */
#define SBI_TIME   0x54494d45u
#define SBI_IPI    0x00735049u
#define SBI_RFENCE 0x52464e43u
#define SBI_HSM    0x0048534du

#define SBI_SET_TIMER              0u /* of SBI_TIME */
#define SBI_SEND_IPI               0u /* of SBI_IPI */
#define SBI_REMOTE_HFENCE_GVMA_VMID 3u /* of SBI_RFENCE */
#define SBI_HART_START             0u /* of SBI_HSM */
#define SBI_HART_GET_STATUS        2u

/* Its error; 0: none. */
static inline int64_t sbi_call(uint32_t extension, uint32_t function, const uint64_t argument[5])
{
    register uint64_t a0 __asm__("a0") = argument[0];
    register uint64_t a1 __asm__("a1") = argument[1];
    register uint64_t a2 __asm__("a2") = argument[2];
    register uint64_t a3 __asm__("a3") = argument[3];
    register uint64_t a4 __asm__("a4") = argument[4];
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return (int64_t)a0;
}

#define SBI_CALL(extension, function, ...) sbi_call(extension, function, (const uint64_t[5]){__VA_ARGS__})

void hart_init(void);                 /* vcpu.c: this hart can run guests, and be interrupted */
void interrupts_init(uint64_t hart);  /* interrupt.c: the console interrupts that hart */
void acknowledge(uint64_t interrupt); /* interrupt.c: of scause, or the number of a bit in sip */
void uart_init(void);                 /* uart.c */
