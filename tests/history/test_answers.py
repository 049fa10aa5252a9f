"""Answers as text, and the ages and days that a user writes."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta, timezone

import pytest

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.history.ages import age_of, moment_of
from pytest_hiddencost.history.answers import answer_as_csv, answer_as_json, answer_as_table
from pytest_hiddencost.history.questions import QueryTable

NOW = datetime(2026, 11, 29, tzinfo=timezone.utc)
ODD = 'a,"b"\n\x1b[31m<script>ü'
ANSWER = QueryTable(
    ["test", "newest", "p50_ns", "non_mac_ns", "macs", "peak_bytes", "fit", "samples", "x_ns"],
    [
        (ODD, datetime(2026, 10, 3, 12), 1.5e6, 4e5, 3_000_000, 2**21, True, [1, 2, 3, 4], "text"),
        ("b", datetime(2026, 10, 4), 2.5e7, None, 4_000_000, None, None, None, None),
    ],
)  # fmt: skip


def test_a_table_has_one_unit_a_column_and_one_line_a_row() -> None:
    head, _, first, second = answer_as_table(ANSWER).splitlines()
    for name in ("p50 ms", "non-MAC us", "MMAC", "peak MiB", "newest"):
        assert name in head
    assert "1.5" in first
    assert "2026-10-03 12:00" in first
    assert "1, 2, 3, 1 more" in first
    assert "\x1b" not in first
    assert "<script>ü" in first
    assert second.split() == ["b", "2026-10-04", "00:00", "25", "-", "4", "-", "-", "-", "-"]


def test_csv_and_json_have_times_in_ns_and_odd_text_as_it_is() -> None:
    [head, first, second] = csv.reader(io.StringIO(answer_as_csv(ANSWER)))
    assert head == ANSWER.headers
    assert first[:3] == [ODD, "2026-10-03T12:00:00Z", "1500000.0"]
    assert first[7] == "[1, 2, 3, 4]"
    assert second[3] == ""
    data = json.loads(answer_as_json(ANSWER))
    assert data[0]["test"] == ODD
    assert data[0]["newest"] == "2026-10-03T12:00:00Z"
    assert data[1]["samples"] is None


def test_no_rows_are_a_header_or_nothing() -> None:
    assert answer_as_csv(QueryTable(["a"], [])) == "a"
    assert json.loads(answer_as_json(QueryTable(["a"], []))) == []
    assert answer_as_table(QueryTable(["a_ns"], [])).splitlines()[0].strip() == "a ms"
    assert answer_as_table(QueryTable([], [])) == ""


@pytest.mark.parametrize(
    ("text", "hours"), [("90d", 2160), ("2w", 336), ("36h", 36), (" 1 d ", 24), ("0d", 0)]
)
def test_an_age_is_a_number_with_a_unit(text: str, hours: int) -> None:
    assert age_of(text, "--since") == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "90", "d", "-3d", "1.5d", "3m", "999999w", "\u0663d"])
def test_another_age_is_refused_with_examples(text: str) -> None:
    with pytest.raises(SettingError, match="--since: expected an age such as 90d"):
        age_of(text, "--since")


def test_a_moment_is_a_day_a_time_or_an_age() -> None:
    assert moment_of("2026-10-03", "--since", NOW) == datetime(2026, 10, 3, tzinfo=timezone.utc)
    assert moment_of("2026-10-03T12:00:00+02:00", "--since", NOW).hour == 10
    assert moment_of("2d", "--since", NOW) == NOW - timedelta(days=2)
    with pytest.raises(SettingError, match="--since: expected a day such as 2026-10-03"):
        moment_of("yesterday", "--since", NOW)
