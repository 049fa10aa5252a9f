"""Baselines as a user has them: record, gate, accept; what is new, unused, broken.

A model is measured once, and relaunches measure the same: ``tests/end_to_end`` starts processes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
import scipy.optimize
import scipy.stats

from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.run.modes import against_baseline
from pytest_hiddencost.run.modes.base import Measurement, Request
from pytest_hiddencost.workers.invocation import Invocation
from tests.recorded_suites import COPYING, LOOSE, ONE, RECORD, RUN, TWO
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

    def __init__(self, invocation: Invocation, plugins: frozenset[str]) -> None:
        self.trouble = ""

    def launch(self, tests: Sequence[str], injection: str = "") -> dict[CallKey, Profile]:
        return {
            key: profile
            for (injected, key), profile in self.profiles.items()
            if injected == injection and key[0] in tests
        }


@pytest.fixture(autouse=True)
def _remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    remember(monkeypatch)
    Remembered.profiles = {}
    measure = against_baseline.AgainstBaseline.measure

    def remembering(mode: against_baseline.AgainstBaseline, request: Request) -> Measurement:
        found = measure(mode, request)
        key = (request.test, request.label)
        Remembered.profiles["", key] = found.profile
        for injection, profile in found.injected.items():
            Remembered.profiles[injection, key] = profile
        return found

    monkeypatch.setattr(against_baseline, "Relaunches", Remembered)
    monkeypatch.setattr(against_baseline.AgainstBaseline, "measure", remembering)


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

    @property
    def outcomes(self) -> dict[str, str]:
        return outcomes_in(junit_cases(self.folder / "junit.xml"))

    def message(self, test: str) -> str:
        """What is said about a test that failed."""
        (found,) = junit_cases(self.folder / "junit.xml")[test].iter("failure")
        return f"{found.attrib['message']}\n{found.text}"

    def checks(self, test: str = "test_one") -> dict[str, str]:
        for entry in run_file(self.folder)["profiles"]:
            if entry["test"].endswith(f"::{test}"):
                return verdicts(entry)
        raise KeyError(test)


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


# --- selftest ---------------------------------------------------------------------------------


def test_the_selftest_injects_what_the_gate_must_notice(gated: Gated) -> None:
    gated.record(ONE)
    gated.run("--hiddencost-selftest")
    assert gated.code == 0, gated.stdout
    assert "selftest: test_it.py::test_one: copies caught" in gated.stdout
    assert "selftest: test_it.py::test_one: slow no power" in gated.stdout


def test_a_gate_that_notices_nothing_fails_the_selftest(gated: Gated) -> None:
    blind = ONE.replace("def", "@budget(regression={ALLOWED})\ndef")
    allowed = dict.fromkeys(["calls", "allocated_bytes", "activation_memory"], "900%")
    blind = blind.replace("{ALLOWED}", repr(allowed))
    cloning = blind.replace("hiddencost(MODEL, X)", "hiddencost(lambda x: MODEL(x).clone(), X)")
    gated.record(cloning)
    gated.run("--hiddencost-selftest")
    assert "copies missed" in gated.stdout
    assert gated.code == 1
