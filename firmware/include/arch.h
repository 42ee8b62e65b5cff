/* What an architecture promises to the core. It has three headers of its own:
 *
 *   cpu.h   struct arch_vcpu, RAM_BASE, RAM_SIZE, ARCH_NAME
 *   pte.h   the stage-2 entry: pte_t and the functions listed below
 *   (this)  everything that has code
 *
 * An architecture enters the core at three points only: hypervisor_main() on the CPU
 * that booted, cpu_main() on each other one, and panic(). Its linker script names
 * hypervisor_start and hypervisor_end. */
#pragma once

#include "address.h"

struct vm;
struct vcpu;
struct cpu;

/* pte.h: STAGE2_LEVELS, STAGE2_ROOT_FRAMES (a power of two), and, level 0 being the leaf,
 *   pte_t, and PTE_ABSENT, an entry that leads nowhere
 *   size_t   pte_index(gpa_t, unsigned level)         position in a table
 *   pte_t    pte_leaf(hpa_t frame, unsigned rights)   rights: enum access bits
 *   pte_t    pte_table(hpa_t table)
 *   bool     pte_is_present(pte_t)
 *   hpa_t    pte_frame(pte_t)                         of a leaf or a table
 *   unsigned pte_rights(pte_t)                        of a leaf
 *   void     pte_publish(void)                        once the lock is given back, the table
 *            walker of every CPU finds the entries written before; one that was absent till
 *            then may still fault once */

/* Why a guest stopped executing. An exit is a value: policy is the core's. */
enum exit_kind {
    EXIT_HYPERCALL,  /* of the guest's kernel, never of its user; resumes after it */
    EXIT_FAULT,      /* stage 2 denied an access: gpa, access */
    EXIT_INTERRUPT,  /* the CPU was wanted for something else */
    EXIT_IDLE,       /* the guest has nothing to do until an interrupt */
    EXIT_UNEXPECTED, /* whatever a guest of ours never does: reason */
};

struct exit {
    enum exit_kind kind;
    enum access access;
    gpa_t gpa;
    uint64_t reason; /* the architecture's own code of the exit */
};

/* Make the machine and the CPU that booted ready: console, then traps. Panics if the CPU
 * or the RAM is not what is needed. */
void arch_init(void);

/* How many CPUs the machine has. */
unsigned arch_cpu_count(void);

/* Have another CPU enter cpu_main(): soon after this returns, and no other is started
 * before it is there. Panics if the platform refuses. */
void arch_cpu_start(struct cpu *cpu);

/* The CPU that executes this. */
struct cpu *arch_this_cpu(void);

/* From now on this CPU is interrupted every millisecond. */
void arch_tick(void);

/* Interrupt this CPU once within a millisecond, unless it is every millisecond anyway. */
void arch_alarm(void);

/* Interrupt another CPU: a guest there exits, and if it sleeps it wakes. This one needs
 * no kick: it looks at everything again before it sleeps. */
void arch_kick(const struct cpu *cpu);

/* Prepare a vCPU to start at the first byte of guest RAM, with its index as the first
 * C argument, nothing mapped by stage 1 and stage 2 rooted at `root`. */
void arch_vcpu_init(struct vcpu *vcpu, hpa_t root);

/* Put the part of the guest's context that a run does not switch (floating point,
 * system registers) into the CPU, or save it from there. Between the two no other
 * vCPU runs on this CPU. */
void arch_vcpu_load(struct vcpu *vcpu);
void arch_vcpu_save(struct vcpu *vcpu);

/* Run a loaded vCPU until it exits. Interrupts of the hypervisor that ended the
 * run are acknowledged before it returns. */
struct exit arch_vcpu_run(struct vcpu *vcpu);

/* What an EXIT_UNEXPECTED was, in words. */
const char *arch_exit_name(uint64_t reason);

/* The registers of a hypercall in their order (enum hypercall_register), to be read
 * and changed while the vCPU does not run. */
uint64_t *arch_vcpu_registers(struct vcpu *vcpu);

/* Continue the guest at `address` with `first` and `second` as C arguments: its kernel,
 * whoever ran, with the tables there are. */
void arch_vcpu_resume_at(struct vcpu *vcpu, uint64_t address, uint64_t first, uint64_t second);

/* After it returns, no later guest instruction on any CPU uses the translation
 * that the VM's stage 2 had for `page`. The entry is already changed. */
void arch_invalidate(struct vm *vm, gpa_t page);

/* Sleep until an interrupt; none that came since the last wake-up is missed. */
void arch_idle(void);

/* One byte of the console: false if none waits; written in bounded time. */
bool arch_console_read(char *byte);
void arch_console_write(char byte);

/* Stop the machine so that a debugger or a monitor can look at it. */
_Noreturn void arch_halt(void);
