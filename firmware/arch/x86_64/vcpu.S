/* void vmcb_run(hpa_t vmcb, struct gprs *gprs)
 *
 * One VMRUN with the guest's registers. The global interrupt flag is clear around
 * it, so that an interrupt ends the guest's run and not the hypervisor's; it stays
 * pending until the hypervisor opens IF (APM vol. 2, 15.17). */
    .text
    .globl vmcb_run
vmcb_run:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    push %rsi
    mov %rdi, %rax
    mov 0x08(%rsi), %rdi
    mov 0x18(%rsi), %rdx
    mov 0x20(%rsi), %rcx
    mov 0x28(%rsi), %r8
    mov 0x30(%rsi), %r9
    mov 0x38(%rsi), %rbx
    mov 0x40(%rsi), %rbp
    mov 0x48(%rsi), %r10
    mov 0x50(%rsi), %r11
    mov 0x58(%rsi), %r12
    mov 0x60(%rsi), %r13
    mov 0x68(%rsi), %r14
    mov 0x70(%rsi), %r15
    mov 0x10(%rsi), %rsi
    clgi
    sti
    vmrun %rax
    cli
    stgi
    push %rsi
    mov 8(%rsp), %rsi
    mov %rdi, 0x08(%rsi)
    mov %rdx, 0x18(%rsi)
    mov %rcx, 0x20(%rsi)
    mov %r8, 0x28(%rsi)
    mov %r9, 0x30(%rsi)
    mov %rbx, 0x38(%rsi)
    mov %rbp, 0x40(%rsi)
    mov %r10, 0x48(%rsi)
    mov %r11, 0x50(%rsi)
    mov %r12, 0x58(%rsi)
    mov %r13, 0x60(%rsi)
    mov %r14, 0x68(%rsi)
    mov %r15, 0x70(%rsi)
    pop 0x10(%rsi)
    pop %rsi
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
