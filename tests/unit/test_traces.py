"""What architectures say of their protocol, against the manuals."""

import pytest

from pageferry import arch
from pageferry.protocol import Flush, Kick
from pageferry.traces import Traces

DESCRIBED = [name for name in arch.names() if arch.get(name).traces is not None]


def of(name: str) -> Traces:
    traces = arch.get(name).traces
    assert traces is not None
    return traces


@pytest.mark.parametrize("name", DESCRIBED)
def test_a_pattern_asks_for_no_bit_that_it_masks(name: str) -> None:
    wrong = [it.name for it in of(name).instructions if it.value & ~it.mask]
    assert wrong == []


@pytest.mark.parametrize("name", DESCRIBED)
def test_no_pattern_hides_one_behind_it(name: str) -> None:
    patterns = of(name).instructions
    for number, it in enumerate(patterns):
        assert not any(it.value & first.mask == first.value for first in patterns[:number]), it.name


@pytest.mark.parametrize("name", DESCRIBED)
def test_guests_are_entered_by_an_instruction_where_there_is_a_control_block(name: str) -> None:
    traces = of(name)
    assert any(it.enters for it in traces.instructions) == (traces.control_block is not None)


@pytest.mark.parametrize("name", DESCRIBED)
def test_there_is_a_way_to_invalidate(name: str) -> None:
    traces = of(name)
    assert traces.invalidated_by or any(it.means for it in traces.instructions)


# x86-64


def test_vmrun_is_0f_01_d8() -> None:
    (vmrun,) = of("x86_64").instructions
    assert vmrun.value.to_bytes(3, "little") == bytes([0x0F, 0x01, 0xD8])


def test_a_kick_is_a_store_to_the_interrupt_command_register() -> None:
    (icr,) = of("x86_64").devices
    assert (icr.address, icr.means) == (0xFEE0_0000 + 0x300, Kick)


def test_the_control_block_is_as_the_manual_draws_it() -> None:
    block = of("x86_64").control_block
    assert block is not None
    assert (block.tag, block.flush, block.root) == ((0x58, 4), (0x5C, 1), (0xB0, 8))
    assert block.always_written == (0x400 + 0x1F8, 8)
    assert {value for value, flush in block.flushes.items() if flush is Flush.ALL} == {1}
