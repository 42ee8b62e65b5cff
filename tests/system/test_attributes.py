"""Memory attributes: an emulator without caches, with one kind of CPU, shows none to be wrong."""

import pytest
from tests.oracle.attributes import OWN, TABLES, USUAL, Mapped
from tests.system.ferrying import each_operation

from pageferry import Testbed
from pageferry.address import HPA
from pageferry.tables import ENTRY_SIZE

pytestmark = pytest.mark.pageferry(cpus=1)


def test_every_page_of_a_guest_is_usual_memory(bed: Testbed, arch: str) -> None:
    a, b = bed.guests
    bed.share(a, a.page(9), b, b.window(9))
    each_operation(bed)
    leaves = {
        (guest.vm, gpa): guest.stage2(gpa).steps[-1].raw
        for guest in bed.guests
        for gpa in [*guest.pages()][:16] + [*guest.pages()][-16:]
    }
    assert {vm for vm, _ in leaves} == {a.vm, b.vm}
    assert (b.vm, b.window(9)) in leaves
    assert {page: hex(it) for page, it in leaves.items() if not USUAL[arch](it)} == {}


def test_an_entry_that_leads_to_a_table_says_nothing_but_where(bed: Testbed, arch: str) -> None:
    a, b = bed.guests
    each_operation(bed)
    mask, wanted = TABLES[arch]
    walks = [a.stage2(a.page(0)), b.stage2(b.page(0)), b.stage2(b.window(9))]
    above = {hex(step.raw) for walk in walks for step in walk.steps[:-1]}
    assert above
    assert {it for it in above if int(it, 16) & mask != wanted} == set()


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: f"{entry.table}-{entry.index}")
def test_the_hypervisor_s_own_memory_is_usual_and_its_devices_are_not(
    bed: Testbed, entry: Mapped
) -> None:
    start = bed.machine.image.symbol(entry.table) + entry.index * ENTRY_SIZE
    raw = int.from_bytes(bed.machine.memory.read(HPA(start), ENTRY_SIZE), "little")
    assert hex(raw & entry.mask) == hex(entry.wanted)
