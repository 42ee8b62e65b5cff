"""Each verdict by a scene that deserves it, and by every scene one observation away."""

from dataclasses import replace
from typing import Any

import pytest

from pageferry.address import GPA, HPA
from pageferry.tables import Rights
from pageferry.verdict import NOTHING, Access, End, Place, Scene, Sight, Verdict, judge

FRAME = HPA(0x60_0000)
OTHER = HPA(0x70_0000)
READ = Rights.READ
READ_WRITE = Rights.READ | Rights.WRITE
ACCESS = {Rights.NONE: Access.FAULT, READ: Access.READ_ONLY, READ_WRITE: Access.READ_WRITE}


def sight(rights: Rights, frame: HPA = FRAME, data: str = "data", **changes: Any) -> Sight:
    """What all observers agree about, but for the `changes`."""
    access = ACCESS[rights & READ_WRITE]
    seen = None if access is Access.FAULT else data
    return replace(Sight(frame, rights, access, seen, data), **changes)


WHOLE = sight(Rights.ALL)


def scene(source: Sight, target: Sight, **changes: Any) -> Scene:
    """A hand-over from a page of VM 1 to an empty page of VM 2, and what was seen after."""
    started = Scene(
        End(1, GPA(0x6010_0000), WHOLE, source), End(2, GPA(0x3000_0000), NOTHING, target)
    )
    return replace(started, **changes)


REMAP = scene(NOTHING, sight(READ_WRITE), returned=False)
SHARE = scene(sight(READ), sight(READ))
COPY = scene(WHOLE, sight(READ_WRITE, OTHER))
STALE = replace(NOTHING, access=Access.READ_WRITE, seen="data")
STRANGER = frozenset({Place(2, GPA(0x6123_4000), FRAME)})


@pytest.mark.parametrize(
    ("verdict", "observed"),
    [
        (Verdict.REMAP, REMAP),
        (Verdict.SHARE, SHARE),
        (Verdict.COPY, COPY),
        (Verdict.LEND, replace(REMAP, returned=True)),
        (Verdict.LEND, scene(NOTHING, sight(READ), returned=True)),
        (Verdict.GIVEN, replace(REMAP, returned=None)),
        (Verdict.UNCHANGED, scene(WHOLE, NOTHING)),
        (Verdict.ONE_READER, scene(NOTHING, sight(READ), returned=False)),
        (Verdict.ONE_WRITER, scene(WHOLE, sight(READ))),
        (Verdict.ONE_WRITER, scene(sight(READ), sight(READ_WRITE))),
        (Verdict.TWO_WRITERS, scene(WHOLE, sight(READ_WRITE))),
        (Verdict.PARTIAL_COPY, scene(sight(READ), sight(READ_WRITE, OTHER))),
        (Verdict.PARTIAL_COPY, scene(WHOLE, sight(READ, OTHER))),
        (Verdict.SOURCE_CHANGED, scene(sight(READ), NOTHING)),
        (Verdict.SOURCE_CHANGED, scene(sight(READ_WRITE), NOTHING)),
        (Verdict.FRAME_DIFFERS, scene(NOTHING, sight(READ_WRITE, OTHER), returned=False)),
        (Verdict.FRAME_DIFFERS, scene(sight(READ, OTHER), sight(READ, OTHER))),
        (Verdict.FRAME_DIFFERS, scene(sight(READ_WRITE, OTHER), sight(READ_WRITE))),
        (Verdict.FRAME_DIFFERS, scene(sight(READ_WRITE, OTHER), NOTHING)),
        (Verdict.NOBODY_READS, scene(NOTHING, NOTHING, returned=False)),
        (Verdict.BYTES_LOST, scene(NOTHING, sight(READ_WRITE, data="zeros"), returned=False)),
        (Verdict.BYTES_LOST, scene(WHOLE, sight(READ_WRITE, OTHER, data="zeros"))),
        (Verdict.BYTES_LOST, scene(sight(Rights.ALL, data="zeros"), NOTHING)),
        (
            Verdict.STALE_ACCESS,
            scene(replace(NOTHING, access=Access.READ_WRITE, seen="data"), sight(READ_WRITE)),
        ),
        (Verdict.STALE_ACCESS, scene(sight(READ), sight(READ, access=Access.READ_WRITE))),
        (Verdict.STALE_ACCESS, scene(sight(READ, access=Access.READ_WRITE), sight(READ))),
        (Verdict.STALE_ACCESS, scene(WHOLE, sight(READ_WRITE, OTHER, seen="what was there"))),
        (Verdict.WRONG_ENTRY, scene(NOTHING, sight(READ_WRITE, access=Access.READ_ONLY))),
        (Verdict.WRONG_ENTRY, scene(sight(READ, access=Access.FAULT, seen=None), sight(READ))),
        (Verdict.WRONG_ENTRY, scene(NOTHING, sight(READ_WRITE, least=Access.FAULT))),
        (Verdict.WRONG_ENTRY, scene(NOTHING, sight(READ_WRITE, least=Access.READ_ONLY))),
        (Verdict.SECOND_MAPPING, replace(REMAP, strangers_after=STRANGER)),
        (Verdict.SECOND_MAPPING, replace(SHARE, strangers_after=STRANGER)),
        (Verdict.SECOND_MAPPING, replace(COPY, strangers_after=STRANGER)),
        (Verdict.SECOND_MAPPING, scene(sight(Rights.NONE), sight(READ_WRITE))),
    ],
)
def test_a_scene_has_the_verdict_of_what_was_seen(verdict: Verdict, observed: Scene) -> None:
    assert judge(observed).verdict is verdict


def begun(observed: Scene, **before: Any) -> Scene:
    """The scene with another start at its source, or at its target."""
    source = replace(observed.source, before=before.get("source", WHOLE))
    target = replace(observed.target, before=before.get("target", NOTHING))
    return replace(observed, source=source, target=target)


@pytest.mark.parametrize("observed", [REMAP, SHARE, COPY], ids=["remap", "share", "copy"])
@pytest.mark.parametrize(
    "before",
    [
        {"source": NOTHING},
        {"source": sight(Rights.NONE)},
        {"source": sight(READ_WRITE, access=Access.READ_ONLY)},
        {"source": sight(READ, access=Access.READ_WRITE)},
        {"source": sight(READ_WRITE, seen="something else")},
        {"target": sight(READ, OTHER)},
        {"target": sight(READ)},
        {"target": sight(Rights.NONE, OTHER)},
        {"target": replace(NOTHING, access=Access.READ_ONLY, seen="data")},
    ],
)
def test_a_change_from_no_proper_start_is_ill_posed(
    observed: Scene, before: dict[str, Sight]
) -> None:
    assert judge(begun(observed, **before)).verdict is Verdict.ILL_POSED


@pytest.mark.parametrize("observed", [REMAP, SHARE, COPY], ids=["remap", "share", "copy"])
def test_a_change_of_a_frame_mapped_elsewhere_before_is_ill_posed(observed: Scene) -> None:
    assert judge(replace(observed, strangers_before=STRANGER)).verdict is Verdict.ILL_POSED


@pytest.mark.parametrize("observed", [REMAP, SHARE, COPY], ids=["remap", "share", "copy"])
def test_a_change_within_one_vm_is_ill_posed(observed: Scene) -> None:
    one_vm = replace(observed, target=replace(observed.target, vm=observed.source.vm))
    assert judge(one_vm).verdict is Verdict.ILL_POSED


@pytest.mark.parametrize("observed", [REMAP, SHARE, COPY], ids=["remap", "share", "copy"])
def test_a_mechanism_may_start_with_a_page_that_is_data(observed: Scene) -> None:
    data = sight(READ_WRITE)
    after = data if observed.source.after == WHOLE else observed.source.after
    same = replace(observed, source=replace(observed.source, before=data, after=after))
    assert judge(same).verdict is judge(observed).verdict


@pytest.mark.parametrize("expected", [Verdict.REMAP, Verdict.SHARE, Verdict.COPY])
@pytest.mark.parametrize(
    ("mechanism", "observed"),
    [(Verdict.REMAP, REMAP), (Verdict.SHARE, SHARE), (Verdict.COPY, COPY)],
)
def test_a_mechanism_under_the_name_of_another_is_found_out(
    mechanism: Verdict, observed: Scene, expected: Verdict
) -> None:
    assert (judge(observed).verdict is expected) == (mechanism is expected)


@pytest.mark.parametrize("returned", [None, False, True])
@pytest.mark.parametrize("observed", [SHARE, COPY], ids=["share", "copy"])
def test_a_probe_of_a_page_that_was_not_given_away_decides_nothing(
    observed: Scene, returned: bool | None
) -> None:
    assert judge(replace(observed, returned=returned)) == judge(observed)


def test_a_loan_that_nothing_touched_is_unchanged() -> None:
    borrowed = scene(sight(READ), sight(READ), strangers_before=STRANGER, strangers_after=STRANGER)
    resting = begun(borrowed, source=sight(READ), target=sight(READ))
    assert judge(resting).verdict is Verdict.UNCHANGED


def test_a_contradiction_at_rest_is_not_unchanged() -> None:
    stale = sight(READ, access=Access.READ_WRITE)
    assert judge(begun(scene(stale, NOTHING), source=stale)).verdict is Verdict.ILL_POSED


def test_a_stranger_that_came_is_a_change() -> None:
    came = scene(WHOLE, NOTHING, strangers_after=STRANGER)
    assert judge(came).verdict is Verdict.SECOND_MAPPING


def test_the_reasons_name_what_else_was_wrong() -> None:
    stale = replace(NOTHING, access=Access.READ_ONLY, seen="data")
    bad = scene(stale, sight(READ_WRITE, data="zeros"), strangers_after=STRANGER)
    assert judge(bad).reasons == (
        "the source reaches the page read-only, its table says fault",
        "VM 2 maps frame 0x600000 at 0x61234000 as well",
        "the target reads other bytes than the source read before",
    )


def test_the_reasons_of_a_remap_tell_what_was_seen() -> None:
    assert judge(REMAP).reasons == (
        "the source had frame 0x600000",
        "the source now has fault access, in no frame",
        "the target now has read-write access, in the same frame",
        "every reader reads the bytes of before",
        "asked to take it back by itself, the source could not get it back",
    )


@pytest.mark.parametrize(
    "impossible",
    [
        {"frame": None},
        {"stored": None},
        {"frame": None, "stored": None},
        {"access": Access.FAULT},
        {"seen": None},
    ],
)
def test_a_sight_that_nobody_can_see_is_refused(impossible: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"frame|access"):
        replace(WHOLE, **impossible)


def test_an_access_is_written_as_people_read_it() -> None:
    assert [it.value for it in Access] == ["fault", "read-only", "read-write"]
