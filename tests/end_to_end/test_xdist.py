"""One suite, run plainly, and by pytest-xdist with one and two workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.report.ci.rendered import commands_in, rendered
from tests.suites import (
    JUNIT,
    RUN_FILE,
    Finished,
    properties,
    run_apart,
    section,
    verdicts,
)

# One worker of the suite does these runs, once.
pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("xdist")]

SUITE = """
@budget(macs=128, operators={"aten::addmm": "1 calls"}, activation_memory="1 GiB")
def test_exact_within(hiddencost):
    time.sleep(0.5)  # another worker is done with later tests by then
    hiddencost(MODEL, X)

@budget(macs=127)
def test_exact_beyond(hiddencost): hiddencost(MODEL, X)

@budget(p50="10 s", mac_rate="1 MAC/s")
def test_timed_within(hiddencost): hiddencost(MODEL, X)

@budget(p50="1 ns")
def test_timed_beyond(hiddencost): hiddencost(MODEL, X)

@budget(p50="1 ns", macs=127)
def test_both_beyond(hiddencost): hiddencost(MODEL, X)

@pytest.mark.xfail
@budget(macs=127)
def test_expected(hiddencost): hiddencost(MODEL, X)

@budget(p50="15")
def test_bad_marker(hiddencost): hiddencost(MODEL, X)

@budget(macs=128)
def test_never_called(hiddencost): pass

@budget(operators={"aten::cat": "3 calls"})
def test_matches_nothing(hiddencost): hiddencost(MODEL, X)

def test_repeated_label(hiddencost):
    hiddencost(MODEL, X, label="a")
    hiddencost(MODEL, X, label="a")

@pytest.mark.parametrize("name", ["two words", "ünï", "a::b[c]", "d"])
def test_free(hiddencost, name): hiddencost(Net().eval(), IMAGE, label=name)

@pytest.mark.skip
@budget(macs=128)
def test_skipped(hiddencost): pass

def test_unused(): pass
"""
WORKERS = {"plain": [], "one worker": ["-n1"], "two workers": ["-n2"]}
# Its code is that of two workers, its verdicts are those of a plain run.
ONE_WORKER = pytest.param("one worker", marks=pytest.mark.nightly)
MODES = ("plain", ONE_WORKER, "two workers")
ALONE = ("plain", ONE_WORKER)
BY_WORKERS = (ONE_WORKER, "two workers")
OUTCOMES = {
    "test_exact_within": "passed",
    "test_exact_beyond": "failure",
    "test_timed_within": "passed",
    "test_timed_beyond": "failure",
    "test_both_beyond": "failure",
    "test_expected": "skipped",
    "test_bad_marker": "error",
    "test_never_called": "failure",
    "test_matches_nothing": "failure",
    "test_repeated_label": "failure",
    "test_free[two words]": "passed",
    "test_free[\\xfcn\\xef]": "passed",
    "test_free[a::b[c]]": "passed",
    "test_free[d]": "passed",
    "test_skipped": "skipped",
    "test_unused": "passed",
}
OTHERS = "other workers running (pytest-xdist, 2 workers)"

COMMENT = "comment.md"
FILES = (
    f"--junitxml={JUNIT}", f"--hiddencost-json={RUN_FILE}", "--hiddencost-threads=1",
    "--hiddencost-github=on", f"--hiddencost-markdown={COMMENT}",
)  # fmt: skip
Runs = Callable[[str], Finished]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The run in a mode; each takes seconds, so it is done once."""

    @cache
    def run(mode: str) -> Finished:
        folder = tmp_path_factory.mktemp("run")
        return run_apart(folder, [SUITE], *FILES, *WORKERS[mode])

    return run


@pytest.fixture(params=MODES)
def finished(request: pytest.FixtureRequest, runs: Runs) -> Finished:
    """A run in each mode."""
    return runs(request.param)


@pytest.fixture(params=ALONE)
def alone(request: pytest.FixtureRequest, runs: Runs) -> Finished:
    """A run in each mode in which one process measures."""
    return runs(request.param)


@pytest.fixture
def together(runs: Runs) -> Finished:
    """The run by two workers."""
    return runs("two workers")


def by_test(finished: Finished) -> dict[tuple[str, str], dict[str, Any]]:
    """The profiles of a run file by test and label."""
    entries = finished.document["profiles"]
    found = {(e["test"].partition("::")[2], e["label"]): e for e in entries}
    assert len(found) == len(entries), "a profile is there twice"
    return found


# --- the same in every mode ---------------------------------------------------------------------


def test_no_profile_is_lost(finished: Finished) -> None:
    assert by_test(finished).keys() == {
        ("test_exact_within", ""),
        ("test_exact_beyond", ""),
        ("test_timed_within", ""),
        ("test_timed_beyond", ""),
        ("test_both_beyond", ""),
        ("test_expected", ""),
        ("test_matches_nothing", ""),
        ("test_repeated_label", "a"),
        ("test_free[two words]", "two words"),
        ("test_free[\\xfcn\\xef]", "ünï"),
        ("test_free[a::b[c]]", "a::b[c]"),
        ("test_free[d]", "d"),
    }


def test_exact_limits_are_checked(finished: Finished) -> None:
    found = by_test(finished)
    assert set(verdicts(found["test_exact_within", ""]).values()) == {"pass"}
    assert verdicts(found["test_exact_beyond", ""]) == {"macs": "fail"}
    assert verdicts(found["test_both_beyond", ""])["macs"] == "fail"
    assert verdicts(found["test_matches_nothing", ""]) == {"operators[aten::cat]": "fail"}
    outcomes = finished.outcomes
    for name in ("test_exact_beyond", "test_both_beyond", "test_matches_nothing"):
        assert outcomes[name] == "failure"


def test_reviewers_see_every_test_that_failed(finished: Finished) -> None:
    failed = {name for name, found in finished.outcomes.items() if found in ("failure", "error")}
    page = rendered((finished.folder / COMMENT).read_text(encoding="utf-8"))
    assert {row[0].removeprefix("test_it.py::") for row in page.tables[0][1:]} == failed
    found = commands_in(finished.stdout)
    assert {command.properties["file"] for command in found} == {"test_it.py"}
    errors = [command for command in found if command.name == "error"]
    assert len(errors) == len(failed)
    assert len(found) <= 10


def test_one_clean_error_for_a_bad_marker(finished: Finished) -> None:
    assert finished.outcomes["test_bad_marker"] == "error"
    lines = [line for line in finished.output.splitlines() if line.startswith("hiddencost: ")]
    [about] = [line for line in lines if "'15' has no unit" in line]
    assert about.startswith("hiddencost: latency_budget(p50=...)")
    assert "Traceback" not in finished.output


def test_nothing_on_stderr(finished: Finished) -> None:
    assert finished.stderr == ""


def test_junit_has_the_figures(finished: Finished) -> None:
    figures = properties(finished.cases["test_exact_within"])
    assert figures["hiddencost.macs"] == "128"
    assert figures["hiddencost.verdict.macs"] == "pass"
    assert "hiddencost[ünï].macs" in properties(finished.cases["test_free[\\xfcn\\xef]"])
    assert "at most 127 MAC" in finished.message("test_exact_beyond")


def test_summary_has_every_profile_once(finished: Finished) -> None:
    lines = section(finished.stdout)
    for test, label in by_test(finished):
        title = f"test_it.py::{test} {label}".rstrip()
        rows = [line for line in lines if line == title or line.startswith(title + "  ")]
        assert len(rows) == 1, title


def test_device_is_that_of_the_measurements(finished: Finished) -> None:
    device = finished.document["device"]
    assert device["kind"] == "cpu"
    assert device["threads"] == 1
    assert section(finished.stdout)[0].startswith(f"cpu: {device['model']}, ")


# --- alone --------------------------------------------------------------------------------------


def test_outcomes_alone(alone: Finished) -> None:
    assert alone.code == 1
    assert alone.outcomes == OUTCOMES


def test_timed_limits_are_decided_alone(alone: Finished) -> None:
    found = by_test(alone)
    assert verdicts(found["test_timed_within", ""]) == {"p50": "pass", "mac_rate": "pass"}
    assert verdicts(found["test_timed_beyond", ""]) == {"p50": "fail"}
    assert all(entry["fitness"]["fit"] for entry in found.values())
    assert not any(entry["fitness"]["reasons"] for entry in found.values())
    assert "unfit" not in alone.stdout


# --- together -----------------------------------------------------------------------------------


def test_outcomes_together(together: Finished) -> None:
    """A limit on time cannot be broken where a time means nothing."""
    assert together.code == 1
    assert together.outcomes == OUTCOMES | {"test_timed_beyond": "passed"}


def test_timed_limits_are_inconclusive_and_say_why(together: Finished) -> None:
    found = by_test(together)
    for name in ("test_timed_within", "test_timed_beyond", "test_both_beyond"):
        timed = [v for v in found[name, ""]["verdicts"] if v["gate"] in ("p50", "mac_rate")]
        assert timed
        assert {(v["verdict"], v["reason"]) for v in timed} == {("inconclusive", OTHERS)}
    for entry in found.values():
        assert (entry["fitness"]["fit"], entry["fitness"]["reasons"]) == (False, [OTHERS])
    lines = section(together.stdout)
    assert any(line.startswith("unfit for timing") and OTHERS in line for line in lines)
    [line] = [x for x in lines if x.startswith("test_it.py::test_timed_beyond: p50 inconclusive")]
    assert OTHERS in line
    assert "-n0" in line


def test_message_says_that_time_was_not_checked(together: Finished) -> None:
    message = together.message("test_both_beyond")
    assert "1 of 2 limits broken" in message
    assert f"p50: inconclusive: {OTHERS}" in message


# --- equal but for times ------------------------------------------------------------------------

TIMES = {
    "calls_made", "spent_ns", "latency", "mac_rate", "mac_ns", "non_mac_share", "outside_ns",
    "self_ns", "raw_self_ns", "windows_ns", "mac_share", "total_ns", "raw_total_ns",
    "event_cost_ns", "inflation_share", "residual_share", "windows", "fitness", "inside_cost_ns",
    "observed_cost_ns", "calibrated_cost_ns", "uncertainty_ns", "below_resolution", "control",
    "share",
}  # fmt: skip


def timeless(value: Any) -> Any:
    """The part of a profile that no clock changes; lists that are ordered by time are sorted."""
    if isinstance(value, dict):
        return {
            name: [(v["gate"], v["limit"], v["unit"]) for v in item]
            if name == "verdicts"
            else timeless(item)
            for name, item in value.items()
            if name not in TIMES
        }
    if isinstance(value, list):
        return sorted((timeless(item) for item in value), key=repr)
    return value


@pytest.mark.parametrize("mode", BY_WORKERS)
def test_run_file_is_that_of_a_plain_run(runs: Runs, mode: str) -> None:
    plain, other = runs("plain"), runs(mode)
    assert other.document["device"] == plain.document["device"]
    assert other.document.keys() == plain.document.keys()
    expected, found = by_test(plain), by_test(other)
    for key, entry in expected.items():
        assert timeless(found[key]) == timeless(entry)
        assert found[key].keys() == entry.keys()


@pytest.mark.parametrize("mode", BY_WORKERS)
def test_profiles_are_in_the_order_of_a_plain_run(runs: Runs, mode: str) -> None:
    """Whoever finishes first: two runs of one suite can be compared line by line."""
    assert list(by_test(runs(mode))) == list(by_test(runs("plain")))


# --- more of two workers ------------------------------------------------------------------------


@pytest.mark.nightly
def test_strict_and_two_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Strict means that what was not checked fails; the remedy is in the message."""
    tests = """
@budget(p50="10 s")
def test_timed(hiddencost): hiddencost(MODEL, X)

@budget(macs=128)
def test_exact(hiddencost): hiddencost(MODEL, X)

def test_device(hiddencost_device): assert str(hiddencost_device) == "cpu"
"""
    folder = tmp_path_factory.mktemp("strict")
    done = run_apart(folder, [tests], "-n2", "--hiddencost-strict", f"--junitxml={JUNIT}")
    assert done.outcomes == {
        "test_timed": "failure",
        "test_exact": "passed",
        "test_device": "passed",
    }
    assert OTHERS in done.message("test_timed")
