/* What goes out on the console. */
#include <stdarg.h>

#include "hypervisor.h"

static void print_number(uint64_t value, unsigned base)
{
    char digits[20];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n > 0)
        arch_console_write(digits[--n]);
}

static void print_text(const char *text)
{
    while (*text)
        arch_console_write(*text++);
}

/* %s %u %lu %lx and nothing else. */
static void print(const char *format, va_list values)
{
    for (; *format; format++) {
        if (*format != '%') {
            arch_console_write(*format);
            continue;
        }
        bool wide = *++format == 'l';
        format += wide;
        if (*format == 's')
            print_text(va_arg(values, const char *));
        else
            print_number(wide ? va_arg(values, uint64_t) : va_arg(values, unsigned),
                         *format == 'x' ? 16 : 10);
    }
}

void console_print(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    print(format, values);
    va_end(values);
}

void panic_at(const char *file, unsigned line, const char *format, ...)
{
    const struct cpu *cpu = arch_this_cpu();
    va_list values;
    console_print("\n! panic %s:%u cpu=%u exit=0x%lx ", file, line, cpu->number, cpu->exit_reason);
    va_start(values, format);
    print(format, values);
    va_end(values);
    arch_console_write('\n');
    arch_halt();
}
