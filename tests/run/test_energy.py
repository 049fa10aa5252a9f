"""Energy in a run: asked for by option or marker, by a meter of the user's, or unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.measure.kinds import peaks
from pytest_hiddencost.run.markers import latency_budget
from pytest_hiddencost.run.modes.relaunched import Relaunched
from pytest_hiddencost.run.settings import RelaunchOrder, Settings
from tests.quick_kinds import quick_kinds
from tests.suites import JSON, NEIGHBOUR, finished_here, passes, profiles, run, section, verdicts

CALL = "def test_it(hiddencost): hiddencost(MODEL, X)"
ASKED = "--hiddencost-energy"
METER = """
import time

class Meter:
    name, domain = "bench meter", "board"

    def read_nj(self):
        return 5.0 * time.perf_counter_ns()  # a steady 5 W

def pytest_hiddencost_energy_meter(device):
    print("METER FOR", device.type)
    return Meter()
"""


def limited(**limits: str) -> str:
    arguments = ", ".join(f"{name}={limit!r}" for name, limit in limits.items())
    return f"@budget({arguments})\n{CALL}"


def found(pytester: pytest.Pytester) -> Mapping[str, Any]:
    return profiles(pytester)["test_it"]


def test_nothing_is_metered_unless_somebody_asks(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(METER)
    output = passes(pytester, limited(p50="10 s"), JSON, "-s")
    assert "METER FOR" not in output
    assert "energy" not in output
    assert (found(pytester)["energy"], found(pytester)["energy_unknown"]) == (None, None)


def test_the_option_measures_every_call(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(METER)
    output = passes(pytester, CALL, JSON, ASKED, "-v", "-s")
    assert output.count("METER FOR cpu") == 1
    energy = found(pytester)["energy"]
    assert (energy["meter"], energy["domain"]) == ("bench meter", "board")
    assert energy["power_w"] == pytest.approx(5.0, rel=0.05)
    assert energy["idle_w"] == pytest.approx(5.0, rel=0.05)
    assert energy["interval_nj"][0] <= energy["energy_nj"] <= energy["interval_nj"][1]
    assert energy["calls"] >= len(energy["windows_nj"]) >= 8
    summary = "\n".join(section(output))
    assert "energy uJ" in summary
    assert "power " in summary
    assert "meter: bench meter, board" in summary


def test_a_limit_on_energy_holds_or_breaks(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(METER)
    tests = [limited(energy="100 J"), limited(energy="1 nJ").replace("test_it", "test_two")]
    finished = finished_here(pytester, tests)
    assert finished.outcomes == {"test_it": "passed", "test_two": "failure"}
    assert verdicts(finished.profiles["test_it"]) == {"energy": "pass"}
    message = finished.message("test_two")
    assert "J, at most 1 nJ; 1 of 1 limits broken" in message
    assert "Where the latency goes:" in message
    (energy,) = (
        p.attrib["value"]
        for p in finished.cases["test_it"].iter("property")
        if p.attrib["name"] == "hiddencost.energy_nj"
    )
    assert int(energy) == round(finished.profiles["test_it"]["energy"]["energy_nj"])


def test_without_a_meter_the_energy_is_unknown_and_not_0(pytester: pytest.Pytester) -> None:
    output = passes(pytester, CALL, JSON, ASKED)
    assert found(pytester)["energy"] is None
    reason = found(pytester)["energy_unknown"]["reason"]
    assert reason.startswith("no energy meter found: no RAPL package in /sys/class/powercap")
    assert f"energy unknown (1): test_it.py::test_it: {reason}" in " ".join(output.split())
    assert "energy uJ" not in output


def test_a_limit_without_a_meter_is_inconclusive_and_says_what_to_do(
    pytester: pytest.Pytester,
) -> None:
    output = passes(pytester, limited(energy="1 J"), JSON)
    assert verdicts(profiles(pytester)["test_it"]) == {"energy": "inconclusive"}
    assert "energy inconclusive: the energy of a call is unknown: no energy meter found" in output
    assert "hook pytest_hiddencost_energy_meter" in output
    assert "energy unknown (1)" not in output  # the verdict says it
    result = run(pytester, limited(energy="1 J"), "--hiddencost-strict")
    result.assert_outcomes(failed=1)


BROKEN = {
    "raise ZeroDivisionError('their own')": "raised ZeroDivisionError: their own",
    "return 3": "returned 3, which is no meter",
    "return Meter()": "bench meter cannot be read: OSError: unplugged",
    "return __import__('pytest_hiddencost').SampledPower('gauge', 'board', lambda: 1 / 0)": (
        "unknown: gauge cannot be read: ZeroDivisionError: division by zero"
    ),
}


@pytest.mark.parametrize("body", BROKEN)
def test_a_meter_of_the_users_that_fails_ends_no_test(pytester: pytest.Pytester, body: str) -> None:
    pytester.makeconftest(
        METER.partition("def pytest_")[0].replace("return 5.0 *", "raise OSError('unplugged')  #")
        + f"def pytest_hiddencost_energy_meter(device):\n    {body}\n"
    )
    output = passes(pytester, [limited(energy="1 J"), NEIGHBOUR], JSON, count=2)
    assert BROKEN[body] in output
    assert verdicts(profiles(pytester)["test_it"]) == {"energy": "inconclusive"}
    assert verdicts(profiles(pytester)["test_neighbour"])["macs"] == "pass"


PORT = """
class Port(Meter):
    def __enter__(self):
        if "start" in FAULT:
            raise OSError("no such port")

    def __exit__(self, *exception):
        if "stop" in FAULT:
            raise OSError("port lost")
        return True

def pytest_hiddencost_energy_meter(device):
    return Port()
"""


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    quick_kinds(monkeypatch)
    yield
    peaks.measured_peaks.cache_clear()


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize(("fault", "reason"), [("start", "no such port"), ("stop", "port lost")])
def test_a_meter_that_cannot_be_started_or_stopped_ends_no_test(
    pytester: pytest.Pytester, fault: str, reason: str
) -> None:
    meter = METER.partition("def pytest_")[0]
    pytester.makeconftest(f"FAULT = {fault!r}\n{meter}{PORT}")
    output = passes(pytester, limited(energy="1 J"), JSON, "--hiddencost-kinds")
    assert f"bench meter cannot be {fault}" in output
    assert reason in output
    assert verdicts(profiles(pytester)["test_it"]) == {"energy": "inconclusive"}
    assert found(pytester)["replays"]


def test_setup_leaves_the_energy_unknown_since_it_takes_some_too(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(METER)
    call = "def test_it(hiddencost): hiddencost(MODEL, setup=lambda: (torch.ones(1, 8),))"
    output = passes(pytester, call, JSON, ASKED)
    assert found(pytester)["energy"] is None
    assert "setup= runs between the calls" in output


def test_a_state_of_the_model_is_put_back_after_the_energy_pass(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(METER)
    passes(
        pytester,
        """
        def test_it(hiddencost):
            norm = nn.BatchNorm1d(8).train()
            before = {name: value.clone() for name, value in norm.state_dict().items()}
            hiddencost(norm, torch.randn(4, 8), grad_mode="no_grad")
            for name, value in norm.state_dict().items():
                assert torch.equal(value, before[name]), name
        """,
        ASKED,
    )


def test_a_relaunch_measures_the_energy_of_calls_whose_growth_is_limited() -> None:
    mode = Relaunched(Settings(), RelaunchOrder(Path("relaunch.json"), ""))
    limited_growth = latency_budget(p50="1 s", regression={"energy": "5%"})
    (kept,) = mode.budgets((latency_budget(energy="1 J"), limited_growth))
    assert kept.needs_energy
    assert kept.limits == ()  # a relaunch judges nothing
