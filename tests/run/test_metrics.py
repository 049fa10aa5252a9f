"""``--hiddencost-metrics``: the figures of a run as OpenMetrics."""

from __future__ import annotations

import pytest

from tests.report.exports.test_openmetrics import parsed
from tests.suites import GIVEN, JSON, passes, run, run_file, stand_in

TEST = '@budget(p50="10 s")\ndef test_it(hiddencost): hiddencost(given(network()), X, label="#1")'
METRICS = "--hiddencost-metrics=metrics.txt"


def test_the_file_has_the_figures_of_the_run_file(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    passes(pytester, [GIVEN, TEST], METRICS, JSON)
    text = (pytester.path / "metrics.txt").read_text(encoding="utf-8")
    samples = {s.name: s for f in parsed(text) for s in f.samples}
    stored = run_file(pytester.path)
    sample = samples["hiddencost_p50_seconds"]
    assert sample.value == pytest.approx(stored["profiles"][0]["latency"]["median_ns"] / 1e9)
    assert sample.labels == {"test": stored["profiles"][0]["test"], "label": "%231"}
    assert samples["hiddencost_failed_checks"].value == 0
    assert samples["hiddencost_device_info"].labels["model"] == stored["device"]["model"]


def test_a_path_that_cannot_be_written_ends_the_run_before_any_test(
    pytester: pytest.Pytester,
) -> None:
    result = run(pytester, TEST, "--hiddencost-metrics=missing/metrics.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    message = result.stderr.str()
    assert "--hiddencost-metrics=" in message
    assert "the folder" in message
    assert "does not exist; create it first" in message


def test_two_outputs_of_one_path_are_refused(pytester: pytest.Pytester) -> None:
    result = run(pytester, TEST, METRICS, "--hiddencost-json=metrics.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--hiddencost-json and --hiddencost-metrics name the same file" in result.stderr.str()
