// Answers "SEQ WORD" with "< SEQ ok count=C", C counting in a register from 'a' on.
// The first letter of WORD may ask for something else:
//
//   p  panics      v  writes to pvpanic and says nothing   r  resets the machine
//   q  no answer   l  no answer, and loops with interrupts off
//   n  floods the console with lines                       N  ... with no line ever ending
//   x  an answer that is none
#include "start.inc"

    .macro when letter, there
    li t0, \letter
    beq a0, t0, \there
    .endm

start:
    li s0, 'a'
    la a1, ready
    call say

next_line:
    la s1, line
    addi s2, s1, 200
1:  call receive
    li t0, '\n'
    beq a0, t0, 2f
    bgeu s1, s2, 1b
    sb a0, 0(s1)
    addi s1, s1, 1
    j 1b
2:  sb zero, 0(s1)
    la s1, line
    li t0, ' '
3:  lbu a0, 0(s1)
    addi s1, s1, 1
    beqz a0, next_line
    bne a0, t0, 3b
    sb zero, -1(s1)         // the number is a string of its own
    lbu a0, 0(s1)
    when 'p', panic
    when 'v', pvpanic
    when 'r', reset
    when 'q', next_line
    when 'l', loop_forever
    when 'n', flood
    when 'N', endless_line
    la s1, ok
    li t0, 'x'
    bne a0, t0, 4f
    la s1, nonsense
4:  la a1, prefix
    call say
    la a1, line
    call say
    mv a1, s1
    call say
    mv a0, s0
    addi s0, s0, 1
    call send
    li a0, '\n'
    call send
    j next_line

panic:
    la a1, last_words
    call say
pvpanic:
    li t0, PVPANIC_CONFIG
    li t1, PVPANIC
    sw t1, PCI_BAR0(t0)
    li t2, MEMORY_ENABLE
    sh t2, PCI_COMMAND(t0)
    li t2, PANICKED
    sb t2, 0(t1)
    j halt

reset:
    li t0, TEST_DEVICE
    li t1, TEST_RESET
    sw t1, 0(t0)
    j halt

loop_forever:
    csrci sstatus, 2        // SIE
    j .

flood:
    la a1, noise
    call say
    j flood

endless_line:
    li a0, 'z'
    call send
    j endless_line

ready: .asciz "# pageferry riscv64 ready\n"
prefix: .asciz "< "
ok: .asciz " ok count="
nonsense: .asciz " fine count="
last_words: .asciz "! panic parrot.S:1 cpu=0 exit=0x0 asked to\n"
noise: .asciz "what nobody asked for, over and over again\n"

    .bss
    .globl line
line: .skip 256
