"""Cores of a process: those it may use, the current one, and a pin that ends with its block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_hiddencost.system import affinity
from pytest_hiddencost.system.affinity import CorePin, current_core, usable_cores

# Field 39 of proc(5) is the core that the thread ran on last; the name may hold any text.
LINE = "7 ({name}) S " + " ".join(str(field) for field in range(4, 53))
NOWHERE = 100_000
pinnable = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs sched_setaffinity"
)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """A pin that a test leaves behind would disturb the tests after it."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before, restore = os.sched_getaffinity(0), os.sched_setaffinity
    yield
    after = os.sched_getaffinity(0)
    restore(0, before)
    assert after == before


@pinnable
def test_the_current_core_is_one_that_this_thread_may_run_on() -> None:
    assert current_core() in os.sched_getaffinity(0)


@pinnable
def test_a_pinned_thread_runs_on_its_core() -> None:
    for core in os.sched_getaffinity(0):
        with CorePin() as pin:
            pin.take(core)
            assert os.sched_getaffinity(0) == {core}
            assert current_core() == core


@pytest.mark.parametrize("name", ["pytest", "a b", "a) S 1 2 (b", ")", ""])
def test_the_current_core_is_read_whatever_the_name_of_the_process(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stat").write_text(LINE.format(name=name), encoding="ascii")
    monkeypatch.setattr(affinity, "THREAD_STAT", tmp_path / "stat")
    assert current_core() == 39


@pytest.mark.parametrize("text", [None, "", "7 (pytest) S 1 2", LINE.replace(" 39 ", " ? ")])
def test_the_current_core_is_none_if_it_cannot_be_read(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text, encoding="ascii")
    monkeypatch.setattr(affinity, "THREAD_STAT", tmp_path / "stat")
    assert current_core() is None


@pinnable
def test_the_end_of_the_block_restores_the_usable_cores() -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as pin:
        for core in (*before, *before):
            pin.take(core)
            assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


@pinnable
def test_an_error_in_the_block_restores_the_usable_cores() -> None:
    before = os.sched_getaffinity(0)

    def interrupted() -> None:
        with CorePin() as pin:
            pin.take(min(before))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert os.sched_getaffinity(0) == before


@pinnable
@pytest.mark.parametrize("core", [None, NOWHERE])
def test_a_core_that_does_not_exist_pins_nothing(core: int | None) -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as pin:
        pin.take(core)
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


@pinnable
def test_a_refused_core_keeps_the_pin_to_the_last_one() -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as pin:
        pin.take(min(before))
        pin.take(NOWHERE)
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_a_system_without_affinity_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(os, "sched_setaffinity", raising=False)
        patch.setattr(
            os, "sched_getaffinity", lambda _: pytest.fail("must not be called"), raising=False
        )
        with CorePin() as pin:
            pin.take(0)


@pinnable
def test_a_pin_limits_the_usable_cores() -> None:
    core = min(os.sched_getaffinity(0))
    with CorePin() as pin:
        pin.take(core)
        assert usable_cores() == {core}
    assert usable_cores() == os.sched_getaffinity(0)


def test_all_cores_are_usable_on_a_system_without_affinity(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(os, "sched_getaffinity", raising=False)
        patch.setattr(os, "cpu_count", lambda: 3)
        assert usable_cores() == {0, 1, 2}
        patch.setattr(os, "cpu_count", lambda: None)
        assert usable_cores() == {0}
