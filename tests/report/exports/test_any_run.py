"""Any run there could be, in the formats that others read."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.records import Profile
from pytest_hiddencost.report.exports.openmetrics import openmetrics_text
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import DEVICE, any_profiles
from tests.report.exports import test_bencher, test_chrome_trace, test_speedscope
from tests.report.exports.test_openmetrics import parsed, read_by_gitlab


@settings(deadline=None, max_examples=8)
@given(any_profiles(), st.text(max_size=5))
def test_any_run_can_be_read_by_others(profile: Profile, model: str) -> None:
    run = RunFile(replace(DEVICE, model=model), (profile,))
    text = openmetrics_text(run)
    assert text.endswith("# EOF\n")
    samples = [sample for family in parsed(text) for sample in family.samples]
    assert len(read_by_gitlab(text)) == len(samples)
    test_speedscope.exported(run)
    test_chrome_trace.durations(test_chrome_trace.exported(run)["traceEvents"])
    if all(abs(value) < 1e300 for value in (profile.latency.median_ns, profile.mac_ns)):
        test_bencher.exported(run)
