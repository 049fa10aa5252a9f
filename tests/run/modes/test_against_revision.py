"""A run against another revision, as a user sees it; what pairs measure is given.

``tests/end_to_end`` starts whole processes, ``tests/workers`` tests the pairs themselves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import pytest
import scipy.stats
import torch
from torch import nn

from pytest_hiddencost import Profile, Sampling, profile
from pytest_hiddencost.core.errors import InterleavingError, NotInBase
from pytest_hiddencost.judge.interleaved.comparison import (
    Launcher,
    Pair,
    RevisionPlan,
    compare_pairs,
    pair_looks,
)
from pytest_hiddencost.run.modes import interleaving
from pytest_hiddencost.run.progress import Progress
from pytest_hiddencost.workers.imported_code import SameCode
from pytest_hiddencost.workers.pairs import MeasuredCall
from tests.repositories import COPYING, MODEL, TEST, commit, git, project, write
from tests.run.modes.given_pairs import GivenPairs, NoStarter, pair
from tests.run.modes.remembered import remember
from tests.suites import SHORT, run_file, run_here, verdicts

# A run in this process forgets what it imported first.
assert filelock
assert scipy.stats

RUN = (
    SHORT, "--hiddencost-threads=1", "--hiddencost-json=run.json", "--hiddencost-tolerance=20%"
)  # fmt: skip


class Copying(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for module in self:
            x = module(x.clone())
        return x


def measured(kind: type[nn.Sequential]) -> Profile:
    model = kind(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    return profile(model, torch.ones(1, 8), sampling=Sampling(max_time_ns=1_000_000))


@pytest.fixture(scope="module")
def plain() -> Profile:
    return measured(nn.Sequential)


@pytest.fixture(scope="module")
def copying() -> Profile:
    return measured(Copying)


Comparing = Callable[..., pytest.RunResult]


@pytest.fixture
def compare(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Comparing:
    """Run the project here against ``main``; ``pairs`` measure what is given."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setattr(tempfile, "tempdir", folder)
    remember(monkeypatch)

    def run(
        pairs: GivenPairs | Callable[[], Pair], *arguments: str, against: str = "main"
    ) -> pytest.RunResult:
        given = pairs if isinstance(pairs, GivenPairs) else GivenPairs(lambda _: pairs())
        NoStarter.prepared = 0
        monkeypatch.setattr(interleaving, "Pairs", given)
        monkeypatch.setattr(interleaving, "Starter", NoStarter)
        return run_here(pytester, *RUN, f"--hiddencost-against={against}", *arguments)

    return run


def only(folder: Path) -> dict[str, Any]:
    [found] = run_file(folder)["profiles"]
    entry: dict[str, Any] = found
    return entry


def why(folder: Path, answer: str) -> tuple[str, str]:
    """The reason and the remedy of the one check with this verdict."""
    [verdict] = [v for v in only(folder)["verdicts"] if v["verdict"] == answer]
    return verdict["reason"], verdict["remedy"]


def joined(result: pytest.RunResult) -> str:
    return " ".join(result.stdout.str().split())


# --- how long it takes --------------------------------------------------------------------------


@pytest.mark.parametrize(("pair_s", "told"), [(140.0, True), (0.5, False)])
def test_pairs_that_take_long_say_how_long_until_they_may_decide(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    compare: Comparing,
    plain: Profile,
    pair_s: float,
    told: bool,
) -> None:
    project(pytester.path)
    shown: list[str] = []
    now_s = [0.0]
    monkeypatch.setattr(interleaving, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(Progress, "show", lambda _, text: shown.append(text))

    def measure(_: MeasuredCall) -> Pair:
        now_s[0] += pair_s
        return pair(plain, plain)

    compare(GivenPairs(measure))
    turns = [text.partition(": ")[2] for text in shown if ": pair" in text]
    assert turns[0] == "pair 1, head and base in turns"
    left = ", about 14 min to a decision" if told else ""
    assert turns[2] == f"pair 3, head and base in turns{left}"
    assert only(pytester.path)["paired"]["spent_ns"] == round(8 * pair_s * 1e9)


def test_pairs_know_what_the_call_and_its_test_took_in_this_run(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    project(pytester.path)
    pairs = GivenPairs(lambda _: pair(plain, plain))
    compare(pairs)
    [asked] = pairs.asked
    assert asked.call_ns == only(pytester.path)["latency"]["median_ns"]
    assert asked.test_s > 0
    assert asked.startup_s > 0


# --- verdicts -----------------------------------------------------------------------------------


def test_unchanged_code_passes(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    head = project(pytester.path)
    pairs = GivenPairs(lambda _: pair(plain, plain))
    result = compare(pairs)
    result.assert_outcomes(passed=1)
    assert pairs.asked == [MeasuredCall("test_it.py::test_net", "")]
    assert pairs.closed
    assert NoStarter.prepared == 1
    entry = only(pytester.path)
    assert set(verdicts(entry).values()) == {"pass"}
    assert (entry["paired"]["revision"], entry["paired"]["commit"]) == ("main", head)
    told = f"against main ({head[:10]}): head and base each import their own test_it.py"
    assert told in joined(result)
    assert len(git(pytester.path, "worktree", "list").splitlines()) == 1


def test_slower_code_fails_by_several_pairs(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    project(pytester.path)
    result = compare(lambda: pair(plain, plain, growth=1.0))
    result.assert_outcomes(failed=1)
    entry = only(pytester.path)
    assert verdicts(entry)["regression[p50]"] == "fail"
    assert entry["paired"]["launches"] > 1
    assert "regression[p50] +100 %, at most +20 %" in joined(result)
    assert f"shown by {entry['paired']['launches']} pairs of processes" in joined(result)


def test_more_calls_fail_at_the_first_look_and_are_named(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile, copying: Profile
) -> None:
    project(pytester.path)
    result = compare(lambda: pair(copying, plain))
    result.assert_outcomes(failed=1)
    assert "+3 aten::clone" in joined(result)
    assert "Changed operators:" in joined(result)
    first = pair_looks(0.99, 1)[0]
    assert only(pytester.path)["paired"]["launches"] == first.size, "structure needs no more"


def test_fewer_calls_are_no_failure(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile, copying: Profile
) -> None:
    project(pytester.path)
    compare(lambda: pair(plain, copying)).assert_outcomes(passed=1)
    assert "calls" in only(pytester.path)["paired"]["improved"]


def test_the_markers_tolerance_counts(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    loose = TEST.replace(
        "def test_net",
        'import pytest\n@pytest.mark.latency_budget(regression={"p50": "150%"})\ndef test_net',
    )
    project(pytester.path, test_it=loose)
    compare(lambda: pair(plain, plain, growth=1.0)).assert_outcomes(failed=1)
    assert verdicts(only(pytester.path))["regression[p50]"] == "pass"
    assert verdicts(only(pytester.path))["regression[non_mac]"] == "fail"


LABELS = 10
SEVERAL = f"""\
import torch
from mynet import Net


def test_several(hiddencost):
    for number in range({LABELS}):
        hiddencost(Net(), torch.ones(1, 8), label=str(number))


def test_net(hiddencost):
    hiddencost(Net(), torch.ones(1, 8))
"""


def test_the_risk_of_a_session_holds_however_many_calls_a_test_makes(
    pytester: pytest.Pytester,
    compare: Comparing,
    plain: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The number of calls is not known before the last one."""
    project(pytester.path, test_it=SEVERAL)
    shares: list[float] = []

    def comparing(plan: RevisionPlan, launcher: Launcher) -> Any:
        shares.append(1.0 / plan.calls)
        return compare_pairs(plan, launcher)

    monkeypatch.setattr(interleaving, "compare_pairs", comparing)
    compare(lambda: pair(plain, plain)).assert_outcomes(passed=2)
    of_several, of_one = shares[:LABELS], shares[LABELS:]
    assert 0.0 < of_several[-1] == min(shares)
    assert sum(of_several) <= 0.5, "the share of a test, whichever worker runs the other"
    assert of_one == [of_several[0]] == pytest.approx([0.4])


def test_a_detached_head_is_compared_as_well(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    first = project(pytester.path)
    write(pytester.path, mynet=COPYING)
    second = commit(pytester.path)
    git(pytester.path, "checkout", "--quiet", "--detach", second)
    compare(lambda: pair(plain, plain), against="HEAD~1").assert_outcomes(passed=1)
    assert only(pytester.path)["paired"]["commit"] == first
    assert git(pytester.path, "rev-parse", "HEAD").strip() == second


# --- nothing to compare with --------------------------------------------------------------------


def raising(error: Exception) -> Callable[[], Pair]:
    def measure() -> Pair:
        raise error

    return measure


def test_what_base_lacks_is_new_and_says_what_to_do(
    pytester: pytest.Pytester, compare: Comparing
) -> None:
    project(pytester.path)
    compare(raising(NotInBase("main has no test_it.py"))).assert_outcomes(passed=1)
    reason, remedy = why(pytester.path, "new")
    assert reason == "main has no test_it.py"
    assert "--hiddencost-against" in remedy


def test_new_fails_under_strict(pytester: pytest.Pytester, compare: Comparing) -> None:
    project(pytester.path)
    result = compare(raising(NotInBase("main has no test_it.py")), "--hiddencost-strict")
    result.assert_outcomes(failed=1)
    assert "new: main has no test_it.py" in joined(result)


def test_a_pair_that_cannot_be_measured_is_inconclusive_and_fails_under_strict(
    pytester: pytest.Pytester, compare: Comparing
) -> None:
    project(pytester.path)
    error = InterleavingError("this tree: there is no test_it.py::test_net")
    compare(raising(error)).assert_outcomes(passed=1)
    assert verdicts(only(pytester.path)) == {"regression[p50]": "inconclusive"}
    reason, remedy = why(pytester.path, "inconclusive")
    assert reason == f"head and base were not compared: {error}"
    assert remedy == "mend that, then run again"
    compare(raising(error), "--hiddencost-strict").assert_outcomes(failed=1)


def test_the_same_code_on_both_sides_fails_the_test(
    pytester: pytest.Pytester, compare: Comparing
) -> None:
    project(pytester.path)
    result = compare(raising(SameCode("head and base both import mynet from elsewhere")))
    result.assert_outcomes(failed=1)
    assert "hiddencost: --hiddencost-against=main: head and base both import mynet" in joined(
        result
    )


def test_one_pair_measures_at_a_time_on_a_machine(
    pytester: pytest.Pytester,
    compare: Comparing,
    plain: Profile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interleaving, "LOCK_S", 0.2)
    monkeypatch.setattr(interleaving, "lock_file", lambda: pytester.path / "lock")
    project(pytester.path)
    with filelock.FileLock(pytester.path / "lock"):
        compare(lambda: pair(plain, plain)).assert_outcomes(passed=1)
    reason, remedy = why(pytester.path, "inconclusive")
    assert "another pair measures on this machine" in reason
    assert remedy == "mend that, then run again", "another base would not help"
    compare(lambda: pair(plain, plain)).assert_outcomes(passed=1)
    assert set(verdicts(only(pytester.path)).values()) == {"pass"}


# --- what is refused, and what makes nothing ----------------------------------------------------


@pytest.mark.parametrize("against", ["nowhere", "-x", "installed:nowhere"])
def test_what_does_not_exist_is_refused(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile, against: str
) -> None:
    project(pytester.path)
    result = compare(lambda: pair(plain, plain), against=against)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --hiddencost-against: *nowhere*" if "n" in against else "ERROR: *"]
    )


def test_baselines_are_left_alone(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    project(pytester.path)
    result = compare(lambda: pair(plain, plain), "--hiddencost-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--hiddencost-against and --hiddencost-update" in result.stderr.str()


def test_switched_off_makes_nothing(
    pytester: pytest.Pytester, compare: Comparing, plain: Profile
) -> None:
    project(pytester.path, mynet=MODEL)
    pairs = GivenPairs(lambda _: pair(plain, plain))
    compare(pairs, "--hiddencost-disable").assert_outcomes(skipped=1)
    assert not pairs.asked
    assert not NoStarter.prepared
    assert not list(Path(tempfile.gettempdir()).glob("hiddencost-*"))
