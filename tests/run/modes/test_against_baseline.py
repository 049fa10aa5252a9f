"""Baselines as a user has them: record, gate, accept; what is new, unused, broken.

A model is measured once; relaunches and pairs measure the same: ``tests/end_to_end`` starts
processes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
import scipy.optimize
import scipy.stats

import pytest_hiddencost.measure
from pytest_hiddencost.core.errors import GitError, InterleavingError, LacksFiles, NotInBase
from pytest_hiddencost.core.records import CallKey, DeviceHealth, Profile
from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.interleaved.comparison import Pair, pair_looks
from pytest_hiddencost.run.modes import against_baseline, interleaving, recording_lines
from pytest_hiddencost.run.modes.base import Measurement, Request
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.pairs import MeasuredCall
from pytest_hiddencost.workers.revisions import Tree
from tests.recorded_suites import COPYING, LOOSE, ONE, RECORD, RUN, TWO
from tests.repositories import commit, git
from tests.run.modes.given_pairs import GivenPairs, NoStarter, pair, start_nothing
from tests.run.modes.remembered import remember
from tests.suites import (
    junit_cases,
    outcomes_in,
    properties,
    run_file,
    run_here,
    suite,
    verdicts,
)

# A run in this process forgets what it imported first: SciPy would be loaded in each.
assert filelock
assert scipy.optimize
assert scipy.stats


class Remembered:
    """Stands in for relaunches: a call takes again what it took in this process."""

    profiles: dict[tuple[str, CallKey], Profile]
    launched: int

    def __init__(self, *_: object, **__: object) -> None:
        self.trouble = ""

    def launch(self, tests: Sequence[str], injection: str = "") -> dict[CallKey, Profile]:
        Remembered.launched += 1
        return {
            key: profile
            for (injected, key), profile in self.profiles.items()
            if injected == injection and key[0] in tests
        }


def same(call: MeasuredCall) -> Pair:
    """A pair that sees no growth, even of a call with an injected regression."""
    profile = Remembered.profiles["", (call.test, call.label)]
    return pair(profile, profile)


@pytest.fixture(autouse=True)
def pairs(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> GivenPairs:
    """The figures of a run's pairs, and the requests to them."""
    remember(monkeypatch)
    Remembered.profiles, Remembered.launched = {}, 0
    measure = against_baseline.AgainstBaseline.measure

    def remembering(mode: against_baseline.AgainstBaseline, request: Request) -> Measurement:
        found = measure(mode, request)
        key = (request.test, request.label)
        Remembered.profiles["", key] = found.profile
        for injection, profile in found.injected.items():
            Remembered.profiles[injection, key] = profile
        return found

    given = GivenPairs(same)
    monkeypatch.setattr(against_baseline, "Relaunches", Remembered)
    monkeypatch.setattr(against_baseline.AgainstBaseline, "measure", remembering)
    start_nothing(monkeypatch, given, tmp_path_factory.mktemp("base"))
    return given


class Gated:
    """A folder in which suites run one after the other, and what the last run said."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.folder = pytester.path
        self.code = 0
        self.stdout = ""

    def write(self, *tests: str, name: str = "test_it.py") -> None:
        (self.folder / name).write_text(suite(*tests), encoding="utf-8")

    def run(self, *arguments: str) -> int:
        """Run everything; the exit status."""
        result = run_here(self.pytester, *RUN, LOOSE, *arguments)
        self.code, self.stdout = int(result.ret), " ".join(result.stdout.str().split())
        return self.code

    def record(self, *tests: str, arguments: Sequence[str] = ()) -> Path:
        """Write these tests, record their baseline; the folder of the device."""
        self.write(*tests)
        assert self.run(*RECORD, *arguments) == 0, self.stdout
        return self.device

    @property
    def device(self) -> Path:
        (found,) = (f for f in (self.folder / ".hiddencost").iterdir() if f.is_dir())
        return found

    def entries(self, module: str = "test_it.py") -> dict[str, Any]:
        text = (self.device / f"{module}.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)["entries"]
        return found

    def change(self, test: str = "test_one", label: str = "", **values: Any) -> None:
        """Change these values of an entry."""
        file = self.device / "test_it.py.json"
        document = json.loads(file.read_text(encoding="utf-8"))
        document["entries"][test][label] |= values
        file.write_text(json.dumps(document, indent=1), encoding="utf-8")

    def accept(self, *tests: str, **values: Any) -> str:
        """Record these tests, change the entry of the first, and commit all; the commit."""
        self.record(*tests)
        if values:
            self.change(**values)
        return commit(self.folder)

    @property
    def outcomes(self) -> dict[str, str]:
        return outcomes_in(junit_cases(self.folder / "junit.xml"))

    def message(self, test: str) -> str:
        """The message of a test that failed."""
        (found,) = junit_cases(self.folder / "junit.xml")[test].iter("failure")
        return f"{found.attrib['message']}\n{found.text}"

    def entry(self, test: str = "test_one") -> dict[str, Any]:
        """The run file's entry of a test."""
        for entry in run_file(self.folder)["profiles"]:
            if entry["test"].endswith(f"::{test}"):
                found: dict[str, Any] = entry
                return found
        raise KeyError(test)

    def checks(self, test: str = "test_one") -> dict[str, str]:
        return verdicts(self.entry(test))

    def timed(self, test: str = "test_one") -> dict[str, dict[str, Any]]:
        """The verdicts on the growth of times, by quantity, as in the run file."""
        found = {v["gate"]: v for v in self.entry(test)["verdicts"]}
        return {key: found[f"regression[{key}]"] for key in ("p50", "non_mac")}


@pytest.fixture
def gated(pytester: pytest.Pytester) -> Gated:
    return Gated(pytester)


# --- new, recorded, accepted --------------------------------------------------------------------


def test_a_call_without_a_baseline_is_new_and_listed(gated: Gated) -> None:
    gated.write(ONE, TWO)
    gated.run()
    assert gated.code == 0
    assert "new (3): test_it.py::test_one, test_it.py::test_two a, test_it.py::test_two b: " in (
        gated.stdout
    )
    assert "record it with --hiddencost-update-new" in gated.stdout
    assert gated.checks() == {"regression": "new"}
    assert not (gated.folder / ".hiddencost").exists()


def test_strict_fails_what_is_new(gated: Gated) -> None:
    gated.write(ONE)
    gated.run("--hiddencost-strict")
    assert gated.code == 1
    assert "new: no baseline on this device" in gated.message("test_one")


def test_record_then_gate(gated: Gated) -> None:
    gated.record(ONE, TWO)
    found = gated.entries()
    assert {test: set(labels) for test, labels in found.items()} == {
        "test_one": {""}, "test_two": {"a", "b"},
    }  # fmt: skip
    entry = found["test_one"][""]
    assert len(entry["p50_ns"]) == len(entry["control_ns"]) == len(entry["relative"]) == 2
    assert entry["operators"]["aten::addmm"]["calls"] == 1
    assert "samples_ns" not in json.dumps(found)
    gated.run()
    assert gated.code == 0
    assert "new (" not in gated.stdout
    assert {gated.checks()[f"regression[{g}]"] for g in ("calls", "macs", "allocated_bytes")} == {
        "pass"
    }


def test_an_extra_copy_fails_is_named_and_can_be_accepted(gated: Gated) -> None:
    gated.record(ONE)
    gated.write(COPYING)
    gated.run()
    assert gated.code == 1
    message = gated.message("test_one")
    assert message.startswith("Failed: regression[calls] ")
    assert "+1 aten::clone" in message
    assert "test_it.py:" in message, "the line it comes from"
    assert "MACs unchanged" in message
    assert gated.checks()["regression[calls]"] == "fail"
    case = junit_cases(gated.folder / "junit.xml")["test_one"]
    assert properties(case)["hiddencost.verdict.regression[calls]"] == "fail"
    assert gated.run() == 1, "a failing run is no baseline"

    gated.run(*RECORD, "--hiddencost-reason=safer views")
    assert gated.code == 0, gated.stdout
    assert "baselines: 1 rewritten in .hiddencost (2 launches each)" in gated.stdout
    assert gated.entries()["test_one"][""]["reason"] == "safer views"
    assert gated.run() == 0


def test_a_recording_of_minutes_says_so_and_names_the_option(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_lines, "LONG_RECORDING_S", 0.0)
    gated.record(ONE)
    launches = r"\(2 launches each; it took \d+ s, fewer --hiddencost-launches take less\)"
    assert re.search(rf"baselines: 1 added in .hiddencost {launches}", gated.stdout)


def test_a_recording_that_the_user_stops_keeps_nothing_and_still_shows_the_summary(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.write(ONE)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(against_baseline, "record", stopped)
    assert gated.run(*RECORD) == 1
    assert "baselines: nothing was recorded, since you stopped the run" in gated.stdout
    assert "hidden costs" in gated.stdout
    assert "test_one" in gated.stdout
    assert not list(gated.folder.glob(".hiddencost/*/*.json"))


def test_fewer_calls_pass_and_offer_an_update(gated: Gated) -> None:
    gated.record(COPYING)
    gated.write(ONE)
    gated.run()
    assert gated.code == 0
    assert "baseline is stale: less calls" in gated.stdout
    assert "accept with --hiddencost-update" in gated.stdout
    gated.run("--hiddencost-strict")
    assert "baseline is stale" in gated.message("test_one")


def test_the_markers_tolerance_loosens_structure(gated: Gated) -> None:
    """More calls of what was called already; a new operator is no growth of one that was there."""
    twice = COPYING.replace("super().forward(x).clone()", "super().forward(x.clone()).clone()")
    gated.record(twice)
    thrice = twice.replace("x.clone()", "x.clone().clone()")
    gated.write(thrice)
    gated.run()
    assert gated.code == 1
    assert "+1 aten::clone" in gated.message("test_one")
    allowed = '{"calls": "50%", "allocated_bytes": "90%", "activation_memory": "90%"}'
    loosened = thrice.replace("def test_one", f"@budget(regression={allowed})\ndef test_one")
    gated.write(loosened)
    assert gated.run() == 0
    gated.write(loosened.replace("50%", "40%"))
    gated.run()
    assert "+1 aten::clone" in gated.message("test_one")
    gated.write(loosened.replace(".clone()", ".tanh()"))
    gated.run()
    assert "aten::tanh" in gated.message("test_one")


def test_update_new_only_adds(gated: Gated) -> None:
    gated.record(ONE)
    before = gated.entries()["test_one"]
    gated.write(COPYING, TWO)
    gated.run("--hiddencost-update-new", "--hiddencost-launches=2")
    assert gated.outcomes == {"test_one": "failure", "test_two": "passed"}
    assert "baselines: 2 added" in gated.stdout
    assert gated.entries()["test_one"] == before
    assert set(gated.entries()["test_two"]) == {"a", "b"}


def test_what_fails_is_not_recorded(gated: Gated) -> None:
    gated.write(
        ONE,
        """
        def test_asserts(hiddencost):
            hiddencost(MODEL, X)
            assert False

        @budget(macs=1)
        def test_over_budget(hiddencost):
            hiddencost(MODEL, X)

        @pytest.mark.xfail(strict=False)
        def test_expected(hiddencost):
            hiddencost(MODEL, X)
            assert False

        @pytest.fixture
        def broken():
            yield
            raise RuntimeError

        def test_torn_down(hiddencost, broken):
            hiddencost(MODEL, X)
        """,
    )
    gated.run(*RECORD)
    assert gated.code == 1
    assert set(gated.entries()) == {"test_one"}
    assert "not recorded, since they did not pass" in gated.stdout


def test_times_of_an_unfit_device_are_recorded_and_marked(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structure is exact on any device."""
    busy = DeviceHealth(fit=False, reasons=("load of 3.0",), remedies=("stop other processes",))
    measure = pytest_hiddencost.measure.measure

    def on_busy_device(*arguments: Any, **settings: Any) -> Profile:
        return replace(measure(*arguments, **settings), health=busy)

    with monkeypatch.context() as patched:
        patched.setattr(pytest_hiddencost.measure, "measure", on_busy_device)
        gated.record(ONE, TWO)
    assert "baselines: 3 added" in gated.stdout
    assert (
        "times that later runs cannot use: test_it.py::test_one, test_it.py::test_two a, "
        "test_it.py::test_two b: load of 3.0; record again when the device is idle"
    ) in gated.stdout
    assert gated.entries()["test_one"][""]["unfit"] == "load of 3.0"
    gated.run("--hiddencost-interleave=never")
    assert gated.code == 0
    assert gated.checks()["regression[calls]"] == "pass"
    assert {v["verdict"] for v in gated.timed().values()} == {"inconclusive"}
    assert gated.timed()["p50"]["reason"] == UNFIT["p50"]
    gated.write(COPYING, TWO)
    gated.run("--hiddencost-interleave=never")
    assert "+1 aten::clone" in gated.message("test_one")


# --- unused -------------------------------------------------------------------------------------


def test_a_renamed_test_is_one_new_and_one_unused(gated: Gated) -> None:
    gated.record(ONE, TWO)
    gated.write(ONE.replace("test_one", "test_uno"), TWO)
    gated.run()
    assert gated.code == 0
    assert "new (1): test_it.py::test_uno" in gated.stdout
    assert "1 unused baseline entry: test_it.py::test_one" in gated.stdout
    assert gated.run("--hiddencost-strict") == 1
    gated.run(*RECORD)
    assert "1 dropped" in gated.stdout
    assert set(gated.entries()) == {"test_uno", "test_two"}
    gated.run()
    assert "unused baseline" not in gated.stdout


def test_an_unused_entry_that_fails_a_run_without_a_summary_is_named(gated: Gated) -> None:
    gated.record(ONE, TWO)
    gated.write(TWO)
    result = run_here(gated.pytester, *RUN, LOOSE, "--hiddencost-strict", "-pno:terminal")
    assert result.ret == 1
    result.stderr.fnmatch_lines(["1 unused baseline entry: test_it.py::test_one*"])


def test_a_label_that_is_gone_is_unused(gated: Gated) -> None:
    gated.record(TWO)
    gated.write(TWO.replace('    hiddencost(MODEL, X, label="b")\n', ""))
    gated.run()
    assert "1 unused baseline entry: test_it.py::test_two b" in gated.stdout


@pytest.mark.parametrize(
    "selection", [["-k", "two"], ["test_it.py::test_two"], ["--deselect", "test_it.py::test_one"]]
)
def test_what_was_not_selected_is_not_unused(gated: Gated, selection: list[str]) -> None:
    gated.record(ONE, TWO)
    before = gated.entries()["test_one"]
    gated.run("--hiddencost-strict", *selection)
    assert "unused baseline" not in gated.stdout
    gated.run(*RECORD, *selection)
    assert gated.entries()["test_one"] == before, "an update of others leaves it"


def test_what_was_skipped_or_could_not_be_collected_is_not_unused(gated: Gated) -> None:
    gated.record(ONE, TWO)
    gated.write("@pytest.mark.skip\ndef test_one(hiddencost): ...", TWO)
    gated.run()
    assert "unused baseline" not in gated.stdout
    gated.write("import nothing_of_that_name", name="test_other.py")
    gated.write(TWO)
    gated.run("--continue-on-collection-errors")
    assert "unused baseline" not in gated.stdout


TAKING_OUT = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if item.name != "test_one"]
"""
IGNORING = """
def pytest_ignore_collect(collection_path):
    return True if collection_path.name == "test_other.py" else None
"""
SKIPPING = "pytest.skip('not here', allow_module_level=True)"


def test_tests_that_a_plugin_takes_out_are_not_unused(gated: Gated) -> None:
    """As plugins do that share a suite among machines: not all of them deselect."""
    gated.record(ONE, TWO)
    before = gated.entries()["test_one"]
    (gated.folder / "conftest.py").write_text(TAKING_OUT, encoding="utf-8")
    assert gated.run("--hiddencost-strict") == 0, gated.stdout
    assert "unused baseline" not in gated.stdout
    assert gated.run(*RECORD) == 0
    assert gated.entries()["test_one"] == before


@pytest.mark.parametrize(
    ("conftest", "test"), [(IGNORING, ONE), ("", SKIPPING)], ids=["ignored", "skipped"]
)
def test_a_file_that_is_left_out_is_not_unused(gated: Gated, conftest: str, test: str) -> None:
    gated.write(ONE, name="test_other.py")
    gated.record(TWO)
    before = gated.entries("test_other.py")
    (gated.folder / "conftest.py").write_text(conftest, encoding="utf-8")
    gated.write(test, name="test_other.py")
    assert gated.run("--hiddencost-strict") == 0, gated.stdout
    assert "unused baseline" not in gated.stdout
    assert gated.run(*RECORD) == 0
    assert gated.entries("test_other.py") == before


@pytest.mark.parametrize("there", [True, False])
def test_a_file_without_its_tests_is_unused(gated: Gated, there: bool) -> None:
    gated.write(ONE, name="test_other.py")
    gated.record(TWO)
    other = gated.folder / "test_other.py"
    other.write_text("", encoding="utf-8")
    if not there:
        other.unlink()
    assert gated.run("--hiddencost-strict") == 1
    assert "1 unused baseline entry: test_other.py::test_one" in gated.stdout


def test_a_quiet_run_counts_what_is_unused_and_new(gated: Gated) -> None:
    gated.record(ONE, TWO)
    gated.write(TWO.replace('"b"', '"c"'))
    gated.run("-q")
    assert gated.code == 0
    assert "hiddencost: 1 new, 2 unused; run without -q to see which" in gated.stdout
    assert "unused baseline" not in gated.stdout
    assert "hidden costs" not in gated.stdout
    gated.run()
    assert "2 unused baseline entries: test_it.py::test_one, test_it.py::test_two b" in gated.stdout
    assert "drop with --hiddencost-update" in gated.stdout


def test_a_quiet_run_that_strict_fails_lists_what_is_unused(gated: Gated) -> None:
    gated.record(ONE, TWO)
    gated.write(TWO)
    gated.run("-q", "--hiddencost-strict")
    assert gated.code == 1
    assert "1 unused baseline entry: test_it.py::test_one" in gated.stdout


# --- files --------------------------------------------------------------------------------------


def test_a_baseline_that_cannot_be_read_is_an_error_and_stays(gated: Gated) -> None:
    file = gated.record(ONE) / "test_it.py.json"
    file.write_text('{"format": 1', encoding="utf-8")
    gated.run()
    assert gated.code == 1
    message = gated.message("test_one")
    assert str(file) in message
    assert "git checkout" in message
    gated.run(*RECORD)
    assert gated.code == 1
    assert str(file) in gated.stdout
    assert file.read_text(encoding="utf-8") == '{"format": 1'


def test_a_recording_of_another_torch_is_told_and_not_judged(gated: Gated) -> None:
    device = gated.record(ONE)
    key = device.name.replace("-torch", "-torch9")
    moved = device.with_name(key)
    device.rename(moved)
    file = moved / "test_it.py.json"
    document = json.loads(file.read_text())
    document["device"]["key"] = key
    document["device"]["torch"] = "9.1.0"
    file.write_text(json.dumps(document), encoding="utf-8")
    gated.run()
    assert gated.code == 0
    assert "recorded under torch 9.1: p50 " in gated.stdout
    assert gated.checks() == {"regression": "new"}


def test_off_is_off(gated: Gated) -> None:
    gated.record(ONE)
    gated.write(COPYING)
    gated.run("--hiddencost-baseline-dir=off", "--hiddencost-strict")
    assert gated.code == 0
    assert gated.checks() == {}


def test_the_directory_can_be_elsewhere(gated: Gated) -> None:
    gated.write(ONE)
    (gated.folder / "pytest.ini").write_text("[pytest]\nhiddencost_baseline_dir = base lines\n")
    assert gated.run(*RECORD) == 0
    assert list((gated.folder / "base lines").glob("*/test_it.py.json"))
    assert not (gated.folder / ".hiddencost").exists()


# --- times against the accepted commit -----------------------------------------------------------

BUSY = {"unfit": "load of 3.0"}  # an entry whose stored times decide nothing
UNFIT = {"p50": reasons.RECORDED_UNFIT.filled(why="load of 3.0").found}
ALWAYS, NEVER = "--hiddencost-interleave=always", "--hiddencost-interleave=never"


def slower(growth: float) -> Callable[[MeasuredCall], Pair]:
    """Pairs in which head takes so much longer."""

    def measure(call: MeasuredCall) -> Pair:
        profile = Remembered.profiles["", (call.test, call.label)]
        return pair(profile, profile, growth=growth)

    return measure


def failing(error: Exception) -> Callable[[MeasuredCall], Pair]:
    def measure(_: MeasuredCall) -> Pair:
        raise error

    return measure


def test_what_the_stored_times_decide_is_not_measured_again(
    gated: Gated, pairs: GivenPairs
) -> None:
    gated.accept(ONE)
    assert gated.run() == 0
    assert not pairs.asked
    assert {v["verdict"] for v in gated.timed().values()} == {"pass"}
    assert gated.entry()["paired"] is None


def test_open_times_are_judged_by_pairs_with_the_accepted_commit(
    gated: Gated, pairs: GivenPairs
) -> None:
    accepted = gated.accept(ONE, **BUSY)
    assert gated.run() == 0
    assert pairs.asked == [MeasuredCall("test_it.py::test_one", "", base_test=pairs.asked[0].test)]
    assert [base.commit for base in pairs.bases] == [accepted]
    assert pairs.closed
    assert set(gated.checks().values()) == {"pass"}
    paired = gated.entry()["paired"]
    assert (paired["revision"], paired["commit"]) == ("the accepted commit", accepted)
    assert gated.entry()["comparison"] is not None, "the structure is that of the stored entry"


def test_the_verdict_and_the_message_of_open_times_are_those_of_the_pairs(
    gated: Gated, pairs: GivenPairs
) -> None:
    accepted = gated.accept(ONE, **BUSY)
    pairs.measure = slower(99.0)
    assert gated.run() == 1
    assert {v["verdict"] for v in gated.timed().values()} == {"fail"}
    message = " ".join(gated.message("test_one").split())
    assert "regression[p50] +9900 %, at most +1000 %" in message
    assert "pairs of processes" in message
    assert f"the accepted commit ({accepted[:10]})" in message
    assert f"the accepted commit ({accepted[:10]})" in gated.stdout


def test_pairs_may_leave_it_open_with_their_own_reason(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE, **BUSY)
    pairs.measure = slower(10.0)
    measured = 0

    def trouble(call: MeasuredCall) -> Pair:
        nonlocal measured
        measured += 1
        if measured > 2:
            raise InterleavingError("no memory left")
        return same(call)

    pairs.measure = trouble
    assert gated.run() == 0
    assert gated.timed()["p50"]["verdict"] == "inconclusive"
    assert gated.timed()["p50"]["reason"].endswith("; no memory left")
    assert gated.timed()["p50"]["reason"].startswith("only 2 of ")


def without_non_mac(call: MeasuredCall) -> Pair:
    """A pair whose windows are shorter than the profiler's overhead."""
    found = same(call)
    return replace(found, changes={"p50": found.changes["p50"]})


def test_the_stored_verdict_stays_on_a_time_that_no_pair_knows(
    gated: Gated, pairs: GivenPairs
) -> None:
    gated.accept(ONE)
    pairs.measure = without_non_mac
    assert gated.run(ALWAYS) == 0
    assert pairs.asked
    assert {key: v["verdict"] for key, v in gated.timed().items()} == {
        "p50": "pass",
        "non_mac": "pass",
    }


def test_a_time_that_neither_the_stored_times_nor_pairs_decide_is_open(
    gated: Gated, pairs: GivenPairs
) -> None:
    gated.accept(ONE, **BUSY)
    pairs.measure = without_non_mac
    assert gated.run() == 0
    assert gated.timed()["p50"]["verdict"] == "pass"
    assert gated.timed()["non_mac"]["verdict"] == "inconclusive"
    assert "pairs of processes have no time for non_mac" in gated.timed()["non_mac"]["reason"]
    assert gated.run("--hiddencost-strict") == 1
    assert "regression[non_mac]" in gated.message("test_one")


def test_a_commit_that_did_less_than_the_stored_structure_allows_ends_no_pairs(
    gated: Gated, pairs: GivenPairs
) -> None:
    """Its baseline may have been recorded with later code than it was committed with."""
    gated.accept(ONE, **BUSY)

    taken: list[MeasuredCall] = []

    def did_less(call: MeasuredCall) -> Pair:
        found = slower(9.9 + 0.2 * (len(taken) % 2))(call)  # around the tolerance
        assert found.base is not None
        taken.append(call)
        return replace(found, base=replace(found.base, operators=(), macs=0, mac_kinds=()))

    pairs.measure = did_less
    assert gated.run() == 0, gated.stdout
    assert gated.timed()["p50"]["verdict"] == "inconclusive"
    assert "fails the test" not in gated.timed()["p50"]["reason"]
    assert len(taken) == pair_looks(0.99, 1)[-1].size


def test_always_measures_pairs_although_the_stored_times_decide(
    gated: Gated, pairs: GivenPairs
) -> None:
    gated.accept(ONE)
    pairs.measure = slower(99.0)
    assert gated.run(ALWAYS) == 1
    assert [call.test for call in pairs.asked] == ["test_it.py::test_one"]
    assert gated.timed()["p50"]["verdict"] == "fail"


def test_never_measures_no_pairs(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE, **BUSY)
    assert gated.run(NEVER) == 0
    assert not pairs.asked
    assert gated.timed()["p50"]["verdict"] == "inconclusive"
    assert gated.timed()["p50"]["reason"] == UNFIT["p50"]


def test_the_ini_file_may_say_never(gated: Gated, pairs: GivenPairs) -> None:
    (gated.folder / "pytest.ini").write_text("[pytest]\nhiddencost_interleave = never\n")
    gated.accept(ONE, **BUSY)
    assert gated.run() == 0
    assert not pairs.asked


def aged(gated: Gated) -> None:
    """Let the stored times be a hundredth of what they were."""
    entry = gated.entries()["test_one"][""]
    gated.change(
        p50_ns=[value // 100 for value in entry["p50_ns"]],
        non_mac_ns=[value // 100 for value in entry["non_mac_ns"]],
        relative=[value / 100 for value in entry["relative"]],
    )


def test_relaunches_confirm_a_stored_growth_only_if_pairs_never_do(
    gated: Gated, pairs: GivenPairs
) -> None:
    gated.accept(ONE)
    aged(gated)
    commit(gated.folder)
    Remembered.launched = 0
    assert gated.run(NEVER) == 1
    assert "regression[p50]" in gated.message("test_one")
    assert Remembered.launched
    Remembered.launched = 0
    assert gated.run() == 0
    assert not Remembered.launched
    assert pairs.asked
    assert gated.timed()["p50"]["verdict"] == "pass"


@pytest.mark.parametrize("pointers", [False, True])
def test_files_that_the_accepted_commit_lacks_are_named(
    gated: Gated, pairs: GivenPairs, pointers: bool
) -> None:
    gated.accept(ONE, **BUSY)
    error = LacksFiles("the accepted commit: it failed", ["w.pt", "a/b.pt"], pointers=pointers)
    pairs.measure = failing(error)
    [(reason, remedy)] = why_open(gated)
    kind = "git-lfs pointers" if pointers else "files that git does not know"
    assert "the accepted commit could not be measured: the accepted commit: it failed" in reason
    assert kind in reason
    assert "w.pt,a/b.pt" in reason
    assert "--hiddencost-carry=w.pt,a/b.pt" in remedy


# --- other folders ------------------------------------------------------------------------------


def below(gated: Gated, *arguments: str) -> str:
    """Run the tests of a sub-folder with an ini file of its own; what was printed."""
    result = run_here(gated.pytester, *RUN, LOOSE, "--rootdir=sub", "sub", *arguments)
    return " ".join(result.stdout.str().split())


def test_a_run_from_a_sub_folder_names_the_baselines_above(gated: Gated) -> None:
    (gated.folder / "sub").mkdir()
    gated.write(ONE, name="sub/test_it.py")
    assert gated.run(*RECORD) == 0
    printed = below(gated)
    above = gated.folder / ".hiddencost"
    own = gated.folder / "sub" / ".hiddencost"
    assert f"no baseline in {own}; {above} has one of this call; run with --rootdir=" in printed
    assert f"there is no {own}, and {above} is not read" in printed
    assert f"--rootdir={gated.folder}" in printed
    assert not own.exists()
    assert f"{above} is not read" in below(gated, *RECORD), "before another one is committed"
    assert "is not read" not in below(gated)
    assert "is not read" not in below(gated, "--hiddencost-baseline-dir=off")


@pytest.mark.parametrize("when", ["auto", "always"])
def test_a_structure_that_failed_is_not_measured_again(
    gated: Gated, pairs: GivenPairs, when: str
) -> None:
    gated.accept(ONE, **BUSY)
    gated.write(COPYING)
    assert gated.run(f"--hiddencost-interleave={when}") == 1
    assert "+1 aten::clone" in gated.message("test_one")
    assert not pairs.asked


def test_what_is_new_is_not_measured_again(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE)
    gated.write(ONE, TWO)
    assert gated.run(ALWAYS) == 0
    assert {call.test for call in pairs.asked} == {"test_it.py::test_one"}


def test_entries_that_were_accepted_at_two_commits_have_two_bases(
    gated: Gated, pairs: GivenPairs
) -> None:
    first = gated.accept(ONE)
    gated.write(ONE, TWO)
    gated.run("--hiddencost-update-new", "--hiddencost-launches=2")
    second = commit(gated.folder)
    assert gated.run(ALWAYS) == 0, gated.stdout
    assert [base.commit for base in pairs.bases] == [first, second]
    assert [call.label for call in pairs.asked] == ["", "a", "b"]


def test_a_renamed_module_is_compared_with_its_old_one(gated: Gated, pairs: GivenPairs) -> None:
    first = gated.accept(ONE, TWO)
    old = gated.device / "test_it.py.json"
    git(gated.folder, "mv", "test_it.py", "test_new.py")
    git(gated.folder, "mv", str(old), str(old.with_name("test_new.py.json")))
    new = old.with_name("test_new.py.json")
    new.write_text(new.read_text().replace('"test_it.py"', '"test_new.py"'), encoding="utf-8")
    commit(gated.folder)
    assert gated.run(ALWAYS, "test_new.py::test_one") == 0, gated.stdout
    assert pairs.asked == [
        MeasuredCall("test_new.py::test_one", "", base_test="test_it.py::test_one")
    ]
    assert [base.commit for base in pairs.bases] == [first]


# --- no accepted commit to compare with -----------------------------------------------------------


def why_open(gated: Gated) -> set[tuple[str, str]]:
    """The reason and the remedy of every timed verdict; each is open, and the test passes."""
    assert gated.run() == 0, gated.stdout
    found = gated.timed().values()
    assert {v["verdict"] for v in found} == {"inconclusive"}
    assert gated.checks()["regression[calls]"] == "pass"
    return {(v["reason"], v["remedy"]) for v in found}


def test_an_entry_that_is_not_committed_leaves_it_open(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE)
    gated.change(**BUSY)
    reason = reasons.NOT_COMMITTED.filled(file="test_it.py.json")
    assert why_open(gated) == {(reason.found, reason.remedy)}
    assert not pairs.asked
    assert gated.run("--hiddencost-strict") == 1
    assert "is not committed" in gated.message("test_one")


def test_tests_outside_a_repository_leave_it_open(gated: Gated) -> None:
    gated.record(ONE)
    gated.change(**BUSY)
    assert why_open(gated) == {(reasons.NOT_IN_GIT.found, reasons.NOT_IN_GIT.remedy)}


def test_a_machine_without_git_leaves_it_open(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.accept(ONE, **BUSY)
    monkeypatch.setenv("PATH", str(gated.folder / "nothing"))
    [(reason, remedy)] = why_open(gated)
    assert reason.startswith("the stored times do not decide, and git did not find the commit")
    assert remedy == reasons.NO_GIT.remedy


def test_a_shallow_clone_leaves_it_open(gated: Gated) -> None:
    gated.accept(ONE, **BUSY)
    commit_id = git(gated.folder, "rev-parse", "HEAD")
    (gated.folder / ".git" / "shallow").write_text(commit_id, encoding="ascii")
    assert why_open(gated) == {(reasons.SHALLOW.found, reasons.SHALLOW.remedy)}


@pytest.mark.parametrize(
    "error",
    [
        InterleavingError("the worker of base ended"),
        NotInBase("the accepted commit has no test_it.py"),
        SameCode("head and base both import mynet from elsewhere"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_commit_that_cannot_be_measured_leaves_it_open(
    gated: Gated, pairs: GivenPairs, error: Exception
) -> None:
    gated.accept(ONE, **BUSY)
    pairs.measure = failing(error)
    reason = reasons.NOT_COMPARED.filled(why=error)
    assert why_open(gated) == {(reason.found, reason.remedy)}


class Full:
    """Stands in for a checkout on a full disk; ``tried`` counts the attempts."""

    def __init__(self) -> None:
        self.tried = 0

    def __call__(self, *_: object) -> Tree:
        self.tried += 1
        raise GitError("git worktree add: no space left on device")


def test_a_commit_that_cannot_be_checked_out_is_tried_once(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkout may take minutes."""
    gated.accept(ONE, TWO)
    full = Full()
    monkeypatch.setattr(interleaving, "materialised", full)
    assert gated.run(ALWAYS) == 0
    assert gated.timed("test_two")["p50"]["verdict"] == "pass", "the stored times hold"
    assert full.tried == 1


def test_a_commit_that_cannot_be_checked_out_leaves_it_open(
    gated: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated.accept(ONE, **BUSY)
    monkeypatch.setattr(interleaving, "materialised", Full())
    [(reason, _)] = why_open(gated)
    assert reason == (
        "the stored times do not decide, and the accepted commit could not be measured: "
        "git worktree add: no space left on device"
    )


def test_what_the_stored_times_passed_stays_passed_without_a_commit(gated: Gated) -> None:
    gated.record(ONE)
    assert gated.run(ALWAYS) == 0
    assert {v["verdict"] for v in gated.timed().values()} == {"pass"}


# --- the template of the workers ------------------------------------------------------------------


def test_the_template_starts_early_where_pairs_may_follow(gated: Gated) -> None:
    gated.record(ONE)
    assert NoStarter.prepared == 1, "a recording relaunches"
    for arguments, expected in [((), 2), ((NEVER,), 2), ((NEVER, "--hiddencost-selftest"), 3)]:
        gated.run(*arguments)
        assert NoStarter.prepared == expected, arguments


@pytest.mark.parametrize("argument", ["--collect-only", "--setup-plan", "--hiddencost-disable"])
def test_no_template_starts_for_a_run_that_measures_nothing(gated: Gated, argument: str) -> None:
    gated.record(ONE)
    NoStarter.prepared = 0
    gated.run(argument)
    assert NoStarter.prepared == 0


def test_no_template_starts_without_baselines(gated: Gated) -> None:
    gated.write(ONE)
    gated.run()
    assert NoStarter.prepared == 0


# --- selftest ---------------------------------------------------------------------------------


def test_the_selftest_injects_what_the_gate_must_notice(gated: Gated) -> None:
    gated.record(ONE)
    gated.run("--hiddencost-selftest", NEVER)
    assert gated.code == 0, gated.stdout
    assert "selftest: test_it.py::test_one: copies caught" in gated.stdout
    assert "selftest: test_it.py::test_one: slow no power" in gated.stdout


def slow_growing(growth: float) -> Callable[[MeasuredCall], Pair]:
    """Pairs in which the injected slowdown takes so much longer, and the call itself does not."""

    def measure(call: MeasuredCall) -> Pair:
        return slower(growth if call.injection == "slow" else 0.0)(call)

    return measure


def test_the_selftest_asks_pairs_for_the_slowdown(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE, **BUSY)
    pairs.measure = slow_growing(99.0)
    gated.run("--hiddencost-selftest")
    assert gated.code == 0, gated.stdout
    assert [call.injection for call in pairs.asked] == ["", "slow"]
    assert "selftest: test_it.py::test_one: copies caught" in gated.stdout
    assert "selftest: test_it.py::test_one: slow caught" in gated.stdout
    assert set(gated.checks().values()) == {"pass"}, "the call itself is judged without it"


def test_pairs_that_miss_the_slowdown_fail_the_selftest(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE, **BUSY)
    pairs.measure = slow_growing(0.0)
    gated.run("--hiddencost-selftest")
    assert gated.code == 1
    assert "selftest: test_it.py::test_one: slow missed" in gated.stdout


def test_pairs_that_cannot_decide_have_no_power(gated: Gated, pairs: GivenPairs) -> None:
    gated.accept(ONE, **BUSY)

    def broken(call: MeasuredCall) -> Pair:
        if call.injection:
            raise InterleavingError("the worker of head ended")
        return same(call)

    pairs.measure = broken
    gated.run("--hiddencost-selftest")
    assert gated.code == 0, gated.stdout
    assert "selftest: test_it.py::test_one: slow no power: " in gated.stdout
    assert "the worker of head ended" in gated.stdout


def test_a_gate_that_notices_nothing_fails_the_selftest(gated: Gated) -> None:
    blind = ONE.replace("def", "@budget(regression={ALLOWED})\ndef")
    allowed = dict.fromkeys(["calls", "allocated_bytes", "activation_memory"], "900%")
    blind = blind.replace("{ALLOWED}", repr(allowed))
    cloning = blind.replace("hiddencost(MODEL, X)", "hiddencost(lambda x: MODEL(x).clone(), X)")
    gated.record(cloning)
    gated.run("--hiddencost-selftest")
    assert "copies missed" in gated.stdout
    assert gated.code == 1
