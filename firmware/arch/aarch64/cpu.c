/* What a CPU must have, and EL2 as every guest finds it: whatever it could do beyond
 * computing on its own memory and reading the counter is trapped, or switched with it.
 * Registers: Arm ARM (DDI 0487), D19.2, D19.3 (debug) and D19.12 (timer). */
#include "hypervisor.h"

/* ID registers: fields of four bits, 0 if there is no such thing. */
#define FIELD(value, low)       ((value) >> (low) & 15)
#define ID_AA64PFR1             s3_0_c0_c4_1
#define ID_AA64MMFR2            s3_0_c0_c7_2 /* so are they called before Armv8.2 */
#define PFR0_GIC(value)         FIELD(value, 24)
#define PFR0_RAS(value)         FIELD(value, 28)
#define PFR0_MPAM(value)        FIELD(value, 40)
#define PFR1_SME(value)         FIELD(value, 24)
#define MMFR0_PA_RANGE(value)   FIELD(value, 0)
#define MMFR0_GRANULE_4K(value) FIELD(value, 28)
#define MMFR0_FGT(value)        FIELD(value, 56)
#define MMFR1_HCX(value)        FIELD(value, 40)
#define MMFR2_FWB(value)        FIELD(value, 40)
#define PA_RANGE_40_BITS        2
#define NO_GRANULE              15

/* HCR_EL2: what the guest's execution is like ... */
#define HCR_VM  (1ull << 0)  /* stage 2 */
#define HCR_SWIO (1ull << 1) /* no invalidation of a cache without cleaning it */
#define HCR_INTERRUPTS (7ull << 3) /* FMO, IMO, AMO: come to EL2 */
#define HCR_RW  (1ull << 31) /* EL1 is AArch64 */
#define HCR_FWB (1ull << 46) /* its stage 1 cannot take cacheability away */

/* ... and what is trapped. Bits of what this CPU does not have are ignored; those of
 * pointer authentication (API, APK), tags (ATA), AMVOFFEN, EnSCXT and FIEN trap if clear. */
#define HCR_TRAPS                                                                             \
    (3ull << 13    /* TWI, TWE: waiting */                                                    \
     | 15ull << 15 /* TID0 to TID3: identification, cache geometry */                         \
     | 1ull << 19  /* TSC: SMC */                                                             \
     | 1ull << 20  /* TIDCP: what the implementation defines */                               \
     | 1ull << 21  /* TACR: auxiliary control */                                              \
     | 7ull << 22  /* TSW, TPCP, TPU: cache maintenance */                                    \
     | 3ull << 35  /* TLOR, TERR: limited ordering, error records */                          \
     | 3ull << 49  /* TID4, TICAB */                                                          \
     | 1ull << 52  /* TOCU */                                                                 \
     | 1ull << 58  /* TID5 */)

/* CPTR_EL2: CPACR, activity monitors, trace, SME, SVE are trapped, floating point is not;
 * the other bits are one. */
#define CPTR_TRAPS (1ull << 31 | 1ull << 30 | 1ull << 20 | 0x33ffull)

/* MDCR_EL2: performance monitors, profiling, trace, and all of debug are trapped. */
#define MDCR_COUNTERS 0x1full /* HPMN, which must not become 0 */
#define MDCR_TRAPS                                                                            \
    (3ull << 5    /* TPMCR, TPM */                                                            \
     | 7ull << 9  /* TDA, TDOSA, TDRA */                                                      \
     | 1ull << 14 /* TPMS */                                                                  \
     | 1ull << 19 /* TTRF */)

#define HSTR_TRAPS        0xbfefull /* every CP15 register of an AArch32 user */
#define CNTHCTL_TRAPS     0ull      /* the physical counter and timer: trapped if clear */
#define CPACR_FP          (3ull << 20)
#define MPAM2_TRAPS       (3ull << 48)
#define MPIDR_ALWAYS_ONE  (1ull << 31)

/* VTCR_EL2: bit 31 is one; PS 010: 40 bits out; tables of 4 KiB, write-back and inner
 * shareable; SL0 01 and T0SZ 25: 39 bits in, in three levels. */
#define VTCR_VALUE 0x80023559ull

pte_t pte_memory = PTE_WRITE_BACK;
struct features features;

static void find_features(void)
{
    uint64_t pfr0 = read_register(id_aa64pfr0_el1);
    uint64_t mmfr0 = read_register(id_aa64mmfr0_el1);
    features = (struct features){
        .ras = PFR0_RAS(pfr0),
        .mpam = PFR0_MPAM(pfr0),
        .sme = PFR1_SME(read_register(ID_AA64PFR1)),
        .fine_traps = MMFR0_FGT(mmfr0),
        .extended_control = MMFR1_HCX(read_register(id_aa64mmfr1_el1)),
        .forced_write_back = MMFR2_FWB(read_register(ID_AA64MMFR2)),
    };
    if (features.forced_write_back)
        pte_memory = PTE_FORCED_WRITE_BACK;
}

void cpu_check(void)
{
    uint64_t mmfr0 = read_register(id_aa64mmfr0_el1);
    if (MMFR0_GRANULE_4K(mmfr0) == NO_GRANULE)
        panic("the CPU has no pages of 4 KiB");
    if (MMFR0_PA_RANGE(mmfr0) < PA_RANGE_40_BITS)
        panic("the CPU has less than 40 bits of physical addresses");
    if (!PFR0_GIC(read_register(id_aa64pfr0_el1)))
        panic("the CPU has no GICv3 interface (QEMU: -M virt,gic-version=3)");
    find_features();
}

void not_at_el2(void)
{
    uart_init();
    console_print("\n! panic the CPU is not at EL2 (QEMU: -M virt,virtualization=on)\n");
    arch_halt();
}

/* Registers of extensions, which trap what they name if clear. */
#define HCRX_EL2    s3_4_c1_c2_2
#define HFGRTR_EL2  s3_4_c1_c1_4
#define HFGWTR_EL2  s3_4_c1_c1_5
#define HFGITR_EL2  s3_4_c1_c1_6
#define HDFGRTR_EL2 s3_4_c3_c1_4
#define HDFGWTR_EL2 s3_4_c3_c1_5
#define MPAM2_EL2   s3_4_c10_c5_0

static void init_extensions(void)
{
    if (features.extended_control)
        write_register(HCRX_EL2, 0);
    if (features.fine_traps) {
        write_register(HFGRTR_EL2, 0);
        write_register(HFGWTR_EL2, 0);
        write_register(HFGITR_EL2, 0);
        write_register(HDFGRTR_EL2, 0);
        write_register(HDFGWTR_EL2, 0);
    }
    if (features.mpam)
        write_register(MPAM2_EL2, MPAM2_TRAPS);
}

void guests_init(void)
{
    write_register(hcr_el2, HCR_VM | HCR_SWIO | HCR_INTERRUPTS | HCR_RW | HCR_TRAPS
                                | (features.forced_write_back ? HCR_FWB : 0));
    write_register(vtcr_el2, VTCR_VALUE);
    write_register(vttbr_el2, 0); /* VMID 0 is nobody's */
    write_register(cptr_el2, CPTR_TRAPS);
    write_register(mdcr_el2, (read_register(mdcr_el2) & MDCR_COUNTERS) | MDCR_TRAPS);
    write_register(hstr_el2, HSTR_TRAPS);
    write_register(hacr_el2, 0);
    write_register(cnthctl_el2, CNTHCTL_TRAPS);
    write_register(cntvoff_el2, 0);
    write_register(vpidr_el2, read_register(midr_el1));
    write_register(vmpidr_el2, MPIDR_ALWAYS_ONE);
    write_register(mdscr_el1, 0);
    write_register(cpacr_el1, CPACR_FP);
    init_extensions();
    synchronize();
}

void clean(hpa_t start, uint64_t size)
{
    uint64_t line = 4ull << FIELD(read_register(ctr_el0), 16); /* of the smallest data cache */
    for (uint64_t at = start.value; at < start.value + size; at += line)
        __asm__ volatile("dc civac, %0" : : "r"(at) : "memory");
    complete();
}
