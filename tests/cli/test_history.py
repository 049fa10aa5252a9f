"""``hiddencost history``: what it prints, its page, its gate, and wrong usage."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from pytest_hiddencost.core.records import DeviceHealth
from tests.cli.running import hiddencost
from tests.history.stored_runs import (
    PI,
    Run,
    measured,
    scatter_of,
    store_at_once,
    store_that_rose,
    stored,
)

EVIL = "</script><script>alert(1)</script><b>&\"'"


def history(*arguments: str | Path) -> Result:
    return hiddencost("history", *arguments)


def told(*arguments: str | Path) -> str:
    result = history(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    return store_that_rose(tmp_path_factory.mktemp("store"))


def test_a_store_alone_is_a_row_for_each_call_and_device(store: str) -> None:
    head, _, row = told(store).splitlines()
    assert head.split()[:4] == ["test", "label", "device", "runs"]
    assert row.split()[:3] == ["tests/test_models.py::test_it", PI.key, "30"]


def test_the_trend_of_a_call_is_a_row_for_each_run(store: str) -> None:
    found = json.loads(told(store, "--by", "run", "--format", "json", "--since", "2026-10-01"))
    assert len(found) == 19
    assert found[0]["commit"].startswith("11abcdef")
    assert found == sorted(found, key=lambda row: row["time"])


def test_an_operator_is_asked_by_name(store: str) -> None:
    head, row = told(store, "--operator", "aten::cat", "--by", "torch", "--format=csv").splitlines()
    assert head == "test,label,torch,runs,newest,self_ns,median_self_ns,calls"
    assert row.startswith("tests/test_models.py::test_it,,2.13.0,30,")


def test_sql_is_answered_and_writing_refused(store: str, tmp_path: Path) -> None:
    text = "SELECT count(*) AS n FROM runs"
    assert told(store, "--sql", text, "--format", "csv").splitlines() == ["n", "30"]
    result = history(store, "--sql", f"COPY runs TO '{tmp_path / 'x'}'")
    assert result.exit_code != 0
    assert "--sql: got COPY; give one SELECT: the store is only read" in result.output


def test_change_points_are_lines_or_data(store: str) -> None:
    line, count = told(store, "--changes").splitlines()
    assert re.search(r"rose 6\.\d* % at commit 20abcdef20 \(2026-10-10\), after 19abc", line)
    assert count == "1 change point, in 1 series"
    [found] = json.loads(told(store, "--changes", "--format", "json"))
    assert (found["from_end"], found["relative"]) == (10, False)


def test_the_gate_fails_on_a_rise_within_the_last_runs(store: str) -> None:
    result = history(store, "--gate")
    assert result.exit_code == 1
    assert "1 rise within the last 20 runs" in result.output
    assert told(store, "--gate", "--last", "9") == "0 rises within the last 9 runs, in 1 series\n"
    assert told(store, "--gate", "--quantity", "macs").startswith("0 rises")


def test_the_gate_passes_when_a_call_became_faster(tmp_path: Path) -> None:
    faster = store_that_rose(tmp_path, growth=-0.1)
    assert told(faster, "--gate").startswith("0 rises")
    assert "fell 9." in told(faster, "--changes") or "fell 10" in told(faster, "--changes")


def test_a_gate_that_nothing_matches_is_wrong_usage(store: str) -> None:
    for arguments in (["--test", "typo"], ["--quantity", "energy"], ["--operator", "aten::typo"]):
        result = history(store, "--gate", *arguments)
        assert result.exit_code == 2
        assert "--gate: no run matches, so nothing was checked; change --test" in result.stderr


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_the_gate_counts_the_series_that_are_too_short(tmp_path: Path, form: str) -> None:
    calls = [measured(10e6), measured(10e6, label="long")]
    store_at_once(tmp_path, (Run(day, calls if day < 11 else calls[1:]) for day in range(12)))
    result = history(tmp_path, "--gate", "--format", form)
    assert result.exit_code == 0
    assert result.stderr == (
        "--gate did not check 1 of 2 series: fewer than 12 comparable runs; store more runs\n"
    )
    assert "did not check" not in result.stdout
    assert history(tmp_path, "--gate", "--quantity", "macs").stderr == ""


def test_the_gate_counts_the_series_without_a_fit_run_among_the_last(tmp_path: Path) -> None:
    hot = DeviceHealth(False, ("the processor was throttled",))
    fit = DeviceHealth(True)
    store_at_once(
        tmp_path,
        (
            Run(day, [measured(10e6 * scatter_of(day), health=fit if day < 20 else hot)])
            for day in range(30)
        ),
    )
    result = history(tmp_path, "--gate", "--last", "10")
    assert result.exit_code == 0
    assert "did not check 1 of 1 series: no comparable run within the last 10" in result.stderr
    assert history(tmp_path, "--gate", "--last", "11").stderr == ""


# --- the page -----------------------------------------------------------------------------------


def charts_of(page: str) -> list[dict[str, object]]:
    [data] = re.findall(r'<script type="application/json" id="charts">(.*?)</script>', page)
    found: list[dict[str, object]] = json.loads(data)
    return found


def test_the_page_draws_runs_levels_changes_versions_and_health(tmp_path: Path) -> None:
    hot = DeviceHealth(False, ("the processor was throttled",))
    runs = []
    for day in range(30):
        device = replace(PI, torch="2.13.0" if day < 25 else "2.14.1")
        level = 10e6 if day < 20 else 11e6
        health = hot if day == 7 else DeviceHealth(True)
        profile = measured(level * scatter_of(day), health=health, label=EVIL)
        runs.append(Run(day, [profile], device, EVIL))
    store_at_once(tmp_path, runs)
    page_path = tmp_path / "trends.html"
    assert told(tmp_path, "--html", page_path) == f"trends: {page_path}\n"
    page = page_path.read_text(encoding="utf-8")
    [chart] = charts_of(page)
    text = json.dumps(chart)
    assert [trace["mode"] for trace in chart["data"]] == ["markers", "lines", "lines", "markers"]  # type: ignore[attr-defined]
    assert len(chart["data"][0]["x"]) == 29  # type: ignore[index]
    assert "the processor was throttled" in text
    assert "torch 2.14.1" in text
    assert re.search(r'"\+(9|10)\.\d %"', text)
    assert "commit 20abcdef20 (2026-10-10)" in page


def test_text_of_users_is_no_markup_in_the_page(tmp_path: Path) -> None:
    stored(tmp_path, [measured(label=EVIL)], branch=EVIL)
    told(tmp_path, "--html", tmp_path / "trends.html")
    page = (tmp_path / "trends.html").read_text(encoding="utf-8")
    assert page.count("<script") == 3
    assert "<script>alert" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert" in page
    assert "<b>" not in json.dumps(charts_of(page))
    policy = re.search(r'content="([^"]+)"', page.partition("Security-Policy")[2])
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert policy[1].count("sha256-") == 2


def test_calls_that_changed_most_come_first_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_hiddencost.history import trend_page

    monkeypatch.setattr(trend_page.TrendPage.__init__, "__defaults__", ("", 2))
    runs = []
    for day in range(30):
        calls = [
            measured(
                1e7 * scatter_of(day) * (1 + growth * (day >= 20)), test=f"t.py::test_{growth}"
            )
            for growth in (0, 0.1, 0.3)
        ]
        runs.append(Run(day, calls))
    store_at_once(tmp_path, runs)
    told(tmp_path, "--html", tmp_path / "trends.html")
    page = (tmp_path / "trends.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["t.py::test_0.3", "t.py::test_0.1"]
    assert (
        "3 series of calls on devices, 2 change points. The 2 that changed most are shown" in page
    )


# --- compaction and wrong usage -----------------------------------------------------------------


def test_compact_says_what_it_did(tmp_path: Path) -> None:
    for day in range(2):
        stored(tmp_path, [measured()], day)
    assert told("compact", tmp_path, "--keep-samples", "1d", "--remove-after=0h") == (
        f"{tmp_path}: merged 2 files, removed 6, dropped the samples of 2 profiles\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gate", "--last", "5"], "5 is not in the range x>=6"),
        (["--since", "soon"], "--since: expected a day such as 2026-10-03"),
        (["--device", "jetson"], "no device matches jetson; it has cpu-raspberry-pi-4"),
        (["--by", "run", "--by", "torch"], "--by run is one row a run already"),
        (["--sql", "SELECT 1", "--gate"], "--sql and --gate ask for different things"),
        (["--format", "xml"], "'xml' is not one of 'table', 'csv', 'json'"),
        (["--html", "/nowhere/at/all.html"], "does not exist; create it first"),
        (["--sql", "SELECT"], "Parser Error"),
    ],
)
def test_wrong_usage_is_told(store: str, arguments: list[str], message: str) -> None:
    result = history(store, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_no_match_is_told_and_is_no_error(store: str) -> None:
    result = history(store, "--test", "test_other")
    assert result.exit_code == 0
    assert "no run matches" in result.output


def test_help_shows_the_question_and_names_compaction() -> None:
    for arguments in (["--help"], ["-h"]):
        text = history(*arguments).output
        assert "Usage: hiddencost history [OPTIONS] STORE" in text
        assert "--operator" in text
        assert "hiddencost history compact STORE" in " ".join(text.split())


def test_a_missing_extra_is_one_line(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_hiddencost.core import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    result = history(store)
    assert result.exit_code != 0
    assert "pip install 'pytest-hiddencost[history]'" in result.output
