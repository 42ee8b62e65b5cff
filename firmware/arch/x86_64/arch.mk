# How to compile and link for this architecture.
ARCH_TARGET := x86_64-unknown-none-elf
ARCH_CFLAGS := -m64 -mno-red-zone -mgeneral-regs-only -mcmodel=small
