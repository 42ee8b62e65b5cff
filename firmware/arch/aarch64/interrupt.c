/* Traps of the hypervisor, the GIC (GICv3, Arm IHI 0069), the tick, and sleep. The
 * hypervisor never takes an interrupt: one ends a guest's run or its own sleep, and then
 * there is nothing to do but acknowledge it. */
#include "hypervisor.h"
#include "devices.h"

#define INTERRUPT_KICK    0u
#define INTERRUPT_TICK    30u /* CNTP */
#define INTERRUPT_CONSOLE 33u
#define NO_INTERRUPT      1020u /* this and above */

/* Distributor (IHI 0069, 12.9): a bit, or 8 bytes, for each interrupt */
#define GICD              0x08000000ull
#define GICD_CTLR         (GICD + 0x0000)
#define GICD_IGROUPR(n)   (GICD + 0x0080 + (n) / 32 * 4)
#define GICD_ISENABLER(n) (GICD + 0x0100 + (n) / 32 * 4)
#define GICD_IROUTER(n)   (GICD + 0x6000 + (n) * 8ull)
#define CTLR_AFFINITY_GROUP1 0x12u /* ARE, EnableGrp1 */
#define CTLR_WRITING      (1u << 31)

/* A redistributor for each CPU (12.11), 128 KiB apart; SGI and PPI in its second half */
#define GICR              0x080a0000ull
#define GICR_SIZE         0x20000u
#define GICR_TYPER        0x0008u /* ..., 4: the last one; 63..32: affinity */
#define GICR_WAKER        0x0014u
#define GICR_IGROUPR0     0x10080u
#define GICR_ISENABLER0   0x10100u
#define TYPER_LAST        (1u << 4)
#define WAKER_PROCESSOR_SLEEP (1u << 1)
#define WAKER_CHILDREN_ASLEEP (1u << 2)

/* CPU interface (12.2) */
#define SRE_ALWAYS        7u /* system registers; EL1 may not change that (Enable) */
#define ICH_HCR_TRAPS     0x5c00u /* TC, TALL0, TALL1, TDIR: all of it is trapped for guests */
#define PRIORITY_ALL      0xffu
#define INTID(iar)        ((iar) & 0xffffff)

#define TIMER_ENABLE      1u
#define TICKS_A_SECOND    1000u

/* The PCI host of QEMU's virt board, with highmem=off, and the device in slot 1 */
#define PCI_CONFIGURATION 0x3f000000ull
#define PCI_MEMORY        0x10000000ull
#define PVPANIC_SLOT      (1ull << 15)

extern const char trap_vectors[]; /* trap.S */
_Noreturn void trap(uint64_t esr, uint64_t elr, uint64_t far); /* and what they end in */

static bool ticks[CPU_LIMIT];

void trap(uint64_t esr, uint64_t elr, uint64_t far)
{
    panic("trap syndrome=0x%lx address=0x%lx at 0x%lx", esr, far, elr);
}

void traps_init(void)
{
    write_register(vbar_el2, trap_vectors);
    synchronize();
}

static void await_clear(uint64_t address, uint32_t bits)
{
    for (uint64_t tries = 0; *device(address) & bits; tries++)
        if (tries > SPIN_LIMIT)
            panic("the interrupt controller does not answer at 0x%lx", address);
}

void distributor_init(void)
{
    *device(GICD_CTLR) = CTLR_AFFINITY_GROUP1;
    await_clear(GICD_CTLR, CTLR_WRITING);
    *device(GICD_IGROUPR(INTERRUPT_CONSOLE)) = ~0u;
    *(volatile uint64_t *)device(GICD_IROUTER(INTERRUPT_CONSOLE)) = own_affinity();
    *device(GICD_ISENABLER(INTERRUPT_CONSOLE)) = 1u << INTERRUPT_CONSOLE % 32;
}

uint64_t next_redistributor(uint64_t previous)
{
    if (!previous)
        return GICR;
    return *device(previous + GICR_TYPER) & TYPER_LAST ? 0 : previous + GICR_SIZE;
}

/* As MPIDR_EL1 has it: the fourth part lies apart. */
uint64_t redistributor_affinity(uint64_t redistributor)
{
    uint64_t packed = *device(redistributor + GICR_TYPER + 4);
    return (packed & 0xff000000) << 8 | (packed & 0xffffff);
}

static uint64_t own_redistributor(void)
{
    for (uint64_t at = next_redistributor(0); at; at = next_redistributor(at))
        if (redistributor_affinity(at) == own_affinity())
            return at;
    panic("the interrupt controller does not know this CPU");
}

void interrupts_init(void)
{
    uint64_t redistributor = own_redistributor();
    *device(redistributor + GICR_WAKER) &= ~WAKER_PROCESSOR_SLEEP;
    await_clear(redistributor + GICR_WAKER, WAKER_CHILDREN_ASLEEP);
    *device(redistributor + GICR_IGROUPR0) = ~0u;
    *device(redistributor + GICR_ISENABLER0) = 1u << INTERRUPT_KICK | 1u << INTERRUPT_TICK;
    write_register(icc_sre_el2, SRE_ALWAYS);
    synchronize();
    write_register(ich_hcr_el2, ICH_HCR_TRAPS);
    write_register(icc_pmr_el1, PRIORITY_ALL);
    write_register(icc_ctlr_el1, 0);
    write_register(icc_igrpen1_el1, 1);
    synchronize();
}

/* The physical timer of EL1, which no guest may use. EL2 has its own, but a snapshot of
 * QEMU (7.2, target/arm/machine.c) keeps its registers only, and not when it fires. */
static void start_timer(void)
{
    write_register(cntp_tval_el0, read_register(cntfrq_el0) / TICKS_A_SECOND);
    write_register(cntp_ctl_el0, TIMER_ENABLE);
}

void arch_tick(void)
{
    ticks[arch_this_cpu()->number] = true;
    start_timer();
}

void arch_alarm(void)
{
    if (!ticks[arch_this_cpu()->number])
        start_timer();
}

/* The console's stays pending until the control CPU has read all that came in. */
void acknowledge_interrupt(void)
{
    uint64_t interrupt = INTID(read_register(icc_iar1_el1));
    complete();
    if (interrupt >= NO_INTERRUPT)
        return;
    if (interrupt == INTERRUPT_TICK) {
        if (ticks[arch_this_cpu()->number])
            start_timer();
        else
            write_register(cntp_ctl_el0, 0);
        synchronize();
    }
    write_register(icc_eoir1_el1, interrupt);
    synchronize();
}

/* What this CPU wrote is seen by whoever the kick wakes.
 *
 *   55..48  47..44  39..32  27..24  23..16  15..0
 *   Aff3    range   Aff2    INTID   Aff1    one bit an Aff0 of that range of 16 */
void send_kick(uint64_t affinity)
{
    uint64_t aff0 = affinity & 0xff, aff1 = affinity >> 8 & 0xff, aff2 = affinity >> 16 & 0xff;
    uint64_t aff3 = affinity >> 32 & 0xff;
    complete();
    write_register(icc_sgi1r_el1, aff3 << 48 | aff0 / 16 << 44 | aff2 << 32 | (uint64_t)INTERRUPT_KICK << 24
                                      | aff1 << 16 | 1ull << aff0 % 16);
    synchronize();
}

/* A pending interrupt ends WFI although it is masked. */
void arch_idle(void)
{
    complete();
    __asm__ volatile("wfi" : : : "memory");
    acknowledge_interrupt();
}

/* The device tree lies where RAM begins. */
static void check_ram(void)
{
    if (ram_end(hpa(RAM_BASE)).value < RAM_BASE + RAM_SIZE)
        panic("there is no RAM up to 0x%lx", RAM_BASE + RAM_SIZE);
}

void arch_init(void)
{
    uart_init();
    traps_init();
    check_ram();
    cpu_check();
    guests_init();
    distributor_init();
    interrupts_init();
}

void arch_halt(void)
{
    pvpanic(hpa(PCI_CONFIGURATION + PVPANIC_SLOT), hpa(PCI_MEMORY));
    for (;;)
        __asm__ volatile("wfi");
}
