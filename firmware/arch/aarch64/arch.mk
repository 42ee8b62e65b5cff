# How to compile and link for this architecture. Before the MMU is on all memory is
# device memory, where accesses must be aligned.
ARCH_TARGET := aarch64-unknown-none-elf
ARCH_CFLAGS := -march=armv8-a -mgeneral-regs-only -mstrict-align -mno-outline-atomics
# Not the 64 KiB of the largest granule, in which GNU ld would put code and data together.
ARCH_LDFLAGS := -z max-page-size=4096
ARCH_DEVICES := device_tree.c pvpanic.c
