/* Who does what. CPU 0 is in control: console, requests, answers. With one CPU it runs
 * the guests too, in turn; with more, each vCPU has one of the others to itself, or
 * shares it. */
#include "hypervisor.h"
#include "lock.h"

#define START_TICKS 20000u /* ms or longer, where the host gives the emulator little time */

struct cpu cpus[CPU_LIMIT];
unsigned cpu_count;
struct lock hypervisor_lock;

/* Asleep, for a CPU that spins takes the emulator's time from the one it waits for. */
static void await_start(const struct cpu *cpu)
{
    for (unsigned ticks = 0; !cpu->online; ticks++) {
        if (ticks > START_TICKS)
            panic("CPU %u does not start", cpu->number);
        arch_idle();
    }
}

/* One after the other: boot.S may have one place only for who starts next. */
static void start_cpus(void)
{
    for (unsigned number = 0; number < cpu_count; number++) {
        cpus[number].number = number;
        if (number == CONTROL_CPU)
            continue;
        arch_cpu_start(&cpus[number]);
        await_start(&cpus[number]);
    }
}

/* The control CPU looks at slots that nobody announces; guests that share a CPU are
 * taken from it by the tick. */
static void start_tick(const struct cpu *cpu)
{
    if (cpu->number == CONTROL_CPU || vcpus_on(cpu->number) > 1)
        arch_tick();
}

void cpu_main(struct cpu *cpu)
{
    cpu->online = true;
    arch_kick(&cpus[CONTROL_CPU]);
    start_tick(cpu);
    for (;;)
        if (!vms_run(cpu))
            arch_idle();
}

void hypervisor_main(void)
{
    struct cpu *cpu = &cpus[CONTROL_CPU];
    arch_init();
    cpu_count = arch_cpu_count() < CPU_LIMIT ? arch_cpu_count() : CPU_LIMIT;
    vms_init();
    start_tick(cpu);
    start_cpus();
    bool ready = false;
    for (;;) {
        console_poll();
        requests_poll();
        if (!ready && vms_all(VCPU_WAITING)) {
            ready = true;
            console_print("# pageferry %s ready\n", ARCH_NAME);
        }
        if (!vms_run(cpu))
            arch_idle();
    }
}
