/* The CPU's part of the core's structures, and its instructions in C. */
#pragma once

#include "address.h"
#include "vmcb.h"

#define ARCH_NAME "x86_64"
#define RAM_BASE  0x00000000ul
#define RAM_SIZE  0x01000000ul /* what the hypervisor uses of it */

/* A guest's registers as vcpu.S moves them, those of a hypercall first. RSP is in the
 * VMCB, and RAX too while the guest runs. */
struct gprs {
    uint64_t rax, rdi, rsi, rdx, rcx, r8, r9;
    uint64_t rbx, rbp, r10, r11, r12, r13, r14, r15;
};

/* What FXSAVE writes (APM vol. 2, figure 11-8); registers are not looked at. */
struct fxsave {
    uint16_t control, status, tag, opcode;
    uint64_t instruction, operand;
    uint32_t mxcsr, mxcsr_mask;
    char registers[512 - 32];
} __attribute__((aligned(16)));

struct arch_vcpu {
    struct vmcb *vmcb;
    struct gprs gprs;
    uint64_t flushed;          /* the generation of the VM's translations it last flushed for */
    volatile uint64_t entered; /* the one it runs with in the guest, 0: it does not run */
    struct fxsave fpu;
};

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid id;
    __asm__ volatile("cpuid" : "=a"(id.eax), "=b"(id.ebx), "=c"(id.ecx), "=d"(id.edx) : "a"(leaf), "c"(0));
    return id;
}

void svm_init(unsigned cpu);           /* vcpu.c */
void traps_init(void);                 /* interrupt.c: from here on a fault is a panic */
void interrupts_init(void);            /* ... and now others can interrupt this CPU */
void uart_init(void);                  /* uart.c */
void send_interrupt(uint32_t id, uint32_t command); /* interrupt.c: to the CPU of that APIC id */
uint32_t apic_id(void);
