"""OpenMetrics text: as Prometheus' own parser reads it, and as GitLab does."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_hiddencost.core.checks import FAIL, PASS, Outcome
from pytest_hiddencost.core.records import Verdict
from pytest_hiddencost.report.exports.openmetrics import openmetrics_text
from pytest_hiddencost.report.run_file import RunFile
from tests.profiles import DEVICE, limit_on, network
from tests.report.exports.runs import hostile, run_of


def parsed(text: str) -> list[Metric]:
    """The families as Prometheus' client reads them."""
    parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
    return list(parse(text))


def families(run: RunFile) -> dict[str, Metric]:
    return {family.name: family for family in parsed(openmetrics_text(run))}


def read_by_gitlab(text: str) -> dict[str, str]:
    """As ``Gitlab::Ci::Parsers::Metrics::Generic`` reads: without comments, split as by a shell."""
    found = {}
    for line in text.splitlines():
        name, *values = shlex.split(re.sub(r"#.*$", "", line)) or [""]
        if name and values:
            assert len(values) == 1, line
            found[name] = values[0]
    return found


def test_a_gauge_for_each_quantity_in_base_units() -> None:
    found = families(run_of(network(label="b1", allocated_bytes=7)))
    values = {name: [sample.value for sample in f.samples] for name, f in found.items()}
    assert values["hiddencost_p50_seconds"] == [0.01]
    assert values["hiddencost_non_mac_seconds"] == [0.004]
    assert values["hiddencost_non_mac_share"] == [0.4]
    assert values["hiddencost_macs"] == [30_000_000]
    assert values["hiddencost_macs_per_second"] == [3e9]
    assert values["hiddencost_operator_calls"] == [86]
    assert values["hiddencost_allocated_bytes"] == [7]
    [sample] = found["hiddencost_p50_seconds"].samples
    assert sample.labels == {"test": "test_models.py::test_it", "label": "b1"}
    assert found["hiddencost_p50_seconds"].unit == "seconds"
    assert {f.type for name, f in found.items() if name != "hiddencost_device"} == {"gauge"}


def test_the_device_is_there_as_text() -> None:
    [sample] = families(run_of())["hiddencost_device"].samples
    assert sample.name == "hiddencost_device_info"
    assert sample.labels["model"] == DEVICE.model


def test_failed_and_undecided_checks_are_counted() -> None:
    outcomes: tuple[Outcome, ...] = (PASS, FAIL)
    verdicts = tuple(Verdict(limit_on(v), v, 1.0, 2.0) for v in outcomes)
    found = families(run_of(network(verdicts=verdicts)))
    assert [s.value for s in found["hiddencost_failed_checks"].samples] == [1]
    assert [s.value for s in found["hiddencost_inconclusive_checks"].samples] == [0]


def test_an_unknown_quantity_has_no_sample() -> None:
    known, unknown = network(label="a"), network(label="b", activation_peak_bytes=None)
    found = families(run_of(known, unknown))
    assert "hiddencost_allocated_bytes" not in found
    [sample] = found["hiddencost_activation_memory_bytes"].samples
    assert sample.labels["label"] == "a"


def test_a_hostile_name_stays_a_label() -> None:
    run = hostile()
    samples = families(run)["hiddencost_p50_seconds"].samples
    assert len(samples) == len(run.profiles)
    tests = {sample.labels.get("test", "") for sample in samples}
    assert 'test_a.py::test_it[<script>alert("1")</script>]' in tests
    assert "test_a.py::test_it['%231' \\ $HOME `x`]" in tests
    assert "test_ü.py::test_é[line\none]\\x1b[2J" in tests


def test_gitlab_reads_every_sample() -> None:
    run = hostile()
    found = read_by_gitlab(openmetrics_text(run))
    assert sum(name.startswith("hiddencost_p50_seconds") for name in found) == len(run.profiles)
    assert {v for n, v in found.items() if n.startswith("hiddencost_p50_seconds")} == {"0.01"}


def test_a_call_that_is_there_twice_counts_once() -> None:
    samples = families(run_of(network(), network()))["hiddencost_macs"].samples
    assert len(samples) == 1
