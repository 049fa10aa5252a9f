"""``--hiddencost-json``: every key of format 1, with what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.report import run_file as reports
from tests.suites import BRIEF, JSON, RUN_FILE, passes, profiles, run, run_file, run_here

pytestmark = pytest.mark.xdist_group("run file")

CONV = """
@budget(p50="10 s", macs=1)
def test_it(hiddencost): hiddencost(Net().eval(), IMAGE, label="conv")
"""
SMALL = "def test_it(hiddencost): hiddencost(MODEL, X)"


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, Any]]:
    """Run files that several tests look at."""
    return {}


@pytest.fixture
def document(pytester: pytest.Pytester, kept: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The run file of one convolution with a broken limit."""
    if not kept:
        run(pytester, CONV, JSON).assert_outcomes(failed=1)
        kept["conv"] = run_file(pytester.path)
    return kept["conv"]


# --- the keys of format 1 -----------------------------------------------------------------------

TOP = {"format", "created", "commit", "device", "profiles"}
DEVICE = {"key", "kind", "model", "cores", "threads", "arch", "os", "python", "torch"}
PROFILE = {
    "test", "label", "latency", "macs", "thop_macs", "mac_rate", "parameters", "mac_ns",
    "non_mac_share", "outside_ns", "activation_peak_bytes", "operators", "composites",
    "mac_kinds", "profiler", "fitness", "verdicts",
}  # fmt: skip
PARTS = {
    "latency": {"median_ns", "p95_ns", "p99_ns", "min_ns", "samples_ns", "median_ci_ns"},
    "operators": {"name", "group", "calls", "self_ns", "raw_self_ns", "macs"},
    "composites": {"name", "calls", "total_ns", "raw_total_ns", "inside"},
    "mac_kinds": {"kind", "calls", "macs", "self_ns"},
    "profiler": {"event_cost_ns", "events", "inflation_share", "residual_share"},
    "fitness": {"fit", "reasons", "remarks", "unknown"},
    "verdicts": {"check", "gate", "verdict", "measured", "limit", "reason", "remedy"},
}


def test_every_key_is_there(document: dict[str, Any]) -> None:
    assert document.keys() >= TOP
    assert document["device"].keys() >= DEVICE
    [profile] = document["profiles"]
    assert profile.keys() >= PROFILE
    for name, keys in PARTS.items():
        parts = profile[name] if isinstance(profile[name], list) else [profile[name]]
        assert parts, name
        for part in parts:
            assert part.keys() >= keys, name
    for cost in profile["composites"][0]["inside"]:
        assert cost.keys() >= {"name", "calls", "self_ns"}


def test_the_head_of_the_document(document: dict[str, Any]) -> None:
    assert document["format"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["created"])
    assert document["commit"] is None
    device = document["device"]
    assert device["kind"] == "cpu"
    assert device["threads"] == 1
    assert device["cores"] >= 1
    assert re.fullmatch(r"cpu-[a-z0-9.-]+-\d+c1t-\w+-torch\d+\.\d+", device["key"])


def test_figures_of_the_profile(document: dict[str, Any]) -> None:
    [profile] = document["profiles"]
    assert profile["test"] == "test_it.py::test_it"
    assert profile["label"] == "conv"
    assert profile["model"] == "Net"
    macs = 2 * 4 * 6 * 6 * 3 * 9
    assert profile["macs"] == macs
    assert profile["thop_macs"] is not None
    assert profile["parameters"] == 4 * 27 + 4 + 8
    assert profile["activation_peak_bytes"] >= 2 * 4 * 6 * 6 * 4
    [kind] = profile["mac_kinds"]
    assert (kind["kind"], kind["calls"], kind["macs"]) == ("conv2d 3x3", 1, macs)
    assert (profile["fitness"]["fit"], profile["fitness"]["reasons"]) == (True, [])


def test_latency_is_that_of_the_samples(document: dict[str, Any]) -> None:
    latency = document["profiles"][0]["latency"]
    samples = sorted(latency["samples_ns"])
    assert all(type(sample) is int for sample in samples)
    assert latency["min_ns"] == samples[0]
    assert samples[0] <= latency["median_ns"] <= latency["p95_ns"] <= latency["p99_ns"]
    low, high = latency["median_ci_ns"]
    assert low in samples
    assert high in samples
    assert low <= latency["median_ns"] <= high


def test_parts_add_up(document: dict[str, Any]) -> None:
    [profile] = document["profiles"]
    median_ns = profile["latency"]["median_ns"]
    explained_ns = sum(o["self_ns"] for o in profile["operators"]) + profile["outside_ns"]
    residual = profile["profiler"]["residual_share"]
    assert explained_ns == pytest.approx(median_ns * (1 - residual))
    assert profile["mac_rate"] == pytest.approx(profile["macs"] / median_ns * 1e9)
    assert profile["non_mac_share"] == pytest.approx(1 - profile["mac_ns"] / median_ns)
    assert profile["macs"] == sum(o["macs"] for o in profile["operators"])
    for composite in profile["composites"]:
        inside = composite["inside"]
        assert composite["total_ns"] == pytest.approx(sum(cost["self_ns"] for cost in inside))
    calls: dict[str, int] = {}
    for composite in profile["composites"]:
        for cost in composite["inside"]:
            calls[cost["name"]] = calls.get(cost["name"], 0) + cost["calls"]
    assert calls == {o["name"]: o["calls"] for o in profile["operators"]}
    assert profile["profiler"]["events"] == sum(calls.values())


def test_a_check_has_a_kind_and_a_key_and_is_there_as_text(document: dict[str, Any]) -> None:
    for verdict in document["profiles"][0]["verdicts"]:
        assert verdict["check"] == {"kind": "limit", "key": verdict["gate"]}


def test_verdicts(document: dict[str, Any]) -> None:
    found = {v["gate"]: v for v in document["profiles"][0]["verdicts"]}
    assert (found["p50"]["verdict"], found["p50"]["limit"]) == ("pass", 1e10)
    assert (found["macs"]["verdict"], found["macs"]["limit"]) == ("fail", 1)
    assert found["macs"]["measured"] == document["profiles"][0]["macs"]


def test_numbers_are_finite_and_strings_are_text(pytester: pytest.Pytester) -> None:
    passes(pytester, "def test_it(hiddencost): hiddencost(MODEL, X, label='größer')", JSON)
    text = (pytester.path / RUN_FILE).read_text(encoding="utf-8")
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    assert json.loads(text)["profiles"][0]["label"] == "größer"


def test_callable_has_no_parameters_and_no_thop(pytester: pytest.Pytester) -> None:
    passes(pytester, "def test_it(hiddencost): hiddencost(torch.relu, X)", JSON)
    profile = profiles(pytester)["test_it"]
    assert profile["parameters"] is None
    assert profile["thop_macs"] is None
    assert profile["thop_note"] == "thop counts modules only"
    assert profile["macs"] == 0


def test_notes_are_kept(pytester: pytest.Pytester) -> None:
    passes(pytester, "def test_it(hiddencost): hiddencost(nn.ReLU().train(), X)", JSON)
    [note] = profiles(pytester)["test_it"]["notes"]
    assert note.startswith("ReLU is in training mode")


def test_is_read_back_as_it_was(pytester: pytest.Pytester) -> None:
    passes(pytester, [SMALL, "def test_two(hiddencost): hiddencost(torch.relu, X)"], JSON, count=2)
    device, found = reports.load(pytester.path / RUN_FILE)
    document = run_file(pytester.path)
    assert encode(device) == document["device"]
    assert [json.loads(json.dumps(p.to_dict())) for p in found] == document["profiles"]


# --- the commit ---------------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_the_tests_repository(pytester: pytest.Pytester) -> None:
    git(pytester.path, "init", "-q")
    (pytester.path / ".gitignore").write_text(f"{RUN_FILE}\n__pycache__\n")
    pytester.makepyfile(test_it="def test_nothing(): pass")
    git(pytester.path, "add", ".")
    git(pytester.path, "commit", "-qm", "first")
    head = git(pytester.path, "rev-parse", "HEAD")
    run_here(pytester, JSON).assert_outcomes(passed=1)
    assert run_file(pytester.path)["commit"] == {"id": head, "dirty": False}
    passes(pytester, SMALL, JSON)
    assert run_file(pytester.path)["commit"] == {"id": head, "dirty": True}


def test_repository_without_a_commit(pytester: pytest.Pytester) -> None:
    git(pytester.path, "init", "-q")
    passes(pytester, SMALL, JSON)
    assert run_file(pytester.path)["commit"] is None


def test_no_git(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(pytester.path))
    passes(pytester, SMALL, JSON)
    assert run_file(pytester.path)["commit"] is None


# --- the file -----------------------------------------------------------------------------------


def test_a_new_run_replaces_the_file(pytester: pytest.Pytester) -> None:
    passes(pytester, [SMALL, "def test_two(hiddencost): hiddencost(MODEL, X)"], JSON, count=2)
    passes(pytester, SMALL, JSON)
    assert list(profiles(pytester)) == ["test_it"]
    assert [name for name in os.listdir(pytester.path) if "run.json" in name] == [RUN_FILE]


def test_permissions_are_those_of_any_new_file(pytester: pytest.Pytester) -> None:
    passes(pytester, SMALL, JSON)
    other = pytester.path / "other"
    other.touch()
    assert (pytester.path / RUN_FILE).stat().st_mode == other.stat().st_mode


def test_nothing_measured_is_a_file_without_profiles(pytester: pytest.Pytester) -> None:
    passes(pytester, "def test_it(): pass", JSON)
    document = run_file(pytester.path)
    assert document["profiles"] == []
    assert document["device"]["kind"] == "cpu"


@pytest.mark.parametrize("looking", ["--collect-only", "--setup-plan", "--fixtures"])
def test_a_run_that_ran_no_test_leaves_the_file_alone(
    pytester: pytest.Pytester, looking: str
) -> None:
    """A run that only lists tests must not overwrite earlier figures."""
    passes(pytester, SMALL, JSON)
    before = (pytester.path / RUN_FILE).read_bytes()
    assert run_here(pytester, BRIEF, JSON, looking).ret == 0
    assert (pytester.path / RUN_FILE).read_bytes() == before


def test_failing_tests_are_in_it(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        @budget(macs=1)
        def test_beyond(hiddencost): hiddencost(MODEL, X)

        def test_raises(hiddencost):
            hiddencost(MODEL, X)
            raise ValueError
        """,
        JSON,
    )
    result.assert_outcomes(failed=2)
    assert list(profiles(pytester)) == ["test_beyond", "test_raises"]


def test_profiles_are_on_the_config_for_other_plugins(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from pytest_hiddencost.run.results import PROFILES

        def pytest_unconfigure(config):
            found = config.stash.get(PROFILES, {})
            print("FOUND", [(*key, profile.macs) for key, profile in found.items()])
        """
    )
    output = passes(pytester, SMALL.replace("X)", "X, label='a')"), "-s")
    assert "FOUND [('test_it.py::test_it', 'a', 128)]" in output
