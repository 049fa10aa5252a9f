"""Energy over launches in whole processes: a meter in conftest.py, recorded and compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.recorded_suites import LOOSE, RUN
from tests.suites import ALONE, Finished, pytest_apart, suite, verdicts

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("clock")]

METER = """
import time

class Meter:
    name, domain = "bench meter", "board"

    def read_nj(self):
        return float(Path("watts.txt").read_text()) * time.perf_counter_ns()

def pytest_hiddencost_energy_meter(device):
    return Meter()
"""
SLEEPS = """
def sleeps(x):
    time.sleep(0.002)
    return MODEL(x)


@budget(regression={"p50": "900%", "non_mac": "900%", "energy": "50%"})
def test_it(hiddencost):
    hiddencost(sleeps, X)
"""


@pytest.mark.nightly
def test_a_growth_of_energy_fails_although_no_time_grew(tmp_path: Path) -> None:
    def run(watts: float, *arguments: str) -> Finished:
        (tmp_path / "watts.txt").write_text(str(watts))
        never = "--hiddencost-interleave=never"
        return pytest_apart(tmp_path, *RUN, LOOSE, never, *arguments)

    (tmp_path / "conftest.py").write_text(ALONE + METER, encoding="utf-8")
    (tmp_path / "test_it.py").write_text(suite(SLEEPS), encoding="utf-8")
    done = run(5.0, "--hiddencost-update", "--hiddencost-launches=4")
    assert done.code == 0, done.output
    (file,) = (tmp_path / ".hiddencost").rglob("test_it.py.json")
    entry = json.loads(file.read_text())["entries"]["test_it"][""]
    assert len(entry["energy_nj"]) == len(entry["p50_ns"])
    assert entry["energy_meter"] == "bench meter (board)"
    done = run(5.0)
    assert done.code == 0, done.output
    assert verdicts(done.profiles["test_it"])["regression[energy]"] in ("pass", "inconclusive")
    done = run(50.0)
    assert done.code == 1, done.output
    assert verdicts(done.profiles["test_it"])["regression[energy]"] == "fail"
    assert "regression[energy] +" in done.output
    assert "shown by a relaunch and 4 recorded launches" in done.output
