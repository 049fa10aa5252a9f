"""Two runs call by call: what differs exactly, and times without a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_hiddencost.core.records import Device, DeviceHealth, Profile, ReferenceTime
from pytest_hiddencost.report.run_comparison import (
    RunComparison,
    compared_runs,
    write_comparison,
)
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import DEVICE, MS, network, operator, profile_of, read_table, read_tables
from tests.report.exports.runs import site
from tests.report.printed import FakeReporter

OTHER = replace(DEVICE, key="other", model="Other Board")


def run_of(*profiles: Profile, device: Device = DEVICE) -> RunFile:
    return RunFile(device, profiles, "2026-01-31T12:00:00Z", "0123456789ab")


def compared(a: Profile, b: Profile) -> RunComparison:
    return compared_runs(run_of(a), run_of(b))


def printed(found: RunComparison, verbosity: int = 0, width: int = 200) -> FakeReporter:
    reporter = FakeReporter(width)
    write_comparison(reporter, found, verbosity)
    return reporter


def changed(**changes: Any) -> Profile:
    """The network with two clones more in one line."""
    clone = operator("aten::clone", MS, 2, call_sites=[site("blocks.0", MS), site("blocks.1", MS)])
    return profile_of(*network().operators, clone, **changes)


# --- what differs -------------------------------------------------------------------------------


def test_calls_are_matched_by_test_and_label() -> None:
    a = run_of(network(), network(label="b1"), network(test="gone"))
    b = run_of(network(label="b1"), network(test="new"), network())
    found = compared_runs(a, b)
    assert [(pair.a.label, pair.b.label) for pair in found.pairs] == [("", ""), ("b1", "b1")]
    assert [profile.test for profile in found.only_a] == ["gone"]
    assert [profile.test for profile in found.only_b] == ["new"]
    assert not found.equal


def test_the_same_calls_are_equal_whatever_they_took() -> None:
    slower = profile_of(*network().operators, latency_ns=20 * MS)
    found = compared(network(), slower)
    assert found.equal
    assert found.pairs[0].growth == 1.0


def test_the_structure_is_compared_exactly_and_names_the_line() -> None:
    found = compared(network(), changed())
    assert not found.equal
    assert "+2 aten::clone (blocks.*, net.py:7)" in found.pairs[0].differences


def test_fewer_calls_are_a_difference_too() -> None:
    assert "-2 aten::clone" in compared(changed(), network()).pairs[0].differences


def test_operators_are_ordered_by_their_change() -> None:
    first, *_ = compared(network(), changed()).pairs[0].changes()
    assert (first.name, first.base_calls, first.head_calls) == ("aten::clone", 0, 2)
    assert (first.base_ns, first.head_ns) == (0, MS)


def test_the_reference_workload_tells_of_the_device() -> None:
    def with_reference(mean_ns: float, version: int = 1) -> Profile:
        return network(reference=ReferenceTime(mean_ns, 1.0, 10, version))

    assert compared(with_reference(100.0), with_reference(110.0)).reference_growth == (
        110.0 / 100.0 - 1.0
    )
    assert compared(with_reference(0.0), with_reference(110.0)).reference_growth is None
    assert compared(with_reference(100.0), with_reference(110.0, 2)).reference_growth is None


# --- what is printed ----------------------------------------------------------------------------


def test_both_runs_are_named() -> None:
    lines = printed(compared(network(), network())).lines
    assert lines[0] == (
        "A: cpu: Some Board, 4 cores, 2 threads, torch 2.13.0, 2026-01-31T12:00:00Z, "
        "commit 0123456789ab"
    )
    assert lines[1].startswith("B: cpu: Some Board")


def test_an_unfit_device_is_named() -> None:
    unfit = network(health=DeviceHealth(False, ("load of 3.0",), remedies=("wait",)))
    text = printed(compared(network(), unfit)).text
    assert "B: unfit for timing (1 of 1): load of 3.0; wait" in text
    assert "A: unfit" not in text


def test_a_growth_has_no_verdict_and_a_way_to_one() -> None:
    text = printed(compared(network(), network())).text
    assert "not in turns: growth of time has no verdict here" in text
    assert "run pytest --hiddencost-against=REV" in text


def test_a_row_has_both_times_and_what_changed() -> None:
    found = compared(network(), changed(allocated_bytes=None))
    row = read_tables(printed(found).lines)[0][0]
    assert row == {
        "call": "test_models.py::test_it",
        "A p50 ms": "10",
        "B p50 ms": "10",
        "growth": "+0 %",
        "A non-MAC": "40 %",
        "B non-MAC": "40 %",
        "calls": "+2",
        "MACs": "=",
        "bytes": "-",
    }


def test_signs_of_what_changed() -> None:
    a, b = (
        network(allocated_bytes=4096, macs=2_000_000),
        network(allocated_bytes=1024, macs=3_000_000),
    )
    row = read_tables(printed(compared(a, b)).lines)[0][0]
    assert (row["MACs"], row["bytes"]) == ("+1 MMAC", "-3 KiB")


def test_narrow_terminals_get_each_name_on_a_line_of_its_own() -> None:
    lines = printed(compared(network(), network()), width=80).lines
    assert "test_models.py::test_it" in lines
    assert max(map(len, lines)) <= 80


def test_operators_that_hardly_changed_are_for_v() -> None:
    found = compared(network(), changed())
    assert [row["operator"] for row in read_tables(printed(found).lines)[1]] == ["aten::clone"]
    rows = read_tables(printed(found, verbosity=1).lines)[1]
    assert len(rows) == 6
    assert rows[0]["change"] == "+1 ms"
    assert (rows[0]["calls"], rows[0]["A"], rows[0]["B"]) == ("0 to 2", "0 ns", "1 ms")


def test_a_varying_structure_is_named() -> None:
    found = compared(network(), network(structure_varies=True))
    assert "the structure varies from call to call" in printed(found).lines


def test_two_devices_are_named() -> None:
    found = compared_runs(run_of(network()), run_of(network(), device=OTHER))
    assert not found.same_device
    assert "A and B are two devices" in printed(found).text


def test_the_last_line_sums_up() -> None:
    found = compared_runs(
        run_of(network(), network(test="gone")), run_of(changed(), network(test="new"))
    )
    reporter = printed(found)
    assert reporter.lines[-1] == (
        "1 call in both runs, 1 of them with a different structure, 1 only in A, 1 only in B"
    )
    assert reporter.coloured()[-1][1] == "red"
    assert printed(compared(network(), network())).coloured()[-1][1] == "green"


def test_empty_runs_are_equal() -> None:
    found = compared_runs(run_of(), run_of())
    assert found.equal
    assert (
        printed(found).lines[-1] == "0 calls in both runs, none of them with a different structure"
    )


def test_a_hostile_name_is_one_line() -> None:
    hostile = network(test='test_a.py::test_it["\x1b[2J\n<script>"]')
    rows = read_table(printed(compared(hostile, hostile)).lines)
    assert rows[0]["call"] == 'test_a.py::test_it["\\x1b[2J\\n<script>"]'
