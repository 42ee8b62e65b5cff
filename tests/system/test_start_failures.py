"""A machine that cannot start says why, at once: no emulator, no kernel, no firmware that works."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.system import tiny
from tests.system.timing import AT_ONCE, within

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.channel import SCALE_VARIABLE
from pageferry.errors import ImageError, NotReady, QemuDied, QemuMissing

EM_386, EM_S390 = 3, 22
"""What an ELF file can be for (ELF-64 object file format, e_machine)."""


def test_an_emulator_that_was_named_and_is_not_there_is_told_as_it_was_named(
    arch: str, parrot: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "qemu"
    with (
        pytest.raises(QemuMissing, match=f"there is no program at {missing}; name one like"),
        Machine(architectures.get(arch), parrot, qemu=str(missing)),
    ):
        pass


def test_a_missing_firmware_of_qemu_s_is_named_with_the_package_that_has_it(
    arch: str, parrot: Path, tmp_path: Path
) -> None:
    found = replace(architectures.get(arch), bios="boots-first.bin", bios_package="some-package")
    qemu = tmp_path / "qemu"
    qemu.write_text(
        "#!/bin/sh\necho 'Unable to load the firmware \"boots-first.bin\"' >&2\nexit 1\n"
    )
    qemu.chmod(0o700)
    with (
        within(AT_ONCE),
        pytest.raises(QemuMissing, match=r"boots-first\.bin; Debian has it in some-package"),
        Machine(found, parrot, qemu=str(qemu)),
    ):
        pass


def test_a_firmware_of_qemu_s_that_has_no_room_is_not_taken_for_missing(
    arch: str, parrot: Path, tmp_path: Path
) -> None:
    found = replace(architectures.get(arch), bios="boots-first.bin", bios_package="some-package")
    qemu = tmp_path / "qemu"
    qemu.write_text(
        "#!/bin/sh\necho 'regions overlap: /share/boots-first.bin (addresses 0 - 1)' >&2\nexit 1\n"
    )
    qemu.chmod(0o700)
    with (
        within(AT_ONCE),
        pytest.raises(QemuDied, match="regions overlap"),
        Machine(found, parrot, qemu=str(qemu)),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot read the image .*: No such file", id="missing"),
        pytest.param(b"#!/bin/sh\n", "kernel is not an ELF file", id="not ELF"),
        pytest.param(
            EM_S390, "kernel is ELF64 for s390, not ELF64 for {arch}", id="of another machine"
        ),
        pytest.param(EM_386, "kernel is ELF32 for 386, not ELF64 for {arch}", id="of 32 bits"),
    ],
)
def test_a_wrong_kernel_is_refused_before_qemu_is_looked_for(
    arch: str, parrot: Path, tmp_path: Path, content: bytes | int | None, message: str
) -> None:
    kernel = tmp_path / "kernel"
    if isinstance(content, int):
        elf = bytearray(parrot.read_bytes())
        elf[4] = 1 if content == EM_386 else 2  # EI_CLASS: 32 or 64 bits
        elf[18:20] = content.to_bytes(2, "little")  # e_machine
        kernel.write_bytes(elf)
    elif content is not None:
        kernel.write_bytes(content)
    with (
        pytest.raises(ImageError, match=message.format(arch=arch)),
        Machine(architectures.get(arch), kernel, qemu="no such program"),
    ):
        pass


def test_arguments_that_qemu_refuses_end_in_its_own_words_and_in_no_other_s(
    arch: str, parrot: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        within(AT_ONCE),
        pytest.raises(
            QemuDied, match=r"exited with status 1\n.*\n.*-nonsense: invalid option"
        ) as it,
        Machine(architectures.get(arch), parrot, extra_args=["-nonsense"]),
    ):
        pass
    assert (it.value.status, it.value.awaited) == (1, "the monitor's greeting")
    assert caplog.records == []


def test_a_program_that_is_no_qemu_ends_in_its_status(arch: str, parrot: Path) -> None:
    with (
        within(AT_ONCE),
        pytest.raises(QemuDied, match="QEMU exited with status 0"),
        Machine(architectures.get(arch), parrot, qemu="true"),
    ):
        pass


def test_firmware_that_never_gets_ready_says_what_was_seen_last(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tiny.build(arch, "silent", tmp_path)
    for name in ("hypervisor.elf", "agent.elf"):
        (tmp_path / name).write_bytes(silent.read_bytes())
    kernel = tmp_path / "hypervisor.elf"
    with Machine(architectures.get(arch), kernel) as machine:  # it has its time to start
        monkeypatch.setenv(SCALE_VARIABLE, "0.1")
        with within(AT_ONCE), pytest.raises(NotReady) as caught:
            Testbed.boot(machine, tmp_path / "agent.elf")
        monkeypatch.undo()
    assert caught.value.seconds == 3
    assert caught.value.seen[-1] == "# the first line"
