// Answers "SEQ WORD" with "< SEQ ok count=C", C counting in a register from 'a' on.
// The first letter of WORD may ask for something else:
//
//   p  panics      v  writes to pvpanic and says nothing   r  a triple fault
//   q  no answer   l  no answer, and loops with interrupts off
//   n  floods the console with lines                       N  ... with no line ever ending
//   x  an answer that is none
#include "start.inc"

start:
    mov $stack, %esp
    mov $'a', %ebx
    mov $ready, %esi
    call say

next_line:
    mov $line, %edi
1:  call receive
    cmp $'\n', %al
    je 2f
    cmp $line + 200, %edi
    jae 1b
    stosb
    jmp 1b
2:  movb $0, (%edi)
    mov $line, %esi
3:  lodsb
    test %al, %al
    jz next_line
    cmp $' ', %al
    jne 3b
    movb $0, -1(%esi)       // the number is a string of its own
    mov (%esi), %al
    cmp $'p', %al
    je panic
    cmp $'v', %al
    je pvpanic
    cmp $'r', %al
    je triple_fault
    cmp $'q', %al
    je next_line
    cmp $'l', %al
    je loop_forever
    cmp $'n', %al
    je flood
    cmp $'N', %al
    je endless_line
    mov $ok, %edi
    cmp $'x', %al
    jne 4f
    mov $nonsense, %edi
4:  mov $prefix, %esi
    call say
    mov $line, %esi
    call say
    mov %edi, %esi
    call say
    mov %ebx, %eax
    inc %ebx
    call send
    mov $'\n', %al
    call send
    jmp next_line

panic:
    mov $last_words, %esi
    call say
pvpanic:
    mov $PVPANIC, %edx
    mov $PANICKED, %al
    out %al, %dx
    jmp halt

triple_fault:
    lidt no_table
    ud2

loop_forever:
    cli
    jmp .

flood:
    mov $noise, %esi
    call say
    jmp flood

endless_line:
    mov $'z', %al
    call send
    jmp endless_line

ready: .asciz "# pageferry x86_64 ready\n"
prefix: .asciz "< "
ok: .asciz " ok count="
nonsense: .asciz " fine count="
last_words: .asciz "! panic parrot.S:1 cpu=0 exit=0x0 asked to\n"
noise: .asciz "what nobody asked for, over and over again\n"
no_table: .short 0
    .long 0

    .bss
    .globl line
line: .skip 256
