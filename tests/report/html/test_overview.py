"""The front of the report: the table of all calls, failing checks, device and health."""

from __future__ import annotations

from dataclasses import replace

from pytest_hiddencost.core.records import DeviceHealth, Profile
from pytest_hiddencost.report.html import overview
from tests.profiles import DEVICE, MS, network
from tests.report.html.reports import CHANGES, FAILS, HOSTILE, hostile, layered, several


def test_a_row_has_the_figures_of_the_terminal_table() -> None:
    headers, rows = overview.call_rows([layered(), layered(2.0)], {})
    assert headers == [
        "p50 ms", "p95 ms", "MMAC", "GMAC/s", "non-MAC", "peak MiB", "largest hidden cost",
    ]  # fmt: skip
    assert [cell.text for cell in rows[0].cells] == [
        "10", "10.4", "30", "3", "40 %", "24", "native_batch_norm 20 %",
    ]  # fmt: skip
    assert rows[1].cells[0].order > 19 * MS  # type: ignore[operator]  # a number


def test_a_column_tells_the_change_if_something_was_compared() -> None:
    profiles = [layered(interleaved=CHANGES), layered(test="test_b.py::test_b")]
    headers, rows = overview.call_rows(profiles, {})
    assert headers[-2] == "p50 change"
    assert [row.cells[-2].text for row in rows] == ["+8.0 % (+5.0 to +11.0 %)", "-"]
    assert [row.cells[-2].order for row in rows] == [1.08, None]


def test_the_filter_looks_at_test_label_model_verdict_and_operator() -> None:
    _, (row,) = overview.call_rows([layered(label="Batch 8", verdicts=(FAILS,))], {})
    for word in ("test_models.py", "batch 8", "mobilenet", "fail", "native_batch_norm"):
        assert word in row.search


def test_no_call_is_no_row() -> None:
    assert overview.call_rows([], {}) == ([], [])
    assert overview.growth_chart([], {}) == []


def test_calls_are_counted_by_their_worst_verdict() -> None:
    _, rows = overview.call_rows(several().profiles, {})
    counts = overview.outcome_counts(rows)
    assert counts == [("fail", 2), ("inconclusive", 2), ("pass", 2), ("none", 2)]


def test_failing_checks_are_listed_with_their_call() -> None:
    first, *_ = overview.broken_checks(several().profiles)
    assert first["number"] == 1
    assert first["text"] == "non_mac 40 %, at most 20 %"
    many = [layered(verdicts=(FAILS,))] * 30
    assert overview.broken_checks(many)[-1]["name"] == f"{30 - overview.MOST_BROKEN} more"


def test_objections_to_the_device_are_said_once_with_their_number() -> None:
    hot = DeviceHealth(False, ("throttled to 1 GHz",), remedies=("cool it",), unknown=("power",))
    profiles = [network(health=hot), network(health=hot), network()]
    assert overview.health_lines(profiles) == {
        "unfit": ["2 of 3 calls: throttled to 1 GHz; cool it"], "remarks": [], "unknown": ["power"],
    }  # fmt: skip


def test_the_device_and_the_commit_are_facts() -> None:
    found = dict(overview.run_facts(several()))
    assert found["commit"] == "0123456789ab with changes"
    assert found["measured"] == "2026-03-04T05:06:07Z"
    assert found["device"] == "cpu: Some Board"
    assert "commit" not in dict(overview.run_facts(replace(several(), commit="")))
    assert dict(overview.device_facts(DEVICE))["threads"] == "2"


def test_the_largest_growths_are_drawn_largest_first() -> None:
    def grown(i: int) -> Profile:
        return layered(test=f"t{i}", interleaved=replace(CHANGES, ratio=1.0 + i / 100))

    profiles = [grown(i) for i in range(60)]
    found = overview.growth_chart(profiles, {})
    assert [each["number"] for each in found] == list(range(59, 19, -1))


def test_calls_that_one_run_lacks_are_named() -> None:
    a, b = layered(test="a"), layered(test="b")
    found = overview.only_in_one([a], {("b", ""): b})
    assert found == {"head": ["a"], "base": ["b"]}


def test_names_are_visible_in_rows_and_charts() -> None:
    profiles = hostile().profiles
    _, (row,) = overview.call_rows(profiles, {})
    assert "\\u202e" in row.name
    assert "\n" not in row.name
    assert "\u202e" in HOSTILE
    assert len(overview.shares_chart(profiles)["names"][0]) <= 80
