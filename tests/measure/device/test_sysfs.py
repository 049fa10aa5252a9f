"""Sysfs readers: files of any content, the firmware's tool, and the clocks."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.measure.device import load, sysfs
from pytest_hiddencost.measure.device.health import DeviceWatch
from pytest_hiddencost.measure.device.readings import Clocks
from tests.measure.device.board import CPU, POWER, THERMAL, Board


class TestVcgencmd:
    def test_it_is_found_on_the_path_and_run(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.raspberry_pi()
        tool = board.root / "bin/vcgencmd"
        board.write("bin/vcgencmd", '#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled=0x2')
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
        assert DeviceWatch(1, root=board.root).objections() == (
            "the firmware reported during the measurement: frequency capped "
            "(vcgencmd get_throttled: 0x2)",
        )

    @pytest.mark.parametrize(
        "error", [PermissionError("no"), subprocess.TimeoutExpired("vcgencmd", 2)]
    )
    def test_a_failure_is_unknown(
        self, board: Board, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: object, timeout: float, **__: object) -> None:
            assert timeout <= 2
            raise error

        board.raspberry_pi()
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(subprocess, "run", fail)
        watch = DeviceWatch(1, root=board.root)
        assert watch.objections() == ()
        assert "vcgencmd" in watch.unknown()

    def test_a_raspberry_pi_without_it_is_unknown(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        board.raspberry_pi()
        monkeypatch.setattr(shutil, "which", lambda _: None)
        assert "vcgencmd" in DeviceWatch(1, root=board.root).unknown()


class TestClocks:
    def test_clocks_are_read_at_one_moment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that is stopped between two clocks must not see a jump."""
        moments = iter([0.0, 7.0, 7.1, 7.1])
        monkeypatch.setattr(time, "monotonic", lambda: next(moments))
        assert sysfs.read_clocks().monotonic_s == 7.1

    def test_clocks_that_never_agree_give_the_monotonic_clock_alone(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moments = itertools.count()
        monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
        assert sysfs.read_clocks() == Clocks(6.0)


class TestFilesOfAnyKind:
    def test_files_that_may_not_be_read_are_unknown(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError("not in this container")

        board.everything()
        with monkeypatch.context() as closed:  # root may read a file whatever its mode
            closed.setattr(os, "open", refuse)
            watch = board.watch()
            board.pass_time(60)
            assert watch.objections() == ()
        assert watch.unknown() == ("load", "steal", "cpufreq", "thermal", "pressure", "power")

    def test_a_sensor_that_is_not_ready_is_unknown(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def not_ready(*_: object) -> bytes:
            raise BlockingIOError("EAGAIN")

        board.everything()
        watch = board.watch()
        with monkeypatch.context() as starting:
            starting.setattr(os, "read", not_ready)
            assert watch.objections() == ()
        assert "thermal" in watch.unknown()

    def test_folders_in_the_place_of_files_are_no_error(self, board: Board) -> None:
        board.everything()
        for file in [path for path in board.root.rglob("*") if path.is_file()]:
            file.unlink()
            file.mkdir()
        watch = board.watch()
        board.pass_time(60)
        assert watch.objections() == ()
        assert watch.remarks() == ()

    def test_files_in_the_place_of_folders_are_no_error(self, board: Board) -> None:
        for path in (f"{CPU}/cpufreq", THERMAL, POWER, "proc/pressure", f"{CPU}/cpu0"):
            board.write(path, "a file")
        assert board.watch().objections() == ()

    def test_every_file_is_read_once_for_each_reading(
        self, board: Board, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened: list[object] = []
        really_open = os.open

        def noted(path: Path, flags: int) -> int:
            opened.append(path)
            return really_open(path, flags)

        board.everything()
        watch = board.watch()
        with monkeypatch.context() as noting:
            noting.setattr(os, "open", noted)
            watch.objections()
        assert len(opened) > 20
        assert set(Counter(opened).values()) == {1}


def _all_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


_CONTENT = st.one_of(
    st.binary(max_size=40),
    st.from_regex(r"\A-?[0-9]{1,25}\n?\Z").map(str.encode),
    st.sampled_from([b"powersave", b"Discharging", b"critical", b"Processor", b"cpu0 \n\ncpu0"]),
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_content_of_any_file_is_an_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    board = Board(tmp_path_factory.mktemp("root"))
    board.everything()
    files = _all_files(board.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "STAT", board.root / "absent")
        patch.setattr(sysfs, "usable_cores", lambda: {0, 1, 2, 3})
        for file in data.draw(st.lists(st.sampled_from(files), unique=True)):
            file.write_bytes(data.draw(_CONTENT))
        watch = board.watch()
        for file in data.draw(st.lists(st.sampled_from(files), unique=True)):
            file.write_bytes(data.draw(_CONTENT))
        board.throttled = data.draw(st.none() | st.text(max_size=20))
        board.pass_time(data.draw(st.floats(0, 1e6)))
        for text in (*watch.objections(), *watch.remarks(), *watch.unknown()):
            assert text.isprintable()
        watch.figures()
