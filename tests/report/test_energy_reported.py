"""Energy in every report: only where it was measured, and the reason where it is unknown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from pytest_hiddencost.core.checks import FAIL, Check, regression
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.records import Verdict
from pytest_hiddencost.report.ci.findings import CiRun
from pytest_hiddencost.report.ci.pull_request import comment
from pytest_hiddencost.report.exports.bencher import bencher_json
from pytest_hiddencost.report.exports.comma_separated import csv_text
from pytest_hiddencost.report.exports.github_benchmark import github_benchmark_json
from pytest_hiddencost.report.exports.openmetrics import openmetrics_text
from pytest_hiddencost.report.failure import failure_message
from pytest_hiddencost.report.html import overview
from pytest_hiddencost.report.html.call_page import Detail, call_data
from tests.profiles import DEVICE, energy_use, limit_on, network, read_table
from tests.report.ci.rendered import rendered
from tests.report.exports.runs import run_of
from tests.report.printed import summary

METERED = network(test="a.py::test_a", energy=energy_use(12.3e6))
PLAIN = network(test="a.py::test_b")
WHY = EnergyUnknown("no energy meter found: no RAPL package", "give a meter of your own")
IN_VAIN = network(test="a.py::test_c", energy_unknown=WHY)


# --- the summary and the pull request ----------------------------------------------------------


def test_the_summary_has_a_column_if_any_call_has_an_energy() -> None:
    rows = read_table(summary(METERED, PLAIN).lines)
    assert [row["energy mJ"] for row in rows] == ["12.3", "-"]
    assert list(rows[0])[-2:] == ["energy mJ", "verdict"]
    assert not any(header.startswith("energy") for header in read_table(summary(PLAIN).lines)[0])


def test_the_details_tell_interval_power_and_meter() -> None:
    text = summary(METERED, verbosity=1).text
    assert "energy of a call: 12.3 mJ (12.2 mJ to 12.4 mJ), 7.38 mJ of it above idle" in text
    assert "power 5 W, idle 2 W; 900 calls in 9 windows; meter: bench meter, board" in text
    assert "energy" not in summary(PLAIN, verbosity=2).text


def test_a_reason_is_told_once_for_all_calls() -> None:
    other = network(test="a.py::test_d", energy_unknown=WHY)
    lines = [line for line in summary(IN_VAIN, other).lines if "energy" in line]
    assert lines == [
        "energy unknown (2): a.py::test_c, a.py::test_d: no energy meter found: no RAPL package; "
        "give a meter of your own"
    ]


def test_a_pull_request_has_the_column_and_the_reason() -> None:
    run = CiRun(profiles=[METERED, IN_VAIN], device=DEVICE, strict=False)
    page = rendered(comment(run, []))
    head, first, second = page.tables[-1]
    assert (head[-1], first[-1], second[-1]) == ("energy mJ", "12.3", "-")
    text = page.text.replace("\u200b", "")  # which keeps GitHub from finding commands
    assert "energy unknown (1): a.py::test_c: no energy meter found" in text


# --- the HTML report ---------------------------------------------------------------------------


def test_the_front_of_the_report_has_the_column() -> None:
    headers, rows = overview.call_rows([METERED, PLAIN], {})
    assert headers[-2:] == ["energy mJ", "largest hidden cost"]
    assert [row.cells[-2].text for row in rows] == ["12.3", "-"]
    assert overview.call_rows([PLAIN], {})[0][-2:] == ["peak MiB", "largest hidden cost"]


def test_a_call_of_the_report_has_energy_power_and_meter() -> None:
    facts = dict(call_data(METERED, None, "", Detail())["facts"])
    assert facts["energy"] == "12.3 mJ (12.2 mJ to 12.4 mJ)"
    assert facts["above idle"] == "7.38 mJ"
    assert facts["power"] == "5 W, idle 2 W"
    assert facts["energy meter"] == "bench meter, board"
    assert "energy" not in dict(call_data(PLAIN, None, "", Detail())["facts"])
    assert any("no RAPL" in line for line in call_data(IN_VAIN, None, "", Detail())["remarks"])


# --- exports -----------------------------------------------------------------------------------


def test_csv_has_the_energy_with_its_interval() -> None:
    first, second = csv.DictReader(io.StringIO(csv_text(run_of(METERED, PLAIN))))
    assert METERED.energy is not None
    assert METERED.energy.interval_nj is not None
    assert float(first["energy_nj"]) == 12.3e6
    assert float(first["energy_low_nj"]) == METERED.energy.interval_nj[0]
    assert float(first["energy_high_nj"]) == METERED.energy.interval_nj[1]
    assert (first["power_w"], first["idle_w"], first["energy_meter"]) == (
        "5.0",
        "2.0",
        "bench meter",
    )
    assert (second["energy_nj"], second["energy_low_nj"], second["idle_w"]) == ("", "", "")


def test_metrics_are_in_joules() -> None:
    lines = openmetrics_text(run_of(METERED, PLAIN)).splitlines()
    assert [line for line in lines if line.startswith("hiddencost_energy")] == [
        'hiddencost_energy_joules{test="a.py::test_a"} 0.0123'
    ]
    assert "energy" not in openmetrics_text(run_of(PLAIN))


def test_benchmark_services_get_the_energy_where_it_is_known() -> None:
    found = json.loads(bencher_json(run_of(METERED, PLAIN)))
    assert found["a.py::test_a"]["energy"] == {"value": 12.3e6}
    assert "energy" not in found["a.py::test_b"]
    entries = json.loads(github_benchmark_json(run_of(METERED, PLAIN)))
    energies = [entry for entry in entries if entry["name"].endswith(": energy")]
    assert energies == [{"name": "a.py::test_a: energy", "unit": "uJ", "value": 12300.0}]


# --- a failing test ----------------------------------------------------------------------------


@pytest.mark.parametrize("check", [limit_on("energy"), regression("energy")])
def test_a_broken_energy_shows_where_the_time_goes(check: Check) -> None:
    broken = Verdict(check, FAIL, 12.3e6, 10e6, unit="energy", interval=(12.2e6, 12.4e6))
    message = failure_message(replace(METERED, verdicts=(broken,)))
    assert message.startswith(f"{check} 12.3 mJ, at most 10 mJ; 1 of 1 limits broken")
    assert "12.2 to 12.4 mJ" in message
    assert "Where the latency goes:" in message
