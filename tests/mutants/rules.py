"""The mutants that every run of the tests tries, and which rules of the protocol name them."""

from pageferry.protocol import Rule

CAUGHT: list[tuple[str, int, set[Rule]]] = [
    ("no_invalidation", 1, {Rule.INVALIDATE}),
    ("no_invalidation", 3, {Rule.INVALIDATE}),
    ("invalidate_before_unmap", 3, {Rule.INVALIDATE}),
    ("make_before_break", 3, {Rule.BREAK_FIRST}),
    ("protect_in_place", 1, {Rule.VALID_TO_VALID}),
    ("no_lock_in_hypercall", 3, {Rule.LOCK}),
    ("x86_local_only", 3, {Rule.EVERY_CPU, Rule.ACCESS}),
    ("x86_first_vcpu_only", 4, {Rule.EVERY_CPU}),
    ("riscv64_first_vcpu_only", 4, {Rule.COMPLETE}),
    ("x86_no_wait_after_kick", 3, {Rule.COMPLETE}),
    ("x86_no_flush_at_entry", 1, {Rule.ENTER}),
    ("x86_one_asid", 1, {Rule.TAG}),
]
"""Mutant, number of CPUs, rules."""
