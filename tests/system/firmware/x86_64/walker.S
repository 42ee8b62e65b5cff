// Enters long mode with the tables that the harness has named in `controls` and does
// what `requests` say. They must map the program where it is.
//
//   controls: CR3
#include "start.inc"
#include "requests.inc"

    .set CR4_PAE, 1 << 5
    .set EFER, 0xc0000080
    .set EFER_LME_NXE, 1 << 8 | 1 << 11
    .set CR0_PG_WP_PE, 1 << 31 | 1 << 16 | 1 << 0
    .set CODE_64, 1 << 3                        // the second descriptor
    .set INTERRUPT_GATE, 0x8e00
    .set GATE_SIZE, 16
    .set FIRST_FAULT, 12                        // #SS, #GP, #PF
    .set LAST_FAULT, 14

start:
    mov $idt + FIRST_FAULT * GATE_SIZE, %edi
1:  mov $fault, %eax
    mov %ax, (%edi)
    movw $CODE_64, 2(%edi)
    movw $INTERRUPT_GATE, 4(%edi)
    shr $16, %eax
    mov %ax, 6(%edi)
    add $GATE_SIZE, %edi
    cmp $idt + (LAST_FAULT + 1) * GATE_SIZE, %edi
    jb 1b
    lgdt gdt_pointer
    lidt idt_pointer
    mov controls, %eax
    mov %eax, %cr3
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG_WP_PE, %eax
    mov %eax, %cr0
    ljmp $CODE_64, $long_mode

    .code64
long_mode:
    xor %eax, %eax
    mov %eax, %ss
    mov $requests, %ebx
next:
    mov $stack, %esp
    mov 8(%rbx), %rcx
    xor %edx, %edx
    mov (%rbx), %rax
    test %rax, %rax
    jz end
    cmp $ACCESS_WRITE, %rax
    jb read
    je write
    call *%rcx
    jmp success
read:
    mov (%rcx), %rdx
    jmp success
write:
    mov %rbx, (%rcx)
success:
    movl $OUTCOME_SUCCESS, 16(%rbx)
    jmp answer
fault:
    movl $OUTCOME_STAGE1_FAULT, 16(%rbx)
answer:
    mov %rdx, 24(%rbx)
    add $REQUEST_SIZE, %rbx
    jmp next
end:
    movq $1, finished
    jmp .

filler:
    .fill 8, 1, 0xc3                            // ret

    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000                    // present, ring 0, code, long
gdt_pointer:
    .word . - gdt - 1
    .long gdt
idt_pointer:
    .word (LAST_FAULT + 1) * GATE_SIZE - 1
    .long idt

    .bss
    .balign 16
idt:
    .skip (LAST_FAULT + 1) * GATE_SIZE
