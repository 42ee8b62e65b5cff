"""What evidence says about requests, from what a journal has kept."""

import json

from pageferry.journal import Entry
from pageferry.report import accounts


def told(*entries: tuple[str, str, str]) -> list[str]:
    """Its lines; the entries are a millisecond apart."""
    kept = [Entry(number / 1000, *entry) for number, entry in enumerate(entries)]
    return [line.strip() for line in accounts.requests(kept).splitlines()]


def test_a_request_is_told_with_its_answer_and_its_time() -> None:
    said = told(("console", ">", "7 help"), ("console", "<", "# hints"), ("console", "<", "< 7 ok"))
    assert said == ["0.000000 7 help", "< 7 ok   (2.0 ms)"]


def test_what_an_agent_was_asked_is_told_by_its_name_and_with_its_report() -> None:
    said = told(
        ("console", ">", "7 ask 1 0x31 0x4 0x1000"),
        ("agent", ">", "7 guest 1: checksum 0x1000"),
        ("console", "<", "< 7 ok the guest came back"),
        ("agent", "<", "7 fault at GPA 0x1000 on READ"),
    )
    assert said == [
        "0.000000 7 ask 1 0x31 0x4 0x1000",
        "guest 1: checksum 0x1000",
        "< 7 ok the guest came back   (2.0 ms)",
        "fault at GPA 0x1000 on READ",
    ]


def test_what_was_not_answered_is_told_so() -> None:
    said = told(("console", ">", "7 ask 1 0x31 0x7"), ("agent", ">", "7 guest 1: watch"))
    assert said == ["0.000000 7 ask 1 0x31 0x7", "guest 1: watch", "no answer"]


def test_that_nothing_was_asked_is_said() -> None:
    assert told() == ["no request was made"]


def test_for_programs_addresses_are_hexadecimal_strings_and_counts_are_numbers() -> None:
    record = {"first": 16, "owner": 1, "owner_gpa": {"value": 4096}, "kind": "FRAME_GUEST"}
    table = {"stage1_root": 8192, "stage1": [{"address": 0, "output": 4096, "size": 4096}]}
    assert json.loads(accounts.as_json([record, table])) == [
        {"first": 16, "owner": 1, "owner_gpa": {"value": "0x1000"}, "kind": "FRAME_GUEST"},
        {"stage1_root": "0x2000", "stage1": [{"address": "0x0", "output": "0x1000", "size": 4096}]},
    ]
