/* The CPU's part of the core's structures, and its instructions in C. */
#pragma once

#include "address.h"

#define ARCH_NAME "aarch64"
#define RAM_BASE  0x40000000ul
#define RAM_SIZE  0x01000000ul /* what the hypervisor uses of it */

/* What a guest can write and a run does not switch. Everything else of EL1 and EL0 is
 * trapped: see vcpu.c. */
#define SWITCHED_REGISTERS(each)                                                              \
    each(sp_el0) each(sp_el1) each(elr_el1) each(spsr_el1)                                    \
    each(sctlr_el1) each(ttbr1_el1) each(tcr_el1) each(mair_el1) each(amair_el1)              \
    each(esr_el1) each(far_el1) each(afsr0_el1) each(afsr1_el1) each(par_el1) each(vbar_el1)  \
    each(contextidr_el1) each(tpidr_el0) each(tpidrro_el0) each(tpidr_el1)                    \
    each(cntkctl_el1) each(cntv_ctl_el0) each(cntv_cval_el0) each(fpcr) each(fpsr)

struct switched {
#define DECLARE(name) uint64_t name;
    SWITCHED_REGISTERS(DECLARE)
#undef DECLARE
    uint64_t vdisr_el2;  /* with FEAT_RAS: what EL1 knows as DISR_EL1 */
    uint64_t tpidr2_el0; /* with FEAT_SME */
};
#define VDISR_EL2  s3_4_c12_c1_1 /* as assemblers know them that do not know the features */
#define TPIDR2_EL0 s3_3_c13_c0_5

struct vector {
    uint64_t low, high;
} __attribute__((aligned(16)));

struct arch_vcpu {
    uint64_t x[31]; /* those of a hypercall first */
    uint64_t pc, pstate;
    uint64_t ttbr0; /* at the last exit */
    uint64_t vttbr;
    struct switched switched;
    struct vector v[32];
};

/* By name, or by a macro that stands for one. */
#define read_register(name)         READ_REGISTER(name)
#define write_register(name, value) WRITE_REGISTER(name, value)
#define READ_REGISTER(name)                                \
    ({                                                     \
        uint64_t value_;                                   \
        __asm__ volatile("mrs %0, " #name : "=r"(value_)); \
        value_;                                            \
    })
#define WRITE_REGISTER(name, value) __asm__ volatile("msr " #name ", %0" : : "r"((uint64_t)(value)))

/* What was written to system registers holds from the next instruction on. */
static inline void synchronize(void)
{
    __asm__ volatile("isb" : : : "memory");
}

/* All memory accesses before it are complete, for CPUs and devices. */
static inline void complete(void)
{
    __asm__ volatile("dsb sy" : : : "memory");
}

static inline volatile uint32_t *device(uint64_t address)
{
    return pointer_to(hpa(address));
}

/* What the CPUs have that not all have; cpu.c. */
struct features {
    bool ras, mpam, sme, fine_traps, extended_control, forced_write_back;
};
extern struct features features;

void cpu_check(void);                   /* cpu.c: panics if the CPU is not what is needed */
void guests_init(void);                 /* ... this CPU can run guests */
void clean(hpa_t start, uint64_t size); /* ... what caches hold goes to memory, and they forget it */
_Noreturn void not_at_el2(void);        /* ... where boot.S ends then */
void traps_init(void);                  /* interrupt.c: from here on a fault is a panic */
void distributor_init(void);            /* ... once for all CPUs */
void interrupts_init(void);             /* ... now others can interrupt this CPU */
void acknowledge_interrupt(void);       /* ... the one that ended a run or a sleep, if any did */
void send_kick(uint64_t affinity);
uint64_t next_redistributor(uint64_t previous); /* ... of the GIC: one a CPU, 0 before and after all */
uint64_t redistributor_affinity(uint64_t redistributor);
uint64_t own_affinity(void);            /* smp.c: MPIDR_EL1 without its flags */
void uart_init(void);                   /* uart.c */
