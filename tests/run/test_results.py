"""The results that reports bring together: outcomes, profiles, selftests, the collection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.judge.selftest import CAUGHT, MISSED, SelfTest
from pytest_hiddencost.run.modes.base import Judgement
from pytest_hiddencost.run.results import PROFILES, Results, attach
from tests.profiles import DEVICE, network

When = Literal["setup", "call", "teardown"]
Outcome = Literal["passed", "failed", "skipped"]
TEST = "test_it.py::test_it"


@dataclass
class Collection:
    """The collection of a run."""

    ids: list[str] = field(default_factory=lambda: [TEST])
    ours: list[str] = field(default_factory=list)
    deselected: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    modules: frozenset[str] = frozenset()
    collect_failed: bool = False
    startup_s: float = 0.0


@pytest.fixture
def results(pytester: pytest.Pytester) -> Results:
    return Results(pytester.parseconfig(), Collection())


def report(
    when: When, outcome: Outcome | Literal["rerun"] = "passed", test: str = TEST, **others: object
) -> pytest.TestReport:
    """The report of one phase of a test."""
    made = pytest.TestReport(test, (test, 0, test), {}, "passed", None, when)
    made.outcome = outcome  # type: ignore[assignment]  # plugins that retry have their own
    for name, value in others.items():
        setattr(made, name, value)
    return made


def carrying(made: pytest.TestReport, *profiles: Profile, **others: Any) -> pytest.TestReport:
    """The report with these profiles on it."""
    attach(made, DEVICE, [Judgement(profile, **others) for profile in profiles])
    return made


def phases(call: Outcome, teardown: Outcome = "passed") -> list[pytest.TestReport]:
    """The reports of a test that was set up."""
    return [report("setup"), report("call", call), report("teardown", teardown)]


OTHER_DEVICE = replace(DEVICE, key="cpu-other-board-2c2t-aarch64-torch2.4")


def test_profiles_are_told_apart_by_the_device_that_measured_them(results: Results) -> None:
    """Devices of one kind in a fleet may differ in cores, threads and torch."""
    for label, device in (("a", DEVICE), ("b", OTHER_DEVICE), ("c", DEVICE)):
        made = report("teardown")
        attach(made, device, [Judgement(network(test=TEST, label=label))])
        results.take(made)
    found = {device.key: [p.label for p in profiles] for device, profiles in results.by_device()}
    assert found == {DEVICE.key: ["a", "c"], OTHER_DEVICE.key: ["b"]}


# --- outcomes -----------------------------------------------------------------------------------

XFAILED = report("call", "skipped", wasxfail="known")
XPASSED = report("call", wasxfail="known")


@pytest.mark.parametrize(
    ("reports", "passed", "failed"),
    [
        (phases("passed"), True, False),
        (phases("failed"), False, True),
        (phases("failed", "failed"), False, True),
        (phases("passed", "failed"), False, True),
        (phases("skipped"), False, False),
        (phases("skipped", "failed"), False, True),
        ([report("setup", "failed"), report("teardown")], False, True),
        ([report("setup", "skipped"), report("teardown")], False, False),
        ([report("setup"), XFAILED, report("teardown")], False, False),
        ([report("setup"), XPASSED, report("teardown")], False, False),
        ([report("setup"), XFAILED, report("teardown", "failed")], False, True),
        ([report("setup")], False, False),
    ],
)
def test_a_test_has_one_outcome(
    results: Results, reports: list[pytest.TestReport], passed: bool, failed: bool
) -> None:
    """A failed phase is a failure; a test that passes has passed its call and failed nowhere."""
    for made in reports:
        results.take(made)
    run = results.finished()
    assert run.coverage.passed == frozenset([TEST] * passed)
    assert run.failed == frozenset([TEST] * failed)


@pytest.mark.parametrize(("last", "passed"), [("passed", True), ("failed", False)])
def test_of_a_retried_test_the_last_try_counts(
    results: Results, last: Outcome, passed: bool
) -> None:
    """As pytest-rerunfailures reports it: earlier tries are of an outcome of their own."""
    for made in (report("setup"), report("call", "rerun"), *phases(last)):
        results.take(made)
    run = results.finished()
    assert (TEST in run.coverage.passed, TEST in run.failed) == (passed, not passed)


def test_a_try_that_is_run_again_is_no_pass(results: Results) -> None:
    """A session can end between two tries."""
    for made in (report("setup"), report("call", "rerun"), report("teardown")):
        results.take(made)
    assert results.finished().coverage.passed == frozenset()


def test_tests_do_not_share_an_outcome(results: Results) -> None:
    results.take(report("call", "failed", "a.py::test"))
    results.take(report("call", "passed", "b.py::test"))
    run = results.finished()
    assert run.failed == {"a.py::test"}
    assert run.coverage.passed == {"b.py::test"}


# --- failures -----------------------------------------------------------------------------------


def failure(when: When, text: str, test: str = TEST) -> pytest.TestReport:
    return report(when, "failed", test, longrepr=text)


def test_the_failures_of_tests_that_measured_have_the_first_line_of_their_message(
    results: Results,
) -> None:
    results.take(carrying(report("call"), replace(network(), test=TEST)))
    results.take(failure("teardown", "\n p95 8 ms, at most 5 ms; 1 of 1 limits\n\nlimit"))
    results.take(failure("call", "another test", "other.py::test"))
    assert results.failures == {TEST: "p95 8 ms, at most 5 ms; 1 of 1 limits"}


def test_a_test_that_was_to_measure_and_failed_is_among_the_failures(results: Results) -> None:
    results.take(report("setup", "failed", longrepr="bad marker", hiddencost_used=True))
    results.take(failure("teardown", "then this"))
    assert results.failures == {TEST: "bad marker"}


def test_an_exception_is_told_by_its_own_line(results: Results) -> None:
    crash = SimpleNamespace(reprcrash=SimpleNamespace(message="assert 1 == 2\n +1"))
    results.take(report("call", "failed", longrepr=crash, hiddencost_used=True))
    assert results.failures == {TEST: "assert 1 == 2"}


def test_the_location_of_a_test_is_kept(results: Results) -> None:
    results.take(report("setup"))
    assert results.location(TEST) == (TEST, 0)
    assert results.location("another") is None


# --- profiles -----------------------------------------------------------------------------------


def measured(label: str = "", test: str = TEST) -> Profile:
    return replace(network(), test=test, label=label)


def test_profiles_come_as_they_were_sent(results: Results) -> None:
    results.take(carrying(report("call"), measured("a"), measured("b")))
    results.take(report("teardown"))
    assert results.in_order() == [measured("a"), measured("b")]
    assert results.device == DEVICE


def test_other_plugins_find_them_on_the_config(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig()
    Results(config, Collection()).take(carrying(report("call"), measured("a")))
    assert config.stash[PROFILES] == {(TEST, "a"): measured("a")}


def test_profiles_are_in_the_order_of_a_plain_run(pytester: pytest.Pytester) -> None:
    """Whichever worker is done first; a test that was not collected comes last."""
    ids = ["a.py::one", "b.py::two", "c.py::three"]
    results = Results(pytester.parseconfig(), Collection(ids))
    for test in ("unknown", ids[2], ids[0], ids[1]):
        results.take(carrying(report("call", test=test), measured(test=test)))
    assert [profile.test for profile in results.in_order()] == [*ids, "unknown"]


def test_a_retried_test_has_its_last_profile(results: Results) -> None:
    results.take(carrying(report("call", "rerun"), replace(measured(), macs=1)))
    results.take(carrying(report("call"), replace(measured(), macs=2)))
    assert [profile.macs for profile in results.in_order()] == [2]


def test_a_retried_test_has_its_last_selftests(results: Results) -> None:
    for outcome, result in (("rerun", MISSED), ("passed", CAUGHT)):
        found = (SelfTest(TEST, "", "copies", result),)  # type: ignore[arg-type]  # both literals
        results.take(carrying(report("call", outcome), measured(), selftests=found))  # type: ignore[arg-type]  # as above
    assert [found.result for found in results.finished().selftests] == [CAUGHT]


# --- sub-tests ----------------------------------------------------------------------------------


class SubtestReport(pytest.TestReport):
    """Named like the report of a sub-test in pytest 9."""


class SubTestReport(pytest.TestReport):
    """Named like the report of a sub-test in pytest-subtests."""


@pytest.mark.parametrize("kind", [SubtestReport, SubTestReport])
@pytest.mark.parametrize(
    ("outcome", "found"), [("passed", "passed"), ("skipped", "passed"), ("failed", "failed")]
)
def test_a_sub_test_that_is_skipped_leaves_its_test_passed(
    results: Results, kind: type[pytest.TestReport], outcome: Outcome, found: str
) -> None:
    results.take(kind(TEST, (TEST, 0, TEST), {}, outcome, None, "call"))
    for made in phases("passed"):
        results.take(made)
    assert results.outcomes == {TEST: found}


# --- node ids that plugins change ---------------------------------------------------------------


def test_a_report_counts_for_the_test_it_names(results: Results) -> None:
    made = report("call", "failed", f"{TEST}@group", hiddencost_test=TEST)
    results.take(carrying(made, measured()))
    assert results.outcomes == {TEST: "failed"}
    assert results.measured_failed


def test_a_controller_keeps_the_order_of_the_node_ids_that_workers_collected(
    pytester: pytest.Pytester,
) -> None:
    results = Results(pytester.parseconfig(), Collection(["it::b@group", "it::a@group"]))
    for test in ("it::a", "it::b"):
        made = report("call", test=f"{test}@group", hiddencost_test=test)
        results.take(carrying(made, replace(measured(), test=test)))
    assert [profile.test for profile in results.in_order()] == ["it::b", "it::a"]


# --- the collection -----------------------------------------------------------------------------


def test_a_controller_knows_what_its_workers_collected(pytester: pytest.Pytester) -> None:
    """It collects no test itself, and measures none."""
    config = pytester.parseconfig()
    selected = Collection(["b::two"], deselected=["a::one"], vanished=["c::three"])
    worker = Results(config, replace(selected, modules=frozenset({"b"})))
    controller = Results(config, Collection([]))
    output: dict[str, Any] = {}
    worker.give_collection(output)
    controller.take_collection(SimpleNamespace(workeroutput=output))
    controller.take_collection(SimpleNamespace())  # a worker that crashed
    run = controller.finished()
    assert run.coverage.collected == {"a::one", "b::two", "c::three"}
    assert run.coverage.modules == {"b"}
    assert run.coverage.whole is not None
    assert not run.alone
    assert worker.finished().alone


def test_a_collection_that_failed_in_a_worker_is_not_complete(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig()
    output: dict[str, Any] = {}
    Results(config, Collection(collect_failed=True)).give_collection(output)
    controller = Results(config, Collection())
    controller.take_collection(SimpleNamespace(workeroutput=output))
    assert controller.finished().coverage.whole is None


def test_how_long_a_test_took_is_the_sum_of_its_phases(results: Results) -> None:
    """A relaunch of the test may take so long, and so may one from a pytest-xdist controller."""
    results.take(report("setup", duration=60.0))
    results.take(report("call", duration=154.0))
    results.take(report("teardown", duration=1.0))
    assert results.finished().test_s == {TEST: 215.0}
