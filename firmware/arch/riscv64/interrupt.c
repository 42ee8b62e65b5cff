/* Traps of the hypervisor, the tick, and sleep. HS-mode never opens its interrupts: they
 * end a guest's run or a sleep, and there is nothing to do but acknowledge. */
#include "hypervisor.h"
#include "devices.h"

#define INTERRUPT_SOFTWARE 1u
#define INTERRUPT_TIMER    5u
#define INTERRUPT_EXTERNAL 9u

/* What the board of QEMU's `virt` has and where (QEMU, hw/riscv/virt.c) */
#define TICK            10000u /* 1 ms: the time base has 10 MHz */
#define CONSOLE_SOURCE  10u
#define PLIC            0x0c000000ull
#define PCI_CONFIG      0x30000000ull
#define PCI_WINDOW      0x40000000ull
#define PVPANIC_DEVICE  1ull /* pvpanic-pci,addr=1 */

/* The PLIC's registers (RISC-V PLIC specification 1.0, chapter 3). A hart has two contexts
 * there, of M-mode and of S-mode. */
#define PLIC_PRIORITY(source) (PLIC + 4 * (source))
#define PLIC_ENABLE(context)  (PLIC + 0x2000 + 0x80 * (context))
#define PLIC_THRESHOLD(context) (PLIC + 0x200000 + 0x1000 * (context))
#define PLIC_CLAIM(context)   (PLIC_THRESHOLD(context) + 4)
#define S_MODE_CONTEXT(hart)  (2 * (hart) + 1)

_Noreturn void trap(uint64_t cause, uint64_t address, uint64_t value); /* trap.S */

static bool ticking[CPU_LIMIT];
static volatile uint32_t *claim; /* of the control CPU */

static volatile uint32_t *plic(uint64_t address)
{
    return pointer_to(hpa(address));
}

void trap(uint64_t cause, uint64_t address, uint64_t value)
{
    panic("trap %lu value=0x%lx at 0x%lx", cause, value, address);
}

void interrupts_init(uint64_t hart)
{
    uint64_t context = S_MODE_CONTEXT(hart);
    claim = plic(PLIC_CLAIM(context));
    *plic(PLIC_PRIORITY(CONSOLE_SOURCE)) = 1;
    *plic(PLIC_THRESHOLD(context)) = 0;
    *plic(PLIC_ENABLE(context)) = 1u << CONSOLE_SOURCE;
}

static void set_timer(uint64_t time)
{
    SBI_CALL(SBI_TIME, SBI_SET_TIMER, time);
}

/* QEMU 7.2 sets time back below zero when it has loaded a snapshot (time_delta is not in
 * it). A timer for before zero that is set after zero never comes: it is set again, which
 * ends when that takes less than a tick. */
static void set_alarm(void)
{
    uint64_t time;
    do {
        time = csr_read(CSR_TIME);
        set_timer(time + TICK);
    } while (csr_read(CSR_TIME) - time >= TICK);
}

void arch_tick(void)
{
    ticking[arch_this_cpu()->number] = true;
    set_alarm();
}

void arch_alarm(void)
{
    if (!ticking[arch_this_cpu()->number])
        set_alarm();
}

/* Whatever came, the next tick is a whole one away. So the tick also goes on after QEMU
 * 7.2 has loaded a snapshot, which leaves its timer where it was, however far that is.
 * Not inlined, so that there is one place to stop at. */
__attribute__((noinline)) void acknowledge(uint64_t interrupt)
{
    if (interrupt == INTERRUPT_SOFTWARE)
        csr_clear(CSR_SIP, 1u << INTERRUPT_SOFTWARE);
    else if (interrupt == INTERRUPT_EXTERNAL)
        *claim = *claim; /* and completed: the control CPU looks at the console anyway */
    if (ticking[arch_this_cpu()->number])
        set_alarm();
    else if (interrupt == INTERRUPT_TIMER)
        set_timer(UINT64_MAX);
}

/* WFI ends when an interrupt is pending, open or not, and at once if one is already. */
void arch_idle(void)
{
    __asm__ volatile("wfi" : : : "memory");
    uint64_t pending = csr_read(CSR_SIP) & csr_read(CSR_SIE);
    for (unsigned interrupt = 0; pending >> interrupt; interrupt++)
        if (pending >> interrupt & 1)
            acknowledge(interrupt);
}

void arch_halt(void)
{
    pvpanic(hpa(PCI_CONFIG + (PVPANIC_DEVICE << 15)), hpa(PCI_WINDOW));
    csr_write(CSR_SIE, 0);
    for (;;)
        __asm__ volatile("wfi");
}
