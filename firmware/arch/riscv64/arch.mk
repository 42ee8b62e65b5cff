# How to compile and link for this architecture. The hypervisor leaves the floating-point
# registers to the guests.
ARCH_TARGET := riscv64-unknown-elf
# clang 14 counts these two to the base; GNU as does not any more.
RISCV_CSR_AND_FENCE := $(if $(filter 0,$(LLVM)),_zicsr_zifencei)
ARCH_CFLAGS := -march=rv64imac$(RISCV_CSR_AND_FENCE) -mabi=lp64 -mcmodel=medany -mno-relax
# The assembler keeps labels of blocks as symbols: gdb would take them for functions.
ARCH_LDFLAGS := --discard-locals
ARCH_DEVICES := device_tree.c pvpanic.c
