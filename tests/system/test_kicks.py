"""An interrupt that tells another CPU to look: what there is to see is there before it comes."""

import pytest
from tests.oracle.operands import KICKS, OfArch

from pageferry import Testbed
from pageferry.oracle import Oracle
from pageferry.protocol import Barrier, Event, Kick
from pageferry.recorder import PLUGIN
from pageferry.settings import Settings

pytestmark = [pytest.mark.needs("plugin"), pytest.mark.pageferry(cpus=3)]


@pytest.mark.parametrize("kicks", KICKS, ids=["by-interrupt"])
def test_what_a_cpu_has_written_is_complete_before_it_kicks_another(
    arch: str, cpus: int, pageferry_settings: Settings, kicks: OfArch
) -> None:
    assert kicks.applies_to(arch)
    firmware = pageferry_settings.firmware
    with Testbed.start(arch, cpus=cpus, firmware=firmware, plugin=PLUGIN) as bed:
        oracle = Oracle(bed)
        oracle.begin()
        for guest in bed.guests:
            guest.ping()
        assert oracle.end() == []
    last: dict[int, Event] = {}
    before = []
    for event in oracle.events:
        if isinstance(event, Kick):
            before.append(last.get(event.cpu))
        last[event.cpu] = event
    assert before
    assert [it for it in before if not (isinstance(it, Barrier) and it.completes)] == []
