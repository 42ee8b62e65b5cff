/* From the PVH entry (32-bit, paging off, EBX: start_info) to C in long mode. */

#define CR0_PG_WP_PE 0x80010001
#define CR4_PAE_FXSR 0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define MSR_EFER     0xc0000080
#define EFER_LME     0x100

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18 /* length of name and value, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad _start

    .section .text.boot, "ax"
    .code32
    .globl _start
_start:
    cld
    mov $boot_stack_end, %esp
    mov $pml4, %eax
    mov %eax, %cr3
    mov $CR4_PAE_FXSR, %eax
    mov %eax, %cr4
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
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
    mov %eax, %fs
    mov %eax, %gs
    mov %ebx, start_info(%rip)
    call hypervisor_main

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000 /* 8: code, 64-bit, present */
gdt_pointer:
    .word . - gdt - 1
    .long gdt

/* The first 4 GiB at VA = HPA, in 2 MiB leaves: present, writable, large. */
    .section .data
    .balign 4096
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad pd + 0x3, pd + 0x1003, pd + 0x2003, pd + 0x3003
    .fill 508, 8, 0
pd:
    .set address, 0
    .rept 2048
    .quad address + 0x83
    .set address, address + 0x200000
    .endr

    .globl start_info
start_info:
    .quad 0

    .section .bss
    .balign 16
    .skip 16384
boot_stack_end:
