"""The arguments of another pytest like this run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.workers.invocation import (
    Invocation,
    absolute,
    pytest_arguments,
    selection_of,
    without_selection,
)
from tests.profiles import patient

words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("arguments", "selected", "kept"),
    [
        (["tests", "-v"], ["tests"], ["-v"]),
        (["-k", "tests", "tests"], ["tests"], ["-k", "tests"]),
        (["tests", "-k", "tests"], ["tests"], ["-k", "tests"]),
        (["-q", "a.py::test[x y]", "b"], ["a.py::test[x y]", "b"], ["-q"]),
        (["-x", "--lf", "--pdb", "--opt=1"], [], ["--opt=1"]),
        (["--hiddencost-update", "--hiddencost-reason=x"], [], ["--hiddencost-reason=x"]),
    ],
)
def test_arguments_that_select_tests_are_left_out(
    arguments: list[str], selected: list[str], kept: list[str]
) -> None:
    assert without_selection(arguments, selected) == tuple(kept)


@patient
@given(st.lists(words), st.lists(words, unique=True))
def test_other_arguments_are_kept(options: list[str], selected: list[str]) -> None:
    given_options = [f"--{word}={word}" for word in options]
    assert without_selection([*given_options, *selected], selected) == tuple(given_options)


def test_a_node_id_means_the_same_from_anywhere(tmp_path: Path) -> None:
    assert (
        absolute(tmp_path, "a/test_b.py::C::test[x::y]") == f"{tmp_path}/a/test_b.py::C::test[x::y]"
    )


def test_a_worker_collects_a_file_or_a_named_model(tmp_path: Path) -> None:
    model = "hiddencost-model::nets:Net[1x3-eager]"
    assert selection_of(model) == absolute(tmp_path, model) == model
    assert selection_of("a/test_b.py::C::test[x::y]") == "a/test_b.py"


def arguments_of(folder: Path, *plugins: str, ini: Path | None = None) -> list[str]:
    invocation = Invocation(folder, folder / "root", ini, ("-q", "--maxfail=1", "--color=yes"), 1)
    return list(pytest_arguments(invocation, frozenset(plugins), folder / "own"))


def test_the_arguments_of_the_run_come_first_and_then_its_own(tmp_path: Path) -> None:
    found = arguments_of(tmp_path)
    assert found[:3] == ["-q", "--maxfail=1", "--color=yes"]
    assert found[3:] == [f"--rootdir={tmp_path / 'root'}", "--maxfail=0"]


@pytest.mark.parametrize(
    ("plugin", "arguments"),
    [
        ("cacheprovider", ["-o", "cache_dir={own}/cache"]),
        ("tmpdir", ["--basetemp={own}/tmp"]),
        ("xdist", ["-n0"]),
        ("_cov", ["--no-cov"]),
        ("junitxml", ["--junit-xml={own}/junit.xml"]),
        ("pytest_reportlog", ["--report-log={own}/log.jsonl"]),
        ("html", ["--html={own}/report.html"]),
        ("pytest_jsonreport", ["--json-report-file={own}/report.json"]),
        ("allure_pytest", ["--alluredir={own}/allure"]),
        ("benchmark", ["--benchmark-json={own}/benchmark.json"]),
        ("helpconfig", ["--debug={own}/debug.log"]),
        ("logging", [f"--log-file={os.devnull}"]),
        ("terminal", ["--color=no"]),
        ("faulthandler", ["-o", "faulthandler_timeout=0"]),
        ("unheard of", []),
    ],
)
def test_plugins_of_the_run_write_to_files_of_their_own(
    tmp_path: Path, plugin: str, arguments: list[str]
) -> None:
    expected = [argument.format(own=tmp_path / "own") for argument in arguments]
    assert arguments_of(tmp_path, plugin)[len(arguments_of(tmp_path)) :] == expected


def test_pytest_logs_to_no_file_of_the_user(pytester: pytest.Pytester) -> None:
    """A worker would begin the file anew."""
    log = pytester.path / "log.txt"
    log.write_text("of this run", encoding="utf-8")
    pytester.makeini(f"[pytest]\nlog_file = {log}")
    pytester.mkdir("root")
    own = arguments_of(pytester.path, "logging", ini=pytester.path / "tox.ini")
    pytester.parseconfigure(f"--log-file={log}", *own)
    assert log.read_text(encoding="utf-8") == "of this run"


def test_an_ini_file_is_named(tmp_path: Path) -> None:
    found = arguments_of(tmp_path, ini=tmp_path / "tox.ini")
    assert found[found.index("-c") + 1] == str(tmp_path / "tox.ini")
