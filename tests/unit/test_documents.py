"""Where the JSON of a command goes."""

import os
import select
import stat
from pathlib import Path

import pytest

from pageferry.report.documents import Documents, make_way


def documents(output: Path) -> Documents:
    return Documents(["one"], "{}.json", output, together=False)


def test_what_an_earlier_run_has_left_is_gone_before_anything_is_found(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    output.write_text("old")
    documents(output)
    assert not output.exists()


def test_a_file_gets_the_document(tmp_path: Path) -> None:
    output = tmp_path / "new" / "result.json"
    documents(output).write({"one": 1})
    assert output.read_text() == "1\n"
    assert list(output.parent.iterdir()) == [output]


def test_what_there_is_no_room_for_is_an_error_and_not_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(path: Path, text: str) -> None:
        path.touch()
        raise OSError("No space left on device")

    output = tmp_path / "result.json"
    found = documents(output)
    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        found.write({"one": 1})
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_stays_one_and_gets_the_document(tmp_path: Path) -> None:
    output = tmp_path / "pipe"
    os.mkfifo(output)
    reader = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
    try:
        documents(output).write({"one": 1})
        assert os.read(reader, 100) == b"1\n"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(output.lstat().st_mode)


def test_a_link_stays_one_and_its_target_gets_the_document(tmp_path: Path) -> None:
    output, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    output.symlink_to(target)
    documents(output).write({"one": 1})
    assert output.is_symlink()
    assert target.read_text() == "1\n"


def test_a_full_device_is_an_error_and_stays_a_device(tmp_path: Path) -> None:
    output = tmp_path / "link"
    output.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        documents(output).write({"one": 1})
    assert stat.S_ISCHR(output.stat().st_mode)


@pytest.mark.parametrize("name", ["file/document", "file/new/document", "link"])
def test_a_path_that_cannot_be_written_is_told_before_there_is_a_document(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file/nothing")
    with pytest.raises(OSError, match=f"'{tmp_path / name}'$"):
        make_way(tmp_path / name)


def test_a_folder_in_which_nothing_can_be_made_is_told_before_there_is_a_document() -> None:
    with pytest.raises(OSError, match=r"'/proc/document'$"):
        make_way(Path("/proc/document"))


def test_a_device_that_cannot_be_written_is_told_before_there_is_a_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may everything
    with pytest.raises(PermissionError, match="/dev/null"):
        make_way(Path("/dev/null"))


def test_a_link_to_what_is_not_there_yet_may_stay(tmp_path: Path) -> None:
    output = tmp_path / "link"
    output.symlink_to("target")
    documents(output).write({"one": 1})
    assert (tmp_path / "target").read_text() == "1\n"


def test_to_make_way_leaves_nothing_and_no_reader_of_a_pipe_sees_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        make_way(tmp_path / "pipe")
        make_way(tmp_path / "file")
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
        assert select.select([reader], [], [], 0) == ([], [], [])
    finally:
        os.close(reader)
