# Pageferry, to be read from here to the end. `make help` lists what to ask for.
#
#   make run ARCH=aarch64    the architecture: any folder of firmware/arch, or all of them
#   make test ARCH=x86_64    one only; without ARCH `test` takes all, everything else x86_64
#   make test PYTEST_ARGS=…  other arguments to pytest
#   make LLVM=0 firmware     built by gcc and GNU ld; CROSS_COMPILE= is what stands in front
#                            of their names: aarch64-linux-gnu- where that is another machine
#   make V=1 firmware        show the commands

TESTED := $(or $(ARCH),all)
ARCH ?= x86_64
LLVM ?= 1
CROSS_COMPILE ?= $(if $(filter $(ARCH),$(shell uname -m)),,$(ARCH)-linux-gnu-)
# Not ?=: make's own CC is `cc`, and an exported CC is the host's compiler.
# `make CC=clang-15` still overrides.
CC := $(if $(filter 0,$(LLVM)),$(CROSS_COMPILE)gcc,clang)
LD := $(if $(filter 0,$(LLVM)),$(CROSS_COMPILE)ld,ld.lld)
PYTEST_ARGS ?= -n 3 --dist worksteal
# The tests start some hundred Pythons, each of which would compile all of Pageferry again.
unexport PYTHONDONTWRITEBYTECODE

ARCHS := $(patsubst firmware/arch/%/arch.mk,%,$(wildcard firmware/arch/*/arch.mk))
ifneq ($(words $(ARCH)) $(filter $(ARCHS) all,$(ARCH)),1 $(ARCH))
$(error ARCH=$(ARCH) is unknown. There are: $(ARCHS), and all)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
Q := $(if $(V),,@)

.PHONY: help run console debug test tests mutants bench lint format setup firmware plugin doctor clean FORCE

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo "  ARCH=$(ARCH)   there are: $(ARCHS), and all"

# The recipes below call make for the firmware, so that it is built after the
# compiler has been installed, also under -j.
run: setup ## boot two guests and show remap, share and copy side by side
	@$(MAKE) firmware
	@.venv/bin/pageferry run --arch $(ARCH)

console: setup ## boot, and type on the hypervisor's console
	@$(MAKE) firmware
	@.venv/bin/pageferry console --arch $(ARCH)

debug: setup ## start QEMU stopped, and gdb in front of it that knows `hv guests` and more
	@$(MAKE) firmware
	@.venv/bin/pageferry debug --arch $(ARCH)

test: ## everything that CI checks: lint, types, unit and system tests, these on every ARCH
	@$(MAKE) ARCH=$(TESTED) setup
	@$(MAKE) ARCH=$(TESTED) firmware plugin lint
	@.venv/bin/pytest --pageferry-arch $(TESTED) $(PYTEST_ARGS)

# Else the folder of that name would be up to date, and nothing tested.
tests: test

mutants: ## build the firmware with each seeded bug, and see that the tests catch it
	@$(MAKE) ARCH=$(TESTED) setup
	@$(MAKE) ARCH=$(TESTED) firmware plugin
	@.venv/bin/python -m tests.mutants --arch $(TESTED)

bench: setup ## what the harness costs, beside its goals; also as build/bench/ARCH.json
	@$(MAKE) firmware
	@.venv/bin/pageferry bench --arch $(ARCH)

lint: setup ## style and types only
	@.venv/bin/ruff check --quiet
	@.venv/bin/ruff format --check --quiet || { echo "not formatted: make format"; exit 1; }
	@.venv/bin/mypy

format: setup ## apply the formatter and the linter's safe fixes
	@.venv/bin/ruff format
	@.venv/bin/ruff check --fix

clean: ## remove what was built (.venv stays)
	$(Q)rm -rf build

# What follows is of one architecture; of all, each gets a make of its own.
ifeq ($(ARCH),all)
setup firmware:
	@set -e; for arch in $(ARCHS); do $(MAKE) ARCH=$$arch $@; done

doctor:
	@ready=true; for arch in $(ARCHS); do $(MAKE) ARCH=$$arch doctor || ready=false; done; $$ready
else

setup: ## install missing packages and make .venv; `run` and `test` begin with it
	@scripts/setup $(ARCH) --compiler $(CC) --linker $(LD)

doctor: ## what is installed, what is missing and which package has it
	@PYTHONPATH=harness python3 -m pageferry.report.doctor --arch $(ARCH) \
		--compiler $(CC) --linker $(LD) $(if $(JSON),--json)

# ---------------------------------------------------------------- firmware --
#
#   firmware/guest/*.c        arch/$(ARCH)/guest*  ->  agent.elf  (symbols, debug information)
#                                                  ->  agent.bin  (the bytes a guest is given)
#   firmware/core/*.c         arch/$(ARCH)/*       ->  hypervisor.elf, which holds agent.bin

B := build/firmware/$(ARCH)
ARCH_DIR := firmware/arch/$(ARCH)
HYPERVISOR_LD := $(ARCH_DIR)/hypervisor.ld
AGENT_LD := firmware/guest/agent.ld

include $(ARCH_DIR)/arch.mk

# What the two compilers call differently: the target, and "no headers but your own".
# gcc would turn the loop of a memset into a call of memset, and put what gdb needs to unwind
# into sections that are loaded.
ifeq ($(LLVM),0)
CC_FLAGS = -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) \
           -fno-tree-loop-distribute-patterns -fno-asynchronous-unwind-tables -fno-unwind-tables
else
CC_FLAGS = --target=$(ARCH_TARGET) -nostdlibinc
endif
CFLAGS := $(CC_FLAGS) -std=c17 -ffreestanding -fno-pic -fno-common \
          -fno-stack-protector -fomit-frame-pointer -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
          -Ifirmware/include $(ARCH_CFLAGS)
LDFLAGS := -static --fatal-warnings --build-id=none -z noexecstack $(ARCH_LDFLAGS)

guest_files := $(wildcard firmware/guest/*.c $(ARCH_DIR)/guest*.c $(ARCH_DIR)/guest*.S)
core_files := $(filter-out $(guest_files),$(wildcard firmware/core/*.c firmware/core/*.S $(ARCH_DIR)/*.c $(ARCH_DIR)/*.S)) \
              $(ARCH_DEVICES:%=firmware/devices/%)
# The whole name stays in the object's, for vcpu.c and vcpu.S live side by side.
guest_objects := $(guest_files:firmware/%=$(B)/%.o)
core_objects := $(core_files:firmware/%=$(B)/%.o)

firmware: $(B)/hypervisor.elf $(B)/agent.elf ## build/firmware/ARCH/hypervisor.elf and agent.elf

$(B)/hypervisor.elf: $(core_objects) $(HYPERVISOR_LD)
	@echo "  LD  $@"
	$(Q)$(LD) $(LDFLAGS) -T $(HYPERVISOR_LD) -o $@ $(core_objects)

$(B)/agent.elf: $(guest_objects) $(AGENT_LD)
	@echo "  LD  $@"
	$(Q)$(LD) $(LDFLAGS) -T $(AGENT_LD) -o $@ $(guest_objects)

# Plain bytes. lld links once more, for an objcopy would be one more package; GNU ld cannot
# do that on every architecture, but comes with one.
$(B)/agent.bin: $(B)/agent.elf
ifeq ($(LLVM),0)
	$(Q)$(CROSS_COMPILE)objcopy -O binary $< $@
else
	$(Q)$(LD) $(LDFLAGS) -T $(AGENT_LD) --oformat=binary -o $@ $(guest_objects)
endif

# Only core sees the headers of the architecture and finds agent.bin (.incbin);
# private keeps that from the guest's objects, on which these depend.
$(core_objects): private CFLAGS += -I$(ARCH_DIR) -I$(B)
$(filter %.S.o,$(core_objects)): $(B)/agent.bin

$(B)/%.o: firmware/% $(B)/settings Makefile $(ARCH_DIR)/arch.mk
	@mkdir -p $(@D)
	@echo "  CC  $<"
	$(Q)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

# What products depend on and no file's date tells: flags, tools, the list of sources.
settings := $(CC) $(CFLAGS) $(LD) $(LDFLAGS) $(core_files) $(guest_files)
$(B)/settings: FORCE
	@mkdir -p $(@D)
	@echo '$(settings)' | cmp -s - $@ || echo '$(settings)' > $@

-include $(patsubst %.o,%.d,$(core_objects) $(guest_objects))
endif

# ------------------------------------------------------------------ plugin --
#
# A part of the emulator's process, which writes down what the CPUs do: it is built for
# this machine, and for every architecture alike.

PLUGIN_CC := $(if $(filter 0,$(LLVM)),gcc,clang)
PLUGIN_CFLAGS := -std=gnu17 -fPIC -shared -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes

plugin: build/plugin/recorder.so ## build/plugin/recorder.so, which tests of invalidation load into QEMU

build/plugin/recorder.so: $(wildcard firmware/plugin/*.c firmware/plugin/*.h) Makefile
	@mkdir -p $(@D)
	@echo "  CC  $@"
	$(Q)$(PLUGIN_CC) $(PLUGIN_CFLAGS) -o $@ $(filter %.c,$^)
