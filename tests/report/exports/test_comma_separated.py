"""CSV: the tables of a run, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.taxonomy import GROUPS
from pytest_hiddencost.report.exports.comma_separated import csv_text
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import network
from tests.report.exports.runs import COMMIT, CREATED, HOSTILE, hostile, run_of, sited


def rows(run: RunFile, table: str = "calls") -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(csv_text(run, table), newline="")))


def test_a_row_for_each_call() -> None:
    [first, second] = rows(run_of(network(label="b1"), network(label="b2")))
    assert (first["test"], first["label"], second["label"]) == (
        "test_models.py::test_it",
        "b1",
        "b2",
    )
    assert (first["created"], first["commit"]) == (CREATED, COMMIT)
    assert float(first["p50_ns"]) == 10_000_000
    assert int(first["macs"]) == 30_000_000
    assert float(first["normalization_ns"]) == 2_000_000
    assert first["fit"] == "true"
    assert first["allocated_bytes"] == ""  # not known


def test_times_of_groups_and_kernels_add_up_to_the_operators() -> None:
    profile = network()
    [row] = rows(run_of(profile))
    total_ns = sum(float(row[f"{group}_ns"]) for group in GROUPS)
    assert total_ns == pytest.approx(sum(o.self_ns for o in profile.operators))


def test_a_row_for_each_operator() -> None:
    found = rows(run_of(sited()), "operators")
    assert [row["operator"] for row in found] == [
        "aten::mkldnn_convolution",
        "aten::relu_",
        "aten::copy_",
    ]
    assert [float(row["self_share"]) for row in found] == [0.6, 0.1, 0.2]


def test_a_row_for_each_timed_call_in_their_order() -> None:
    profile = network()
    found = rows(run_of(profile), "samples")
    assert [int(row["latency_ns"]) for row in found] == list(profile.latency.samples_ns)
    assert [int(row["number"]) for row in found[:2]] == [0, 1]


def test_no_cell_begins_as_a_formula() -> None:
    labels = ("=1", "+1", "-1", "@SUM(A1)", "＝1")
    run = run_of(*(network(test=label, label=label) for label in labels))
    for row, label in zip(rows(run), labels, strict=True):
        assert row["test"] == row["label"] == f"'{label}"
    assert rows(run_of(network(mac_rate=-1.0)))[0]["mac_rate"] == "-1.0"  # a number, not text


def test_a_hostile_name_stays_a_cell_of_one_line() -> None:
    found = [row["test"].removeprefix("'") for row in rows(hostile())]
    assert set(found) == {printable(name) for name in HOSTILE}
    assert csv_text(hostile()).count("\n") == len(found) + 1
    for control in ("\t=1", "\r=1", "\n=1", "\ud800"):
        [row] = rows(run_of(network(label=control)))
        assert row["label"] == printable(control)


def test_an_empty_run_is_a_head() -> None:
    assert csv_text(run_of()).count("\n") == 1
