"""The Markdown for reviewers, rendered: verdict, failures and why, open checks, calls, device."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_hiddencost.core.checks import FAIL, INCONCLUSIVE, NEW, PASS, regression
from pytest_hiddencost.core.records import Comparison, DeviceHealth, Profile, Verdict
from pytest_hiddencost.report.ci.findings import CiRun
from pytest_hiddencost.report.ci.markdown import size_of
from pytest_hiddencost.report.ci.pull_request import (
    COMMENT_BYTES,
    COMMENT_MARK,
    SHOWN_ROWS,
    comment,
    document,
)
from tests.profiles import network
from tests.report.ci.rendered import Page, rendered
from tests.report.ci.reviewed import called, copied, found_in, run_of, slowed, slower
from tests.report.ci.test_markdown import HOSTILE
from tests.report.printed import judged

OURS = {
    "p", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "code", "pre",
    "strong", "details", "summary", "br",
}  # fmt: skip


def markdown(run: CiRun, limit_bytes: int = 10**6) -> str:
    return document(run, found_in(run), limit_bytes)


def page(*profiles: Profile, **changes: Any) -> Page:
    return rendered(markdown(run_of(*profiles, **changes)))


def headline(*profiles: Profile, **changes: Any) -> str:
    return page(*profiles, **changes).of("h3")[0]


def passing(**changes: Any) -> Profile:
    return judged(called(**changes), p50="20 ms")


def new(**changes: Any) -> Profile:
    verdict = Verdict(
        regression(), NEW, None, 0.0, "no baseline on this device",
        remedy="record it with --hiddencost-update-new",
    )  # fmt: skip
    return replace(called(**changes), verdicts=(verdict,))


def undecided(**changes: Any) -> Profile:
    return replace(called(**changes), verdicts=(slower(INCONCLUSIVE),))


# --- the verdict line ---------------------------------------------------------------------------


def test_the_first_line_is_the_verdict_on_the_run() -> None:
    broken = judged(called(test="broken"), p50="1 ms")
    assert headline(broken, passing()) == "❌ hiddencost: 1 of 2 calls fails"
    assert headline(broken) == "❌ hiddencost: 1 of 1 call fails"
    assert headline(passing(), passing(test="b")) == "✅ hiddencost: 2 of 2 calls pass"
    assert headline(passing(), undecided(test="b")) == "⚠️ hiddencost: 1 of 2 calls is inconclusive"
    assert headline(passing(), new(test="b")) == "🆕 hiddencost: 1 of 2 calls is new"


def test_what_was_not_checked_does_not_pass() -> None:
    assert headline() == "⚠️ hiddencost: no call was measured"
    assert headline(called()) == "⚠️ hiddencost: 1 call measured, and no limit checked"


def test_a_test_that_failed_otherwise_does_not_pass() -> None:
    run = run_of(passing(), failed=["test_models.py::test_it"])
    found = rendered(markdown(run))
    assert found.of("h3") == ["❌ hiddencost: 1 test failed, and no limit is broken"]
    assert found.tables[0][1][1] == "a limit is broken"


def test_a_run_that_fails_at_its_end_does_not_pass() -> None:
    endings = [("2 unused baseline entries: a, b", True)]
    assert headline(passing(), endings=endings) == "❌ hiddencost: the run failed; 1 call measured"
    assert "2 unused baseline entries" in page(passing(), endings=endings).text


def test_an_expected_failure_fails_nothing() -> None:
    found = page(judged(called(), p50="1 ms"), failed=[])
    assert found.of("h3") == ["⚠️ hiddencost: 1 of 1 call fails as expected"]
    assert found.tables[0][1][0] == "expected to fail"
    both = judged(called(test="b"), p50="1 ms"), called(test="c"), judged(called(), p50="1 ms")
    assert headline(*both, failed=[]) == "⚠️ hiddencost: 2 of 3 calls fail as expected"
    assert headline(passing(), both[0], failed=[]) == "✅ hiddencost: 1 of 2 calls passes"


def test_strictly_an_inconclusive_call_fails() -> None:
    strict = {"failed": ["test_models.py::test_it"], "strict": True}
    assert headline(undecided(), **strict) == "❌ hiddencost: 1 of 1 call fails"
    assert "Inconclusive" not in page(undecided(), **strict).of("h4")


# --- what failed, and why -----------------------------------------------------------------------


def test_a_broken_limit_is_shown_with_what_costs_it_and_its_line() -> None:
    found = page(judged(called(), operators={"aten::cat": "3 calls"}))
    assert found.tables[0] == [
        ["call", "failed check", "cause", "line"],
        [
            "test_models.py::test_it",
            "operators[aten::cat] 12 calls, at most 3 calls",
            "12 x aten::cat from blocks.1, pkg/net.py:12 (1 ms)",
            "src/pkg/net.py:12",
        ],
    ]


def test_growth_names_the_operators_that_grew() -> None:
    rows = page(slowed()).tables[0]
    assert rows[1][1:] == [
        "regression[p50] +8 %, at most +5 %",
        "+800 us aten::cat, most of it from blocks.1, pkg/net.py:12\n+100 us outside",
        "src/pkg/net.py:12",
    ]
    assert [row[2] for row in page(copied()).tables[0][1:]] == [
        "+3 aten::copy_, +3 aten::clone from blocks.*, pkg/net.py:12",
        "+1 aten::cat from head, pkg/net.py:30",
        "+1 aten::empty",
    ]


def test_the_whole_message_is_there_collapsed() -> None:
    found = page(slowed())
    assert "details" in found.names
    assert any(text.startswith("Details of") for text in found.of("summary"))
    message = next(text for text in found.of("code") if "against main" in text)
    assert "against main (1a2b3c4d5e): p50 +8.0 %" in message


def test_an_open_check_is_shown_with_its_reason_and_its_remedy_once() -> None:
    found = page(undecided(test="a", label="b1"), undecided(test="c"), passing())
    assert found.of("h4").count("Inconclusive") == 1
    [item] = [text for text in _items(found) if "growth over base" in text]
    assert item == (
        "a b1 (regression[p50]), c (regression[p50]): growth over base lies between +2 and +14 %. "
        "Remedy: measure longer (--hiddencost-max-time)."
    )


def _items(found: Page) -> list[str]:
    """The text of the list items."""
    text = "".join(
        "\0" + piece if tag == "" and piece == "\n" else piece for tag, piece in found.pieces
    )
    return [line.strip() for line in text.replace("\0", "").splitlines() if line.strip()]


def test_new_calls_are_listed_by_reason() -> None:
    found = page(new(test="a"), new(test="b"))
    assert "a, b: no baseline on this device. Remedy: record it" in (found.text)


# --- calls, remarks, device ---------------------------------------------------------------------


def test_every_call_has_a_row_the_worst_first() -> None:
    broken = judged(network(test="broken"), p50="1 ms")
    rows = page(passing(test="p"), undecided(test="u"), broken, called(test="free")).tables[1]
    assert rows[0] == [
        "verdict", "call", "p50 ms", "p95 ms", "MMAC", "GMAC/s", "non-MAC", "largest hidden cost",
        "peak MiB",
    ]  # fmt: skip
    assert [row[:3] for row in rows[1:]] == [
        ["❌ fail", "broken", "10"],
        ["⚠️ inconclusive", "u", "10"],
        ["✅ pass", "p", "10"],
        ["-", "free", "10"],
    ]
    assert rows[1][5:] == ["3", "40 %", "native_batch_norm 20 %", "24"]


def test_growth_has_a_column_if_anything_was_compared() -> None:
    rows = page(slowed(), passing(test="p")).tables[1]
    assert rows[0][-1] == "growth"
    assert [row[-1] for row in rows[1:]] == ["p50 +8.0 % (+2.0 to +14.0 %), at most +5 %", ""]


def test_many_calls_are_collapsed() -> None:
    calls = [passing(test=f"test_{number}") for number in range(SHOWN_ROWS + 3)]
    found = page(*calls)
    assert [len(table) - 1 for table in found.tables] == [SHOWN_ROWS, 3]
    assert "3 more calls" in found.of("summary")


def test_remarks_say_what_to_accept() -> None:
    stale = replace(passing(), comparison=Comparison("1a2b", improved=("p50",)))
    found = page(stale, endings=[("baselines: 1 recorded", False)])
    assert "baseline is stale: less p50; accept with --hiddencost-update" in found.text
    assert "baselines: 1 recorded" in found.text


def test_the_device_and_its_health_are_there() -> None:
    found = page(passing())
    assert "Device and its health" in found.of("summary")
    assert "cpu: Some Board, 4 cores, 2 threads, torch 2.13.0" in found.text
    assert "fit for timing" in found.text
    unfit = DeviceHealth(False, ("the governor is powersave",), remedies=("set performance",))
    text = page(passing(health=unfit)).text
    assert "unfit for timing (1 of 1): the governor is powersave; set performance" in text
    assert "fit for timing\n" not in text


# --- the comment --------------------------------------------------------------------------------


def test_a_comment_is_found_again_by_its_first_line() -> None:
    run = run_of(passing())
    text = comment(run, found_in(run))
    assert text.splitlines()[0] == COMMENT_MARK
    found = rendered(text)
    assert found.comments == [" pytest-hiddencost "]
    assert COMMENT_MARK not in markdown(run)


def test_the_same_results_give_the_same_text() -> None:
    run = run_of(slowed(), replace(copied(), test="b"), undecided(test="u"))
    assert comment(run, found_in(run)) == comment(run, found_in(run))


# --- size ---------------------------------------------------------------------------------------


def test_a_large_run_is_cut_to_the_size_of_a_comment() -> None:
    calls = [replace(slowed(), test=f"test_models.py::test_{n}") for n in range(100)]
    calls += [passing(test=f"test_models.py::test_{n}") for n in range(100, 500)]
    run = run_of(*calls)
    text = comment(run, found_in(run))
    assert 0.8 * COMMENT_BYTES < size_of(text) <= COMMENT_BYTES
    found = rendered(text)
    assert found.of("h3") == ["❌ hiddencost: 100 of 500 calls fail"]
    assert len(found.tables[0]) == 101, "every broken limit is there"
    last = text.splitlines()[-1]
    assert last.startswith("Left out to stay below 60 kB: ")
    assert "explanations" in last
    assert last.endswith("; the run file (--hiddencost-json) has every figure")


@pytest.mark.parametrize("limit_bytes", [0, 10, 100, 1000, 2000, 5000])
def test_no_document_is_larger_than_its_limit(limit_bytes: int) -> None:
    calls = [replace(slowed(), test=f"test_{n}") for n in range(30)]
    text = markdown(run_of(*calls), limit_bytes)
    assert size_of(text) <= limit_bytes
    rendered(text)


# --- hostile text -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text in HOSTILE if text.strip()])
def test_hostile_names_stay_text(text: str) -> None:
    bad = {"test": text, "label": text, "model": text}
    broken = replace(slowed(), **bad)  # type: ignore[arg-type]
    reason = Verdict(regression("p50"), INCONCLUSIVE, 0.1, 0.1, text, "share", remedy=text)
    unsure = replace(called(test=f"{text}2", notes=(text,), uncosted=(text,)), verdicts=(reason,))
    health = DeviceHealth(False, (text,), (text,), (text,), remedies=(text,))
    run = run_of(broken, replace(unsure, health=health), endings=[(text, True)])
    found = rendered(markdown(replace(run, failed={**run.failed, f"{text}3": text})))
    assert found.names <= OURS
    assert found.comments == []
    assert len(found.tables) == 2
    assert {len(row) for table in found.tables[:1] for row in table} == {4}
    assert {len(row) for row in found.tables[1]} == {10}
    assert found.of("h3") == ["❌ hiddencost: 1 of 2 calls fails"]


def test_there_is_a_word_for_every_verdict() -> None:
    for verdict in (FAIL, INCONCLUSIVE, NEW, PASS):
        assert (
            verdict
            in page(
                judged(called(test="f"), p50="1 ms"), undecided(test="i"), new(test="n"), passing()
            ).text
        )
