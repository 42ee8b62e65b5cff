"""What a run is told: four places, one order, and values that make sense."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pageferry import arch
from pageferry.settings import (
    CPU_LIMIT,
    OPTIONS,
    TARGETS,
    Settings,
    firmware_folder,
    gather,
    stale_firmware,
)

HERE, ROOT, INI = Path("/here"), Path("/root-of-it"), Path("/ini")
GOOD = {
    "arch": "x86_64",
    "cpus": "3",
    "qemu": "my-qemu",
    "qemu_args": "-d 'in asm'",
    "timeout_scale": "2.5",
    "target": "qemu",
    "serial": "ttyS0",
    "gdb_server": "board:3333",
    "reset": "monitor reset halt",
    "kernel": __file__,
    "firmware": "fw",
    "evidence": "ev",
}
WIRES = ("serial", "gdb_server", "reset")
VALUES = {
    **GOOD,
    "arch": ("x86_64",),
    "cpus": 3,
    "qemu_args": ("-d", "in asm"),
    "timeout_scale": 2.5,
    "kernel": Path(__file__),
}


def gathered(
    line: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    ini: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from texts by the name of the option."""
    line, ini = line or {}, ini or {}
    variables = {f"PAGEFERRY_{name.upper()}": text for name, text in (environ or {}).items()}
    written = {f"pageferry_{name}": text for name, text in ini.items()}
    return gather(line.get, variables, lambda name: written.get(name, ""), HERE, ROOT, INI)


def test_nothing_said_gives_the_defaults() -> None:
    assert gathered() == Settings(
        arch=("x86_64",),
        cpus=1,
        qemu=None,
        qemu_args=(),
        timeout_scale=None,
        target="qemu",
        serial=None,
        gdb_server=None,
        reset=None,
        kernel=None,
        firmware=None,
        evidence=ROOT / "build/evidence",
    )


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
@pytest.mark.parametrize(
    ("place", "base"), [("line", HERE), ("environ", HERE), ("ini", INI)], ids=lambda it: str(it)
)
def test_every_option_can_be_said_in_every_place(option: Any, place: str, base: Path) -> None:
    remote = {name: GOOD[name] for name in WIRES} if option.name in WIRES else {}
    remote |= {"target": "remote"} if remote else {}
    found = getattr(gathered(**{place: {option.name: GOOD[option.name], **remote}}), option.name)
    relative = option.name in ("firmware", "evidence")
    assert found == (base / GOOD[option.name] if relative else VALUES[option.name])


def test_the_command_line_outranks_the_environment_and_that_the_ini_file() -> None:
    three = [{"cpus": "1"}, {"cpus": "2"}, {"cpus": "3"}]
    assert gathered(*three).cpus == 1
    assert gathered(None, *three[1:]).cpus == 2
    assert gathered(None, None, three[2]).cpus == 3


def test_an_empty_text_is_as_good_as_none() -> None:
    assert gathered({"cpus": ""}, {"cpus": ""}, {"cpus": "2"}).cpus == 2


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("arch", "vax", f"=vax: there are: {', '.join(arch.names())}"),
        ("cpus", "none", "=none: it is a number of CPUs, 1 or more"),
        ("cpus", "0", "=0: it is a number of CPUs, 1 or more"),
        ("cpus", "6", "=6: our firmware takes 1 to 5 CPUs"),
        ("timeout_scale", "0", "=0: it is a factor greater than 0"),
        ("timeout_scale", "nan", "=nan: it is a factor greater than 0"),
        ("timeout_scale", "inf", "=inf: it is a factor greater than 0"),
        ("gdb_server", "board", "=board: it is HOST:PORT, or the path of a socket"),
        ("gdb_server", "board:", "=board:: it is HOST:PORT, or the path of a socket"),
        ("target", "moon", f"=moon: there are: {', '.join(TARGETS)}"),
        ("kernel", "no.elf", "=no.elf: there is no file /here/no.elf"),
        ("kernel", "x" * 300, f"={'x' * 300}: there is no file /here/x"),  # an error to look at
        ("qemu_args", "'", "=': No closing quotation"),
    ],
)
def test_a_bad_value_is_named_with_its_place_and_what_would_do(
    name: str, text: str, message: str
) -> None:
    flag = f"--pageferry-{name.replace('_', '-')}"
    with pytest.raises(ValueError, match=re.escape(flag + message)):
        gathered({name: text})
    with pytest.raises(ValueError, match=re.escape(f"PAGEFERRY_{name.upper()}=")):
        gathered(None, {name: text})


@pytest.mark.parametrize("place", ["line", "environ", "ini"])
def test_evidence_that_cannot_become_a_folder_is_a_bad_value(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    why = f"it is a folder that can be made and written, but {tmp_path}/file is none"
    with pytest.raises(ValueError, match=f"file/below: {why}"):
        gathered(**{place: {"evidence": f"{tmp_path}/file/below"}})


def test_evidence_that_cannot_be_written_is_a_bad_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may everything
    why = f"it is a folder that can be made and written, but {tmp_path} cannot be"
    with pytest.raises(ValueError, match=f"new/folder: {why}"):
        gathered({"evidence": f"{tmp_path}/new/folder"})


def test_evidence_is_no_folder_until_it_is_needed(tmp_path: Path) -> None:
    assert gathered({"evidence": f"{tmp_path}/new/folder"}).evidence == tmp_path / "new/folder"
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_of_one_s_own_may_have_more_cpus() -> None:
    assert gathered({"cpus": "6", "kernel": __file__}).cpus == 6


def test_the_limit_of_cpus_is_the_firmware_s() -> None:
    headers = (Path(__file__).parents[2] / "firmware/include").glob("*.h")
    text = "".join(header.read_text() for header in headers)
    defined = dict(re.findall(r"#define (VM_COUNT|VCPUS_PER_VM|CPU_LIMIT) +(.+)", text))
    assert defined["CPU_LIMIT"] == "(1 + VM_COUNT * VCPUS_PER_VM)"
    assert 1 + int(defined["VM_COUNT"]) * int(defined["VCPUS_PER_VM"]) == CPU_LIMIT


@pytest.mark.parametrize("wires", [{}, {"serial": "ttyS0"}, {"gdb_server": "board:3333"}])
def test_a_remote_target_needs_both_of_its_wires(wires: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a remote target needs --serial PATH and --gdb HOST:PORT"):
        gathered({"target": "remote", **wires})


@pytest.mark.parametrize("name", WIRES)
def test_the_wires_of_a_remote_target_are_not_taken_for_another(name: str) -> None:
    with pytest.raises(ValueError, match="is for a remote target: --pageferry-target remote"):
        gathered({name: GOOD[name]})


def test_a_variable_that_is_nearly_ours_is_told_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"PAGEFERRY_CPU is none of ours; .* PAGEFERRY_CPUS,"):
        gathered(environ={"cpu": "3"})


def test_a_remote_target_has_what_every_target_has_and_no_more() -> None:
    settings = gathered({"target": "remote", "serial": "ttyS0", "gdb_server": "board:3333"})
    assert settings.capabilities() == {"console", "debugger", "memory"}


def test_our_firmware_is_where_it_was_said_or_built() -> None:
    assert firmware_folder(gathered(), "vax", ROOT) == ROOT / "build/firmware/vax"
    assert firmware_folder(gathered({"firmware": "fw"}), "vax", ROOT) == HERE / "fw"


@pytest.fixture
def three_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arch, "names", lambda: ("alpha", "vax", "x86_64"))


@pytest.mark.usefixtures("three_architectures")
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("vax", ("vax",)),
        ("vax,alpha", ("vax", "alpha")),
        ("vax, alpha,vax", ("vax", "alpha")),
        ("all", ("alpha", "vax", "x86_64")),
    ],
)
def test_one_architecture_can_be_named_or_several_or_all(text: str, names: tuple[str, ...]) -> None:
    assert gathered({"arch": text}).arch == names


@pytest.mark.usefixtures("three_architectures")
@pytest.mark.parametrize("text", ["pdp11", "vax,pdp11", "vax,", "vax,all"])
def test_an_architecture_that_there_is_not_is_told_with_those_that_exist(text: str) -> None:
    with pytest.raises(
        ValueError, match=f"^--pageferry-arch={text}: there are: alpha, vax, x86_64"
    ):
        gathered({"arch": text})


@pytest.mark.usefixtures("three_architectures")
@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"kernel": __file__}, Path(__file__).name),
        ({"firmware": "fw"}, "fw"),
        ({"qemu": "my-qemu"}, "my-qemu"),
        ({"target": "remote", "serial": "ttyS0", "gdb_server": "board:3333"}, "a remote target"),
    ],
)
def test_what_is_of_one_architecture_is_not_taken_for_several(
    said: dict[str, str], what: str
) -> None:
    with pytest.raises(ValueError, match=f"{what} is of one architecture, not of vax, alpha"):
        gathered({"arch": "vax,alpha", **said})


def test_instructions_are_counted_on_one_cpu_only() -> None:
    settings = gathered({"cpus": "3"})
    assert "icount" not in settings.capabilities()
    assert "icount" in settings.capabilities(cpus=1)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One with a firmware that was built of two sources and a linker script."""
    built = tmp_path / "build/firmware/vax"
    sources = ["firmware/core/main.c", "firmware/include/abi.h", "firmware/arch/vax/hypervisor.ld"]
    for name in (*sources, "firmware/arch/pdp11/cpu.h"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (built / "core").mkdir(parents=True)
    (built / "core/main.c.d").write_text(
        f"main.c.o: {sources[0]} \\\n  {sources[1]}\n\n{sources[1]}:\n"
    )
    (built / "hypervisor.elf").touch()
    return tmp_path


def of_vax(checkout: Path, **more: Any) -> list[str]:
    return stale_firmware(replace(gathered(), arch=("vax",), **more), checkout)


def make_newer(file: Path) -> None:
    later = file.stat().st_mtime + 1
    os.utime(file, (later, later))


def test_of_a_firmware_that_is_newer_than_its_sources_nothing_is_said(checkout: Path) -> None:
    make_newer(checkout / "firmware/arch/pdp11/cpu.h")
    make_newer(checkout / "build/firmware/vax/hypervisor.elf")
    assert of_vax(checkout) == []


@pytest.mark.parametrize("name", ["core/main.c", "include/abi.h", "arch/vax/hypervisor.ld"])
def test_a_source_that_is_newer_than_its_firmware_is_named(checkout: Path, name: str) -> None:
    make_newer(checkout / "firmware" / name)
    product = "build/firmware/vax/hypervisor.elf"
    assert of_vax(checkout) == [f"firmware/{name} is newer than {product}: make firmware ARCH=vax"]


@pytest.mark.parametrize("name", ["firmware/include/abi.h", "build/firmware/vax/agent.bin"])
def test_what_a_firmware_was_made_of_and_is_gone_is_not_called_newer(
    checkout: Path, name: str
) -> None:
    product = "build/firmware/vax/hypervisor.elf"
    (checkout / "build/firmware/vax/core/image.S.d").write_text(f"image.S.o: {name}\n")
    (checkout / name).unlink(missing_ok=True)
    assert of_vax(checkout) == [
        f"{name} is gone, of which {product} was made: make firmware ARCH=vax"
    ]


def test_of_a_firmware_that_is_not_built_or_somewhere_else_nothing_is_said(checkout: Path) -> None:
    make_newer(checkout / "firmware/core/main.c")
    assert of_vax(checkout, firmware=checkout) == []
    (checkout / "build/firmware/vax/hypervisor.elf").unlink()
    assert of_vax(checkout) == []
