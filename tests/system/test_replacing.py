"""Files are replaced where links lead to; open files of processes are recognised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_hiddencost.system.replacing import is_of_kernel, replacing


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(b"old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ValueError("no JSON")

    with pytest.raises(ValueError, match="no JSON"):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "now").mkdir()
    today, link = tmp_path / "runs" / "today.json", tmp_path / "now" / "run.json"
    link.symlink_to("../runs/today.json")
    if there:
        today.write_bytes(b"old")
    with replacing(link) as file:
        file.write(b"new")
    assert link.readlink() == Path("../runs/today.json")
    assert today.read_bytes() == b"new"
    assert [path.name for path in today.parent.iterdir()] == ["today.json"]


def test_open_files_of_a_process_are_of_the_kernel(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    with (tmp_path / "out").open("wb") as file:
        path = Path(f"/dev/fd/{file.fileno()}")
        assert path.is_file()
        link = tmp_path / "run.json"
        link.symlink_to(path)
        assert is_of_kernel(path)
        assert is_of_kernel(link)
    assert is_of_kernel(Path(os.devnull))


def test_files_of_the_users_are_not(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    paths = ["file", "link", "loop", "missing/file", "dev/file"]
    assert not [name for name in paths if is_of_kernel(tmp_path / name)]
    assert not is_of_kernel(Path("/dev/shm/run.json"))
    assert not is_of_kernel(Path("run.json"))
