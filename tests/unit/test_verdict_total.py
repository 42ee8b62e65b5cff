"""The verdict over every scene there is, of a few frames and two contents."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pageferry import verdict as verdict_module
from pageferry.address import GPA, HPA
from pageferry.tables import Rights
from pageferry.verdict import NOTHING, Access, End, Place, Scene, Sight, Verdict, judge

OWN, OTHER, THIRD = HPA(0x60_0000), HPA(0x70_0000), HPA(0x80_0000)
READ = Rights.READ
READ_WRITE = Rights.READ | Rights.WRITE
BYTES = ("data", "zeros")
STRANGERS = (frozenset[Place](), frozenset({Place(2, GPA(0x6123_4000), OWN)}))


def sights(*frames: HPA) -> list[Sight]:
    """Every sight of these frames, or of none, that an observer can have."""
    rights = (Rights.NONE, READ, READ_WRITE)
    tables: list[tuple[HPA | None, Rights, str | None]] = [(None, Rights.NONE, None)]
    tables += product(frames, rights, BYTES)
    guests: list[tuple[Access, str | None]] = [(Access.FAULT, None)]
    guests += product((Access.READ_ONLY, Access.READ_WRITE), BYTES)
    return [
        Sight(frame, right, access, seen, stored)
        for (frame, right, stored), (access, seen) in product(tables, guests)
    ]


START = Sight(OWN, READ_WRITE, Access.READ_WRITE, "data", "data")
AFTER = sights(OWN, OTHER, THIRD)


def scenes_after_a_proper_start() -> Iterator[Scene]:
    """All that may be seen after; where THIRD is seen at one end only, it is OTHER."""
    place = GPA(0x6010_0000), GPA(0x3000_0000)
    for source, target in product(AFTER, AFTER):
        if THIRD in (source.frame, target.frame) and OTHER not in (source.frame, target.frame):
            continue
        for strangers, returned in product(STRANGERS, (None, False, True)):
            ends = End(1, place[0], START, source), End(2, place[1], NOTHING, target)
            yield Scene(*ends, strangers_after=strangers, returned=returned)


@pytest.fixture(scope="module")
def judged() -> list[tuple[Scene, Verdict]]:
    return [(scene, judge(scene).verdict) for scene in scenes_after_a_proper_start()]


def agrees(sight: Sight, frame: HPA | None, rights: Rights) -> bool:
    """Table, guest and RAM say the same: this frame, these rights, the bytes of before."""
    access = {
        Rights.NONE: Access.FAULT,
        READ: Access.READ_ONLY,
        READ_WRITE: Access.READ_WRITE,
    }[rights]
    seen = None if access is Access.FAULT else "data"
    return sight == Sight(frame, rights, access, seen, "data" if frame else None)


def is_remap(scene: Scene) -> bool:
    source, target = scene.source.after, scene.target.after
    moved = agrees(source, None, Rights.NONE) and agrees(target, OWN, READ_WRITE)
    return moved and not scene.strangers_after and scene.returned is False


def is_share(scene: Scene) -> bool:
    source, target = scene.source.after, scene.target.after
    both = agrees(source, OWN, READ) and agrees(target, OWN, READ)
    return both and not scene.strangers_after


def is_copy(scene: Scene) -> bool:
    source, target = scene.source.after, scene.target.after
    apart = agrees(target, OTHER, READ_WRITE) or agrees(target, THIRD, READ_WRITE)
    return source == START and apart and not scene.strangers_after


@pytest.mark.parametrize(
    ("verdict", "intended"),
    [(Verdict.REMAP, is_remap), (Verdict.SHARE, is_share), (Verdict.COPY, is_copy)],
)
def test_a_mechanism_is_found_in_its_own_pattern_and_in_no_other(
    judged: list[tuple[Scene, Verdict]], verdict: Verdict, intended: Callable[[Scene], bool]
) -> None:
    assert [it for it, found in judged if (found is verdict) != intended(it)] == []


def test_every_scene_of_a_proper_start_was_judged(judged: list[tuple[Scene, Verdict]]) -> None:
    assert len(judged) > 20_000


def test_every_verdict_but_an_ill_posed_start_is_reached(
    judged: list[tuple[Scene, Verdict]],
) -> None:
    assert {found for _, found in judged} == set(Verdict) - {Verdict.ILL_POSED}


def test_no_mechanism_is_found_where_a_guest_disagrees_with_its_table(
    judged: list[tuple[Scene, Verdict]],
) -> None:
    blamed = {Verdict.STALE_ACCESS, Verdict.WRONG_ENTRY}
    for scene, found in judged:
        disagree = any(
            (end.after.access, end.after.seen not in (None, end.after.stored))
            != (end.after.granted, False)
            for end in (scene.source, scene.target)
        )
        assert disagree == (found in blamed)


def test_a_stranger_never_passes(judged: list[tuple[Scene, Verdict]]) -> None:
    harmless = set(Verdict) - {
        Verdict.STALE_ACCESS,
        Verdict.WRONG_ENTRY,
        Verdict.SECOND_MAPPING,
    }
    assert [it for it, found in judged if it.strangers_after and found in harmless] == []


def is_proper(source: Sight, target: Sight) -> bool:
    """The source reads what its table names, as its table says, and the target has nothing."""
    reads = READ in source.rights and source.seen == source.stored
    return reads and source.access is source.granted and target == NOTHING


def test_a_change_is_ill_posed_after_every_start_but_a_proper_one() -> None:
    starts = sights(OWN, OTHER)
    changed = Sight(THIRD, READ, Access.READ_ONLY, "data", "data")
    wrong = []
    for source, target in product(starts, starts):
        ends = End(1, GPA(0), source, NOTHING), End(2, GPA(0), target, changed)
        if (judge(Scene(*ends)).verdict is Verdict.ILL_POSED) == is_proper(source, target):
            wrong.append((source, target))
    assert wrong == []


def renamed(scene: Scene, frames: dict[HPA, HPA], vms: dict[int, int], shift: int) -> Scene:
    """The same scene where frames, VMs, addresses and contents have other names."""

    def sight(it: Sight) -> Sight:
        texts = {None: None, "data": "3f", "zeros": "a0"}
        frame = None if it.frame is None else frames[it.frame]
        return replace(it, frame=frame, seen=texts[it.seen], stored=texts[it.stored])

    def end(it: End) -> End:
        return End(vms[it.vm], GPA(it.gpa + shift), sight(it.before), sight(it.after))

    def places(them: frozenset[Place]) -> frozenset[Place]:
        return frozenset(Place(vms[it.vm], GPA(it.gpa + shift), frames[it.frame]) for it in them)

    return Scene(
        end(scene.source),
        end(scene.target),
        places(scene.strangers_before),
        places(scene.strangers_after),
        scene.returned,
    )


SIGHTS = st.sampled_from(AFTER)
PROPER = st.sampled_from([START, Sight(OWN, READ, Access.READ_ONLY, "data", "data")])
SCENES = st.builds(
    Scene,
    st.builds(End, st.just(1), st.just(GPA(0x6010_0000)), PROPER | SIGHTS, SIGHTS),
    st.builds(
        End, st.sampled_from([1, 2]), st.just(GPA(0x3000_0000)), st.just(NOTHING) | SIGHTS, SIGHTS
    ),
    st.sampled_from(STRANGERS),
    st.sampled_from(STRANGERS),
    st.sampled_from([None, False, True]),
)


@given(
    SCENES,
    st.sampled_from(list(permutations((HPA(0x1000), OWN, OTHER), 3))),
    st.sampled_from([{1: 1, 2: 2}, {1: 2, 2: 1}, {1: 7, 2: 3}]),
    st.sampled_from([0, 0x1000, 0x4000_0000]),
)
@settings(max_examples=200)
def test_other_names_do_not_change_the_verdict(
    scene: Scene, frames: tuple[HPA, ...], vms: dict[int, int], shift: int
) -> None:
    names = dict(zip((OWN, OTHER, THIRD), frames, strict=True))
    assert judge(renamed(scene, names, vms, shift)).verdict is judge(scene).verdict


@given(SCENES)
@settings(max_examples=200)
def test_any_scene_has_a_verdict_and_a_reason_for_it(scene: Scene) -> None:
    found = judge(scene)
    assert isinstance(found.verdict, Verdict)
    assert all(found.reasons)
    assert found.reasons


def test_the_table_in_the_docstring_lists_every_verdict() -> None:
    table = re.findall(
        r"^    ([a-z]+(?:-[a-z]+)*)  +\S", verdict_module.__doc__ or "", re.MULTILINE
    )
    assert sorted(set(table) - {"verdict"}) == sorted(it.value for it in Verdict)
