"""Memory attributes: an emulator without caches, with one kind of CPU, shows none to be wrong."""

import pytest
from tests.oracle.attributes import USUAL
from tests.system.ferrying import each_operation

from pageferry import Testbed

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
