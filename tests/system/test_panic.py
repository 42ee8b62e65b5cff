"""When the hypervisor gives up it says where, and the machine can still be looked at."""

from pathlib import Path

import pytest
from tests.system.tampering import ruin_the_next_run

from pageferry import Machine, Testbed
from pageferry import arch as architectures
from pageferry.errors import FirmwarePanic
from pageferry.machine import ICOUNT
from pageferry.settings import Settings


def make_it_panic(bed: Testbed) -> FirmwarePanic:
    ruin_the_next_run(bed, bed.guests[0])
    with pytest.raises(FirmwarePanic) as caught:
        bed.guests[0].ping()
    return caught.value


def test_a_panic_names_file_line_cpu_and_the_last_exit(bed: Testbed) -> None:
    panic = make_it_panic(bed)
    words = panic.line.split()
    assert words[:2] == ["!", "panic"]
    assert words[2].startswith("firmware/arch/")
    assert words[3] in {f"cpu={number}" for number in range(bed.machine.cpus)}
    assert words[4].startswith("exit=0x")


@pytest.mark.pageferry(cpus=3)
def test_a_panic_names_the_cpu_that_gave_up_and_how_its_guest_left_it_last(bed: Testbed) -> None:
    panic = make_it_panic(bed)
    vcpu = f"vms[{bed.guests[0].vm}].vcpus[0]"
    cpu, reason = (bed.firmware.read_int(f"{vcpu}.{name}") for name in ("cpu", "exit_reason"))
    assert panic.line.split()[3:5] == [f"cpu={cpu}", f"exit={reason:#x}"]


def test_a_wait_that_a_panic_ended_says_what_was_awaited_and_seen(bed: Testbed) -> None:
    panic = make_it_panic(bed)
    assert "ask 1" in panic.awaited
    assert any(line.startswith("! panic") for line in panic.seen)


def test_after_a_panic_memory_and_tables_can_be_read(bed: Testbed) -> None:
    before = bed.observed()
    make_it_panic(bed)
    assert bed.observed() == before


def test_after_a_panic_a_restored_machine_works(bed: Testbed) -> None:
    make_it_panic(bed)
    bed.restore()
    for guest in bed.guests:
        guest.ping()


def test_a_machine_with_too_little_ram_is_refused_by_the_firmware(
    arch: str, pageferry_settings: Settings
) -> None:
    with pytest.raises(FirmwarePanic, match="no RAM"):
        Testbed.start(arch, ram=8 << 20, firmware=pageferry_settings.firmware)


def test_a_cpu_that_does_not_start_is_named(arch: str, kernel: Path) -> None:
    """Its 20 s are over at once where the clock is of the instructions, and all CPUs sleep."""
    found = architectures.get(arch)
    if not found.icount_in_turns:
        pytest.skip("its CPUs do not take turns under icount")
    with Machine(found, kernel, cpus=3, extra_args=ICOUNT) as machine:
        gdb = machine.debugger()
        gdb.run_to("arch_cpu_start")
        gdb.execute("-exec-return")
        gdb.cont()
        with pytest.raises(FirmwarePanic, match="CPU 1 does not start"):
            machine.console.await_log(f"pageferry {arch} ready")
