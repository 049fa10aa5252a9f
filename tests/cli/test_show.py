"""``hiddencost show``: the summary that pytest printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE
from pytest_hiddencost.core.records import Verdict
from tests.cli.running import hiddencost, written
from tests.profiles import limit_on, network, read_table, read_tables
from tests.report.exports.runs import hostile
from tests.report.printed import summary

SGR = "\x1b["


def judged(outcome: str) -> Verdict:
    verdict = Verdict(limit_on("p50"), FAIL, 1.0, 2.0, "too few samples", remedy="measure longer")
    object.__setattr__(verdict, "verdict", outcome)
    return verdict


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return written(tmp_path / "run.json", network(), network(label="b1", verdicts=(judged(FAIL),)))


def test_it_is_the_summary_of_the_run(run: Path) -> None:
    result = hiddencost("show", run)
    assert result.exit_code == 0
    head, *lines = result.stdout.splitlines()
    assert head.strip("=") == " hidden costs "
    assert len(head) == 120
    profiles = network(), network(label="b1", verdicts=(judged(FAIL),))
    assert lines == summary(*profiles, width=120).lines


def test_every_level_of_detail(run: Path) -> None:
    shown = [hiddencost("show", run, *flags, columns=200) for flags in ((), ("-v",), ("-vv",))]
    tables = [len(read_tables(result.stdout.splitlines())) for result in shown]
    assert tables[0] == 1
    assert tables[0] < tables[1] < tables[2]


def test_quiet_counts_what_is_undecided(run: Path, tmp_path: Path) -> None:
    assert hiddencost("show", run, "-q").stdout == ""
    undecided = written(tmp_path / "b.json", network(verdicts=(judged(INCONCLUSIVE),)))
    assert hiddencost("show", undecided, "-q").stdout == (
        "hiddencost: 1 inconclusive; run without -q to see which\n"
    )


def test_colours_are_for_terminals(run: Path) -> None:
    assert SGR not in hiddencost("show", run).stdout
    coloured = hiddencost("show", run, "--color=yes").stdout
    assert f"{SGR}31mfail{SGR}0m" in coloured
    assert SGR not in hiddencost("show", run, "--color=no").stdout
    assert SGR in hiddencost("show", run, FORCE_COLOR="1").stdout
    assert SGR not in hiddencost("show", run, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_it_fits_the_terminal(run: Path) -> None:
    for line in hiddencost("show", run, columns=80).stdout.splitlines():
        assert len(line) <= 80


def test_a_hostile_name_is_a_cell(tmp_path: Path) -> None:
    profiles = hostile().profiles
    result = hiddencost("show", written(tmp_path / "run.json", *profiles), columns=400)
    assert "\x1b" not in result.stdout
    rows = read_table(result.stdout.splitlines())
    assert len(rows) == len(profiles)
    assert any(row["test"] == "test_ü.py::test_é[line\\none]\\x1b[2J" for row in rows)


def test_a_console_without_unicode_shows_escapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from pytest_hiddencost.cli.main import command_line

    path = written(tmp_path / "run.json", network(label="größer"))
    result = CliRunner(charset="ascii").invoke(command_line, ["show", str(path)])
    assert result.exit_code == 0
    assert "gr\\xf6\\xdfer" in result.stdout


def test_a_run_without_calls_says_so(tmp_path: Path) -> None:
    result = hiddencost("show", written(tmp_path / "run.json"))
    assert (result.exit_code, result.stdout) == (0, "the run measured no call\n")
