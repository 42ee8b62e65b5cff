/* The console: a PL011 (Arm DDI 0183), its receive interrupt at the GIC. */
#include "hypervisor.h"

#define UART 0x09000000ull
#define UART_DATA  (UART + 0x00)
#define UART_FLAGS (UART + 0x18)
#define UART_LINE  (UART + 0x2c)
#define UART_CONTROL (UART + 0x30)
#define UART_IMSC  (UART + 0x38) /* interrupts: set, it is not masked */
#define FLAG_NOTHING_RECEIVED (1u << 4)
#define FLAG_CANNOT_SEND      (1u << 5)
#define LINE_8_BITS_FIFO      0x70u
#define CONTROL_ENABLE        0x301u /* receive, send, all */
#define INTERRUPT_RECEIVE     0x50u  /* bytes came in; a few did, and then no more */
#define SEND_TRIES 1000000u

/* Whoever started us has set the speed. */
void uart_init(void)
{
    *device(UART_CONTROL) = 0;
    *device(UART_LINE) = LINE_8_BITS_FIFO;
    *device(UART_IMSC) = INTERRUPT_RECEIVE;
    *device(UART_CONTROL) = CONTROL_ENABLE;
}

bool arch_console_read(char *byte)
{
    if (*device(UART_FLAGS) & FLAG_NOTHING_RECEIVED)
        return false;
    *byte = (char)*device(UART_DATA);
    return true;
}

/* A console that nobody drains loses bytes; it does not stop the machine. After the
 * first that was lost nobody waits until one got through again. */
void arch_console_write(char byte)
{
    static bool blocked;
    for (unsigned tries = blocked ? 1 : SEND_TRIES; tries > 0; tries--) {
        if (!(*device(UART_FLAGS) & FLAG_CANNOT_SEND)) {
            *device(UART_DATA) = (uint8_t)byte;
            blocked = false;
            return;
        }
    }
    blocked = true;
}
