/* Traps of the hypervisor, the tick, and sleep. Interrupts are open only while the
 * CPU sleeps and for a moment after a guest's run was ended by one: there is nothing
 * for a handler to do but acknowledge. */
#include "hypervisor.h"

#define VECTORS          64u
#define VECTOR_NMI       2u
#define VECTOR_TICK      32u
#define VECTOR_CONSOLE   33u
#define VECTOR_KICK      34u
#define VECTOR_SPURIOUS  63u /* the low bits are hard-wired to ones on some CPUs */

/* Local and I/O APIC (Intel SDM vol. 3, 11.4.1 and 11.5.4; 82093AA data sheet, 3.0) */
#define MSR_APIC_BASE    0x1bu
#define APIC_ADDRESS     0xffffff000ull
#define APIC_ID          0x020u
#define APIC_EOI         0x0b0u
#define APIC_SPURIOUS    0x0f0u
#define APIC_ICR_LOW     0x300u
#define APIC_ICR_HIGH    0x310u
#define APIC_LVT_TIMER   0x320u
#define APIC_LVT_LINT1   0x360u /* the NMI line */
#define APIC_TIMER_COUNT 0x380u
#define APIC_TIMER_DIV   0x3e0u
#define APIC_ENABLE      (1u << 8)
#define DELIVER_NMI      (4u << 8)
#define TIMER_ONCE       0u
#define TIMER_PERIODIC   (1u << 17)
#define TIMER_DIVIDE_BY_1 0xbu
#define TICK_COUNT       1000000u /* 1 ms: QEMU's APIC timer counts nanoseconds */
#define IOAPIC           0xfec00000ull
#define IOAPIC_LINE(n)   (0x10u + 2u * (n))
#define CONSOLE_LINE     4u

#define PORT_PIC_MASTER_MASK 0x21
#define PORT_PIC_SLAVE_MASK  0xa1
#define PORT_PVPANIC         0x505
#define PVPANIC_PANICKED     1

/* An interrupt gate of the IDT (APM vol. 2, figure 4-24). */
struct gate {
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

struct trap {
    uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11;
    uint64_t vector, error, rip;
};

extern const char trap_stubs[]; /* trap.S: 16 bytes each */
void trap(const struct trap *trap); /* and what they end in */

static struct gate idt[VECTORS];

static volatile uint32_t *apic(uint32_t offset)
{
    return pointer_to(hpa((read_msr(MSR_APIC_BASE) & APIC_ADDRESS) + offset));
}

static void ioapic_write(uint32_t number, uint32_t value)
{
    *(volatile uint32_t *)pointer_to(hpa(IOAPIC)) = number;
    *(volatile uint32_t *)pointer_to(hpa(IOAPIC + 0x10)) = value;
}

void trap(const struct trap *trap)
{
    if (trap->vector == VECTOR_TICK || trap->vector == VECTOR_CONSOLE || trap->vector == VECTOR_KICK)
        *apic(APIC_EOI) = 0;
    else if (trap->vector != VECTOR_NMI && trap->vector != VECTOR_SPURIOUS)
        panic("trap %lu error=0x%lx at 0x%lx", trap->vector, trap->error, trap->rip);
}

static void load_idt(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof idt - 1, hpa_of(idt).value};
    __asm__ volatile("lidt %0" : : "m"(pointer));
}

void traps_init(void)
{
    for (unsigned i = 0; i < VECTORS; i++) {
        uint64_t stub = hpa_of(&trap_stubs[i * 16]).value;
        idt[i] = (struct gate){.offset_low = (uint16_t)stub, .selector = 8, .type = 0x8e,
                               .offset_middle = (uint16_t)(stub >> 16), .offset_high = (uint32_t)(stub >> 32)};
    }
    load_idt();
}

void interrupts_init(void)
{
    out8(PORT_PIC_MASTER_MASK, 0xff);
    out8(PORT_PIC_SLAVE_MASK, 0xff);
    *apic(APIC_SPURIOUS) = APIC_ENABLE | VECTOR_SPURIOUS;
    *apic(APIC_LVT_LINT1) = DELIVER_NMI;
    ioapic_write(IOAPIC_LINE(CONSOLE_LINE) + 1, CONTROL_CPU << 24);
    ioapic_write(IOAPIC_LINE(CONSOLE_LINE), VECTOR_CONSOLE);
}

static void start_timer(uint32_t mode)
{
    *apic(APIC_TIMER_DIV) = TIMER_DIVIDE_BY_1;
    *apic(APIC_LVT_TIMER) = mode | VECTOR_TICK;
    *apic(APIC_TIMER_COUNT) = TICK_COUNT;
}

void arch_tick(void)
{
    start_timer(TIMER_PERIODIC);
}

void arch_alarm(void)
{
    if (!(*apic(APIC_LVT_TIMER) & TIMER_PERIODIC))
        start_timer(TIMER_ONCE);
}

uint32_t apic_id(void)
{
    return *apic(APIC_ID) >> 24;
}

void send_interrupt(uint32_t id, uint32_t command)
{
    *apic(APIC_ICR_HIGH) = id << 24;
    *apic(APIC_ICR_LOW) = command;
}

void arch_idle(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

void arch_halt(void)
{
    out8(PORT_PVPANIC, PVPANIC_PANICKED);
    for (;;)
        __asm__ volatile("cli; hlt");
}
