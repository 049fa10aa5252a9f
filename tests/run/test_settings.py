"""Options and their ini twins: what they set, and which values are refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.records import Sampling
from pytest_hiddencost.options import OPTIONS, VERBOSITY
from pytest_hiddencost.run.model_settings import OF_MODELS
from pytest_hiddencost.run.settings import RecordingSettings, RelaunchOrder, Settings
from tests.suites import (
    BRIEF,
    JSON,
    RUN_FILE,
    passes,
    profiles,
    run,
    run_file,
    run_here,
    write_suite,
)

CALL = "def test_it(hiddencost): hiddencost(MODEL, X)"
TOUCHES = "def test_it(): open('was-run', 'w').close()"
DURATION = "accepted is a duration (ns, us, µs, ms, s), such as '15 ms'"
STARTED = Path("/project/below")


class FakeConfig:
    """Pytest's configuration: values by option name, from the command line and an ini file."""

    def __init__(
        self,
        line: Mapping[str, object],
        ini: Mapping[str, object],
        *,
        verbosity: str = "auto",
        arguments: tuple[str, ...] = (),
        selected: Sequence[str] = ("test_it.py",),
        root: Path = STARTED.parent,
        **others: object,
    ) -> None:
        twins = {option.name: option.ini for option in OPTIONS}
        self._line = {**others, **{twins[name]: value for name, value in line.items()}}
        self._ini: dict[str, object] = dict.fromkeys(twins.values())
        self._ini |= {twins[name]: value for name, value in ini.items()}
        self._ini[VERBOSITY] = verbosity
        self.rootpath = root
        self.inipath = root / "config/pytest.ini" if ini else None
        self.invocation_params = SimpleNamespace(args=arguments, dir=root / STARTED.name)
        self.option = SimpleNamespace(file_or_dir=list(selected))

    def getoption(self, name: str, default: object = None) -> object:
        return self._line.get(name, default)

    def getini(self, name: str) -> object:
        return self._ini[name]

    def get_verbosity(self, name: str) -> int:
        assert name == "hiddencost"
        return 0


def settings(line: Mapping[str, object] | None = None, **given: Any) -> Settings:
    """The settings of a run with these options on the command line."""
    config = FakeConfig(line or {}, given.pop("ini", {}), **given)
    return Settings.from_config(cast("pytest.Config", config))


def refusal(line: Mapping[str, object] | None = None, **given: Any) -> str:
    """Why these options are refused, in one line."""
    with pytest.raises(HiddenCostError) as error:
        settings(line, **given)
    message = str(error.value)
    assert "\n" not in message
    return message


# --- refused ------------------------------------------------------------------------------------

# Option, its value, then what the message must say.
BAD = [
    ("max-time", "nan", ["'nan' is not a finite number", DURATION]),
    ("max-time", "inf", ["'inf' is not a finite number", DURATION]),
    ("max-time", "-inf s", ["'-inf s' is not a finite number", DURATION]),
    ("max-time", "2", ["'2' has no unit", DURATION]),
    ("max-time", "-2 s", ["'-2 s' is negative", DURATION]),
    ("max-time", "2 parsecs", ["unknown unit 'parsecs'", DURATION]),
    ("max-time", "5%", ["'5%' is a share", DURATION]),
    ("max-time", "long", ["'long' is not a number and a unit", DURATION]),
    ("max-time", "0", ["a time above 0", "'0'"]),
    ("max-time", "0 ms", ["a time above 0", "'0 ms'"]),
    ("max-time", "1e9 s", ["up to 86400 s", "'1e9 s'"]),
    ("min-samples", "nan", ["a whole number of at least 1, got 'nan'"]),
    ("min-samples", "inf", ["a whole number of at least 1, got 'inf'"]),
    ("min-samples", "0", ["a whole number of at least 1, got '0'"]),
    ("min-samples", "-5", ["a whole number of at least 1, got '-5'"]),
    ("min-samples", "20.5", ["a whole number of at least 1, got '20.5'"]),
    ("min-samples", "many", ["a whole number of at least 1, got 'many'"]),
    ("min-samples", "٣٠", ["a whole number of at least 1"]),
    (
        "min-samples",
        "3",
        ["fewer than 8 samples", "--hiddencost-min-samples=8", "--hiddencost-confidence"],
    ),
    ("threads", "0", ["a whole number of at least 1, got '0'"]),
    ("threads", "-1", ["a whole number of at least 1, got '-1'"]),
    ("threads", "nan", ["a whole number of at least 1, got 'nan'"]),
    ("threads", "auto", ["a whole number of at least 1, got 'auto'"]),
    ("confidence", "nan", ["a share from 50% to 99.9999%", "such as 99% or 0.99", "'nan'"]),
    ("confidence", "nan%", ["a share from 50%", "'nan%'"]),
    ("confidence", "inf", ["a share from 50%", "'inf'"]),
    ("confidence", "-99%", ["a share from 50%", "'-99%'"]),
    ("confidence", "99", ["a share from 50%", "'99'"]),
    ("confidence", "100%", ["a share from 50%", "'100%'"]),
    ("confidence", "1", ["a share from 50%", "'1'"]),
    ("confidence", "40%", ["a share from 50%", "'40%'"]),
    ("confidence", "high", ["a share from 50%", "'high'"]),
    ("tolerance", "5", ["'5' has no unit"]),
    ("tolerance", "-5%", ["'-5%' is negative"]),
    ("tolerance", "5 ms", ["'5 ms' is a duration"]),
    ("tolerance", "5000%", ["'5000%' is more than"]),
    ("launches", "0", ["a whole number of at least 1, got '0'"]),
    ("launches", "1", ["a baseline of 1 launch could never fail", "give at least 2"]),
]


@pytest.mark.parametrize(("option", "value", "parts"), BAD)
def test_a_bad_option_is_refused(option: str, value: str, parts: list[str]) -> None:
    message = refusal({option: value})
    assert f"--hiddencost-{option}" in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize(("option", "value", "parts"), BAD)
def test_a_bad_ini_value_is_refused(option: str, value: str, parts: list[str]) -> None:
    message = refusal(ini={option: value})
    assert f"hiddencost_{option.replace('-', '_')} in the ini file" in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("value", ["loud", "1.5", "²", "", "01", "+1"])
def test_a_bad_verbosity_is_refused(value: str) -> None:
    message = refusal(verbosity=value)
    assert VERBOSITY in message
    assert repr(value) in message
    assert "a whole number or auto" in message


def test_the_option_that_asks_for_too_much_confidence_is_named() -> None:
    message = refusal({"confidence": "99.9999%"})
    assert message.startswith("--hiddencost-confidence: ")
    assert "at 0.999999 confidence, fewer than 21 samples" in message
    assert settings({"confidence": "99.9999%", "min-samples": "21"}).sampling.min_samples == 21


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("update", "update-new"),
        ("against", "update"),
        ("against", "update-new"),
        ("against", "selftest"),
        ("against", "rename"),
        ("update", "rename"),
    ],
)
def test_options_that_contradict_each_other_are_refused(first: str, second: str) -> None:
    values = {"against": "main"}
    message = refusal({name: values.get(name, True) for name in (first, second)})
    assert message.startswith(f"--hiddencost-{first} and --hiddencost-{second}: ")
    assert "give one of them" in message


def test_a_reason_without_an_update_is_refused() -> None:
    message = refusal({"reason": "new kernel"})
    assert message.startswith("--hiddencost-reason: ")
    assert "--hiddencost-update" in message
    assert settings({"reason": "new kernel", "update": True}).recording.reason == "new kernel"


# --- taken --------------------------------------------------------------------------------------


def test_defaults() -> None:
    found = settings()
    assert found.sampling == Sampling() == Sampling(2_000_000_000, 20, 0.99)
    assert (found.device, found.threads, found.json) == (None, None, None)
    assert (found.tolerance, found.strict, found.disable, found.selftest) == (
        0.05, False, False, False,
    )  # fmt: skip
    assert found.baseline_dir == Path("/project/.hiddencost")
    assert found.recording == RecordingSettings("nothing", "", 3)
    assert (found.interleave, found.github) == ("auto", "auto")
    assert (found.markdown, found.codequality) == (None, None)
    assert (found.against, found.worker, found.xdist_workers) == (None, None, 1)


VALUES = {
    "device": "cpu", "threads": "2", "max-time": "30 ms", "min-samples": "40", "confidence": "95%",
    "tolerance": "10%", "baseline-dir": "kept", "update": True, "reason": "why", "launches": "5",
    "selftest": True, "interleave": "always", "strict": True, "disable": True,
    "kinds": True, "json": "run.json",
    "carry": "w.pt, data/*", "markdown": "comment.md", "codequality": "quality.json",
    "github": "off", "metrics": "metrics.txt",
    "store": "runs", "store-host": True,
    "report": "report.html",
    "energy": True,
}  # fmt: skip


@pytest.mark.parametrize("twin", [False, True], ids=["command line", "ini file"])
def test_every_value_is_read(twin: bool) -> None:
    found = settings(ini=VALUES) if twin else settings(VALUES)
    folder = Path("/project/config") if twin else STARTED
    assert found.sampling == Sampling(30_000_000, 40, 0.95)
    assert (found.device, found.threads, found.tolerance) == ("cpu", 2, 0.1)
    assert (found.selftest, found.strict, found.disable) == (True, True, True)
    assert (found.energy, found.kinds) == (True, True)
    assert found.interleave == "always"
    assert found.recording == RecordingSettings("all", "why", 5)
    # Relative to where pytest was started, or to where the ini file lies.
    assert (found.json, found.baseline_dir) == (folder / "run.json", folder / "kept")
    assert found.store is not None
    assert (found.store.url, found.store.host) == (str(folder / "runs"), True)
    assert found.report == folder / "report.html"
    assert found.carry == (str(folder / "w.pt"), str(folder / "data" / "*"))
    assert (found.markdown, found.codequality) == (folder / "comment.md", folder / "quality.json")
    assert (found.metrics, found.github) == (folder / "metrics.txt", "off")


def test_every_option_is_among_these() -> None:
    others = {"update-new", "rename", "against"}  # which contradict the others
    others |= {"model", *OF_MODELS}  # tests/run/test_model_settings.py
    others |= {"fleet", "fleet-kinds", "fleet-limit", "fleet-insecure"}  # test_fleet_settings.py
    assert VALUES.keys() | others == {option.name for option in OPTIONS}
    assert settings({"update-new": True}).recording.accept == "new"
    assert settings({"rename": True}).recording.rename
    assert settings({"against": "main"}).against == "main"


@pytest.mark.parametrize("url", ["s3://bucket/runs", "memory://x", "simplecache::s3://bucket/x"])
def test_a_store_with_a_protocol_is_a_url(url: str) -> None:
    found = settings({"store": url}).store
    assert found is not None
    assert found.url == url


def test_an_ini_file_that_renames_forbids_no_update_and_no_revision() -> None:
    """An update rewrites the entries, and a comparison with a revision reads none."""
    ini = {"rename": True}
    assert not settings({"update": True}, ini=ini).recording.rename
    assert settings({"against": "main"}, ini=ini).against == "main"
    assert settings({"update-new": True}, ini=ini).recording.rename


def test_an_empty_revision_is_refused_instead_of_comparing_nothing() -> None:
    assert "--hiddencost-against names no revision; give one" in refusal({"against": ""})
    assert settings(ini={"against": ""}).against is None


@pytest.mark.parametrize("name", [name for name, value in VALUES.items() if value is not True])
def test_an_empty_value_is_none(name: str) -> None:
    assert settings(ini={name: ""}) == settings(ini={"device": None})


def test_the_command_line_is_read_although_the_ini_value_is_bad() -> None:
    assert settings({"max-time": "1 s"}, ini={"max-time": "nan"}).sampling.max_time_ns == 10**9
    assert settings({"confidence": "0.9"}, ini={"confidence": "95%"}).sampling.confidence == 0.9


@pytest.mark.parametrize("choice", ["auto", "never", "always"])
def test_when_to_interleave_is_one_of_three(choice: str) -> None:
    assert settings({"interleave": choice}).interleave == choice
    assert settings(ini={"interleave": choice}).interleave == choice


@pytest.mark.parametrize("wrong", ["sometimes", "Auto", "yes", "0"])
def test_another_time_to_interleave_names_the_option_and_what_it_accepts(wrong: str) -> None:
    expected = f"expected auto, never or always, got {wrong!r}"
    assert refusal({"interleave": wrong}) == f"--hiddencost-interleave: {expected}"
    in_ini = refusal({}, ini={"interleave": wrong})
    assert in_ini == f"hiddencost_interleave in the ini file: {expected}"


def test_the_command_line_says_when_to_interleave_before_the_ini_file() -> None:
    assert settings({"interleave": "never"}, ini={"interleave": "always"}).interleave == "never"


def test_baselines_can_be_switched_off() -> None:
    assert settings({"baseline-dir": "off"}).baseline_dir is None
    assert settings(ini={"baseline-dir": "off"}).baseline_dir is None


def test_how_the_run_was_started_is_kept_without_what_selects_tests() -> None:
    found = settings(arguments=("test_it.py", "-p", "shared", "--hiddencost-update-new"))
    assert found.invocation is not None
    assert found.invocation.arguments == ("-p", "shared")
    assert (found.invocation.root, found.invocation.directory) == (Path("/project"), STARTED)


def test_a_worker_process_records_compares_and_writes_nothing() -> None:
    files = {"json": "run.json", "markdown": "comment.md", "codequality": "quality.json"}
    line = {"update-new": True, "github": "on", **files}
    relaunched = settings(line, hiddencost_relaunch="out.json", hiddencost_injection="slow")
    assert relaunched.worker == RelaunchOrder(Path("out.json"), "slow")
    interleaved = settings({"against": "main"}, hiddencost_interleaved="fd")
    assert interleaved.worker == "interleaved"
    for found in (relaunched, interleaved):
        assert (found.recording.accept, found.against, found.json) == ("nothing", None, None)
    assert (relaunched.markdown, relaunched.codequality) == (None, None)
    assert (relaunched.github, interleaved.github) == ("off", "off")


# --- in a run -----------------------------------------------------------------------------------


def refused(pytester: pytest.Pytester, result: pytest.RunResult) -> str:
    """The one line that refuses; no test was run, nothing else was printed."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "was-run").exists()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("ERROR: ")
    return lines[0]


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "two workers"])
@pytest.mark.parametrize(
    "argument", ["--hiddencost-max-time=nan", "--hiddencost-json=nowhere/run.json"]
)
def test_what_is_refused_is_refused_once_before_a_test_runs(
    pytester: pytest.Pytester, argument: str, workers: tuple[str, ...]
) -> None:
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, argument, *workers))
    assert argument.partition("=")[0] in line
    assert argument.partition("=")[2] in line


@pytest.mark.parametrize(
    "line",
    [
        "hiddencost_max_time = nan",
        "hiddencost_strict = maybe",
        "hiddencost_disable = maybe",
        "verbosity_hiddencost = loud",
        "hiddencost_json = nowhere/run.json",
    ],
)
def test_a_bad_ini_file_is_refused_before_a_test_runs(pytester: pytest.Pytester, line: str) -> None:
    pytester.makeini(f"[pytest]\n{line}")
    pytester.makepyfile(TOUCHES)
    name, _, value = line.partition(" = ")
    message = refused(pytester, run_here(pytester))
    assert name in message
    assert value in message
    assert "in the ini file" in message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.pytest.ini_options]\nhiddencost_min_samples = "60"\n'),
        ("tox.ini", "[pytest]\nhiddencost_min_samples = 60\n"),
        ("setup.cfg", "[tool:pytest]\nhiddencost_min_samples = 60\n"),
    ],
)
def test_every_kind_of_ini_file(pytester: pytest.Pytester, name: str, text: str) -> None:
    (pytester.path / name).write_text(text, encoding="utf-8")
    assert Settings.from_config(pytester.parseconfig()).sampling.min_samples == 60


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("no", False)])
def test_flags_in_the_ini(pytester: pytest.Pytester, value: str, expected: bool) -> None:
    pytester.makeini(f"[pytest]\nhiddencost_strict = {value}\nhiddencost_disable = {value}")
    found = Settings.from_config(pytester.parseconfig())
    assert (found.strict, found.disable) == (expected, expected)
    assert Settings.from_config(pytester.parseconfig("--hiddencost-disable")).disable


def test_override_on_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nhiddencost_confidence = 95%")
    config = pytester.parseconfig("-o", "hiddencost_confidence=90%")
    assert Settings.from_config(config).sampling.confidence == 0.9


def test_what_is_set_is_what_is_done(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        "[pytest]\nhiddencost_max_time = 200 ms\nhiddencost_min_samples = 40\n"
        f"hiddencost_confidence = 95%\nhiddencost_threads = 1\nhiddencost_json = {RUN_FILE}"
    )
    write_suite(pytester, CALL)
    run_here(pytester).assert_outcomes(passed=1)
    latency = profiles(pytester)["test_it"]["latency"]
    assert latency["confidence"] == 0.95
    assert len(latency["samples_ns"]) >= 40
    assert run_file(pytester.path)["device"]["threads"] == 1


def test_threads_while_measuring_only(pytester: pytest.Pytester) -> None:
    passes(
        pytester,
        """
        def test_it(hiddencost):
            seen = set()

            def function(x):
                seen.add(torch.get_num_threads())
                return x + 1

            before = torch.get_num_threads()
            hiddencost(function, X)
            assert seen == {3}
            assert torch.get_num_threads() == before != 3
        """,
        "--hiddencost-threads=3",
        JSON,
    )
    device = run_file(pytester.path)["device"]
    assert device["threads"] == 3
    assert "3t" in device["key"]


# --- the device ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "parts"),
    [
        ("cuda", ["device 'cuda' is not available", "CPU"]),
        ("cuda:7", ["device 'cuda:7' is not available"]),
        ("gpu0", ["device 'gpu0' is not known to torch", "cpu, cuda, cuda:N, mps, xpu"]),
        ("meta", ["device 'meta'"]),
        ("cuda:x", ["device 'cuda:x' is not known to torch"]),
    ],
)
def test_a_device_that_the_machine_lacks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, device: str, parts: list[str]
) -> None:
    """An error of each test that asks for it; the run ends as it would otherwise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = run(
        pytester,
        """
        @budget(p50="10 s")
        def test_it(hiddencost): hiddencost(MODEL, X)

        def test_device(hiddencost_device): pass

        def test_neighbour(): MODEL(X)
        """,
        f"--hiddencost-device={device}",
        JSON,  # there is nothing to describe
    )
    output = result.stdout.str()
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in output.splitlines() if line.startswith("hiddencost: ")]
    assert len(lines) == 2, "one for each test that asks for the device"
    assert [part for part in parts if part not in lines[0]] == []
    assert "pytest_hiddencost/" not in output
    assert profiles(pytester) == {}


# --- the run file's path ------------------------------------------------------------------------


def test_a_folder_that_vanishes_while_the_tests_run(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("out")
    result = run(
        pytester,
        [CALL, f"def test_vanish(): import shutil; shutil.rmtree({str(folder)!r})"],
        "--hiddencost-json=out/run.json",
    )
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "hiddencost: the run file was not written: " in result.stdout.str()
    assert "--hiddencost-json" in result.stdout.str()


def test_checking_the_path_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_it(): assert not __import__('os').listdir('out')")
    pytester.mkdir("out")
    run_here(pytester, "--hiddencost-json=out/run.json").assert_outcomes(passed=1)
    assert os.listdir(pytester.path / "out") == ["run.json"]


def test_an_ini_file_means_the_same_wherever_pytest_is_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nhiddencost_json = of-the-ini.json")
    write_suite(pytester, CALL)
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    run_here(pytester, BRIEF, "..", JSON).assert_outcomes(passed=1)
    assert (below / RUN_FILE).is_file()
    run_here(pytester, BRIEF, "..").assert_outcomes(passed=1)
    assert (pytester.path / "of-the-ini.json").is_file()
