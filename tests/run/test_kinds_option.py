"""``--hiddencost-kinds``: a run with replays, on the command line and in the ini file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_hiddencost.measure.kinds import peaks
from tests.quick_kinds import REPETITION_NS, quick_kinds
from tests.run.test_settings import settings
from tests.suites import BRIEF, JSON, PRELUDE, run_file, run_here

USES_IT = f"""{PRELUDE}
def test_uses_it(hiddencost):
    hiddencost(MODEL, X)
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    quick_kinds(monkeypatch)
    yield
    peaks.measured_peaks.cache_clear()


def test_each_call_has_its_replays_and_the_peaks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=USES_IT)
    result = run_here(pytester, BRIEF, JSON, "--hiddencost-kinds", "-v")
    assert result.ret == pytest.ExitCode.OK
    (found,) = run_file(pytester.path)["profiles"]
    assert {replay["operator"] for replay in found["replays"]} == {"aten::addmm", "aten::relu"}
    assert found["peaks"]["call_ns"] == REPETITION_NS
    assert found["mac_kinds"][0]["replay_ns"] == REPETITION_NS
    result.stdout.fnmatch_lines(["peaks: *", "check: the replays take 2 us together*"])


def test_a_usual_run_replays_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=USES_IT)
    run_here(pytester, BRIEF, JSON)
    (found,) = run_file(pytester.path)["profiles"]
    assert (found["replays"], found["peaks"]) == ([], None)
    assert found["mac_kinds"][0]["replay_ns"] is None


def test_the_ini_file_may_ask_for_replays_and_a_relaunch_makes_none() -> None:
    assert settings(ini={"kinds": True}).kinds
    assert not settings().kinds
    assert not settings({"kinds": True}, hiddencost_relaunch="result.json").kinds
