"""Where answers come from: physical memory, an architecture, and a way to the roots.

A hypervisor of ours is asked for its roots and its records by the names of its
variables, whoever knows their types: an ELF file's debug information, or gdb. Of a
foreign one it takes the roots alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..address import GPA, GVA, HPA, PAGE_SIZE, in_hex
from ..arch import Arch
from ..errors import HarnessError
from ..memory import PhysicalMemory
from ..paging import require_root


class Variables(Protocol):
    """The hypervisor's variables by C expression, "vms[1].vcpus[0].state".

    All raise a HarnessError for an expression that it does not have.
    """

    def read_int(self, expression: str) -> int:
        """The value of an integer, enumeration or pointer."""

    def size(self, expression: str) -> int:
        """How many bytes it has."""

    def enum(self, name: str) -> Mapping[str, int]:
        """The enumerators of `enum name`."""


@dataclass(frozen=True)
class Roots:
    """A guest's root tables: its own (None if it is not known) and the hypervisor's for it."""

    stage1: GPA | None
    stage2: HPA

    __repr__ = in_hex


class System:
    """One system to be looked at.

    variables  the hypervisor's, if it is one of ours
    roots      by VM, if it is not
    name_code  of an address of a guest of ours where in the agent that is, "serve (agent.c:12)",
               None if it is not in there
    """

    def __init__(
        self,
        arch: Arch,
        memory: PhysicalMemory,
        variables: Variables | None = None,
        roots: Mapping[int, Roots] | None = None,
        name_code: Callable[[GVA], str | None] = lambda _: None,
    ) -> None:
        self.arch = arch
        self.memory = memory
        self.variables = variables
        self.name_code = name_code
        self._roots = dict(roots or {})

    @property
    def vms(self) -> list[int]:
        """The ids of its VMs."""
        if self.variables is None:
            return sorted(self._roots)
        count = self.variables.size("vms") // self.variables.size("vms[0]")
        return list(range(1, count))  # 0 is the hypervisor and unused

    @property
    def made(self) -> list[int]:
        """The ids of those VMs that have tables by now."""
        return [vm for vm in self.vms if self._roots_of(vm) is not None]

    def vcpus(self, vm: int) -> list[int]:
        """The indices of the VM's vCPUs; none of a hypervisor that is not ours."""
        if self.variables is None:
            return []
        all_ = f"vms[{vm}].vcpus"
        count = self.variables.read_int(f"vms[{vm}].vcpu_count")
        room = self.variables.size(all_) // self.variables.size(f"{all_}[0]")
        if count > room:
            raise HarnessError(
                f"g{vm} is said to have {count} vCPUs, more than the possible {room}"
            )
        return list(range(count))

    @property
    def ram(self) -> range | None:
        """The host-physical addresses that a hypervisor of ours has frames of; else None."""
        if self.variables is None:
            return None
        count = self.variables.size("frames") // self.variables.size("frames[0]")
        return range(self.arch.ram_base, self.arch.ram_base + count * PAGE_SIZE)

    def roots(self, vm: int) -> Roots:
        """What the first vCPU of the VM is told.

        HarnessError if there is no such VM yet, or what is there cannot be a root.
        """
        self.require(vm)
        if (found := self._roots_of(vm)) is None:
            raise HarnessError(f"the hypervisor has not made g{vm} yet")
        try:
            require_root(self.arch.stage1, found.stage1 or 0)
            require_root(self.arch.stage2, found.stage2)
        except ValueError as error:
            raise HarnessError(f"the memory has no tables of g{vm}: {error}") from None
        return found

    def _roots_of(self, vm: int) -> Roots | None:
        if self.variables is None:
            return self._roots[vm]
        first, second = (
            self.arch.root_of(self._register(expression.format(vm=vm, vcpu=0)))
            for expression in (self.arch.stage1_root, self.arch.stage2_root)
        )
        return Roots(GPA(first), HPA(second)) if second else None

    def _register(self, expression: str) -> int:
        """Its value; 0 while a pointer on the way to it is NULL."""
        assert self.variables is not None
        pointer, arrow, _ = expression.partition("->")
        if arrow and self.variables.read_int(pointer) == 0:
            return 0
        return self.variables.read_int(expression)

    def require(self, vm: int) -> None:
        """HarnessError, naming those that exist, if there is no such VM."""
        if vm not in self.vms:
            known = ", ".join(f"g{number}" for number in self.vms) or "none"
            raise HarnessError(f"there is no guest g{vm}; there are: {known}")

    def name_of(self, enum: str, value: int) -> str:
        """The enumerator of a value without the words they share: "waiting" of VCPU_WAITING."""
        assert self.variables is not None
        names = {number: name for name, number in self.variables.enum(enum).items()}
        return _short(names[value]) if value in names else str(value)

    def text(self, expression: str) -> str:
        """What a `const char *` of the hypervisor, which maps itself, points to; "" for NULL."""
        assert self.variables is not None
        address = self.variables.read_int(expression)
        return b"".join(self._characters(address)).decode("utf-8", "replace") if address else ""

    def _characters(self, address: int) -> Iterable[bytes]:
        for here in range(address, address + PAGE_SIZE):
            byte = self.memory.read(HPA(here), 1)
            if byte == b"\0":
                return
            yield byte


def _short(enumerator: str) -> str:
    return enumerator.partition("_")[2].lower().replace("_", "-")
