"""Which unused entry a new call has likely been, by structure and by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_hiddencost.core.records import CallKey
from pytest_hiddencost.judge.baseline.entries import entry_of
from pytest_hiddencost.judge.baseline.renames import Alike, Rename, find_renames
from pytest_hiddencost.judge.baseline.store import split_node_id
from tests.judge.baseline.stored_entries import store
from tests.judge.launches import COPY, launch

RECORDED = entry_of([launch(), launch()])


def key(name: str) -> CallKey:
    """A call by its test and, behind a space, its label."""
    test, _, label = name.partition(" ")
    return test, label


def found(folder: Path, old: Sequence[str], new: Sequence[str]) -> tuple[list[str], list[Alike]]:
    """The likely renames of unused entries to new calls, all alike; and the ambiguous ones."""
    baselines = store(folder)
    baselines.update({(*split_node_id(key(n)[0]), key(n)[1]): RECORDED for n in old})
    profiles = [replace(launch(), test=key(n)[0], label=key(n)[1]) for n in new]
    renames = find_renames([key(n) for n in old], profiles, baselines)
    return [_shown(pair) for pair in renames.likely], list(renames.ambiguous)


def _shown(pair: Rename) -> str:
    return " -> ".join(" ".join(filter(None, call)) for call in (pair.old, pair.new))


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        (["a.py::test_x"], ["b.py::T::test_y[1] k"], ["a.py::test_x -> b.py::T::test_y[1] k"]),
        (
            ["a.py::test_x", "a.py::test_y"],
            ["b/a.py::test_y", "b/a.py::test_x"],
            ["a.py::test_x -> b/a.py::test_x", "a.py::test_y -> b/a.py::test_y"],
        ),
        (
            ["a.py::A::test_x", "a.py::A::test_y"],
            ["a.py::test_x", "a.py::test_y"],
            ["a.py::A::test_x -> a.py::test_x", "a.py::A::test_y -> a.py::test_y"],
        ),
        (
            ["a.py::test_x[1]", "a.py::test_x[2]"],
            ["a.py::test_z[2]", "a.py::test_z[1]"],
            ["a.py::test_x[1] -> a.py::test_z[1]", "a.py::test_x[2] -> a.py::test_z[2]"],
        ),
        (
            ["a.py::test_x k", "a.py::test_x l"],
            ["a.py::test_z k", "a.py::test_z l"],
            ["a.py::test_x k -> a.py::test_z k", "a.py::test_x l -> a.py::test_z l"],
        ),
        (
            ["a.py::test_x", "a.py::test_y"],
            ["b.py::test_x", "b.py::test_renamed"],
            ["a.py::test_x -> b.py::test_x", "a.py::test_y -> b.py::test_renamed"],
        ),
    ],
)
def test_likely_renames(
    tmp_path: Path, old: Sequence[str], new: Sequence[str], pairs: Sequence[str]
) -> None:
    assert found(tmp_path, old, new) == (pairs, [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["a.py::test_x"], ["a.py::test_y", "a.py::test_z"]),
        (["a.py::test_x"], ["a.py::test_y", "b.py::test_z[1]"]),
        (["a.py::test_x", "a.py::test_y"], ["a.py::test_z"]),
        (["a.py::test_x[1]", "a.py::test_x[2]"], ["a.py::test_x[one]", "a.py::test_x[two]"]),
        (["a.py::test_x[1]", "a.py::test_y[1]"], ["a.py::test_v[1]", "a.py::test_w[1]"]),
    ],
)
def test_ambiguous_renames(tmp_path: Path, old: Sequence[str], new: Sequence[str]) -> None:
    alike = Alike(tuple(map(key, old)), tuple(map(key, new)))
    assert found(tmp_path, old, new) == ([], [alike])


def test_another_structure_is_another_test(tmp_path: Path) -> None:
    baselines = store(tmp_path)
    baselines.update({("a.py", "test_x", ""): RECORDED})
    more = replace(launch(calls={COPY: 15}), test="a.py::test_y")
    assert find_renames([("a.py::test_x", "")], [more], baselines).likely == ()
    fewer_macs = replace(launch(), test="a.py::test_y", macs=1)
    assert find_renames([("a.py::test_x", "")], [fewer_macs], baselines).likely == ()


def test_what_varies_is_not_compared(tmp_path: Path) -> None:
    baselines = store(tmp_path)
    baselines.update({("a.py", "test_x", ""): replace(RECORDED, varies=("allocated_bytes",))})
    other = replace(
        launch(), test="a.py::test_y", allocated_bytes=12345, varies=("allocated_bytes",)
    )
    assert len(find_renames([("a.py::test_x", "")], [other], baselines).likely) == 1


def test_a_call_with_an_entry_of_its_own_is_not_new(tmp_path: Path) -> None:
    baselines = store(tmp_path)
    baselines.update({("a.py", name, ""): RECORDED for name in ("test_x", "test_y")})
    known = replace(launch(), test="a.py::test_y")
    assert find_renames([("a.py::test_x", "")], [known], baselines).likely == ()
