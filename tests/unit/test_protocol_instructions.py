"""The same rules where instructions invalidate: broadcast and barriers as on AArch64, on one
CPU and at once as on RISC-V."""

from dataclasses import replace

import pytest
from tests.unit.recorded import (
    RUNNING,
    access,
    barrier,
    enter,
    leave,
    lock,
    make,
    rules,
    unlock,
    unmap,
)

from pageferry.protocol import Effect, Event, Flush, Invalidate, Part, Rule, Select, Settle

START = replace(RUNNING, stores_in_order=False)


def broadcast(parts: Part = Part.ALL, everywhere: bool = True) -> Invalidate:
    return Invalidate(0, 0, 0, parts=parts, everywhere=everywhere, effect=Effect.AT_BARRIER)


def fence(cpu: int) -> Invalidate:
    return Invalidate(0, cpu, 0)


STAGE2, COMBINED = broadcast(Part.STAGE2), broadcast(Part.COMBINED)
PUBLISH = barrier(publishes=True, completes=False)
SELECT, SETTLE = Select(0, 0, 0), Settle(0, 0, 0)
BOTH_PARTS = [STAGE2, barrier(), COMBINED, barrier()]

GOOD: dict[str, list[Event]] = {
    "stage 2, then combined": [lock(), unmap(), PUBLISH, *BOTH_PARTS, make(), PUBLISH, unlock()],
    "both at once": [lock(), unmap(), PUBLISH, broadcast(), barrier(), make(), PUBLISH, unlock()],
    "the guest reads until it has forgotten": [
        *(lock(), unmap(), PUBLISH, STAGE2, access(1, 1), barrier(), access(1, 1), COMBINED),
        *(barrier(), make(), PUBLISH, unlock()),
    ],
    "in and out meanwhile": [
        *(lock(), unmap(), PUBLISH, leave(), enter(flush=Flush.NONE), *BOTH_PARTS, make()),
    ],
    "another VM selected, and settled": [
        *(lock(), unmap(), PUBLISH, SELECT, SETTLE, *BOTH_PARTS, SELECT, make(), PUBLISH, unlock()),
    ],
    "selected, and a guest has run since": [
        *(SELECT, enter(0), leave(0), lock(), unmap(), PUBLISH, *BOTH_PARTS, make(), PUBLISH),
        unlock(),
    ],
    "another CPU selects": [
        *(lock(), unmap(), PUBLISH, replace(SELECT, cpu=2), *BOTH_PARTS, make(), PUBLISH, unlock()),
    ],
    "a fence on every CPU": [
        *(lock(), unmap(), PUBLISH, fence(0), fence(1), fence(2), make(), PUBLISH, unlock()),
    ],
    "a fence where the guest runs": [lock(), unmap(), PUBLISH, fence(1), make(), PUBLISH, unlock()],
}

BAD: dict[str, tuple[Rule, list[Event]]] = {
    "nothing": (Rule.INVALIDATE, [lock(), unmap(), PUBLISH, make()]),
    "no barrier after the make": (
        Rule.PUBLISH,
        [lock(), unmap(), PUBLISH, *BOTH_PARTS, make(), unlock()],
    ),
    "the barrier of another CPU after the make": (
        Rule.PUBLISH,
        [lock(), unmap(), PUBLISH, *BOTH_PARTS, make(), replace(PUBLISH, cpu=1), unlock()],
    ),
    "for the VM that was selected before": (
        Rule.INVALIDATE,
        [lock(), unmap(), PUBLISH, SELECT, *BOTH_PARTS, make()],
    ),
    "settled on another CPU": (
        Rule.INVALIDATE,
        [lock(), unmap(), PUBLISH, SELECT, replace(SETTLE, cpu=2), *BOTH_PARTS, make()],
    ),
    "no barrier before it": (
        Rule.INVALIDATE,
        [lock(), unmap(), STAGE2, COMBINED, barrier(), make()],
    ),
    "no barrier after it": (
        Rule.COMPLETE,
        [lock(), unmap(), PUBLISH, STAGE2, barrier(), COMBINED, make()],
    ),
    "a weak barrier after it": (
        Rule.COMPLETE,
        [lock(), unmap(), PUBLISH, STAGE2, barrier(), COMBINED, PUBLISH, make()],
    ),
    "no barrier between": (
        Rule.EVERY_CPU,
        [lock(), unmap(), PUBLISH, STAGE2, COMBINED, barrier(), make()],
    ),
    "combined first": (
        Rule.EVERY_CPU,
        [lock(), unmap(), PUBLISH, COMBINED, barrier(), STAGE2, barrier(), make()],
    ),
    "stage 2 only": (Rule.EVERY_CPU, [lock(), unmap(), PUBLISH, STAGE2, barrier(), make()]),
    "combined only": (Rule.EVERY_CPU, [lock(), unmap(), PUBLISH, COMBINED, barrier(), make()]),
    "this CPU only": (
        Rule.EVERY_CPU,
        [lock(), unmap(), PUBLISH, broadcast(everywhere=False), barrier(), make()],
    ),
    "a fence on another CPU": (Rule.EVERY_CPU, [lock(), unmap(), PUBLISH, fence(0), make()]),
    "entered with what was to be forgotten": (
        Rule.ENTER,
        [
            *(lock(), unmap(), PUBLISH, leave(), broadcast(everywhere=False), barrier(), make()),
            *(PUBLISH, unlock(), enter(flush=Flush.NONE)),
        ],
    ),
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_breaks_no_rule(history: list[Event]) -> None:
    assert rules(START, *history) == []


@pytest.mark.parametrize(("rule", "history"), BAD.values(), ids=BAD)
def test_a_bad_history_breaks_one_rule(rule: Rule, history: list[Event]) -> None:
    assert rules(START, *history) == [rule]


def test_a_fence_that_orders_stores_needs_no_barrier_on_its_own_cpu() -> None:
    alone = replace(START, inside={})
    own = replace(fence(0), orders=True)
    back = enter(0, flush=Flush.NONE)
    assert rules(alone, lock(), unmap(), own, make(), PUBLISH, unlock(), back) == []
    assert rules(alone, lock(), unmap(), fence(0), make()) == [Rule.INVALIDATE]
    other = replace(fence(1), orders=True)
    assert rules(alone, lock(), unmap(), other, make()) == [Rule.INVALIDATE]


def test_a_fence_after_the_make_saves_the_next_entry() -> None:
    late = [lock(), unmap(), PUBLISH, leave(), fence(0), make(), PUBLISH, unlock(), fence(1)]
    assert rules(START, *late, enter(flush=Flush.NONE)) == []
