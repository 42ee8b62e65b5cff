"""The rules of the invalidation protocol, on histories of a few events.

Flushed at entry, as on x86-64: the invalidation is a request, which a CPU obeys as it
enters a guest the next time.
"""

from dataclasses import replace

import pytest
from tests.unit.handmade import OPEN
from tests.unit.recorded import (
    ENTRY,
    FRAME,
    OTHER_FRAME,
    READ_ONLY,
    RUNNING,
    START,
    TABLE_ENTRY,
    TARGET,
    access,
    enter,
    kick,
    leave,
    lock,
    make,
    numbered,
    rules,
    store,
    unlock,
    unmap,
)

from pageferry.address import GPA, HPA
from pageferry.protocol import Books, Effect, Event, Flush, Invalidate, Rule, check
from pageferry.tables import Rights


def asked(vm: int | None = 1, gpa: GPA | None = None) -> Invalidate:
    return Invalidate(0, 0, 0, everywhere=True, effect=Effect.AT_ENTRY, vm=vm, gpa=gpa)


GOOD: dict[str, list[Event]] = {
    "a remap": [lock(), unmap(), asked(), kick(), leave(), make(), unlock()],
    "the CPU comes back before the make": [
        *(lock(), unmap(), asked(), kick(), leave(), enter(), make(), unlock())
    ],
    "the new owner reads": [
        *(lock(), unmap(), asked(), kick(), leave(), make(), unlock(), access(2, 2))
    ],
    "the old owner reads until it is out": [
        *(lock(), unmap(), access(1, 1), asked(), kick(), access(1, 1), leave(), make())
    ],
    "a share": [
        *(lock(), unmap(), asked(), kick(), leave(), store(ENTRY, FRAME | READ_ONLY)),
        *(make(READ_ONLY), unlock(), enter(), access(1, 1), access(2, 2)),
    ],
    "a right is taken in place": [
        *(lock(), store(ENTRY, FRAME | READ_ONLY), asked(), kick(), leave()),
        *(make(READ_ONLY), unlock()),
    ],
    "the CPU sets bits of an entry": [store(ENTRY, FRAME | OPEN | 0x60)],
    "a frame that was nobody's": [
        *(lock(), make(frame=OTHER_FRAME), unlock(), access(2, 2, frame=OTHER_FRAME))
    ],
    "a flush of this tag": [
        *(lock(), unmap(), asked(), kick(), leave(), make(), unlock(), enter(flush=Flush.TAG))
    ],
    "entered without a flush, kicked again": [
        *(lock(), unmap(), leave(), enter(flush=Flush.NONE), asked(), kick(), leave(), make()),
        *(unlock(), enter()),
    ],
    "the other VM goes on without a flush": [
        *(lock(), unmap(), asked(), kick(), leave(), make(), leave(2)),
        *(unlock(), enter(2, 2, Flush.NONE), access(2, 2)),
    ],
    "a store elsewhere": [store(HPA(0x70000), 7)],
    "books under the lock": [lock(), Books(0, 0, 0), unlock()],
    "filled before a guest has it": [
        *(lock(), store(OTHER_FRAME, 7), make(frame=OTHER_FRAME), unlock())
    ],
}

BAD: dict[str, tuple[Rule, list[Event]]] = {
    "no invalidation": (Rule.INVALIDATE, [lock(), unmap(), leave(), make()]),
    "invalidated before": (Rule.INVALIDATE, [lock(), asked(), kick(), leave(), unmap(), make()]),
    "another VM invalidated": (Rule.INVALIDATE, [lock(), unmap(), asked(vm=2), leave(), make()]),
    "another page invalidated": (
        Rule.INVALIDATE,
        [lock(), unmap(), asked(gpa=GPA(0x1000)), leave(), make()],
    ),
    "never invalidated, and done": (Rule.INVALIDATE, [lock(), unmap(), leave(), unlock()]),
    "nobody kicked": (Rule.EVERY_CPU, [lock(), unmap(), asked(), make()]),
    "not waited": (Rule.COMPLETE, [lock(), unmap(), asked(), kick(), make(), leave()]),
    "not waited, and done": (Rule.COMPLETE, [lock(), unmap(), asked(), kick(), unlock(), leave()]),
    "came back without a flush": (
        Rule.COMPLETE,
        [lock(), unmap(), asked(), kick(), leave(), enter(flush=Flush.NONE), make()],
    ),
    "entered without a flush": (
        Rule.ENTER,
        [lock(), unmap(), asked(), kick(), leave(), make(), unlock(), enter(flush=Flush.NONE)],
    ),
    "the flush was of another tag": (
        Rule.ENTER,
        [
            *(lock(), unmap(), asked(), kick(), leave(), make(), unlock()),
            *(enter(vm=2, flush=Flush.TAG), leave(), enter(flush=Flush.NONE)),
        ],
    ),
    "made before": (
        Rule.BREAK_FIRST,
        [lock(), make(), unmap(), asked(), kick(), leave(), unlock()],
    ),
    "shared, and one can write": (
        Rule.BREAK_FIRST,
        [lock(), make(READ_ONLY), unmap(), asked(), kick(), leave()],
    ),
    "another frame in place": (
        Rule.VALID_TO_VALID,
        [lock(), store(ENTRY, OTHER_FRAME | OPEN), asked(), kick(), leave(), unlock()],
    ),
    "a table for another": (
        Rule.VALID_TO_VALID,
        [lock(), store(TABLE_ENTRY, 0x60000 | OPEN), asked(), kick(), leave(), unlock()],
    ),
    "without the lock": (Rule.LOCK, [make(frame=OTHER_FRAME)]),
    "with another CPU's lock": (Rule.LOCK, [lock(2), make(frame=OTHER_FRAME)]),
    "after the lock": (Rule.LOCK, [lock(), unlock(), make(frame=OTHER_FRAME)]),
    "the old owner reads": (
        Rule.ACCESS,
        [lock(), unmap(), asked(), kick(), leave(), make(), unlock(), enter(), access(1, 1)],
    ),
    "a borrower writes": (
        Rule.ACCESS,
        [
            *(lock(), unmap(), asked(), kick(), leave(), store(ENTRY, FRAME | READ_ONLY)),
            *(make(READ_ONLY), unlock(), access(2, 2, Rights.WRITE)),
        ],
    ),
    "a stranger reads": (Rule.ACCESS, [access(2, 2)]),
    "a CPU reads that could hold nothing": (
        Rule.ACCESS,
        [enter(), lock(), unmap(), access(2, 1), asked(), kick(), leave(), make()],
    ),
    "a table is given away": (
        Rule.TABLE,
        [lock(), make(frame=HPA(0x3000)), unlock()],
    ),
    "a guest writes a table": (Rule.TABLE, [access(1, 1, Rights.WRITE, HPA(0x4000))]),
    "a table is used again while it is walked": (
        Rule.TABLE_REUSE,
        [
            *(lock(), store(TABLE_ENTRY, 0), store(HPA(0x4008), 7), asked(), kick(), leave()),
            *(make(), unlock()),
        ],
    ),
    "books without the lock": (Rule.LOCK, [Books(0, 0, 0)]),
    "books with another CPU's lock": (Rule.LOCK, [lock(2), Books(0, 0, 0)]),
    "the lock given back before the make": (
        Rule.WHOLE,
        [lock(), unmap(), asked(), kick(), leave(), unlock(), lock(), make(), unlock()],
    ),
    "the lock given back before the share": (
        Rule.WHOLE,
        [
            *(lock(), store(ENTRY, FRAME | READ_ONLY), asked(), kick(), leave(), unlock()),
            *(lock(), make(READ_ONLY), unlock()),
        ],
    ),
    "filled by the hypervisor when a guest has it": (
        Rule.CONTENT,
        [lock(), make(frame=OTHER_FRAME), store(OTHER_FRAME, 7), unlock()],
    ),
    "two VMs with one tag": (
        Rule.TAG,
        [leave(), enter(), leave(), enter(vm=2, tag=1, flush=Flush.NONE)],
    ),
}

# A CPU that could hold nothing of a VM: it has never run it.
NEVER_RAN = replace(RUNNING, holds=frozenset([((1, 1), 1)]), inside={1: (1, 1)})


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_breaks_no_rule(history: list[Event]) -> None:
    assert rules(RUNNING, *history) == []


@pytest.mark.parametrize(("rule", "history"), BAD.values(), ids=BAD)
def test_a_bad_history_breaks_one_rule(rule: Rule, history: list[Event]) -> None:
    start = NEVER_RAN if "could hold nothing" in _name_of(history) else RUNNING
    assert rules(start, *history) == [rule]


def _name_of(history: list[Event]) -> str:
    return next(name for name, (_, found) in BAD.items() if found is history)


def test_every_rule_has_a_bad_history() -> None:
    here = {rule for rule, _ in BAD.values()}
    assert here == set(Rule) - {Rule.PUBLISH}  # test_protocol_instructions.py


def test_with_nobody_in_a_guest_a_request_is_enough() -> None:
    assert rules(START, lock(), unmap(), asked(), make(), unlock(), enter(), access(2, 2)) == []


def test_with_nobody_in_a_guest_the_request_is_needed_too() -> None:
    assert rules(START, lock(), unmap(), make()) == [Rule.INVALIDATE]


def test_a_violation_names_the_store_and_the_break() -> None:
    events = numbered([lock(), unmap(cpu=0), asked(), make()])
    (found,) = check(RUNNING, events)
    assert (found.event, found.broken) == (events[3], events[1])
    assert found.expected == "CPU 1, in VM 1, is told to forget page 0x0 of VM 1, frame 0x50000"


def test_a_new_owner_may_be_faster_than_the_record_of_the_store() -> None:
    late = replace(make(frame=OTHER_FRAME), number=3, since=1)
    first = replace(access(2, 2, frame=OTHER_FRAME), number=2)
    assert check(RUNNING, [lock(), first, late]) == []


def test_an_access_before_the_stores_block_began_is_none_of_a_new_owner() -> None:
    late = replace(make(frame=OTHER_FRAME), number=3, since=3)
    first = replace(access(2, 2, frame=OTHER_FRAME), number=2)
    assert [it.rule for it in check(RUNNING, [lock(), first, late])] == [Rule.ACCESS]


def test_tables_may_be_filled_before_they_are_linked() -> None:
    events = [lock(), store(HPA(0x20000), OTHER_FRAME | OPEN), store(HPA(0x13008), 0x20000 | OPEN)]
    assert rules(RUNNING, *events, unlock(), access(2, 2, frame=OTHER_FRAME)) == []


def test_a_page_in_a_table_that_is_linked_is_made() -> None:
    events = [lock(), store(HPA(0x20000), FRAME | OPEN), store(HPA(0x13008), 0x20000 | OPEN)]
    assert rules(RUNNING, *events) == [Rule.BREAK_FIRST]


def test_a_page_below_a_table_that_is_unlinked_is_broken() -> None:
    events = [lock(), store(TABLE_ENTRY, 0), make()]
    assert rules(RUNNING, *events) == [Rule.INVALIDATE]


def test_a_large_leaf_is_all_of_its_pages() -> None:
    large = store(HPA(0x13008), 0x40_0000 | OPEN | 0x80)
    within = access(2, 2, frame=HPA(0x40_0000 + 0x1F_F000))
    assert rules(RUNNING, lock(), large, unlock(), within) == []
    beyond = access(2, 2, frame=HPA(0x60_0000))
    assert rules(RUNNING, lock(), large, unlock(), beyond) == [Rule.ACCESS]


def test_the_target_of_a_remap_is_where_the_histories_say() -> None:
    events = [lock(), make(frame=OTHER_FRAME), unlock(), lock(), store(TARGET, 0), unlock()]
    assert rules(RUNNING, *events) == [Rule.INVALIDATE]
