"""Options and their ini twins: what they change, and what of them is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.suites import RUN_FILE, SHORT, passes, profiles, run, run_file, run_here, suite

JSON = f"--hiddencost-json={RUN_FILE}"
CALL = "def test_it(hiddencost): hiddencost(MODEL, X)"
DURATION = "accepted is a duration (ns, us, µs, ms, s), such as '15 ms'"

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
    ("min-samples", "3", ["fewer than 8 samples", "give at least 8", "--hiddencost-confidence"]),
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
]
TOUCHES = "def test_it(): open('was-run', 'w').close()"


def refused(pytester: pytest.Pytester, result: pytest.RunResult) -> str:
    """The one line that refuses; no test was run, nothing else was said."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not (pytester.path / "was-run").exists()
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("ERROR: ")
    return lines[0]


@pytest.mark.parametrize(("option", "value", "said"), BAD)
def test_bad_option(pytester: pytest.Pytester, option: str, value: str, said: list[str]) -> None:
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, f"--hiddencost-{option}={value}"))
    assert f"--hiddencost-{option}" in line
    for part in said:
        assert part in line


@pytest.mark.parametrize(("option", "value", "said"), BAD)
def test_bad_ini_value(pytester: pytest.Pytester, option: str, value: str, said: list[str]) -> None:
    ini = "hiddencost_" + option.replace("-", "_")
    pytester.makeini(f"[pytest]\n{ini} = {value}")
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester))
    assert f"{ini} in the ini file" in line
    for part in said:
        assert part in line


@pytest.mark.parametrize("name", ["strict", "disable"])
def test_bad_ini_flag(pytester: pytest.Pytester, name: str) -> None:
    pytester.makeini(f"[pytest]\nhiddencost_{name} = maybe")
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester))
    assert f"hiddencost_{name} in the ini file" in line
    assert "maybe" in line


@pytest.mark.parametrize("value", ["loud", "1.5", "²"])
@pytest.mark.parametrize("workers", [(), ("-n1",)], ids=["plain", "a worker"])
def test_bad_verbosity(pytester: pytest.Pytester, value: str, workers: tuple[str, ...]) -> None:
    pytester.makeini(f"[pytest]\nverbosity_hiddencost = {value}")
    pytester.makepyfile("def test_it(hiddencost): open('was-run', 'w').close()")
    line = refused(pytester, run_here(pytester, *workers))
    assert "verbosity_hiddencost" in line
    assert repr(value) in line
    assert "a whole number or auto" in line


def test_confidence_that_the_samples_can_never_give(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, "--hiddencost-confidence=99.9999%"))
    assert "at 0.999999 confidence with fewer than 21 samples; give at least 21" in line
    result = run_here(pytester, "--hiddencost-confidence=99.9999%", "--hiddencost-min-samples=21")
    result.assert_outcomes(passed=1)


def test_bad_option_with_workers_is_said_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, "-n2", "--hiddencost-max-time=nan"))
    assert "--hiddencost-max-time: 'nan' is not a finite number" in line


def test_value_on_the_command_line_is_read_although_the_ini_is_bad(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\nhiddencost_max_time = nan")
    passes(pytester, CALL)


# --- twins --------------------------------------------------------------------------------------


def ini(**values: str) -> str:
    """An ini file of these values."""
    return "\n".join(["[pytest]", *(f"{name} = {value}" for name, value in values.items())])


def test_ini_alone(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        ini(
            hiddencost_max_time="20 ms",
            hiddencost_min_samples="40",
            hiddencost_confidence="95%",
            hiddencost_threads="1",
            hiddencost_device="cpu",
            hiddencost_json=RUN_FILE,
        )
    )
    (pytester.path / "test_it.py").write_text(suite(CALL), encoding="utf-8")
    run_here(pytester).assert_outcomes(passed=1)
    latency = profiles(pytester)["test_it"]["latency"]
    assert latency["confidence"] == 0.95
    assert len(latency["samples_ns"]) >= 40
    assert run_file(pytester.path)["device"]["threads"] == 1


def test_command_line_wins_over_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        ini(
            hiddencost_max_time="1 ns",
            hiddencost_min_samples="8",
            hiddencost_confidence="95%",
            hiddencost_threads="2",
            hiddencost_device="cuda:99",
            hiddencost_json="of-the-ini.json",
        )
    )
    passes(
        pytester,
        CALL,
        "--hiddencost-min-samples=50",
        "--hiddencost-confidence=0.9",
        "--hiddencost-threads=1",
        "--hiddencost-device=cpu",
        JSON,
    )
    latency = profiles(pytester)["test_it"]["latency"]
    assert latency["confidence"] == 0.9
    assert len(latency["samples_ns"]) >= 50
    assert run_file(pytester.path)["device"]["threads"] == 1
    assert not (pytester.path / "of-the-ini.json").exists()


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_flags_in_the_ini(pytester: pytest.Pytester, value: str) -> None:
    pytester.makeini(ini(hiddencost_disable=value))
    run(pytester, CALL).assert_outcomes(skipped=1)


@pytest.mark.parametrize("value", ["false", "0", "no"])
def test_flags_off_in_the_ini(pytester: pytest.Pytester, value: str) -> None:
    pytester.makeini(ini(hiddencost_disable=value, hiddencost_strict=value))
    run(pytester, CALL).assert_outcomes(passed=1)
    run(pytester, CALL, "--hiddencost-disable").assert_outcomes(skipped=1)


def test_strict_in_the_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini(ini(hiddencost_strict="true"))
    result = run(
        pytester,
        """
        def slow(x):
            time.sleep(0.002)
            return x

        @budget(p99="10 s")
        def test_it(hiddencost): hiddencost(slow, X)
        """,
    )
    result.assert_outcomes(failed=1)
    assert "p99 is inconclusive" in result.stdout.str()
    assert "p99 needs 528 samples" in result.stdout.str()


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
    passes(pytester, CALL, JSON)
    assert len(profiles(pytester)["test_it"]["latency"]["samples_ns"]) >= 60


def test_override_on_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makeini(ini(hiddencost_confidence="95%"))
    passes(pytester, CALL, JSON, "-o", "hiddencost_confidence=90%")
    assert profiles(pytester)["test_it"]["latency"]["confidence"] == 0.9


# --- what they do -------------------------------------------------------------------------------


def test_defaults(pytester: pytest.Pytester) -> None:
    (pytester.path / "test_it.py").write_text(suite(CALL), encoding="utf-8")
    run_here(pytester, JSON).assert_outcomes(passed=1)
    latency = profiles(pytester)["test_it"]["latency"]
    assert latency["confidence"] == 0.99
    assert len(latency["samples_ns"]) >= 20


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


def test_confidence_is_named_in_the_message(pytester: pytest.Pytester) -> None:
    result = run(pytester, f'@budget(p50="1 ns")\n{CALL}', "--hiddencost-confidence=95%")
    result.assert_outcomes(failed=1)
    assert "95 % interval" in result.stdout.str()


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("cuda", ["device 'cuda' is not available", "leave the option out", "CPU"]),
        ("cuda:7", ["device 'cuda:7' is not available"]),
        ("gpu0", ["device 'gpu0' is not known to torch", "cpu, cuda, cuda:N, mps, xpu"]),
        ("meta", ["device 'meta'"]),
        ("cuda:x", ["device 'cuda:x' is not known to torch"]),
    ],
)
def test_device_that_is_not_there(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, device: str, said: list[str]
) -> None:
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
    )
    output = result.stdout.str()
    assert result.parseoutcomes()["passed"] == 1
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in output.splitlines() if line.startswith("hiddencost: ")]
    assert len(lines) == 2, "one for each test that asks for the device"
    for part in said:
        assert part in lines[0]
    assert "pytest_hiddencost/" not in output


def test_device_that_is_not_there_and_a_run_file(pytester: pytest.Pytester) -> None:
    """There is nothing to describe; the run ends as it would without the file."""
    result = run(pytester, CALL, "--hiddencost-device=cuda:99", JSON)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "device 'cuda:99' is not available" in result.stdout.str()


def test_device_in_the_ini(pytester: pytest.Pytester) -> None:
    pytester.makeini(ini(hiddencost_device="gpu0"))
    result = run(pytester, CALL)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "device 'gpu0' is not known to torch" in result.stdout.str()


# --- the run file's path ------------------------------------------------------------------------


def unwritable(name: str, folder: Path) -> str:
    """A path that cannot be written, even by root."""
    (folder / "a-file").write_text("")
    (folder / "a-folder").mkdir()
    return {
        "no folder": "nowhere/run.json",
        "a folder": "a-folder",
        "below a file": "a-file/run.json",
        "not to be written": "/proc/run.json",
    }[name]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["plain", "two workers"])
@pytest.mark.parametrize("kind", ["no folder", "a folder", "below a file", "not to be written"])
def test_unwritable_run_file_is_refused_before_the_tests_run(
    pytester: pytest.Pytester, kind: str, workers: tuple[str, ...]
) -> None:
    path = unwritable(kind, pytester.path)
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, f"--hiddencost-json={path}", *workers))
    assert "--hiddencost-json=" in line
    assert path in line
    assert any(why in line for why in ("does not exist", "is a folder", "cannot be written"))


def test_unwritable_run_file_of_the_ini_is_named_so(pytester: pytest.Pytester) -> None:
    pytester.makeini(ini(hiddencost_json="nowhere/run.json"))
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester))
    assert "hiddencost_json in the ini file" in line


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(pytester: pytest.Pytester) -> None:
    pytester.mkdir("closed").chmod(0o500)
    pytester.makepyfile(TOUCHES)
    line = refused(pytester, run_here(pytester, "--hiddencost-json=closed/run.json"))
    assert "cannot be written" in line


def test_folder_that_vanishes_while_the_tests_run(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("out")
    result = run(
        pytester,
        [CALL, f"def test_vanish(): import shutil; shutil.rmtree({str(folder)!r})"],
        "--hiddencost-json=out/run.json",
    )
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "hiddencost: the run file was not written: " in result.stdout.str()


def test_checking_the_path_leaves_nothing_behind(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it="def test_it(): assert not __import__('os').listdir('out')")
    pytester.mkdir("out")
    run_here(pytester, "--hiddencost-json=out/run.json").assert_outcomes(passed=1)
    assert os.listdir(pytester.path / "out") == ["run.json"]


def test_relative_paths_are_where_pytest_was_started_or_the_ini_lies(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ini file is written once, for whoever starts pytest from wherever."""
    pytester.makeini(ini(hiddencost_json="of-the-ini.json"))
    (pytester.path / "test_it.py").write_text(suite(CALL), encoding="utf-8")
    below = pytester.mkdir("below")
    monkeypatch.chdir(below)
    run_here(pytester, SHORT, "..", JSON).assert_outcomes(passed=1)
    assert (below / RUN_FILE).is_file()
    run_here(pytester, SHORT, "..").assert_outcomes(passed=1)
    assert (pytester.path / "of-the-ini.json").is_file()
