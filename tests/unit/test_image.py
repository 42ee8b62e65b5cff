"""Images as clang and gcc make them, read back value by value."""

import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from elftools.elf.elffile import ELFFile

from pageferry.address import HPA
from pageferry.errors import ImageError, MemoryUnreadable
from pageferry.image import Image, Reader
from pageferry.memory import FakeMemory

SOURCES = Path(__file__).parent / "image"


class Compiler(NamedTuple):
    program: str
    target: tuple[str, ...]
    linker: str
    machine: str
    dwarf: int


CLANG64 = ("--target=x86_64-unknown-none-elf",)
KNOWN = [
    Compiler("clang", CLANG64, "elf_x86_64", "x86_64", 5),
    Compiler("clang", CLANG64, "elf_x86_64", "x86_64", 4),
    Compiler("clang", ("--target=i386-unknown-none-elf",), "elf_i386", "386", 5),
    Compiler("clang", ("--target=aarch64-unknown-none-elf",), "aarch64elf", "aarch64", 4),
    Compiler("clang", ("--target=riscv64-unknown-none-elf",), "elf64lriscv", "riscv64", 5),
    Compiler("gcc", (), "elf_x86_64", "x86_64", 4),
    Compiler("gcc", (), "elf_x86_64", "x86_64", 5),
]
COMPILERS = [it for it in KNOWN if shutil.which(it.program)]  # one of the two is enough
LINKERS = {
    "clang": ["ld.lld", "--image-base=0x400000"],
    "gcc": ["ld", "-Ttext-segment=0x400000"],
}


def build(compiler: Compiler, folder: Path, *more: str) -> Path:
    """The two sources as a linked image at a fixed address."""
    objects = []
    for source in sorted(SOURCES.glob("*.c")):
        objects.append(str(folder / f"{source.stem}.o"))
        flags = ["-O1", f"-gdwarf-{compiler.dwarf}", "-ffreestanding", "-fno-pic", "-Wall", *more]
        command = [compiler.program, *compiler.target, *flags, "-c", str(source)]
        subprocess.run([*command, "-o", objects[-1]], check=True)
    image = folder / "sample.elf"
    link = [*LINKERS[compiler.program], "-m", compiler.linker, "-e", "add"]
    subprocess.run([*link, "-o", str(image), *objects], check=True)
    return image


@pytest.fixture(scope="module", params=COMPILERS, ids=lambda it: f"{it[0]}-{it[3]}-dwarf{it[4]}")
def compiler(request: pytest.FixtureRequest) -> Compiler:
    chosen: Compiler = request.param
    return chosen


@pytest.fixture(scope="module")
def path(compiler: Compiler, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(compiler, tmp_path_factory.mktemp("image"))


@pytest.fixture
def image(path: Path) -> Image:
    return Image.load(path)


@pytest.fixture
def memory(path: Path) -> FakeMemory:
    """Memory as the image's loader would leave it."""
    memory = FakeMemory()
    with path.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            zeros = bytes(segment["p_memsz"] - segment["p_filesz"])
            memory.write(HPA(segment["p_vaddr"]), segment.data() + zeros)
    return memory


@pytest.fixture
def reader(image: Image, memory: FakeMemory) -> Reader:
    return image.bind(memory)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One image for what does not depend on the compiler."""
    return build(COMPILERS[0], tmp_path_factory.mktemp("image"))


# What is in memory


def test_an_image_is_loaded_where_its_first_instructions_are(
    image: Image, memory: FakeMemory
) -> None:
    assert image.is_loaded(memory)
    memory.write(HPA(image.symbol("add")), b"\0\0\0\0")
    assert not image.is_loaded(memory)
    assert not image.is_loaded(FakeMemory())


# Values


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sample.small", -2),
        ("sample.flags", 0xBEEF),
        ("sample.big", -5000000000),
        ("sample.yes", 1),
        ("sample.colour", 6),
        ("sample.balance", -3),
        ("sample.toggle", 1),
        ("sample.where", {"value": 0x123456789000}),
        ("sample.where.value", 0x123456789000),
        ("sample.inside", 7),
        ("sample.whole", 0x20001),
        ("sample.half", 1),
        ("sample.low", 5),
        ("sample.middle", 100),
        ("sample.negative", -9),
        ("sample.wide", 0xABCDEF0123),
        ("sample.plain", 255),
        ("sample.nodes[1].id", 11),
        ("sample.nodes[0x2].next", 0),
        ("sample.matrix", [[1, 2, 3], [4, 5, 6]]),
        ("sample.matrix[1]", [4, 5, 6]),
        ("sample.matrix[1][2]", 6),
        ("sample.head->id", 10),
        ("sample.head->next->next->id", 12),
        (" sample . head -> next [ 1 ] . id ", 12),
        ("sample.indirect[0]->id", 12),
        ("sample.nothing", 0),
        ("sample.word", {"all": 0x04030201, "bytes": [1, 2, 3, 4]}),
        ("sample.ratio", 0.25),
        ("sample.single", 1.5),
        ("sample.hidden->found", 99),
        ("sample.rest", []),
        ("start->id", 12),
        ("secret", {"found": 99}),
    ],
)
def test_a_value_is_what_the_source_says(reader: Reader, expression: str, value: object) -> None:
    assert reader.read(expression) == value


def test_a_structure_has_the_members_of_its_anonymous_members(reader: Reader) -> None:
    assert list(reader.read_struct("sample"))[8:13] == ["inside", "whole", "half", "low", "middle"]


def test_a_pointer_to_a_function_is_the_functions_symbol(reader: Reader, image: Image) -> None:
    assert reader.read_int("sample.code") == image.symbol("add")


def test_addresses_and_sizes_are_the_compilers(reader: Reader, image: Image) -> None:
    sample = image.symbol("sample")
    assert reader.address("sample") == sample
    assert reader.address("sample.flags") == sample + 2
    assert reader.address("sample.matrix[1][2]") == reader.address("sample.matrix") + 20
    assert reader.address("sample.head->id") == reader.address("sample.nodes")
    assert (reader.size("sample.flags"), reader.size("sample.matrix"), reader.size("page")) == (
        2,
        24,
        8192,
    )


def test_bytes_are_those_in_memory(reader: Reader) -> None:
    assert reader.read_bytes("sample.matrix[1]") == struct.pack("<3i", 4, 5, 6)


# Writing


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sample.small", -128),
        ("sample.flags", 0xFFFF),
        ("sample.big", -1),
        ("sample.balance", -1),
        ("sample.matrix[0][1]", 1 << 30),
        ("sample.head", 0),
        ("sample.hidden->found", -1),
        ("sample.middle", 127),
        ("sample.negative", 15),
        ("sample.wide", (1 << 40) - 1),
        ("sample.single", 0.5),
    ],
)
def test_what_is_written_is_read_and_nothing_else_changes(
    reader: Reader, memory: FakeMemory, expression: str, value: int
) -> None:
    before = reader.read("sample"), reader.read("secret")
    old = reader.read(expression)
    reader.write(expression, value)
    assert reader.read(expression) == value
    reader.write(expression, old)
    assert (reader.read("sample"), reader.read("secret")) == before


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sample.flags", 0x10000),
        ("sample.flags", -1),
        ("sample.small", 128),
        ("sample.middle", 128),
        ("sample.negative", -17),
        ("sample.head", 1 << 64),
    ],
)
def test_a_value_that_does_not_fit_is_refused(reader: Reader, expression: str, value: int) -> None:
    with pytest.raises(ImageError, match="does not fit"):
        reader.write(expression, value)


def test_a_structure_cannot_be_written(reader: Reader) -> None:
    with pytest.raises(ImageError, match=r"'sample.where' is hpa_t: only numbers"):
        reader.write("sample.where", 1)


# Expressions that name nothing


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("samples", "no variable 'samples'; there is sample"),
        ("sample.nods", "no member 'nods' in struct sample; it has small, flags, big"),
        ("sample.word.none", "no member 'none' in union word; it has all, bytes"),
        ("sample.where.none", "no member 'none' in hpa_t; it has value"),
        ("sample.nodes[3]", r"'sample.nodes' has 3 elements, none is 3"),
        ("sample.matrix[1][3]", r"'sample.matrix\[1\]' has 3 elements, none is 3"),
        ("sample.head.id", "'sample.head' is a pointer: write sample.head->id"),
        ("sample->head", "'sample' is struct sample, not a pointer to a structure"),
        ("sample.nothing->id", r"'sample.nothing' is void \*, not a pointer to a structure"),
        ("sample.colour.red", "'sample.colour' is enum colour, not a structure"),
        ("sample.flags[0]", "'sample.flags' is unsigned short|short unsigned int, not an array"),
        ("sample.nodes[2].next->id", r"'sample.nodes\[2\].next' is a null pointer"),
        ("local", "several variables 'local', at 0x"),
        ("add", "no variable 'add'; the symbol at 0x[0-9a-f]+ has no type"),
        ("sample.", r"'sample.': cannot read '.'"),
        ("sample.nodes[-1]", r"cannot read '\[-1\]'"),
        ("sample + 1", r"cannot read '\+ 1'"),
        ("12", "an expression begins with a variable: '12'"),
        ("", "an expression begins with a variable: ''"),
    ],
)
def test_an_expression_that_names_nothing_is_told_what_there_is(
    reader: Reader, expression: str, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        reader.read(expression)


@pytest.mark.parametrize("expression", ["sample.where", "sample.matrix", "sample.ratio"])
def test_what_is_no_integer_is_not_read_as_one(reader: Reader, expression: str) -> None:
    with pytest.raises(ImageError, match=f"'{expression}' is .*, not an integer"):
        reader.read_int(expression)


def test_what_is_no_structure_is_not_read_as_one(reader: Reader) -> None:
    with pytest.raises(ImageError, match=r"'sample.small' is signed char, not a structure"):
        reader.read_struct("sample.small")


# Memory


def test_memory_that_is_not_there_is_not_zero(image: Image) -> None:
    with pytest.raises(MemoryUnreadable):
        image.bind(FakeMemory()).read("sample.small")


def test_every_page_is_translated_by_itself(image: Image) -> None:
    memory = FakeMemory()
    start = image.symbol("page")
    pages = {start + at & ~0xFFF for at in (0, 4096, 8191)}
    frames = {page: HPA(0x10000 - 0x2000 * place) for place, page in enumerate(sorted(pages))}
    reader = image.bind(memory, lambda address: HPA(frames[address & ~0xFFF] + address % 4096))
    for frame in frames.values():
        memory.write(frame, bytes(4096))
    for place in (0, 4095, 4096, 8191):
        reader.write(f"page[{place}]", place % 251)
    assert reader.read("page")[4095:4097] == [4095 % 251, 4096 % 251]
    assert memory.read(HPA(frames[start & ~0xFFF] + start % 4096), 1) == b"\0"
    last = start + 8191
    assert memory.read(HPA(frames[last & ~0xFFF] + last % 4096), 1) == bytes([8191 % 251])


# Names, lines, machines


def test_an_image_knows_its_architecture(image: Image, compiler: Compiler) -> None:
    assert image.machine == compiler.machine


def test_enumerations_are_known_by_tag_and_by_typedef(image: Image) -> None:
    assert image.enum("colour") == {"RED": 0, "GREEN": 5, "BLUE": 6}
    assert image.enum("balance") == {"DEBT": -3, "EVEN": -2}
    assert image.enum("toggle_t") == {"OFF": 0, "ON": 1}


@pytest.mark.parametrize("name", ["shade", "sample", "hpa_t"])
def test_what_is_no_enumeration_has_no_enumerators(image: Image, name: str) -> None:
    with pytest.raises(ImageError, match=f"no enumeration '{name}'"):
        image.enum(name)


def test_an_unknown_symbol_is_told_its_likes(image: Image) -> None:
    with pytest.raises(ImageError, match="no symbol 'twise'; there is twice"):
        image.symbol("twise")


@pytest.mark.parametrize(
    ("function", "file"), [("add", "first.c"), ("late", "first.c"), ("twice", "second.c")]
)
def test_an_address_is_a_line_and_a_function(image: Image, function: str, file: str) -> None:
    lines = (SOURCES / file).read_text().splitlines()
    (line,) = [n for n, text in enumerate(lines, 1) if f"int {function}(" in text]
    address = image.symbol(function)
    assert image.line_of(address) == f"{file}:{line}"
    assert image.function_of(address) == image.function_of(address + 1) == function
    assert image.describe(address) == f"{function} ({file}:{line})"


def test_an_address_outside_the_code_is_no_line_and_no_function(image: Image) -> None:
    for address in (0, image.symbol("sample"), 1 << 63):
        assert image.line_of(address) is None
        assert image.function_of(address) is None
        assert image.describe(address) == "not in sample.elf"


def test_an_image_is_parsed_once_for_its_content(plain: Path, tmp_path: Path) -> None:
    other = tmp_path / plain.name
    other.write_bytes(plain.read_bytes())
    assert Image.load(plain) is Image.load(other)
    other.write_bytes(plain.read_bytes() + b"\0")
    assert Image.load(plain) is not Image.load(other)


def test_a_missing_file_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot read the image .*none\.elf: No such file"):
        Image.load(tmp_path / "none.elf")


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"#!/bin/sh\n" * 100, b"\x7fELF\2\1\1" + bytes(9)]
)
def test_a_file_that_is_not_elf_is_no_image(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "script"
    file.write_bytes(content)
    with pytest.raises(ImageError, match="script is not an ELF file"):
        Image.load(file)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_is_no_image_is_named_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    if there:
        Path("script").write_text("#!/bin/sh")
    with pytest.raises(ImageError, match=re.escape(str(tmp_path / "script"))):
        Image.load("script")


def test_a_big_endian_file_is_no_image(plain: Path, tmp_path: Path) -> None:
    content = bytearray(plain.read_bytes())
    content[5] = 2  # EI_DATA: ELFDATA2MSB
    file = tmp_path / "big.elf"
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"big\.elf"):
        Image.load(file)


def test_without_debug_information_there_are_symbols_and_no_variables(
    plain: Path, tmp_path: Path
) -> None:
    stripped = tmp_path / "stripped.elf"
    link = [*LINKERS[COMPILERS[0].program], "--strip-debug", "-e", "add"]
    objects = sorted(plain.parent.glob("*.o"))
    subprocess.run([*link, "-o", stripped, *objects], check=True)
    image = Image.load(stripped)
    assert image.symbol("sample")
    with pytest.raises(ImageError, match=r"stripped\.elf has no debug information"):
        image.bind(FakeMemory()).read("sample")
