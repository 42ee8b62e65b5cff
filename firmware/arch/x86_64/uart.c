/* The console: a 16550 at the first ISA port, its receive interrupt on line 4. */
#include "hypervisor.h"

#define COM1        0x3f8
#define UART_DATA   (COM1 + 0)
#define UART_IER    (COM1 + 1)
#define UART_FCR    (COM1 + 2)
#define UART_LCR    (COM1 + 3)
#define UART_MCR    (COM1 + 4)
#define UART_LSR    (COM1 + 5)
#define IER_RECEIVE 0x01
#define FCR_ENABLE_CLEAR_TRIGGER_14 0xc7
#define LCR_8N1      0x03
#define LCR_DIVISOR  0x80 /* DATA and IER are the divisor's two bytes */
#define BAUD_115200  1
#define MCR_OUT2    0x08 /* gates the interrupt line */
#define LSR_RECEIVED 0x01
#define LSR_CAN_SEND 0x20
#define SEND_TRIES   1000000u

void uart_init(void)
{
    out8(UART_LCR, LCR_DIVISOR);
    out8(UART_DATA, BAUD_115200);
    out8(UART_IER, 0);
    out8(UART_LCR, LCR_8N1);
    out8(UART_FCR, FCR_ENABLE_CLEAR_TRIGGER_14);
    out8(UART_MCR, MCR_OUT2);
    out8(UART_IER, IER_RECEIVE);
}

bool arch_console_read(char *byte)
{
    if (!(in8(UART_LSR) & LSR_RECEIVED))
        return false;
    *byte = (char)in8(UART_DATA);
    return true;
}

/* A console that nobody drains loses bytes; it does not stop the machine. After the
 * first that was lost nobody waits until one got through again. */
void arch_console_write(char byte)
{
    static bool blocked;
    for (unsigned tries = blocked ? 1 : SEND_TRIES; tries > 0; tries--) {
        if (in8(UART_LSR) & LSR_CAN_SEND) {
            out8(UART_DATA, (uint8_t)byte);
            blocked = false;
            return;
        }
    }
    blocked = true;
}
