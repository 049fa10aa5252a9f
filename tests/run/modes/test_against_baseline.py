"""Baselines as a user has them: record, gate, accept; what is new, unused, broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.suites import ALONE, SHORT, Finished, pytest_apart, run_file, suite, verdicts

RUN = ("--hiddencost-json=run.json", "--junitxml=junit.xml", SHORT, "--hiddencost-threads=1")
# Structure is what most of these are about: time may do what it likes.
LOOSE = "--hiddencost-tolerance=1000%"
RECORD = ("--hiddencost-update", "--hiddencost-launches=2")

ONE = """
def test_one(hiddencost):
    hiddencost(MODEL, X)
"""
TWO = """
def test_two(hiddencost):
    hiddencost(MODEL, X, label="a")
    hiddencost(MODEL, X, label="b")
"""
COPYING = """
class Copying(nn.Sequential):
    def forward(self, x):
        return super().forward(x).clone()


def test_one(hiddencost):
    hiddencost(Copying(*MODEL).eval(), X)
"""


def write(folder: Path, *tests: str, name: str = "test_it.py") -> None:
    # Other processes may take cores from these: what is unfit would not be recorded.
    (folder / "conftest.py").write_text(ALONE, encoding="utf-8")
    (folder / name).write_text(suite(*tests), encoding="utf-8")


def run(folder: Path, *arguments: str) -> Finished:
    return pytest_apart(folder, *RUN, LOOSE, *arguments, PYTHONDONTWRITEBYTECODE="1")


def recorded(folder: Path, *tests: str, arguments: Sequence[str] = ()) -> Path:
    """Write these tests, record their baseline; the folder of the device."""
    write(folder, *tests)
    done = run(folder, *RECORD, *arguments)
    assert done.code == 0, done.output
    (device,) = (f for f in (folder / ".hiddencost").iterdir() if f.is_dir())
    return device


def entries(device: Path, module: str = "test_it.py") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((device / f"{module}.json").read_text())["entries"]
    return found


def gates(folder: Path, test: str = "test_one") -> dict[str, str]:
    for entry in run_file(folder)["profiles"]:
        if entry["test"].endswith(f"::{test}"):
            return verdicts(entry)
    raise KeyError(test)


# --- new, recorded, accepted --------------------------------------------------------------------


def test_a_call_without_a_baseline_is_new_and_listed(tmp_path: Path) -> None:
    write(tmp_path, ONE, TWO)
    done = run(tmp_path)
    assert done.code == 0
    assert "new (3): test_it.py::test_one, test_it.py::test_two a, test_it.py::test_two b: " in (
        done.stdout
    )
    assert "record it with --hiddencost-update-new" in done.stdout
    assert gates(tmp_path) == {"regression": "new"}
    assert not (tmp_path / ".hiddencost").exists()


def test_strict_fails_what_is_new(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    done = run(tmp_path, "--hiddencost-strict")
    assert done.code == 1
    assert "new: no baseline on this device" in done.message("test_one")


def test_record_then_gate(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE, TWO)
    found = entries(device)
    assert {test: set(labels) for test, labels in found.items()} == {
        "test_one": {""}, "test_two": {"a", "b"},
    }  # fmt: skip
    entry = found["test_one"][""]
    assert len(entry["p50_ns"]) == len(entry["control_ns"]) == len(entry["relative"]) == 2
    assert entry["operators"]["aten::addmm"]["calls"] == 1
    assert "samples_ns" not in json.dumps(found)
    done = run(tmp_path)
    assert done.code == 0
    assert "new (" not in done.stdout
    assert {gates(tmp_path)[f"regression[{g}]"] for g in ("calls", "macs", "allocated_bytes")} == {
        "pass"
    }


def test_an_extra_copy_fails_is_named_and_can_be_accepted(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE)
    write(tmp_path, COPYING)
    done = run(tmp_path)
    assert done.code == 1
    message = done.message("test_one")
    assert message.startswith("Failed: regression[calls] ")
    assert "+1 aten::clone" in message
    assert "test_it.py:" in message, "the line it comes from"
    assert "MACs unchanged" in message
    assert gates(tmp_path)["regression[calls]"] == "fail"
    properties = {
        p.attrib["name"]: p.attrib["value"] for p in done.cases["test_one"].iter("property")
    }
    assert properties["hiddencost.verdict.regression[calls]"] == "fail"
    assert run(tmp_path).code == 1, "a failing run is no baseline"

    accepted = run(tmp_path, *RECORD, "--hiddencost-reason=safer views")
    assert accepted.code == 0, accepted.output
    assert "baselines: 1 rewritten in .hiddencost (2 launches each)" in accepted.stdout
    assert entries(device)["test_one"][""]["reason"] == "safer views"
    assert run(tmp_path).code == 0


def test_fewer_calls_pass_and_offer_an_update(tmp_path: Path) -> None:
    recorded(tmp_path, COPYING)
    write(tmp_path, ONE)
    done = run(tmp_path)
    assert done.code == 0
    assert "baseline is stale: regression[calls]" in done.stdout
    assert "accept with --hiddencost-update" in done.stdout
    assert "baseline is stale" in run(tmp_path, "--hiddencost-strict").message("test_one")


def test_the_markers_tolerance_loosens_structure(tmp_path: Path) -> None:
    """More calls of what was called already; a new operator is no growth of one that was there."""
    twice = COPYING.replace("super().forward(x).clone()", "super().forward(x.clone()).clone()")
    recorded(tmp_path, twice)
    thrice = twice.replace("x.clone()", "x.clone().clone()")
    write(tmp_path, thrice)
    done = run(tmp_path)
    assert done.code == 1
    assert "+1 aten::clone" in done.message("test_one")
    allowed = '{"calls": "50%", "allocated_bytes": "90%", "activation_memory": "90%"}'
    loosened = thrice.replace("def test_one", f"@budget(regression={allowed})\ndef test_one")
    write(tmp_path, loosened)
    assert run(tmp_path).code == 0
    write(tmp_path, loosened.replace("50%", "40%"))
    assert "+1 aten::clone" in run(tmp_path).message("test_one")
    write(tmp_path, loosened.replace(".clone()", ".tanh()"))
    assert "aten::tanh" in run(tmp_path).message("test_one")


def test_update_new_only_adds(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE)
    before = entries(device)["test_one"]
    write(tmp_path, COPYING, TWO)
    done = run(tmp_path, "--hiddencost-update-new", "--hiddencost-launches=2")
    assert done.outcomes == {"test_one": "failure", "test_two": "passed"}
    assert "baselines: 2 added" in done.stdout
    assert entries(device)["test_one"] == before
    assert set(entries(device)["test_two"]) == {"a", "b"}


def test_what_fails_is_not_recorded(tmp_path: Path) -> None:
    write(
        tmp_path,
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
    done = run(tmp_path, *RECORD)
    assert done.code == 1
    (device,) = (f for f in (tmp_path / ".hiddencost").iterdir() if f.is_dir())
    assert set(entries(device)) == {"test_one"}
    assert "not recorded, since they did not pass" in done.stdout


# --- unused -------------------------------------------------------------------------------------


def test_a_renamed_test_is_one_new_and_one_unused(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE, TWO)
    write(tmp_path, ONE.replace("test_one", "test_uno"), TWO)
    done = run(tmp_path)
    assert done.code == 0
    assert "new (1): test_it.py::test_uno" in done.stdout
    assert "1 unused baseline entry: test_it.py::test_one" in done.stdout
    assert run(tmp_path, "--hiddencost-strict").code == 1
    dropped = run(tmp_path, *RECORD)
    assert "1 dropped" in dropped.stdout
    assert set(entries(device)) == {"test_uno", "test_two"}
    assert "unused" not in run(tmp_path).stdout


def test_a_label_that_is_gone_is_unused(tmp_path: Path) -> None:
    recorded(tmp_path, TWO)
    write(tmp_path, TWO.replace('    hiddencost(MODEL, X, label="b")\n', ""))
    assert "1 unused baseline entry: test_it.py::test_two b" in run(tmp_path).stdout


@pytest.mark.parametrize(
    "selection", [["-k", "two"], ["test_it.py::test_two"], ["--deselect", "test_it.py::test_one"]]
)
def test_what_was_not_selected_is_not_unused(tmp_path: Path, selection: list[str]) -> None:
    device = recorded(tmp_path, ONE, TWO)
    before = entries(device)["test_one"]
    done = run(tmp_path, "--hiddencost-strict", *selection)
    assert "unused" not in done.stdout
    run(tmp_path, *RECORD, *selection)
    assert entries(device)["test_one"] == before, "an update of others leaves it"


def test_what_was_skipped_or_could_not_be_collected_is_not_unused(tmp_path: Path) -> None:
    recorded(tmp_path, ONE, TWO)
    write(tmp_path, "@pytest.mark.skip\ndef test_one(hiddencost): ...", TWO)
    assert "unused" not in run(tmp_path).stdout
    write(tmp_path, "import nothing_of_that_name", name="test_other.py")
    write(tmp_path, TWO)
    assert "unused" not in run(tmp_path, "--continue-on-collection-errors").stdout


# --- files --------------------------------------------------------------------------------------


def test_a_baseline_that_cannot_be_read_is_an_error_and_stays(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE)
    file = device / "test_it.py.json"
    file.write_text('{"format": 1', encoding="utf-8")
    done = run(tmp_path)
    assert done.code == 1
    message = done.message("test_one")
    assert str(file) in message
    assert "git checkout" in message
    updated = run(tmp_path, *RECORD)
    assert updated.code == 1
    assert str(file) in updated.stdout
    assert file.read_text(encoding="utf-8") == '{"format": 1'


def test_a_recording_of_another_torch_is_told_and_not_judged(tmp_path: Path) -> None:
    device = recorded(tmp_path, ONE)
    key = device.name.replace("-torch", "-torch9")
    moved = device.with_name(key)
    device.rename(moved)
    file = moved / "test_it.py.json"
    document = json.loads(file.read_text())
    document["device"]["key"] = key
    document["device"]["torch"] = "9.1.0"
    file.write_text(json.dumps(document), encoding="utf-8")
    done = run(tmp_path)
    assert done.code == 0
    assert "recorded under torch 9.1: p50 " in done.stdout
    assert gates(tmp_path) == {"regression": "new"}


def test_off_is_off(tmp_path: Path) -> None:
    recorded(tmp_path, ONE)
    write(tmp_path, COPYING)
    done = run(tmp_path, "--hiddencost-baseline-dir=off", "--hiddencost-strict")
    assert done.code == 0
    assert gates(tmp_path) == {}


def test_the_directory_can_be_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, ONE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nhiddencost_baseline_dir = base lines\n")
    assert run(tmp_path, *RECORD).code == 0
    assert list((tmp_path / "base lines").glob("*/test_it.py.json"))
    assert not (tmp_path / ".hiddencost").exists()


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hiddencost-update", "--hiddencost-update-new"], "the first rewrites entries"),
        (["--hiddencost-reason=x"], "kept with an update only"),
        (["--hiddencost-update", "--hiddencost-launches=1"], "could never fail a test"),
        (["--hiddencost-launches=0"], "whole number of at least 1"),
        (["--hiddencost-tolerance=5"], "has no unit"),
        (["--hiddencost-tolerance=-5%"], "is negative"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, options: list[str], said: str
) -> None:
    write(tmp_path, ONE)
    done = pytest_apart(tmp_path, *options)
    assert done.code == 4
    assert said in done.output


# --- workers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["-n0", "-n1", "-n2"])
def test_workers_come_to_the_same_verdicts_on_structure(tmp_path: Path, workers: str) -> None:
    device = recorded(tmp_path, ONE, TWO, arguments=[workers])
    assert set(entries(device)) == {"test_one", "test_two"}
    write(tmp_path, COPYING, TWO.replace('label="b"', 'label="c"'))
    done = run(tmp_path, workers)
    assert done.outcomes == {"test_one": "failure", "test_two": "passed"}
    assert gates(tmp_path)["regression[calls]"] == "fail"
    assert "1 unused baseline entry: test_it.py::test_two b" in done.stdout
    assert "new (1): test_it.py::test_two c" in done.stdout


# --- time ---------------------------------------------------------------------------------------

SLEEPING = """
def slow(x):
    time.sleep({ms} / 1000)
    return MODEL(x)


def test_one(hiddencost):
    hiddencost(slow, X)
"""


def test_a_slower_call_is_confirmed_by_fresh_launches(tmp_path: Path) -> None:
    recorded(tmp_path, SLEEPING.format(ms=2), arguments=["--hiddencost-launches=3"])
    write(tmp_path, SLEEPING.format(ms=60))
    done = run(tmp_path, "--hiddencost-tolerance=100%", "--hiddencost-max-time=200ms")
    assert done.code == 1, done.output
    message = done.message("test_one")
    assert "regression[p50]" in message
    assert "confirmed by" in message
    assert "against the baseline of" in message


def test_the_selftest_plants_what_the_gate_must_notice(tmp_path: Path) -> None:
    recorded(tmp_path, ONE)
    done = run(tmp_path, "--hiddencost-selftest")
    assert done.code == 0, done.output
    assert "selftest: test_it.py::test_one: copies caught" in done.stdout
    assert "selftest: test_it.py::test_one: slow no power" in done.stdout


def test_a_gate_that_notices_nothing_fails_the_selftest(tmp_path: Path) -> None:
    blind = ONE.replace("def", "@budget(regression={ALLOWED})\ndef")
    allowed = dict.fromkeys(["calls", "allocated_bytes", "activation_memory"], "900%")
    blind = blind.replace("{ALLOWED}", repr(allowed))
    cloning = blind.replace("hiddencost(MODEL, X)", "hiddencost(lambda x: MODEL(x).clone(), X)")
    recorded(tmp_path, cloning)
    done = run(tmp_path, "--hiddencost-selftest")
    assert "copies missed" in done.stdout
    assert done.code == 1


def test_statistics_and_locks_are_imported_when_they_are_needed(tmp_path: Path) -> None:
    def imported(*arguments: str) -> set[str]:
        write(tmp_path, ONE)
        with (tmp_path / "conftest.py").open("a") as file:
            file.write(
                "\ndef pytest_unconfigure(config):\n    import sys\n"
                "    print('MODULES', *sorted(sys.modules.keys() & {'scipy', 'filelock'}))\n"
            )
        done = run(tmp_path, "-s", *arguments)
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("MODULES")]
        return set(line.split()[1:])

    assert imported() == set()
    assert imported(*RECORD) == {"filelock", "scipy"}
    assert imported() == {"scipy"}
