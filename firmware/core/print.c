/* What goes out on the console. */
#include <stdarg.h>

#include "hypervisor.h"

typedef void (*sink)(char byte);

static void print_number(sink put, uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n > 0)
        put(digits[--n]);
}

/* %s %u %lu %lx and nothing else. */
static void print(sink put, const char *format, va_list values)
{
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        bool wide = *++format == 'l';
        format += wide;
        if (*format == 's')
            for (const char *text = va_arg(values, const char *); *text; text++)
                put(*text);
        else
            print_number(put, wide ? va_arg(values, uint64_t) : va_arg(values, unsigned),
                         *format == 'x' ? 16 : 10);
    }
}

/* CRC-32 as in Ethernet and zlib, bit by bit: begins with SUM_START, ends with its
 * complement. */
#define SUM_START   0xffffffffu
#define SUM_REVERSE 0xedb88320u

static uint32_t sum;

static void add_to_sum(char byte)
{
    sum ^= (uint8_t)byte;
    for (unsigned bit = 0; bit < 8; bit++)
        sum = sum >> 1 ^ (sum & 1 ? SUM_REVERSE : 0);
}

uint32_t checksum(const char *text)
{
    for (sum = SUM_START; *text; text++)
        add_to_sum(*text);
    return ~sum;
}

static void write_and_add(char byte)
{
    add_to_sum(byte);
    arch_console_write(byte);
}

void console_answer(bool checked, const char *format, ...)
{
    va_list values;
    sum = SUM_START;
    if (checked)
        arch_console_write('*');
    va_start(values, format);
    print(write_and_add, format, values);
    va_end(values);
    if (checked) {
        uint32_t letters = ~sum;
        arch_console_write(' ');
        arch_console_write('*');
        for (unsigned shift = 32; shift > 0; shift -= 4)
            arch_console_write((char)('a' + (letters >> (shift - 4) & 15)));
    }
    arch_console_write('\n');
}

void console_print(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print(arch_console_write, format, values);
    va_end(values);
}

void panic_at(const char *file, unsigned line, const char *format, ...)
{
    const struct cpu *cpu = arch_this_cpu();
    va_list values;
    console_print("\n! panic %s:%u cpu=%u exit=0x%lx ", file, line, cpu->number, cpu->exit_reason);
    va_start(values, format);
    print(arch_console_write, format, values);
    va_end(values);
    arch_console_write('\n');
    arch_halt();
}
