// Gets as far as a first line, and never gets ready.
#include "start.inc"

start:
    la a1, first
    call say
    j halt

first: .asciz "# the first line\n"
