/* From the PVH entry (32-bit, paging off, EBX: start_info), or from a start-up
 * interrupt, to C in long mode. */

#define CR0_PG_WP_PE 0x80010001
#define CR4_PAE_FXSR 0x00000620 /* OSXMMEXCPT, OSFXSR, PAE */
#define CR0_PE_ET    0x00000011
#define GDT_CODE64   8
#define GDT_CODE32   16
#define GDT_DATA32   24
#define MSR_EFER     0xc0000080
#define EFER_LME     0x100

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18 /* length of name and value, XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .quad _start

/* The CPU that boots: in 32-bit protected mode. */
    .section .text.boot, "ax"
    .code32
    .globl _start
_start:
    cld
    mov %ebx, start_info
    mov $boot_stack_end, %esp
    mov $hypervisor_main, %ebp
    jmp enter_long_mode

/* Every other CPU starts in real mode, in a copy of these lines at 0x8000. */
#define TRAMPOLINE 0x8000
    .code16
    .globl trampoline, trampoline_end
trampoline:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    lgdtl TRAMPOLINE + trampoline_gdt - trampoline
    mov $CR0_PE_ET, %eax
    mov %eax, %cr0
    ljmpl $GDT_CODE32, $other_cpu
trampoline_gdt:
    .word gdt_end - gdt - 1
    .long gdt
trampoline_end:

    .code32
other_cpu:
    mov $GDT_DATA32, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov cpu_stack, %esp
    mov $start_other_cpu, %ebp

/* Both, with the stack in ESP and the C function to call in EBP. */
enter_long_mode:
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
    ljmp $GDT_CODE64, $long_mode

    .code64
long_mode:
    xor %eax, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov %ebp, %ebp
    mov %esp, %esp
    call *%rbp

    .section .rodata
    .balign 8
gdt:
    .quad 0
    .quad 0x00209a0000000000 /* GDT_CODE64: code, 64-bit, present */
    .quad 0x00cf9a000000ffff /* GDT_CODE32: code, 4 GiB */
    .quad 0x00cf92000000ffff /* GDT_DATA32: data, 4 GiB */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
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

    .globl start_info, cpu_stack
start_info:
    .quad 0
cpu_stack:
    .long 0

    .section .bss
    .balign 16
    .skip 16384
boot_stack_end:
