"""Named models as tests: collection, selection, outcomes, budgets, reports."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from tests.suites import (
    BRIEF,
    JSON,
    JUNIT,
    NO_BASELINES,
    junit_cases,
    outcomes_in,
    run_file,
    run_here,
    section,
    verdicts,
)

NETS = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 16), nn.ReLU())

class Tokens(nn.Embedding):
    def __init__(self):
        super().__init__(10, 4)

class Needs(nn.Linear):
    pass
"""
SUITE = "def test_of_the_suite(): pass"
NET = "hiddencost-model::nets:Net[1x8-eager]"
MODEL = ("--hiddencost-model=nets:Net", "--hiddencost-input=1x8")
BOTH = "--hiddencost-model=nets:Net[1x8],nets:Tokens[int64:1x4]"


@pytest.fixture(autouse=True)
def _nets(pytester: pytest.Pytester) -> None:
    """A project with models and a test."""
    pytester.makepyfile(nets=NETS, test_suite=SUITE)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return run_here(pytester, BRIEF, NO_BASELINES, "--hiddencost-threads=1", *arguments)


def collected(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    result = run(pytester, "--collect-only", "-q", *arguments)
    return [line for line in result.stdout.lines if "::" in line]


def message(pytester: pytest.Pytester, *arguments: str) -> str:
    """The one line that a model fails with."""
    result = run(pytester, *arguments, f"--junitxml={JUNIT}")
    result.assert_outcomes(failed=1)
    [case] = junit_cases(pytester.path / JUNIT).values()
    [failure] = case.iter("failure")
    lines = (failure.text or "").strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("hiddencost: ")
    return lines[0]


# --- collection and selection -------------------------------------------------------------------


def test_named_models_are_collected_alone_or_beside_paths(pytester: pytest.Pytester) -> None:
    suite = "test_suite.py::test_of_the_suite"
    assert collected(pytester, *MODEL) == [NET]
    assert collected(pytester, *MODEL, "test_suite.py") == [suite, NET]
    pytester.makeini("[pytest]\nhiddencost_model =\n    nets:Net[1x8]\n    nets:Tokens[int64:1x4]")
    tokens = "hiddencost-model::nets:Tokens[int64:1x4-eager]"
    assert collected(pytester) == [suite, NET, tokens]
    assert collected(pytester, "test_suite.py") == [suite]
    assert collected(pytester, "hiddencost-model") == [NET, tokens]
    assert collected(pytester, NET) == [NET]
    assert collected(pytester, tokens, "test_suite.py") == [suite, tokens]


def test_collecting_imports_no_model(pytester: pytest.Pytester) -> None:
    (pytester.path / "nets.py").write_text("raise RuntimeError", encoding="utf-8")
    assert collected(pytester, *MODEL) == [NET]


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        (["-k", "Tokens"], ["Tokens"]),
        (["-k", "not (bfloat16 or int64)"], ["Net"]),
        (["--deselect", NET], ["Tokens"]),
        (["--deselect", "hiddencost-model::nets:Tokens"], ["Net"]),
    ],
)
def test_models_are_selected_as_tests_are(
    pytester: pytest.Pytester, selection: Sequence[str], found: Sequence[str]
) -> None:
    names = collected(pytester, BOTH, *selection)
    assert [re.split(r"[:\[]", name)[3] for name in names] == found


def test_a_run_goes_on_after_a_model_that_fails_and_lf_runs_it_again(
    pytester: pytest.Pytester,
) -> None:
    models = "--hiddencost-model=nets:Nowhere[1x8],nets:Net[1x8]"
    cache = ("-p", "cacheprovider")
    run(pytester, models, *cache).assert_outcomes(failed=1, passed=1)
    run(pytester, models, *cache, "-x").assert_outcomes(failed=1)
    run(pytester, models, *cache, "--lf").assert_outcomes(failed=1)
    result = run(pytester, "--hiddencost-model=nets:Net[1x8]", "test_suite.py", *cache, "--lf")
    result.assert_outcomes(passed=2)  # nothing of what failed is here


def test_a_malformed_name_ends_the_run_before_any_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--hiddencost-model=nets", "test_suite.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --hiddencost-model: 'nets' names no model; expected *"])


# --- measuring ----------------------------------------------------------------------------------


def test_a_model_is_measured_as_a_test_is(pytester: pytest.Pytester) -> None:
    files = (JSON, f"--junitxml={JUNIT}")
    result = run(pytester, BOTH, "--hiddencost-dtype=float32,bfloat16", *files, "-k", "1x8")
    result.assert_outcomes(passed=2, deselected=2)
    ids = [f"hiddencost-model::nets:Net[1x8-{dtype}-eager]" for dtype in ("float32", "bfloat16")]
    profiles = run_file(pytester.path)["profiles"]
    assert [(entry["test"], entry["macs"]) for entry in profiles] == [(each, 128) for each in ids]
    assert [line.split("  ")[0] for line in section(result.stdout.str()) if "::" in line] == ids
    outcomes = outcomes_in(junit_cases(pytester.path / JUNIT))
    assert outcomes == {name.partition("::")[2]: "passed" for name in ids}
    result.stdout.fnmatch_lines(["hiddencost-model ..*"])


def test_budgets_of_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        hiddencost_model = nets:Net[1x8]
        hiddencost_model_budget =
            macs = 128 MAC
            [nets:Net]
            operators[aten::relu] = 0 calls
            operators[aten::addmm] = 1 calls
        """
    )
    result = run(pytester, JSON)
    result.assert_outcomes(failed=1, passed=1)
    [entry] = run_file(pytester.path)["profiles"]
    assert verdicts(entry) == {
        "macs": "pass",
        "operators[aten::relu]": "fail",
        "operators[aten::addmm]": "pass",
    }
    result.stdout.fnmatch_lines(["*operators[[]aten::relu]*1 of 3 limits broken*"])


def test_a_budget_that_no_model_has_is_told(pytester: pytest.Pytester) -> None:
    budget = "--hiddencost-model-budget=[nets:Nets]\nmacs = 1 MAC"
    result = run(pytester, *MODEL, budget)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*hiddencost_model_budget: [[]nets:Nets] matches no named model of this run"]
    )


def test_files_are_measured(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("models [1]")
    torch.jit.script(nn.Linear(8, 4)).save(str(folder / "net.pt"))
    name = "hiddencost-model::models %5B1%5D/net.pt[1x8-{}]"
    model = "--hiddencost-model=models [1]/net.pt[1x8]"
    result = run(pytester, model, "--hiddencost-compile", JSON, "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*a TorchScript file has no compiled variant"])
    [entry] = run_file(pytester.path)["profiles"]
    assert entry["test"] == name.format("eager")
    run(pytester, name.format("eager")).assert_outcomes(passed=1)


def test_disabled_models_are_skipped(pytester: pytest.Pytester) -> None:
    run(pytester, *MODEL, "--hiddencost-disable").assert_outcomes(skipped=1)


def test_a_model_is_found_from_a_folder_below(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]")
    below = pytester.mkdir("below")
    pytester.chdir()
    result = run_here(pytester, BRIEF, NO_BASELINES, f"--rootdir={pytester.path}", *MODEL)
    result.assert_outcomes(passed=1)
    assert below.is_dir()


# --- what fails in one line ---------------------------------------------------------------------


def test_a_model_without_an_input(pytester: pytest.Pytester) -> None:
    found = message(pytester, "--hiddencost-model=nets:Net")
    assert "no input is named for nets:Net: add --hiddencost-input=" in found


def test_a_model_that_needs_arguments(pytester: pytest.Pytester) -> None:
    found = message(pytester, "--hiddencost-model=nets:Needs[1x8]")
    assert "nets:Needs needs arguments: in_features, out_features" in found


def test_an_input_of_the_wrong_shape_is_shown_with_the_models_error(
    pytester: pytest.Pytester,
) -> None:
    found = message(pytester, "--hiddencost-model=nets:Net[1x9-bfloat16]")
    assert "nets:Net in bfloat16 failed with input 1x9: RuntimeError: mat1 and mat2 shapes" in found
    assert found.endswith("; choose another --hiddencost-input, or see the traceback with -v")


def test_verbose_shows_the_traceback_of_the_model(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--hiddencost-model=nets:Net[1x9]", "-v")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*RuntimeError: mat1*", "*MeasurementError: nets:Net failed with*"]
    )
