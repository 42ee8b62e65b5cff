// Gets as far as a first line, and never gets ready.
#include "start.inc"

start:
    mov $stack, %esp
    mov $first, %esi
    call say
    jmp halt

first: .asciz "# the first line\n"
