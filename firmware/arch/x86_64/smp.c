/* More than one CPU: how they start, and how a translation is forgotten everywhere.
 *
 *   invalidating CPU                    CPU of a vCPU of that VM (enter, in vcpu.c)
 *   generation++                        entered = generation   (repeat until it is)
 *   entered an older one? kick them     flush if it is new to this vCPU
 *   wait until all left or re-entered   VMRUN ... exit
 *                                       entered = 0
 *
 * Whoever is in the hypervisor flushes before it enters the guest again, so nobody
 * waits for someone who waits for the lock. */
#include "hypervisor.h"

#define FW_CFG_SELECT  0x510 /* QEMU docs/specs/fw_cfg.rst */
#define FW_CFG_DATA    0x511
#define FW_CFG_NB_CPUS 0x05

/* Interrupt command register (AMD64 APM vol. 2, figure 16-18) */
#define ICR_INIT     0x4500u
#define ICR_STARTUP  0x4600u /* | page of the trampoline */
#define ICR_FIXED    0x4000u /* | vector */
#define VECTOR_KICK  34u
#define TRAMPOLINE   0x8000ull
#define STACK_SIZE   16384

extern const char trampoline[], trampoline_end[];
extern uint32_t cpu_stack; /* boot.S: of the CPU that starts next */
void start_other_cpu(void);

static char stacks[CPU_LIMIT][STACK_SIZE] __attribute__((aligned(16)));

unsigned arch_cpu_count(void)
{
    out16(FW_CFG_SELECT, FW_CFG_NB_CPUS);
    unsigned low = in8(FW_CFG_DATA);
    return low | (unsigned)in8(FW_CFG_DATA) << 8;
}

/* QEMU numbers the APICs of one socket's single-threaded cores from 0. */
struct cpu *arch_this_cpu(void)
{
    return &cpus[apic_id() % CPU_LIMIT];
}

void arch_cpu_start(struct cpu *cpu)
{
    memcpy(pointer_to(hpa(TRAMPOLINE)), trampoline, (size_t)(trampoline_end - trampoline));
    cpu_stack = (uint32_t)hpa_of(stacks[cpu->number] + STACK_SIZE).value;
    send_interrupt(cpu->number, ICR_INIT);
    send_interrupt(cpu->number, ICR_STARTUP | TRAMPOLINE / PAGE_SIZE);
}

/* Where boot.S leaves each other CPU. */
void start_other_cpu(void)
{
    traps_init();
    svm_init(arch_this_cpu()->number);
    interrupts_init();
    cpu_main(arch_this_cpu());
}

void arch_kick(const struct cpu *cpu)
{
    if (cpu != arch_this_cpu())
        send_interrupt(cpu->number, ICR_FIXED | VECTOR_KICK);
}

static bool runs_with_older(const struct vcpu *vcpu, uint64_t generation)
{
    uint64_t entered = vcpu->arch.entered;
    return entered != 0 && entered < generation;
}

static bool any_runs_with_older(const struct vm *vm, uint64_t generation)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (runs_with_older(&vm->vcpus[i], generation))
            return true;
    return false;
}

/* All are told before one is waited for. */
static __attribute__((noinline)) void drive_out(const struct vm *vm, uint64_t generation)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (runs_with_older(&vm->vcpus[i], generation))
            arch_kick(&cpus[vm->vcpus[i].cpu]);
    for (uint64_t tries = 0; any_runs_with_older(vm, generation); tries++)
        if (tries > SPIN_LIMIT)
            panic("a CPU does not leave VM %u", vm->id);
}

void arch_invalidate(struct vm *vm, gpa_t page)
{
    (void)page; /* the whole VM is flushed: no CPU here can flush less */
    uint64_t generation = __atomic_add_fetch(&vm->generation, 1, __ATOMIC_SEQ_CST);
    if (any_runs_with_older(vm, generation))
        drive_out(vm, generation);
}
