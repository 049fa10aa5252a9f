"""The command as a whole: help, errors, exit codes, completion."""

from __future__ import annotations

import errno
import json
import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from pytest_hiddencost import __version__
from pytest_hiddencost.cli.main import COMMANDS, command_line
from tests.cli.running import error_of, hiddencost, written
from tests.profiles import network

ROOT = Path(__file__).parents[2]
by_name = pytest.mark.parametrize("name", COMMANDS)
READING = ("show", "export", "trace")
OPTIONS = {"export": ("--format", "csv")}


def loaded(name: str) -> click.Command:
    module = COMMANDS[name][0]
    command = getattr(import_module(f"pytest_hiddencost.cli.{module}"), module)
    assert isinstance(command, click.Command)
    return command


# --- help ---------------------------------------------------------------------------------------


def test_help_lists_every_command_with_its_text() -> None:
    result = hiddencost("--help")
    assert result.exit_code == 0
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", result.stdout, re.MULTILINE)


def test_help_tells_the_exit_codes() -> None:
    assert re.findall(r"^    (\d)  \w", hiddencost("-h").stdout, re.MULTILINE) == ["0", "1", "2"]


@by_name
def test_the_text_in_the_list_is_the_commands_own(name: str) -> None:
    text = COMMANDS[name][1]
    assert loaded(name).get_short_help_str(limit=200) == text
    assert len(text) <= 60


@by_name
def test_the_help_of_a_command_has_an_example(name: str) -> None:
    result = hiddencost(name, "--help")
    assert result.exit_code == 0
    assert re.search(rf"^    hiddencost {name} \S", result.stdout, re.MULTILINE)


@by_name
def test_the_documentation_has_every_command(name: str) -> None:
    page = (ROOT / "docs/reference/command.md").read_text(encoding="utf-8")
    assert f"```{{help-of}} {name}\n" in page


def test_version() -> None:
    assert hiddencost("--version").stdout == f"hiddencost, version {__version__}\n"


# --- errors -------------------------------------------------------------------------------------


def test_an_unknown_command_is_wrong_usage() -> None:
    result = hiddencost("shew")
    assert result.exit_code == 2
    assert "No such command 'shew'" in result.stderr


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read as a run file: "),
        (b"not JSON", "cannot be read as a run file: "),
        (b"\xff", "cannot be read as a run file: "),
        (b"[" * 100_000, "cannot be read as a run file: "),
        (b"[]", "not a run file: "),
        (b'{"format": 2, "profiles": []}', "format 2, this version reads format 1"),
        (b'{"format": 1, "profiles": []}', "device"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(
    name: str, content: bytes | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_bytes(content)
    message = error_of(name, path, *OPTIONS.get(name, ()))
    assert message.startswith(f"{path}: ")
    assert problem in message


def test_a_time_that_is_not_possible_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", network())
    document = json.loads(path.read_text(encoding="utf-8"))
    document["profiles"][0]["latency"]["median_ns"] = 0.0
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "latency.median_ns of test_models.py::test_it: 0 ns is not a" in error_of("show", path)


def test_an_error_of_several_lines_is_told_in_one(tmp_path: Path) -> None:
    assert "a b.json: cannot be read" in error_of("show", tmp_path / "a\nb.json")


@pytest.mark.parametrize("name", ["export", "trace"])
def test_an_output_that_cannot_be_written_is_one_line(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", network())
    missing = tmp_path / "missing" / "out"
    message = error_of(name, path, *OPTIONS.get(name, ()), "-o", missing)
    assert message == f"-o: {missing}: the folder {missing.parent} does not exist; create it first"


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr("pytest_hiddencost.cli.show_command.read_run", fails)


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert "No space left on device" in error_of("show", "run.json")


def test_a_reader_that_has_enough_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, BrokenPipeError(errno.EPIPE, "Broken pipe"))
    result = hiddencost("show", "run.json")
    assert result.output == ""


def test_an_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    result = hiddencost("show", "run.json")
    assert (result.exit_code, result.output) == (130, "")


# --- completion ---------------------------------------------------------------------------------


def test_a_shell_completes_commands_and_options() -> None:
    shell = ShellComplete(command_line, {}, "hiddencost", "_HIDDENCOST_COMPLETE")
    found = {item.value: item.help for item in shell.get_completions([], "s")}
    assert found == {name: text for name, (_, text) in COMMANDS.items() if name[0] == "s"}
    assert [i.value for i in shell.get_completions(["export"], "--f")] == ["--format"]
    formats = [item.value for item in shell.get_completions(["export", "--format"], "b")]
    assert formats == ["bencher"]
