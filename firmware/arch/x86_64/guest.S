/* The guest's own start and what its C cannot say. It begins in 32-bit protected
 * mode with paging off at the first byte of its RAM; EFER and CR4 are ready. */
#include "hypercall.h"

#define CR0_PG_WP_PE 0x80010011
#define LEAF         0x83 /* present, writable, 2 MiB */
#define PAGE         0x03 /* present, writable */
#define BIG          0x200000

    .section .text.boot, "ax"
    .code32
    .globl _start
_start:
    mov $pml4, %eax
    mov %eax, %cr3
    mov $CR0_PG_WP_PE, %eax
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $stack_end, %rsp

/* Gates of 16 bytes for the first 32 vectors, each to its stub of 16 bytes; the
 * stubs lie below 4 GiB. */
    mov $exception_stubs, %eax
    mov $idt, %edi
    mov $32, %ecx
1:  mov %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8e00, 4(%rdi)
    mov %eax, %edx
    shr $16, %edx
    mov %dx, 6(%rdi)
    movq $0, 8(%rdi)
    add $16, %eax
    add $16, %edi
    loop 1b
    lidt idt_pointer
    jmp agent_main

/* void call_hypervisor(uint64_t registers[CALL_REGISTERS]) */
    .globl call_hypervisor
call_hypervisor:
    push %rdi
    mov %rdi, %r10
    mov 0x00(%r10), %rax
    mov 0x08(%r10), %rdi
    mov 0x10(%r10), %rsi
    mov 0x18(%r10), %rdx
    mov 0x20(%r10), %rcx
    mov 0x28(%r10), %r8
    mov 0x30(%r10), %r9
    vmmcall
    pop %r10
    mov %rax, 0x00(%r10)
    mov %rdi, 0x08(%r10)
    mov %rsi, 0x10(%r10)
    mov %rdx, 0x18(%r10)
    mov %rcx, 0x20(%r10)
    mov %r8, 0x28(%r10)
    mov %r9, 0x30(%r10)
    ret

/* uint64_t read_counter(void): instructions, when QEMU counts them (-icount shift=0) */
    .globl read_counter
read_counter:
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    ret

/* void remember(uint64_t), uint64_t recall(void): a floating-point register */
    .globl remember, recall
remember:
    movq %rdi, %xmm7
    ret
recall:
    movq %xmm7, %rax
    ret

/* What no guest may do: each of these must stop it and hurt nobody else. */
write_port: /* of the panic device */
    mov $0x505, %edx
    mov $1, %al
    out %al, %dx
    ret
write_msr: /* SVM and long mode off */
    mov $0xc0000080, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    ret
read_msr: /* where the local APIC is */
    mov $0x1b, %ecx
    rdmsr
    ret
write_cr4: /* protection keys: a register that nobody switches */
    mov %cr4, %rax
    bts $22, %rax
    mov %rax, %cr4
    ret
write_dr:
    xor %eax, %eax
    mov %rax, %dr0
    ret
enter_guest:
    xor %eax, %eax
    vmrun %rax
    ret
clear_interrupt_flag: /* the global one */
    clgi
    ret
triple_fault:
    lidt no_idt
    ud2

    .section .rodata
    .balign 8
    .globl forbidden_acts, forbidden_acts_end
forbidden_acts:
    .quad write_port, write_msr, read_msr, write_cr4, write_dr, enter_guest
    .quad clear_interrupt_flag, triple_fault
forbidden_acts_end:
no_idt:
    .word 0
    .quad 0
    .text

/* Where the hypervisor resumes the guest after a stage-2 fault: (gpa, access) */
    .globl recovery
recovery:
    mov $stack_end, %rsp
    jmp agent_fault

/* The guest's own exceptions: (gva, vector) */
    .balign 16
exception_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    mov $vector, %esi
    jmp exception
    .set vector, vector + 1
    .endr
exception:
    mov %cr2, %rdi
    mov $stack_end, %rsp
    jmp agent_exception

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000 /* 8: code, 64-bit, present */
gdt_pointer:
    .word . - gdt - 1
    .long gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad idt

/* Stage 1. GVA = GPA in 2 MiB leaves, and the same again GUEST_ALIAS higher in pages:
 *
 *   pml4[0] -> pdpt[1] -> pd_low   0x60000000 RAM, 0x61000000.. window
 *              pdpt[2] -> pd_high  0xa0000000 RAM, 0xa1000000.. window -> pt */
#define SLOT(address) (((address) >> 21) & 511)
#define RAM_SLOT      SLOT(GUEST_RAM)
#define WINDOW_SLOT   SLOT(GUEST_WINDOW)
#define WINDOW_SLOTS  (GUEST_WINDOW_SIZE / BIG)

    .section .data.tables, "aw"
    .balign 4096
    .globl pml4
pml4:
    .quad pdpt + PAGE
    .fill 511, 8, 0
pdpt:
    .quad 0, pd_low + PAGE, pd_high + PAGE
    .fill 509, 8, 0
pd_low:
    .fill RAM_SLOT, 8, 0
    .quad GUEST_RAM + LEAF
    .fill WINDOW_SLOT - RAM_SLOT - 1, 8, 0
    .set slot, 0
    .rept WINDOW_SLOTS
    .quad GUEST_WINDOW + slot * BIG + LEAF
    .set slot, slot + 1
    .endr
    .fill 512 - WINDOW_SLOT - WINDOW_SLOTS, 8, 0
pd_high:
    .fill RAM_SLOT, 8, 0
    .quad pt + PAGE
    .fill WINDOW_SLOT - RAM_SLOT - 1, 8, 0
    .set slot, 1
    .rept WINDOW_SLOTS
    .quad pt + slot * 4096 + PAGE
    .set slot, slot + 1
    .endr
    .fill 512 - WINDOW_SLOT - WINDOW_SLOTS, 8, 0
pt:
    .set page, 0
    .rept 512
    .quad GUEST_RAM + page * 4096 + PAGE
    .set page, page + 1
    .endr
    .set page, 0
    .rept 512 * WINDOW_SLOTS
    .quad GUEST_WINDOW + page * 4096 + PAGE
    .set page, page + 1
    .endr

    .section .bss
    .balign 4096
idt:
    .skip 32 * 16
    .balign 4096
    .skip 8192
stack_end:
