// Answers "SEQ WORD" with "< SEQ ok count=C", C counting in a register from 'a' on.
// The first letter of WORD may ask for something else:
//
//   p  panics      v  writes to pvpanic and says nothing   r  a reset
//   q  no answer   l  no answer, and loops with interrupts off
//   n  floods the console with lines                       N  ... with no line ever ending
//   x  an answer that is none
#include "start.inc"

start:
    adr x9, stack
    mov sp, x9
    mov w19, #'a'
    adr x9, ready
    bl say

next_line:
    adr x20, line
1:  bl receive
    cmp w0, #'\n'
    b.eq 2f
    adr x9, line + 200
    cmp x20, x9
    b.hs 1b
    strb w0, [x20], #1
    b 1b
2:  strb wzr, [x20]
    adr x20, line
3:  ldrb w0, [x20], #1
    cbz w0, next_line
    cmp w0, #' '
    b.ne 3b
    strb wzr, [x20, #-1]    // the number is a string of its own
    ldrb w0, [x20]
    cmp w0, #'p'
    b.eq panic
    cmp w0, #'v'
    b.eq pvpanic
    cmp w0, #'r'
    b.eq reset
    cmp w0, #'q'
    b.eq next_line
    cmp w0, #'l'
    b.eq loop_forever
    cmp w0, #'n'
    b.eq flood
    cmp w0, #'N'
    b.eq endless_line
    adr x21, ok
    cmp w0, #'x'
    b.ne 4f
    adr x21, nonsense
4:  adr x9, prefix
    bl say
    adr x9, line
    bl say
    mov x9, x21
    bl say
    mov w0, w19
    add w19, w19, #1
    bl send
    mov w0, #'\n'
    bl send
    b next_line

panic:
    adr x9, last_words
    bl say
pvpanic:
    ldr x0, =PVPANIC
    ldr x1, =PVPANIC_BYTE
    str w1, [x0, #PCI_BAR0]
    mov w2, #PCI_MEMORY_ENABLE
    strh w2, [x0, #PCI_COMMAND]
    mov w2, #PANICKED
    strb w2, [x1]
    b halt

reset:
    ldr x0, =PSCI_SYSTEM_RESET
    smc #0

loop_forever:
    msr daifset, #15
    b .

flood:
    adr x9, noise
    bl say
    b flood

endless_line:
    mov w0, #'z'
    bl send
    b endless_line

ready: .asciz "# pageferry aarch64 ready\n"
prefix: .asciz "< "
ok: .asciz " ok count="
nonsense: .asciz " fine count="
last_words: .asciz "! panic parrot.S:1 cpu=0 exit=0x0 asked to\n"
noise: .asciz "what nobody asked for, over and over again\n"
    .balign 4

    .bss
    .globl line
line: .skip 256
