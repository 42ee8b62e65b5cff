"""Files that were cut off or damaged: whatever is asked of them, the error is ours."""

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from tests.unit.test_image import COMPILERS, build

from pageferry.errors import HarnessError, ImageError
from pageferry.image import Image
from pageferry.memory import FakeMemory


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An image without any damage."""
    return build(COMPILERS[0], tmp_path_factory.mktemp("image")).read_bytes()


def use(image: Image) -> None:
    """All that is parsed of it."""
    reader = image.bind(FakeMemory())
    assert image.machine
    for ask in (
        lambda: image.symbols,
        lambda: image.line_of(0x400000),
        lambda: image.describe(0x400000),
        lambda: image.enum("colour"),
        lambda: reader.read("sample"),
        lambda: reader.address("sample.matrix[1][2]"),
    ):
        with suppress(HarnessError):
            ask()


def cut(content: bytes, dice: Random) -> bytes:
    return content[: dice.randrange(len(content))]


def scratched(content: bytes, dice: Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(100):
        damaged[dice.randrange(64, len(damaged))] = dice.randrange(256)
    return bytes(damaged)


def blank(content: bytes, dice: Random) -> bytes:
    start = dice.randrange(64, len(content))
    return content[:start] + bytes(min(800, len(content) - start)) + content[start + 800 :]


def header(content: bytes, dice: Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(3):
        damaged[dice.randrange(64)] = dice.randrange(256)
    return bytes(damaged)


@pytest.mark.parametrize("damage", [cut, scratched, blank, header])
def test_a_damaged_file_raises_nothing_but_our_own_errors(
    content: bytes, damage: Callable[[bytes, Random], bytes]
) -> None:
    dice = Random(1)
    for _ in range(60):
        with suppress(ImageError):
            use(Image("damaged.elf", damage(content, dice)))


def test_a_file_that_was_cut_off_is_called_damaged(content: bytes) -> None:
    image = Image("half.elf", content[: len(content) // 2])
    with pytest.raises(ImageError, match=r"half\.elf is damaged"):
        image.symbol("sample")
