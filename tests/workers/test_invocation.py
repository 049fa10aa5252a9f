"""The command of another pytest like this run, and the process that it starts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.system.processes import fresh_environment
from pytest_hiddencost.workers.invocation import (
    Invocation,
    absolute,
    pytest_command,
    start_process,
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


def command(folder: Path, *plugins: str, ini: Path | None = None) -> list[str]:
    invocation = Invocation(folder, folder / "root", ini, ("-q", "--maxfail=1", "--color=yes"), 1)
    return pytest_command(invocation, frozenset(plugins), folder / "own")


def test_the_command_has_the_arguments_of_the_run_and_then_its_own(tmp_path: Path) -> None:
    found = command(tmp_path)
    assert found[:3] == [sys.executable, "-m", "pytest"]
    assert found[3:6] == ["-q", "--maxfail=1", "--color=yes"]
    assert found[6:] == [f"--rootdir={tmp_path / 'root'}", "--maxfail=0", "--color=no"]


def test_the_command_may_have_another_interpreter(tmp_path: Path) -> None:
    invocation = Invocation(tmp_path, tmp_path, None, (), 1)
    assert pytest_command(invocation, frozenset(), tmp_path, "/env/python")[0] == "/env/python"


@pytest.mark.parametrize(
    ("plugin", "arguments"),
    [
        ("cacheprovider", ["-o", "cache_dir={own}/cache"]),
        ("tmpdir", ["--basetemp={own}/tmp"]),
        ("xdist", ["-n0"]),
        ("_cov", ["--no-cov"]),
        ("junitxml", ["--junit-xml={own}/junit.xml"]),
        ("unheard of", []),
    ],
)
def test_plugins_of_the_run_write_to_files_of_their_own(
    tmp_path: Path, plugin: str, arguments: list[str]
) -> None:
    expected = [argument.format(own=tmp_path / "own") for argument in arguments]
    assert command(tmp_path, plugin)[len(command(tmp_path)) :] == expected


def test_an_ini_file_is_named(tmp_path: Path) -> None:
    found = command(tmp_path, ini=tmp_path / "tox.ini")
    assert found[found.index("-c") + 1] == str(tmp_path / "tox.ini")


def test_a_process_has_a_session_and_an_output_file_of_its_own(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getpid() == os.getsid(0), os.getcwd(), sys.stdin.read())"
    process = start_process(
        [sys.executable, "-c", f"{program}; print('error', file=sys.stderr)"],
        tmp_path, tmp_path / "output.txt", fresh_environment(),
    )  # fmt: skip
    assert process.wait(60) == 0
    text = (tmp_path / "output.txt").read_text()
    assert sorted(line.strip() for line in text.splitlines()) == [f"True {tmp_path}", "error"]


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        start_process([str(tmp_path / "nowhere")], tmp_path, tmp_path / "output.txt", {})
