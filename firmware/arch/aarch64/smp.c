/* More than one CPU: which there are, how they start, and how a translation is forgotten
 * everywhere.
 *
 * CPUs have three names: the logical number, the affinity (MPIDR_EL1) that PSCI and the
 * GIC know, and gdb's thread. Each has a redistributor in the GIC, so these are counted. */
#include "hypervisor.h"

#define MPIDR_AFFINITY 0xff00fffffful
#define PSCI_CPU_ON    0xc4000003ul /* Arm DEN 0022, 5.1.4: affinity, entry, its X0 */
#define PSCI_SUCCESS   0
#define STACK_SIZE     16384

extern uint64_t cpu_stack; /* boot.S: of the CPU that starts next */
extern const char other_cpu[];
_Noreturn void start_other_cpu(void);

static char stacks[CPU_LIMIT][STACK_SIZE] __attribute__((aligned(16)));
static uint64_t affinities[CPU_LIMIT]; /* by logical number */

uint64_t own_affinity(void)
{
    return read_register(mpidr_el1) & MPIDR_AFFINITY;
}

/* The CPU that asks is the control CPU; the others follow as the GIC has them. */
unsigned arch_cpu_count(void)
{
    unsigned count = 1;
    affinities[CONTROL_CPU] = own_affinity();
    for (uint64_t at = next_redistributor(0); at; at = next_redistributor(at)) {
        uint64_t affinity = redistributor_affinity(at);
        if (affinity == affinities[CONTROL_CPU])
            continue;
        if (count < CPU_LIMIT)
            affinities[count] = affinity;
        count++;
    }
    return count;
}

struct cpu *arch_this_cpu(void)
{
    return (struct cpu *)read_register(tpidr_el2);
}

static int64_t psci(uint64_t function, uint64_t first, uint64_t second, uint64_t third)
{
    register uint64_t x0 __asm__("x0") = function;
    register uint64_t x1 __asm__("x1") = first;
    register uint64_t x2 __asm__("x2") = second;
    register uint64_t x3 __asm__("x3") = third;
    __asm__ volatile("smc #0"
                     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
                     :
                     : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
                       "x15", "x16", "x17", "memory");
    return (int64_t)x0;
}

void arch_cpu_start(struct cpu *cpu)
{
    cpu_stack = hpa_of(stacks[cpu->number] + STACK_SIZE).value;
    complete();
    if (psci(PSCI_CPU_ON, affinities[cpu->number], hpa_of(other_cpu).value, hpa_of(cpu).value) != PSCI_SUCCESS)
        panic("the firmware does not start CPU %u", cpu->number);
}

/* Where boot.S leaves each other CPU. */
void start_other_cpu(void)
{
    traps_init();
    guests_init();
    interrupts_init();
    cpu_main(arch_this_cpu());
}

void arch_kick(const struct cpu *cpu)
{
    if (cpu != arch_this_cpu())
        send_kick(affinities[cpu->number]);
}

static void use_tables(uint64_t vttbr)
{
    write_register(vttbr_el2, vttbr);
    synchronize();
}

/* Every CPU hears of it and has obeyed when the last barrier is through: first what it
 * knows of the page in stage 2, then what it made of that and stage 1. Both act on the VM
 * whose number is in VTTBR_EL2 (Arm ARM DDI 0487, D8.14). */
void arch_invalidate(struct vm *vm, gpa_t page)
{
    uint64_t loaded = read_register(vttbr_el2), vttbr = vm->vcpus[0].arch.vttbr;
    if (vttbr != loaded)
        use_tables(vttbr);
    __asm__ volatile("dsb ishst\n"
                     "tlbi ipas2e1is, %0\n"
                     "dsb ish\n"
                     "tlbi vmalle1is\n"
                     "dsb ish"
                     :
                     : "r"(page.value >> PAGE_SHIFT)
                     : "memory");
    if (vttbr != loaded)
        use_tables(loaded);
}
