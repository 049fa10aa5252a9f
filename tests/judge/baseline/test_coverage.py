"""Unused baseline entries: their test is gone, or passed without the call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_hiddencost.core.records import CallKey
from pytest_hiddencost.judge.baseline.coverage import Coverage
from pytest_hiddencost.judge.baseline.store import Baselines
from pytest_hiddencost.options import MODELS
from tests.judge.baseline.stored_entries import MODULE, OTHER, entry, store

A, B = (f"{MODULE}::test_{name}" for name in "ab")


@pytest.fixture
def baselines(tmp_path: Path) -> Baselines:
    """Entries of two calls of one test, of another test, and of a test in another module."""
    places = [(MODULE, "test_a", ""), (MODULE, "test_a", "b1"), (MODULE, "test_b", ""),
              (OTHER, "test_c", "")]  # fmt: skip
    store(tmp_path / ".hiddencost").update({place: entry() for place in places})
    return store(tmp_path / ".hiddencost")


def coverage(
    root: Path,
    *,
    collected: Iterable[str] = (A, B, f"{OTHER}::test_c"),
    measured: Iterable[CallKey] = (),
    passed: Iterable[str] = (),
    whole: tuple[str, ...] | None = (".",),
) -> Coverage:
    places = None if whole is None else tuple((root / place).resolve() for place in whole)
    return Coverage(frozenset(collected), frozenset(measured), frozenset(passed), places, root)


def test_every_entry_that_a_test_measured_is_used(tmp_path: Path, baselines: Baselines) -> None:
    measured = [(A, ""), (A, "b1"), (B, ""), (f"{OTHER}::test_c", "")]
    tests = {test for test, _ in measured}
    assert coverage(tmp_path, measured=measured, passed=tests).unused(baselines) == []


def test_an_entry_whose_test_is_gone_is_unused(tmp_path: Path, baselines: Baselines) -> None:
    found = coverage(tmp_path, collected=[A, f"{OTHER}::test_c"]).unused(baselines)
    assert found == [(B, "")]


def test_an_entry_of_a_module_that_is_gone_is_unused(tmp_path: Path, baselines: Baselines) -> None:
    assert coverage(tmp_path, collected=[A, B]).unused(baselines) == [(f"{OTHER}::test_c", "")]


def test_an_entry_is_unused_if_its_test_passed_without_that_call(
    tmp_path: Path, baselines: Baselines
) -> None:
    found = coverage(tmp_path, measured=[(A, "")], passed=[A]).unused(baselines)
    assert found == [(A, "b1")]


def test_a_test_that_did_not_pass_leaves_its_entries(tmp_path: Path, baselines: Baselines) -> None:
    assert coverage(tmp_path, measured=[(A, "")]).unused(baselines) == []


def test_a_module_that_the_run_left_out_keeps_its_entries(
    tmp_path: Path, baselines: Baselines
) -> None:
    """As plugins do that ignore files, and ``collect_ignore``."""
    (tmp_path / OTHER).parent.mkdir(parents=True)
    (tmp_path / OTHER).touch()
    found = coverage(tmp_path, collected=[A, B])
    assert found.unused(baselines) == []
    collected = replace(found, modules=frozenset([OTHER]))
    assert collected.unused(baselines) == [(f"{OTHER}::test_c", "")]


@pytest.mark.parametrize(
    ("whole", "unused"),
    [
        pytest.param((".",), [(A, ""), (A, "b1"), (B, ""), (f"{OTHER}::test_c", "")], id="all"),
        pytest.param(("tests",), [(A, ""), (A, "b1"), (B, ""), (f"{OTHER}::test_c", "")],
                     id="the folder"),
        pytest.param((MODULE,), [(A, ""), (A, "b1"), (B, "")], id="one module"),
        pytest.param(("elsewhere", "tests/test_mod"), [], id="other folders"),
        pytest.param((), [], id="single tests"),
    ],
)  # fmt: skip
def test_a_missing_test_is_gone_only_where_its_module_was_collected_in_full(
    tmp_path: Path, baselines: Baselines, whole: tuple[str, ...], unused: list[CallKey]
) -> None:
    assert coverage(tmp_path, collected=[], whole=whole).unused(baselines) == unused


def test_nothing_is_unused_where_it_is_unknown_what_was_collected(
    tmp_path: Path, baselines: Baselines
) -> None:
    """Under pytest-xdist a controller collects nothing itself."""
    found = coverage(tmp_path, collected=[], passed=[A], whole=None).unused(baselines)
    assert found == []


def test_a_run_without_baselines_has_no_unused_entries(tmp_path: Path) -> None:
    assert coverage(tmp_path, collected=[]).unused(store(tmp_path / "none")) == []


def test_named_models_are_gone_only_if_the_run_has_all_of_the_ini_file(tmp_path: Path) -> None:
    """A command line names some models, and says nothing about the others."""
    here, other = "m:Net[1x3-eager]", "m:Other[1x3-eager]"
    baselines = store(tmp_path / ".hiddencost")
    baselines.update({(MODELS, name, ""): entry() for name in (here, other)})
    collected = [f"{MODELS}::{here}"]
    found = coverage(tmp_path, collected=collected)
    assert found.unused(baselines) == []
    gone = [(f"{MODELS}::{other}", "")]
    assert found.other_models(baselines) == gone
    assert replace(found, models=True).unused(baselines) == gone
