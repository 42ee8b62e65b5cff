"""The plugin's record of a testbed, as events of the invalidation protocol, and their check.

    oracle = Oracle(bed)         a testbed whose machine has the plugin
    oracle.begin()
    bed.remap(...)
    assert oracle.end() == []

What a record means is said by the architecture's `Traces`. The barriers of platform firmware
do not count: no specification promises them. Who a guest is, is told by the control block
that it was entered with, or by the frame that its code lies in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from . import protocol
from .abi import GuestMap
from .address import GPA, HPA, PAGE_SIZE, page_of
from .errors import TargetLacks
from .guest import POLL
from .protocol import Books, Enter, Event, Flush, Invalidate, Leave, Lock, Store, Violation
from .tables import Rights
from .testbed import Testbed
from .traces import ControlBlock, Traces
from .wire.record import UNIT, Kind, Record, Watch

LOCK = "hypervisor_lock.held"
"""The image's name for the lock that guards the tables."""

IMAGE_START = "hypervisor_start"
IMAGE_END = "hypervisor_end"
"""The image's names for its first byte and for the first behind it."""

_ZEROES = bytes(PAGE_SIZE)
_RIGHTS = {1: Rights.READ, 2: Rights.WRITE, 4: Rights.EXECUTE}


@dataclass(frozen=True)
class Finding:
    """A violation, with where in the source it is."""

    violation: Violation
    where: str
    broken_where: str | None

    def __str__(self) -> str:
        rule, event, by = self.violation.rule, self.violation.event, self.violation.broken
        lines = [
            f"{rule.name}: {rule.value}",
            f"CPU {event.cpu} at {event.code:#x}, {self.where}, record {event.number}",
            f"expected: {self.violation.expected}",
        ]
        if by is not None:
            lines.append(f"the break: CPU {by.cpu} at {by.code:#x}, {self.broken_where}")
        return "\n    ".join(lines)


@dataclass
class _Block:
    """One control block, as the recorded stores make it."""

    format: ControlBlock
    vm: int
    content: bytearray

    def field(self, place: tuple[int, int]) -> int:
        offset, size = place
        return int.from_bytes(self.content[offset : offset + size], "little")


class Oracle:
    """Watches a testbed from `begin` to `end`, as often as wanted.

    Raises TargetLacks if its machine has no plugin.
    """

    def __init__(self, bed: Testbed) -> None:
        recorder, traces = bed.machine.recorder, bed.machine.arch.traces
        if recorder is None or traces is None:
            raise TargetLacks("plugin")
        self._bed = bed
        self._recorder = recorder
        self._traces: Traces = traces
        self._lock = HPA(bed.firmware.address(LOCK))
        self._invalidated_by = self._find_variables()
        self._books = self._find_books()
        self._devices = {device.address: device.means for device in traces.devices}
        self._watch()

    def _find_variables(self) -> dict[HPA, int]:
        """Which variable tells of which VM's invalidation."""
        name = self._traces.invalidated_by
        if name is None:
            return {}
        at = self._bed.firmware.address
        return {HPA(at(name.format(vm=guest.vm))): guest.vm for guest in self._bed.guests}

    def _find_books(self) -> list[range]:
        """Where the hypervisor keeps what the lock guards beside tables."""
        names = ["frames"]
        for guest in self._bed.guests:
            names.append(f"vms[{guest.vm}].posted")
            for vcpu in guest.vcpus:
                of_vcpu = f"vms[{vcpu.vm}].vcpus[{vcpu.index}]"
                names += [f"{of_vcpu}.state", f"{of_vcpu}.work_state"]
        firmware = self._bed.firmware
        starts = [firmware.address(it) for it in names]
        return [
            range(start, start + firmware.size(name))
            for start, name in zip(starts, names, strict=True)
        ]

    # What is watched

    def _watch(self) -> None:
        watch, machine = self._recorder.watch, self._bed.machine
        watch(self._lock, 4, Watch.STORES)
        for books in self._books:
            watch(HPA(books.start), len(books), Watch.STORES)
        for address in self._invalidated_by:
            watch(address, 8, Watch.STORES)
        for address, block in self._blocks().items():
            for offset, size in block.format.fields:
                watch(address + offset, size, Watch.STORES)
        self._image = machine.image.symbol(IMAGE_START)
        self._end = machine.image.symbol(IMAGE_END)
        end = page_of(HPA(self._end + PAGE_SIZE - 1))
        last = machine.arch.ram_base + machine.ram
        mapped = {frame: gpa for it in self._bed.guests for gpa, (frame, _) in it.pages().items()}
        self._free = [HPA(it) for it in range(end, last, PAGE_SIZE) if it not in mapped]
        for frame in self._free:
            watch(frame, PAGE_SIZE, Watch.STORES | Watch.ACCESSES)
        for frame, gpa in mapped.items():
            if gpa >= GuestMap.PAGES:
                watch(frame, PAGE_SIZE, Watch.ACCESSES)

    def _blocks(self) -> dict[HPA, _Block]:
        """By frame."""
        found: dict[HPA, _Block] = {}
        kind = self._traces.control_block
        for guest in self._bed.guests if kind else ():
            for vcpu in guest.vcpus:
                assert kind is not None
                name = kind.expression.format(vm=vcpu.vm, vcpu=vcpu.index)
                address = HPA(self._bed.firmware.read_int(name))
                content = bytearray(self._bed.machine.memory.read(address, PAGE_SIZE))
                found[address] = _Block(kind, guest.vm, content)
        return found

    # From begin to end

    def begin(self) -> None:
        """Record from now on. Nothing may be under way."""
        machine = self._bed.machine
        machine.await_fact(self._stop_unlocked, "nobody to have the lock", every=POLL)
        self._block_of = self._blocks()
        self._roots = {guest.vm: guest.stage2_root for guest in self._bed.guests}
        self._code = {
            frame: guest.vm
            for guest in self._bed.guests
            for frame, rights in guest.pages().values()
            if rights & Rights.EXECUTE
        }
        self._start = self._state()
        self._recorder.start()
        machine.cont()

    def _stop_unlocked(self) -> bool | None:
        """Stop the machine, but not where the control CPU just looks for something to do: it
        has the lock for that, and no record would tell of it."""
        self._bed.machine.stop()
        if not self._bed.firmware.read_int(LOCK):
            return True
        self._bed.machine.cont()
        return None

    def end(self) -> list[Finding]:
        """What was violated since `begin`, in order. Raises HarnessError if records were lost."""
        machine = self._bed.machine
        machine.stop()
        records = self._recorder.stop()
        machine.cont()
        self.records = records
        self.events = list(self._events(records))
        where = cache(self._where)  # hundreds of violations may be of a few instructions
        found = [_locate(it, where) for it in protocol.check(self._start, self.events)]
        for line in "\n".join(map(str, found)).splitlines():
            machine.channel.journal.note("oracle", "#", line)
        return found

    def _tag(self, vm: int) -> int:
        tags = (
            block.field(block.format.tag) for block in self._block_of.values() if block.vm == vm
        )
        return next(tags, vm)

    def _state(self) -> protocol.Start:
        """Every CPU may hold translations of every VM."""
        arch, memory = self._bed.machine.arch, self._bed.machine.memory
        words = {}
        for frame in self._free:
            content = memory.read(frame, PAGE_SIZE)
            if content != _ZEROES:
                numbers = enumerate(struct.unpack(f"<{PAGE_SIZE // 8}Q", content))
                words.update({frame + 8 * at: number for at, number in numbers if number})
        running = enumerate(self._recorder.header().guest_code)
        inside = {cpu: self._vm_of(code) for cpu, code in running if code}
        return protocol.Start(
            fmt=arch.stage2,
            ignored=arch.accessed_dirty,
            roots=self._roots,
            words=words,
            inside={cpu: (vm, self._tag(vm)) for cpu, vm in inside.items()},
            holds=frozenset(
                ((cpu, self._tag(vm)), vm)
                for cpu in range(self._bed.machine.cpus)
                for vm in self._roots
            ),
            stores_in_order=self._traces.stores_in_order,
        )

    def _vm_of(self, code: int) -> int:
        """Whose code it is; 0: nobody's that may be executed."""
        return self._code.get(page_of(HPA(code)), 0)

    # Records to events

    def _events(self, records: list[Record]) -> Iterator[Event]:
        written: dict[int, _Block] = {}  # by CPU: the control block that it wrote last
        for it in records:
            event = self._event(it, written)
            if event is not None:
                yield event

    def _event(self, it: Record, written: dict[int, _Block]) -> Event | None:
        at = it.number, it.cpu, it.code
        match it.kind:
            case Kind.STORE:
                return self._store(it, written)
            case Kind.INSTRUCTION:
                instruction = self._traces.instructions[it.detail]
                if instruction.enters and it.cpu in written:
                    return self._entry(it, written[it.cpu])
                found = instruction.means(*at) if instruction.means else None
                ours = self._image <= it.code < self._end
                return found if ours or not isinstance(found, protocol.Barrier) else None
            case Kind.DEVICE:
                return self._devices[HPA(it.address)](*at)
            case Kind.RUN:
                vm = self._vm_of(it.code)
                return None if self._traces.control_block else Enter(*at, vm, vm)
            case Kind.LEAVE:
                return Leave(*at)
            case Kind.ACCESS:
                frame, right = page_of(HPA(it.address)), _RIGHTS[it.detail]
                return protocol.Access(*at, self._vm_of(it.code), frame, right)

    def _store(self, it: Record, written: dict[int, _Block]) -> Event | None:
        at = it.number, it.cpu, it.code
        address = HPA(it.address)
        if address == self._lock & ~7:
            held = it.value >> 8 * (self._lock % 8) & 0xFFFF_FFFF
            return Lock(*at, taken=bool(held))
        if address in self._invalidated_by:
            vm = self._invalidated_by[address]
            effect = protocol.Effect.AT_ENTRY
            return Invalidate(*at, everywhere=True, effect=effect, vm=vm)
        if any(address < books.stop and books.start < address + UNIT for books in self._books):
            return Books(*at)
        block = self._block_of.get(page_of(address))
        if block is not None:
            offset = address % PAGE_SIZE
            block.content[offset : offset + 8] = it.value.to_bytes(8, "little")
            written[it.cpu] = block
            return None
        return Store(*at, address, it.value, it.since)

    def _entry(self, it: Record, block: _Block) -> Enter:
        root = self._bed.machine.arch.root_of(block.field(block.format.root))
        vms = {root: vm for vm, root in self._roots.items()}
        flush = block.format.flushes.get(block.field(block.format.flush), Flush.NONE)
        tag = block.field(block.format.tag)
        return Enter(it.number, it.cpu, it.code, vms.get(HPA(root), 0), tag, flush)

    # Findings

    def _where(self, code: int) -> str:
        vm = self._vm_of(code)
        if vm == 0:
            return self._bed.machine.image.describe(code)
        guest = self._bed.guests[vm - 1]
        frame = page_of(HPA(code))
        pages = (gpa for gpa, (found, _) in guest.pages().items() if found == frame)
        address = next(pages, GPA(0)) + code % PAGE_SIZE
        return f"VM {vm}: {guest.agent_image.describe(address)}"


def _locate(violation: Violation, where: Callable[[int], str]) -> Finding:
    broken = violation.broken
    return Finding(
        violation,
        where(violation.event.code),
        where(broken.code) if broken else None,
    )
