"""Runs on a fleet, as far as this machine's side goes: devices are stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_hiddencost import __version__
from pytest_hiddencost.fleet.device_info import DeviceInfo, installed_torch
from pytest_hiddencost.fleet.device_task import DONE, TROUBLE, DeviceAnswer, Order
from pytest_hiddencost.fleet.members import Member
from pytest_hiddencost.run.modes import on_fleet
from tests.repositories import commit

TESTS = """
import pytest

@pytest.mark.latency_budget(macs=1)
def test_measures():
    raise AssertionError("it ran here")

def test_local():
    pass
"""
FLEET = "--hiddencost-fleet=tcp://127.0.0.1:1"
Answers = dict[str, DeviceAnswer]


def report(when: Any, outcome: Any = "passed", text: Any = None) -> dict[str, object]:
    """A report of a device, as plain data."""
    found = pytest.TestReport(
        "test_it.py::test_measures",
        ("test_it.py", 3, "test_measures"),
        {},
        outcome,
        text,
        when,
    )
    return {**found._to_json(), "$report_type": "TestReport"}


def ran(device: str, outcome: str = "passed", text: str | None = None) -> DeviceAnswer:
    """The answer of a device that ran the test."""
    reports = (report("setup"), report("call", outcome, text), report("teardown"))
    return DeviceAnswer(DONE, device, reports=reports, lines=(("a remark", "yellow"),))


class StandIn:
    """A dispatcher whose devices have answered already."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.orders: list[Order] = []
        self.closed = False

    def submit(self, orders: Sequence[Order]) -> None:
        self.orders += orders

    def answer(self, key: tuple[str, str], tell: Callable[[str], None]) -> DeviceAnswer:
        tell(f"waiting for {key[1]}")
        return self.answers[key[1]]

    def close(self) -> None:
        self.closed = True


class NoClient:
    """A client of a scheduler that has no more to say."""

    def close(self, timeout: float = 0.0) -> None:
        """Close nothing."""


def fleet_of(monkeypatch: pytest.MonkeyPatch, answers: Answers, torch: str = "") -> StandIn:
    """Put a fleet with one device of each kind in the place of Dask."""
    found = StandIn(answers)
    versions = (torch or installed_torch(), __version__, "3.11.7")
    devices = [
        Member("tcp://d", f"{kind}-1", DeviceInfo(kind, f"cpu-{kind}", *versions))
        for kind in answers
    ]
    monkeypatch.setattr(on_fleet, "connected", lambda address: NoClient())
    monkeypatch.setattr(on_fleet, "members", lambda client: devices)
    monkeypatch.setattr(on_fleet, "Dispatcher", lambda *given: found)
    return found


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test_it=TESTS)
    commit(pytester.path)
    return pytester.runpytest_inprocess("-pno:cacheprovider", FLEET, *arguments)


def test_a_test_fails_here_if_one_device_fails_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = ran("b-1", "failed", "p50 16 ms, at most 15 ms")
    fleet = fleet_of(monkeypatch, {"a": ran("a-1"), "b": slow})
    result = run(pytester)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*on b: p50 16 ms, at most 15 ms*", "*fleet*", "a *a-1*", "b *b-1*"]
    )
    result.stdout.no_fnmatch_line("*it ran here*")
    assert [(order.test, order.kind) for order in fleet.orders] == [
        ("test_it.py::test_measures", "a"),
        ("test_it.py::test_measures", "b"),
    ]
    assert fleet.closed


@pytest.mark.parametrize(
    ("strict", "outcome"), [((), "skipped"), (("--hiddencost-strict",), "errors")]
)
def test_a_test_without_an_answer_is_never_passed(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    strict: tuple[str, ...],
    outcome: str,
) -> None:
    fleet_of(monkeypatch, {"a": DeviceAnswer(TROUBLE, reason="its disk is full")})
    result = run(pytester, "-rfs", *strict)
    result.assert_outcomes(passed=1, **{outcome: 1})
    result.stdout.fnmatch_lines(["*inconclusive on a: its disk is full*"])


def test_another_torch_on_a_device_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of(monkeypatch, {"a": ran("a-1")}, torch="2.4.0")
    result = run(pytester)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["torch is 2.4.0 on a-1, and * on this machine"])


def test_orders_carry_the_options_that_change_a_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fleet_of(monkeypatch, {"a": ran("a-1")})
    run(pytester, "--hiddencost-max-time=20ms", "--hiddencost-json=run.json", "-Wignore")
    [order] = fleet.orders
    assert "--hiddencost-max-time=20ms" in order.arguments
    assert "-W" in order.arguments
    assert not [a for a in order.arguments if a.startswith(("--hiddencost-json", FLEET[:18]))]


def test_orders_name_the_plugins_that_are_active(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fleet_of(monkeypatch, {"a": ran("a-1")})
    run(pytester, "-pno:tmpdir")
    [order] = fleet.orders
    assert "terminal" in order.plugins
    assert not {"tmpdir", "cacheprovider", "junitxml"} & set(order.plugins)
    assert "no:tmpdir" in order.arguments


def test_an_expected_failure_beside_a_skip_is_a_skip(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {**report("call", "skipped", "assert 1 == 2"), "wasxfail": "slow"}
    skip = report("call", "skipped", ["test_it.py", 4, "Skipped: no camera"])
    answers = {
        name: DeviceAnswer(DONE, f"{name}-1", reports=(report("setup"), call, report("teardown")))
        for name, call in (("a", failed), ("b", skip))
    }
    fleet_of(monkeypatch, answers)
    result = run(pytester, "-v", "-rs", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*test_measures SKIPPED*", "SKIPPED ?1? *no camera*"])
    assert "no camera" in (pytester.path / "junit.xml").read_text(encoding="utf-8")


def test_devices_of_one_kind_that_differ_are_named_in_the_summary(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of(monkeypatch, {"a": ran("a-1")})
    info = DeviceInfo("a", "cpu-a", installed_torch(), __version__, "3.11.7")
    devices = [
        Member("tcp://d", name, replace(info, key=key))
        for name, key in (("a-1", "a-4c"), ("a-2", "a-8c"))
    ]
    monkeypatch.setattr(on_fleet, "members", lambda client: devices)
    run(pytester).stdout.fnmatch_lines(["devices of a differ: a-4c (a-1), a-8c (a-2); *"])


def test_a_quiet_run_has_no_table_of_the_fleet(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of(monkeypatch, {"a": ran("a-1")})
    run(pytester, "-q").stdout.no_fnmatch_line("*names*passed*")
    fleet_of(monkeypatch, {"a": ran("a-1", "failed", "too slow")})
    pytester.runpytest_inprocess("-pno:cacheprovider", FLEET, "-q").stdout.fnmatch_lines(
        ["*names*passed*failed*"]
    )


def test_without_a_summary_a_run_says_why_it_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of(monkeypatch, {"a": replace(ran("a-1"), lines=(("the selftest failed", "red"),))})
    result = run(pytester, "-pno:terminal")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.stderr.lines == ["the selftest failed"]


def test_tests_without_an_answer_are_listed_by_their_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet_of(monkeypatch, {"a": DeviceAnswer(TROUBLE, reason="no device of a for 60 s")})
    result = run(pytester)
    result.stdout.fnmatch_lines(
        ["inconclusive on a (1): test_it.py::test_measures: no device of a for 60 s"]
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--hiddencost-rename", "*--hiddencost-rename: renaming needs no fleet; run it once*"),
        ("-n2", "*pytest-xdist cannot share a fleet*run with -n0"),
    ],
)
def test_what_a_fleet_cannot_do_is_refused_with_the_way_to_do_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str, message: str
) -> None:
    fleet_of(monkeypatch, {"a": ran("a-1")})
    result = run(pytester, option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_carried_files_travel_and_keep_their_paths(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fleet_of(monkeypatch, {"a": ran("a-1")})
    pytester.makefile(".bin", weights="1")
    pytester.makefile("", **{".gitignore": "*.bin"})
    run(pytester, f"--hiddencost-carry={pytester.path}/*.bin")
    [order] = fleet.orders
    assert "--hiddencost-carry=*.bin" in order.arguments


def test_named_models_run_on_the_devices_by_their_ids(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fleet_of(monkeypatch, {"a": ran("a-1"), "b": ran("b-1")})
    model = ("--hiddencost-model=pkg.m:Net", "--hiddencost-input=1x8", "--hiddencost-batch=1,8")
    budgets = ("--hiddencost-model-budget=p50 = 1 s", "--hiddencost-model-budget=macs = 9 MMAC")
    run(pytester, *model, *budgets).assert_outcomes(passed=2)
    assert [(order.test, order.kind) for order in fleet.orders] == [
        (f"hiddencost-model::pkg.m:Net[{shape}-eager]", kind)
        for shape in ("1x8", "8x8")
        for kind in ("a", "b")
    ]
    own = [a for a in fleet.orders[0].arguments if a.startswith("--hiddencost")]
    assert own[:2] == list(budgets)
    assert not [a for a in own if a.startswith(("--hiddencost-model=", "--hiddencost-batch"))]
