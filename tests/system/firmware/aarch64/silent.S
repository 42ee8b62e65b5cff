// Gets as far as a first line, and never gets ready.
#include "start.inc"

start:
    adr x9, first
    bl say
    b halt

first: .asciz "# the first line\n"
