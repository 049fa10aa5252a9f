"""``hiddencost suggest``: what it prints, what it writes, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from pytest_hiddencost.cli import suggest_command as module
from pytest_hiddencost.cli.main import command_line
from pytest_hiddencost.core.records import DeviceHealth, Profile
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.report import run_file
from pytest_hiddencost.run import markers
from pytest_hiddencost.run.selection import marker_levels
from pytest_hiddencost.suggest import by_function
from pytest_hiddencost.suggest.by_function import suggestions
from tests.profiles import DEVICE, MS, network, operator, profile_of
from tests.suggest.measured_profiles import read_back

SOURCE = """\
class TestNet:
    def test_it(self, hiddencost):
        pass


def test_par(hiddencost):
    pass
"""
METHOD, FIRST, SECOND = (
    "test_net.py::TestNet::test_it",
    "test_net.py::test_par[1]",
    "test_net.py::test_par[8]",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite and its run file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_net.py").write_text(SOURCE, encoding="utf-8")
    slow = network(latency_ns=50 * MS)
    save([called(METHOD), called(FIRST), called(SECOND, slow)])
    return tmp_path


@pytest.fixture(autouse=True)
def _one_run_is_enough(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    if "few_runs" not in request.node.name:
        monkeypatch.setattr(by_function, "FEWEST_RUNS", 1)


def called(test: str, profile: Profile | None = None, label: str = "") -> Profile:
    return replace(profile or network(), test=test, label=label)


def save(profiles: Sequence[Profile]) -> None:
    run_file.save(Path("run.json"), profiles, DEVICE, Path())


def suggest(*arguments: str, answer: str | None = None) -> Result:
    arguments = ("suggest", "run.json", *arguments)
    return CliRunner().invoke(command_line, arguments, input=answer, env={"COLUMNS": "200"})


def lines(*arguments: str) -> list[str]:
    result = suggest(*arguments)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def lines_of_diff(output: str) -> list[str]:
    return output[output.index("--- a/") :].splitlines()


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "someone_can_answer", lambda: True)


# --- what it prints -----------------------------------------------------------------------------


def test_it_prints_a_marker_and_the_ranking(folder: Path) -> None:
    found = lines("--test", METHOD)
    assert found[0] == METHOD
    end = found.index(")") + 1
    budget = read_back("\n".join(found[1:end])[1:])
    assert {str(limit.check): limit.value for limit in budget.limits}["p50"] == 11 * MS
    assert found[end].startswith("Headroom by the measured spread: p50 10 %, p95 14.8 %,")
    assert [line.split() for line in found[end + 2 :]][2:4] == [
        ["normalization", "20", "%", "19.2", "%", "23%", "native_batch_norm"],
        ["concatenation", "10", "%", "9.59", "%", "12%", "cat"],
    ]
    assert found[-1] == (
        "Below 5 %, so not worth a limit: data_movement 4 %, wrapper 2 %, outside 4 %"
    )


def test_parameters_share_a_marker_and_each_could_have_its_own(folder: Path) -> None:
    found = lines("--test", "test_net.py::test_par")
    assert "It holds for all 2 measured calls: [1], [8]." in found
    assert any(
        line.startswith("They take 10 ms to 50 ms, so the limits are loose") for line in found
    )
    assert f"{FIRST}:" in found
    assert found.count("Alone, pytest.param(..., marks=...) could have:") == 2


def test_a_model_without_a_test_file_gets_lines_for_the_ini_file(folder: Path) -> None:
    model = "nets:Net[8x3-bfloat16]"
    save([called(f"hiddencost-model::{model}"), called("hiddencost-model::nets:Net[1x3-bfloat16]")])
    assert lines()[:8] == [
        f"hiddencost-model::{model}",
        "In the ini file, under hiddencost_model_budget:",
        f"[{model}]",
        "p50 = 11 ms",
        "p95 = 12 ms",
        "non_mac = 49%",
        "operators[normalization] = 23%",
        "operators[concatenation] = 12%",
    ]
    assert (
        "is a model without a test file; put its lines into the ini file"
        in lines("--write", "--test", f"hiddencost-model::{model}")[-2]
    )


def test_sentences_are_wrapped_and_code_is_not(folder: Path) -> None:
    result = CliRunner().invoke(command_line, ["suggest", "run.json"], env={"COLUMNS": "60"})
    found = result.output.splitlines()
    assert "Headroom by the measured spread: p50 10 %, p95 14.8 %," in found
    assert '    operators={"normalization": "23%", "concatenation": "12%"},' in found


def test_limits_hold_in_every_run_that_is_given(folder: Path) -> None:
    slow = network(latency_ns=15 * MS)
    run_file.save(Path("second.json"), [called(METHOD, slow)], DEVICE, Path())
    found = lines("second.json", "--test", METHOD)
    assert '    p50="17 ms",' in found
    assert "It holds in all 2 runs." in found
    assert not [line for line in found if "measured calls" in line or "Alone" in line]
    assert sum(line.startswith("hidden cost ") for line in found) == 1


def test_few_runs_limit_no_time(folder: Path) -> None:
    for name in ("second.json", "third.json"):
        run_file.save(Path(name), [called(METHOD)], DEVICE, Path())
    twice = lines("run.json", "second.json", "--test", METHOD)
    assert not [line for line in twice if "p50=" in line]
    assert [line for line in twice if line.startswith("Not limited: p50, p95: fewer than three")]
    assert [line for line in twice if "non_mac=" in line]
    thrice = lines("second.json", "third.json", "--test", METHOD)
    assert [line for line in thrice if "p50=" in line]


def test_few_runs_of_a_call_limit_none_of_its_times(folder: Path) -> None:
    """Three files, of which each holds other tests."""
    for name, test in (("second.json", "test_b.py::test_it"), ("third.json", "test_c.py::test_it")):
        run_file.save(Path(name), [called(test)], DEVICE, Path())
    found = lines("second.json", "third.json")
    assert not [line for line in found if "p50=" in line]
    assert any(line.startswith("Not limited: p50, p95: fewer than three") for line in found)


def test_few_runs_given_several_times_are_as_many_as_before(folder: Path) -> None:
    found = lines("run.json", "./run.json", "--test", METHOD)
    assert not [line for line in found if "p50=" in line or "runs." in line]


def test_runs_of_two_devices_are_refused(folder: Path) -> None:
    run_file.save(Path("other.json"), [called(METHOD)], replace(DEVICE, key="gpu"), Path())
    result = suggest("other.json")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: other.json: measured on gpu, and run.json on {DEVICE.key}; give the runs of one "
        "device\n"
    )


def test_what_is_left_out_is_said_once_for_each_reason(folder: Path) -> None:
    hot = DeviceHealth(False, ("throttled",), remedies=("cool the device",))
    save([called(METHOD, network(health=hot))])
    assert lines()[-1] == (
        "Not limited: p50, p95, non_mac, time of normalization, time of concatenation: throttled; "
        "cool the device"
    )


def test_a_call_without_any_limit_is_said(folder: Path) -> None:
    save([called(METHOD, profile_of(activation_peak_bytes=None, samples_ns=[5]))])
    assert lines()[1] == "No limit on it can be decided."


def test_a_marker_that_was_there_in_the_run_is_said(folder: Path) -> None:
    limited = network(verdicts=check(network(), markers.latency_budget(p50="1 s")))
    save([called(METHOD, limited)])
    assert lines()[1] == "It has limits already; these would hold as well:"


@pytest.mark.parametrize(
    ("test", "functions"),
    [
        (METHOD, 1),
        ("test_net.py::TestNet", 1),
        ("test_net.py::test_par", 1),
        (FIRST, 1),
        ("test_net.py", 2),
    ],
)
def test_tests_are_chosen_by_id_class_or_file(folder: Path, test: str, functions: int) -> None:
    heads = [line for line in lines("--test", test) if line in (METHOD, "test_net.py::test_par")]
    assert len(heads) == functions


def test_a_test_that_was_not_measured_is_an_error_of_one_line(folder: Path) -> None:
    for test in ("test_net.py::test", "test_net.py::test_par[2]", "", "other.py"):
        result = suggest("--test", test)
        assert result.exit_code == 2
        assert result.output == (
            f"Error: --test={test}: run.json has no such test; it has {METHOD} and 1 more\n"
        )


def test_an_empty_run_file_is_an_error_of_one_line(folder: Path) -> None:
    save([])
    result = suggest()
    assert (result.exit_code, result.output) == (
        2,
        "Error: run.json: the run measured no call; run tests that use hiddencost\n",
    )
    Path("run.json").write_text("{}")
    assert suggest().output == "Error: run.json: not a run file: no 'profiles' in it\n"


def test_hostile_names_stay_on_their_line(folder: Path) -> None:
    odd = operator("odd\n\x1b[31m::op", 5 * MS)
    save([called("test_net.py::test_par[\n\x1b]", profile_of(odd), "l\n\x1b[1m")])
    result = suggest("--write", "--yes")
    assert "\x1b" not in result.output
    assert "odd\\n\\x1b[31m::op" in result.output
    assert 'label="' not in Path("test_net.py").read_text()


# --- what it writes -----------------------------------------------------------------------------


def test_without_a_terminal_it_shows_the_diff_and_writes_nothing(folder: Path) -> None:
    result = suggest("--write")
    assert result.exit_code == module.NOT_WRITTEN == 1
    assert "+++ b/test_net.py" in result.output
    assert result.output.splitlines()[-1] == (
        "Not written: markers of 2 test functions into 1 file; --yes writes them without asking."
    )
    assert (folder / "test_net.py").read_text() == SOURCE


def test_the_diff_has_the_tabs_of_the_file(folder: Path) -> None:
    (folder / "test_net.py").write_text(SOURCE.replace("    ", "\t"), encoding="utf-8")
    found = lines_of_diff(suggest("--write").output)
    assert " \tdef test_it(self, hiddencost):" in found
    assert "+\t@pytest.mark.latency_budget(" in found
    assert not [line for line in found if "\\t" in line]


@pytest.mark.usefixtures("_terminal")
def test_it_asks_before_it_writes(folder: Path) -> None:
    declined = suggest("--write", answer="n\n")
    assert declined.exit_code == module.NOT_WRITTEN
    assert (folder / "test_net.py").read_text() == SOURCE
    agreed = suggest("--write", answer="y\n")
    assert agreed.exit_code == 0
    assert "Write markers of 2 test functions into 1 file? [y/N]: y" in agreed.output
    assert (folder / "test_net.py").read_text().count("latency_budget") == 2
    ended = suggest("--write", "--test", METHOD, answer="")
    assert ended.output.splitlines()[-1] == "Nothing to write."


def test_what_is_left_alone_is_said_and_is_no_error(folder: Path) -> None:
    save([called("gone.py::test_it")])
    result = suggest("--write", "--yes")
    assert result.exit_code == 0
    assert f"Left alone: gone.py::test_it: no file gone.py in {folder.resolve()};" in result.output
    assert result.output.splitlines()[-1] == "Nothing to write."


def test_a_file_that_cannot_be_written_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    result = suggest("--write", "--yes")
    assert result.exit_code == 2
    assert result.stderr == "Error: test_net.py: No space left on device\n"
    assert (folder / "test_net.py").read_text() == SOURCE


def test_ids_are_relative_to_the_root(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "test_net.py").rename(folder / "sub" / "test_net.py")
    assert "Written: test_net.py" in suggest("--write", "--yes", "--root", "sub").output
    assert "latency_budget" in (folder / "sub" / "test_net.py").read_text()
    missing = suggest("--root", "nowhere")
    assert missing.exit_code == 2
    assert "'nowhere' does not exist" in missing.output


def test_agreement_to_nothing_is_wrong_usage(folder: Path) -> None:
    result = suggest("--yes")
    assert result.exit_code == 2
    assert "--yes says nothing without --write" in result.output


def test_writing_needs_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_hiddencost.core.extras.find_spec", lambda name: None)
    assert suggest().exit_code == 0
    result = suggest("--write")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "Error: --write: libcst is not installed; run pip install 'pytest-hiddencost[suggest]'"
    )


def test_the_help_has_an_example_and_the_exit_codes() -> None:
    result = CliRunner().invoke(command_line, ["suggest", "--help"])
    assert "hiddencost suggest run.json --write" in result.output
    assert "1 --write showed changes" in " ".join(result.output.split())
    assert isinstance(module.suggest_command, click.Command)


def test_a_written_suite_collects_with_the_suggested_limits(
    folder: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # pytester has a folder of its own
    slow = network(latency_ns=30 * MS)
    profiles = [called(METHOD, None, "a"), called(METHOD, slow, "b"), called(FIRST)]
    save(profiles)
    assert suggest("--write", "--yes").exit_code == 0
    once = (folder / "test_net.py").read_bytes()
    assert suggest("--write", "--yes").output.splitlines()[-1] == "Nothing to write."
    assert (folder / "test_net.py").read_bytes() == once

    items, _ = pytester.inline_genitems(folder / "test_net.py", f"--rootdir={folder}")
    found = {item.name: markers.budgets_of(marker_levels(item)) for item in items}
    wanted = {function.id.rpartition("::")[2]: function for function in suggestions(profiles)}
    assert found.keys() == wanted.keys() == {"test_it", "test_par"}
    for name, budgets in found.items():
        expected = {m.label: {s.limit for s in m.limits} for m in wanted[name].markers}
        assert {budget.label: set(budget.limits) for budget in budgets} == expected
