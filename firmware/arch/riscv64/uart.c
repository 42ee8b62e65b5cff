/* The console: a 16550 whose registers are bytes of memory. */
#include "hypervisor.h"

#define UART        0x10000000ull /* QEMU, hw/riscv/virt.c */
#define UART_DATA   0u
#define UART_IER    1u
#define UART_FCR    2u
#define UART_LCR    3u
#define UART_MCR    4u
#define UART_LSR    5u
#define IER_RECEIVE 0x01
#define FCR_ENABLE_CLEAR_TRIGGER_14 0xc7
#define LCR_8N1      0x03
#define LSR_RECEIVED 0x01
#define LSR_CAN_SEND 0x20
#define SEND_TRIES   1000000u

static volatile uint8_t *uart(unsigned number)
{
    return pointer_to(hpa(UART + number));
}

/* OpenSBI has set its speed. */
void uart_init(void)
{
    *uart(UART_IER) = 0;
    *uart(UART_LCR) = LCR_8N1;
    *uart(UART_FCR) = FCR_ENABLE_CLEAR_TRIGGER_14;
    *uart(UART_MCR) = 0;
    *uart(UART_IER) = IER_RECEIVE;
}

bool arch_console_read(char *byte)
{
    if (!(*uart(UART_LSR) & LSR_RECEIVED))
        return false;
    *byte = (char)*uart(UART_DATA);
    return true;
}

/* A console that nobody drains loses bytes; it does not stop the machine. After the
 * first that was lost nobody waits until one got through again. */
void arch_console_write(char byte)
{
    static bool blocked;
    for (unsigned tries = blocked ? 1 : SEND_TRIES; tries > 0; tries--) {
        if (*uart(UART_LSR) & LSR_CAN_SEND) {
            *uart(UART_DATA) = (uint8_t)byte;
            blocked = false;
            return;
        }
    }
    blocked = true;
}
