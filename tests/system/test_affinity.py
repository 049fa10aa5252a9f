"""Both sides of a pair on one core: which one, and that it is only for as long as it is meant."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_hiddencost.system import affinity as pin
from pytest_hiddencost.system.affinity import CorePin, current_core

# As the kernel writes it: 39 is where the thread ran last, the name is whatever it likes to be.
LINE = "7 ({name}) S " + " ".join(str(field) for field in range(4, 53))
NOWHERE = 100_000
pinnable = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept on a core here"
)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What a test leaves on one core would hide it from those that come after."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before, put_back = os.sched_getaffinity(0), os.sched_setaffinity
    yield
    after = os.sched_getaffinity(0)
    put_back(0, before)
    assert after == before


@pinnable
def test_the_core_is_one_that_this_thread_may_run_on() -> None:
    assert current_core() in os.sched_getaffinity(0)


@pinnable
def test_who_is_kept_on_a_core_runs_there() -> None:
    for core in os.sched_getaffinity(0):
        with CorePin() as kept:
            kept.take(core)
            assert os.sched_getaffinity(0) == {core}
            assert current_core() == core


@pytest.mark.parametrize("name", ["pytest", "a b", "a) S 1 2 (b", ")", ""])
def test_the_name_of_a_process_is_no_matter(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stat").write_text(LINE.format(name=name), encoding="ascii")
    monkeypatch.setattr(pin, "STAT", tmp_path / "stat")
    assert current_core() == 39


@pytest.mark.parametrize("text", [None, "", "7 (pytest) S 1 2", LINE.replace(" 39 ", " ? ")])
def test_where_it_is_not_said_it_is_not_known(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "stat").write_text(text, encoding="ascii")
    monkeypatch.setattr(pin, "STAT", tmp_path / "stat")
    assert current_core() is None


@pinnable
def test_afterwards_it_may_run_where_it_might_before() -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as kept:
        for core in (*before, *before):
            kept.take(core)
            assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


@pinnable
def test_afterwards_is_also_after_an_error() -> None:
    before = os.sched_getaffinity(0)

    def interrupted() -> None:
        with CorePin() as kept:
            kept.take(min(before))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert os.sched_getaffinity(0) == before


@pinnable
@pytest.mark.parametrize("core", [None, NOWHERE])
def test_without_such_a_core_nothing_is_kept_anywhere(core: int | None) -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as kept:
        kept.take(core)
        assert os.sched_getaffinity(0) == before
    assert os.sched_getaffinity(0) == before


@pinnable
def test_a_core_that_cannot_be_had_leaves_the_one_that_is_taken() -> None:
    before = os.sched_getaffinity(0)
    with CorePin() as kept:
        kept.take(min(before))
        kept.take(NOWHERE)
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before


def test_a_system_that_keeps_no_thread_on_a_core_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.delattr(os, "sched_setaffinity", raising=False)
        patch.setattr(os, "sched_getaffinity", lambda _: pytest.fail("asked"), raising=False)
        with CorePin() as kept:
            kept.take(0)
