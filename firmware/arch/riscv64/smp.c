/* More than one CPU: how they start, and how a translation is forgotten everywhere.
 *
 * A logical CPU is a hart, and which of them is CPU 0 is OpenSBI's choice. A fence on other
 * harts is OpenSBI's too: it interrupts them in machine mode, in their guest or in the
 * hypervisor, and returns when all have executed it. So nobody waits for the lock. */
#include "hypervisor.h"

#define HART_LIMIT 64u /* ids that are looked at: what one mask of the SBI names */
#define STACK_SIZE 16384

void start_hart(void); /* boot.S */
_Noreturn void hart_main(void);

extern uint64_t boot_hart; /* boot.S */

static uint64_t harts[CPU_LIMIT]; /* by CPU */

/* The stack of a hart that starts, and at its top who it is. */
struct stack {
    char room[STACK_SIZE];
    struct cpu *cpu;
} __attribute__((aligned(16)));

static struct stack stacks[CPU_LIMIT];

extern struct cpu **starting_stack; /* for boot.S: the top of the one that is to be used next */
struct cpu **starting_stack;

unsigned arch_cpu_count(void)
{
    unsigned count = 1;
    harts[CONTROL_CPU] = boot_hart;
    for (uint64_t hart = 0; hart < HART_LIMIT && count < CPU_LIMIT; hart++)
        if (hart != boot_hart && SBI_CALL(SBI_HSM, SBI_HART_GET_STATUS, hart) == 0)
            harts[count++] = hart;
    return count;
}

struct cpu *arch_this_cpu(void)
{
    struct cpu *cpu;
    __asm__("mv %0, tp" : "=r"(cpu));
    return cpu;
}

void arch_cpu_start(struct cpu *cpu)
{
    struct stack *stack = &stacks[cpu->number];
    stack->cpu = cpu;
    starting_stack = &stack->cpu;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    int64_t error = SBI_CALL(SBI_HSM, SBI_HART_START, harts[cpu->number], hpa_of((void *)start_hart).value);
    if (error)
        panic("the firmware does not start CPU %u, hart %lu: error -%lu", cpu->number, harts[cpu->number],
              (uint64_t)-error);
}

/* Where boot.S leaves each other CPU. */
void hart_main(void)
{
    hart_init();
    cpu_main(arch_this_cpu());
}

void arch_kick(const struct cpu *cpu)
{
    if (cpu != arch_this_cpu())
        SBI_CALL(SBI_IPI, SBI_SEND_IPI, 1, harts[cpu->number]);
}

/* Only the CPU that runs a vCPU holds translations of its VM. */
void arch_invalidate(struct vm *vm, gpa_t page)
{
    uint64_t others = 0;
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        const struct cpu *cpu = &cpus[vm->vcpus[i].cpu];
        if (cpu == arch_this_cpu())
            hfence_gvma(page, vm->id);
        else
            others |= 1ull << harts[cpu->number];
    }
    if (!others)
        return;
    __asm__ volatile("fence w, w" : : : "memory"); /* the entry is seen there before the fence */
    if (SBI_CALL(SBI_RFENCE, SBI_REMOTE_HFENCE_GVMA_VMID, others, 0, page.value, PAGE_SIZE, vm->id))
        panic("no fence on harts 0x%lx", others);
}
