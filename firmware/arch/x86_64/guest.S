/* The guest's own start and what its C cannot say. It begins in 32-bit protected
 * mode with paging off at the first byte of its RAM; EFER and CR4 are ready. Each vCPU
 * fills in all the gates, and with the same. */
#include "hypercall.h"

#define CR0_PG_WP_PE 0x80010011
#define LEAF         0x87 /* present, writable, user, 2 MiB */
#define PAGE         0x07 /* present, writable, user */
#define TABLE        PAGE
#define USER_CODE    0x13 /* selectors, with privilege level 3 */
#define USER_DATA    0x1b

    .globl guest_ram, guest_pages /* for agent.ld */
    .set guest_ram, GUEST_RAM
    .set guest_pages, GUEST_PAGES

/* The vCPU's stack, whatever is on it, becomes empty. Its last 16 bytes are not used, so that
 * its pointer never points to another's. */
    .macro empty_stack
    or $GUEST_STACK_SIZE - 1, %rsp
    sub $15, %rsp
    .endm

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
    imul $GUEST_STACK_SIZE, %edi
    lea stacks(%rdi), %rsp
    empty_stack

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
    call agent_main

/* uint64_t call_hypervisor(uint64_t registers[CALL_REGISTERS]): what the counter says
 * about the hypercall alone. The hypervisor leaves R10 and R11 as they are. */
    .globl call_hypervisor
call_hypervisor:
    mov %rdi, %r10
    mov 0x08(%r10), %rdi
    mov 0x10(%r10), %rsi
    mov 0x20(%r10), %rcx
    mov 0x28(%r10), %r8
    mov 0x30(%r10), %r9
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, %r11
    mov 0x18(%r10), %rdx
    mov 0x00(%r10), %rax
    vmmcall
    mov %rax, 0x00(%r10)
    mov %rdx, 0x18(%r10)
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    sub %r11, %rax
    mov %rdi, 0x08(%r10)
    mov %rsi, 0x10(%r10)
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

/* void remember(uint64_t), uint64_t recall(void): a floating-point register. The x87
 * instruction leaves its own address and its operand's behind. */
    .globl remember, recall, residue, rest
remember:
    movq %rdi, %xmm7
    fninit
    push %rdi
    fildq (%rsp)
    pop %rdi
    ret
recall:
    movq %xmm7, %rax
    ret

/* uint64_t residue(void): of the environment that FNSTENV stores, the instruction's
 * address (at 12) and the operand's (at 20) */
residue:
    sub $32, %rsp
    fnstenv (%rsp)
    mov 20(%rsp), %eax
    shl $32, %rax
    mov 12(%rsp), %edx
    or %rdx, %rax
    add $32, %rsp
    ret

/* void rest(void) */
rest:
    hlt
    ret

/* Nobody calls it: a debugger leads a guest here, whatever its registers hold. */
    .globl rest_for_ever
rest_for_ever:
    hlt
    jmp rest_for_ever

/* The guest's user goes on behind this, with the same stack. */
    .macro become_user
    push $USER_DATA
    push %rsp
    push $2
    push $USER_CODE
    push $1f
    iretq
1:
    .endm

/* void load_as_user(uint64_t gva): it ends in a fault of stage 2, as nobody comes back from a
 * page that is there. */
    .globl load_as_user
load_as_user:
    become_user
    mov (%rdi), %rax
    ud2

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
load_state: /* and save: of memory that is not its own */
    xor %eax, %eax
    vmload %rax
    ret
save_state:
    xor %eax, %eax
    vmsave %rax
    ret
clear_interrupt_flag: /* the global one */
    clgi
    ret
set_interrupt_flag:
    stgi
    ret
invalidate_other: /* another guest's translation */
    xor %eax, %eax
    mov $2, %ecx
    invlpga %rax, %ecx
    ret
ask_as_user: /* to wait, which its kernel alone may */
    become_user
    mov $1, %eax
    vmmcall
    ud2
triple_fault:
    lidt no_idt
    ud2

    .section .rodata
    .balign 8
    .globl forbidden_acts, forbidden_acts_end
forbidden_acts:
    .quad write_port, write_msr, read_msr, write_cr4, write_dr, enter_guest
    .quad load_state, save_state, clear_interrupt_flag, set_interrupt_flag, invalidate_other
    .quad ask_as_user, triple_fault
forbidden_acts_end:
no_idt:
    .word 0
    .quad 0
    .text

/* Where the hypervisor resumes the guest after a stage-2 fault: (gpa, access) */
    .globl recovery
recovery:
    empty_stack
    call agent_fault

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
    empty_stack
    call agent_exception

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000 /* 8: code, 64-bit, present */
    .quad 0x0020fa0000000000 /* 16: the same for its user */
    .quad 0x0000f20000000000 /* 24: data for its user */
gdt_pointer:
    .word . - gdt - 1
    .long gdt
idt_pointer:
    .word 32 * 16 - 1
    .quad idt

#include "../../guest/tables.h"

    .globl pml4
pml4:
    .quad pdpt + TABLE
    .fill 511, 8, 0
pdpt:
    .quad low + TABLE, middle + TABLE, high + TABLE
    .fill 509, 8, 0

    .section .bss
    .balign 4096
idt:
    .skip 32 * 16
