"""``hiddencost kinds``: tables, a run file and a page; models below the roofs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.core.operator_rates import Peaks
from pytest_hiddencost.core.records import Profile, Sampling
from pytest_hiddencost.measure import Call, one_call
from pytest_hiddencost.measure.kinds import peaks, surveys
from pytest_hiddencost.measure.kinds.battery import BatteryEntry
from pytest_hiddencost.report import run_file
from tests.cli.running import error_of, hiddencost
from tests.profiles import read_tables
from tests.quick_kinds import REPETITION_NS, quick_kinds
from tests.report.html.reports import data_of

ENTRIES = (
    BatteryEntry("matmul", torch.matmul, ((8, 8), (8, 8))),
    BatteryEntry("linear", torch.nn.functional.linear, ((1, 8), (4, 8))),
    BatteryEntry("relu", torch.relu, ((8, 8),)),
)
NET = """\
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

def other():
    return nn.ReLU()
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    quick_kinds(monkeypatch)
    monkeypatch.setattr(surveys, "battery", lambda: iter(ENTRIES))
    monkeypatch.setattr(surveys, "Sampling", lambda: Sampling(max_time_ns=1_000_000))
    yield
    peaks.measured_peaks.cache_clear()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module of the user's."""
    (tmp_path / "kinds_nets.py").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("kinds_nets", None)
    sys.path[:] = [folder for folder in sys.path if folder != str(tmp_path)]


def test_it_prints_the_device_the_peaks_and_the_kinds() -> None:
    result = hiddencost("kinds", "--threads", "1")
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.startswith("cpu: ")
    assert " 1 thread, " in head
    assert any(line.startswith("peaks: ") for line in lines)
    with_macs, without = read_tables(lines)
    assert [row["kind"] for row in with_macs] == ["matmul", "linear"]
    assert with_macs[0]["GMAC/s"] == f"{8**3 / REPETITION_NS:.3g}"
    assert [row["operator"] for row in without] == ["relu"]
    assert "energy of a MAC: not asked for, see --energy" in result.stdout


def test_threads_are_those_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()

    def spy(device: torch.device, threads: int) -> Peaks:
        seen.extend((threads, torch.get_num_threads()))
        return peaks.measured_peaks(device, threads)

    monkeypatch.setattr(surveys, "measured_peaks", spy)
    hiddencost("kinds", "--threads", str(before + 1))
    assert seen == [before + 1, before + 1]
    assert torch.get_num_threads() == before


def test_without_a_meter_the_reason_stands_in_the_energys_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: torch.device) -> None:
        raise EnergyError("no energy meter found: no counters", "mount them")

    monkeypatch.setattr(surveys, "energy_meter", none)
    found = hiddencost("kinds", "--energy").stdout
    assert "energy of a MAC: no energy meter found: no counters; mount them" in found


def test_a_model_has_its_operators_below_the_roofs(project: Path) -> None:
    result = hiddencost("kinds", "--model", "kinds_nets:net", "--input", "1x3x8x8")
    assert result.exit_code == 0, result.output
    assert "kinds_nets:net[1x3x8x8-eager]" in result.stdout
    assert "check: the replays take 2 us together" in result.stdout
    *_, replays, kinds = read_tables(result.stdout.splitlines())
    assert len(replays) == 2
    assert "relu" in {row["replay"] for row in replays}
    assert [(row["MAC kind"], row["replayed"]) for row in kinds] == [("conv2d 3x3", "1 us")]


def test_it_writes_a_run_file_and_a_page(project: Path) -> None:
    json, page = project / "kinds.json", project / "kinds.html"
    model = ("--model", "kinds_nets:net", "--input", "1x3x8x8")
    result = hiddencost("kinds", *model, "--json", json, "--report", page)
    assert result.stdout.endswith(f"written: {json}\nwritten: {page}\n")
    found = run_file.read(json)
    assert found.kinds is not None
    assert [rate.kind for rate in found.kinds.operators] == ["matmul", "linear", "activation"]
    assert found.profiles[0].replays
    overview, (call,) = data_of(page.read_text(encoding="utf-8"))
    assert len(overview["kinds"]["rows"]) == len(ENTRIES)
    assert call["roofline"]["points"]
    again = project / "again.html"
    assert hiddencost("report", json, "-o", again).exit_code == 0
    assert data_of(again.read_text(encoding="utf-8"))[0]["kinds"] == overview["kinds"]


def test_what_cannot_be_done_is_one_line(project: Path) -> None:
    assert "names no model; expected" in error_of("kinds", "--model", "nets")
    assert "is no input; expected a shape" in error_of("kinds", "--model", "a:b", "--input", "x")
    assert "does not exist" in error_of("kinds", "--json", project / "none" / "kinds.json")
    assert "device 'tpu' is not known" in error_of("kinds", "--device", "tpu")


def test_a_model_without_an_input_is_refused_before_anything_is_measured(project: Path) -> None:
    message = error_of("kinds", "--model", "kinds_nets:net")
    assert "add --hiddencost-input=1x3x224x224" in message


def test_a_model_that_fails_is_one_line(project: Path) -> None:
    result = hiddencost("kinds", "--model", "kinds_nets:net", "--input", "1x7x8x8")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: kinds_nets:net[1x7x8x8-eager] failed: RuntimeError: ")
    assert result.stderr.rstrip().endswith("choose another --input")
    same = ("--hiddencost-model", "kinds_nets:net", "--hiddencost-input=1x3x8x8")
    assert hiddencost("kinds", *same).exit_code == 0


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_measured_is_written_if_a_later_model_fails_or_is_stopped(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    measured = one_call.measure

    def measure(call: Call, *given: Any, **how: Any) -> Profile:
        if isinstance(call.module, nn.ReLU):
            raise error
        return measured(call, *given, **how)

    monkeypatch.setattr(surveys, "measure", measure)
    nets = ("--model", "kinds_nets:net", "--model", "kinds_nets:other")
    json = project / "kinds.json"
    result = hiddencost("kinds", *nets, "--input", "1x3x8x8", "--json", json)
    assert result.exit_code != 0
    assert f"written: {json}" in result.stdout
    found = run_file.read(json)
    assert found.kinds is not None
    assert [profile.test for profile in found.profiles] == ["kinds_nets:net[1x3x8x8-eager]"]


@pytest.mark.parametrize("option", ["--input=1x3x8x8", "--dtype=bfloat16"])
def test_the_shape_or_dtype_of_no_model_is_refused(option: str) -> None:
    message = error_of("kinds", option)
    assert option in message
    assert "name a model with --model" in message


class Meter:
    """Counts 7 nJ for every reading, and fails after so many."""

    name, domain = "a meter", "package"

    def __init__(self, readings: float = math.inf) -> None:
        self.total_nj, self._left = 0.0, readings

    def read_nj(self) -> float:
        self._left -= 1
        if self._left < 0:
            raise OSError("unplugged")
        self.total_nj += 7.0
        return self.total_nj


def test_a_meter_that_fails_leaves_the_times_and_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(surveys, "energy_meter", lambda _: Meter())
    whole = hiddencost("kinds", "--energy").stdout
    assert "energy of a MAC: " in whole
    assert "unknown" not in whole
    monkeypatch.setattr(surveys, "energy_meter", lambda _: Meter(readings=5))
    result = hiddencost("kinds", "--energy")
    assert result.exit_code == 0, result.output
    assert "energy of a MAC: a meter cannot be read: OSError: unplugged; " in result.stdout
    with_macs, without = read_tables(result.stdout.splitlines())
    assert [row["nJ/MAC"] for row in with_macs] == ["-", "-"]
    assert len(without) == 1
