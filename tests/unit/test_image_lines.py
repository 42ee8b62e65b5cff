"""Which of several rows of a line table counts, as gcc writes them for one address."""

from types import SimpleNamespace
from typing import Any

import pytest

from pageferry.image.symbols import read_lines


class Table(dict[str, Any]):
    """A line program of one file, x.c, in DWARF 5: rows of (address, line, is_stmt)."""

    def __init__(self, *rows: tuple[int, int, bool]) -> None:
        super().__init__(version=5, file_entry=[SimpleNamespace(name=b"x.c")])
        self._rows = [*rows, (0x9000, 0, True)]

    def get_entries(self) -> list[SimpleNamespace]:
        end = len(self._rows) - 1
        return [
            SimpleNamespace(
                state=SimpleNamespace(
                    address=address, line=line, is_stmt=said, file=0, end_sequence=number == end
                )
            )
            for number, (address, line, said) in enumerate(self._rows)
        ]

    def iter_CUs(self) -> list[None]:
        return [None]

    def line_program_for_CU(self, _: None) -> "Table":
        return self


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([(0x1000, 7, True)], "x.c:7"),
        ([(0x1000, 7, True), (0x1000, 9, True)], "x.c:9"),
        ([(0x1000, 7, True), (0x1000, 9, True), (0x1000, 7, False)], "x.c:9"),
        ([(0x1000, 7, False), (0x1000, 9, False)], "x.c:9"),
    ],
)
def test_the_last_statement_of_an_address_is_its_line(
    rows: list[tuple[int, int, bool]], line: str
) -> None:
    table: Any = Table(*rows)
    assert [row.line for row in read_lines(table) if row.address == 0x1000][-1] == line
