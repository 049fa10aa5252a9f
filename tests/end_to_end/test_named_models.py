"""Named models in whole processes: revisions, baselines, workers of pytest-xdist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.recorded_suites import LOOSE, RUN
from tests.repositories import COPYING, MODEL, commit, project, write
from tests.suites import ALONE, pytest_apart, run_file, run_here, section, verdicts

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.usefixtures("own_temporary_folder", "one_template"),
]

QUICK = (*RUN, LOOSE, "--hiddencost-confidence=60%")
NEW = "\n\nclass New(Net):\n    pass\n"


def profiles(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["test"].partition("::")[2]: entry for entry in run_file(folder)["profiles"]}


def reason(entry: dict[str, Any], gate: str) -> str:
    [found] = [verdict["reason"] for verdict in entry["verdicts"] if verdict["gate"] == gate]
    return str(found)


def compared(pytester: pytest.Pytester, *models: str) -> tuple[dict[str, dict[str, Any]], str]:
    """The profiles of models in the ini file of head alone, beside main; the summary as a line."""
    ini = f"[pytest]\npythonpath = .\nhiddencost_model = {', '.join(models)}"
    (pytester.path / "pytest.ini").write_text(ini, encoding="utf-8")
    result = run_here(pytester, *QUICK, "--hiddencost-against=main", "hiddencost-model")
    return profiles(pytester.path), " ".join(" ".join(section(result.stdout.str())).split())


def test_models_are_compared_with_a_revision(pytester: pytest.Pytester) -> None:
    """Base measures its own code, whatever its ini file names."""
    project(pytester.path)
    write(pytester.path, mynet=COPYING + NEW)
    found, summary = compared(pytester, "mynet:Net[1x8]", "mynet:New[1x8]")
    net, new = (found[f"mynet:{name}[1x8-eager]"] for name in ("Net", "New"))
    assert verdicts(net)["regression[calls]"] == "fail"
    assert "aten::clone" in reason(net, "regression[calls]")
    [verdict] = new["verdicts"]
    assert verdict["verdict"] == "new"
    why = "main: the test failed in its call: hiddencost: mynet:New: mynet has no attribute"
    assert why in verdict["reason"]
    assert "head and base each import their own conftest.py, mynet.py" in summary


@pytest.mark.nightly
def test_files_are_compared_with_those_of_a_revision(pytester: pytest.Pytester) -> None:
    file = pytester.mkdir("files") / "net.pt"
    torch.jit.script(nn.Linear(8, 4)).save(str(file))
    project(pytester.path)
    found, summary = compared(pytester, "files/net.pt[1x8]")
    [entry] = found.values()
    assert set(verdicts(entry).values()) == {"pass"}
    assert "files/net.pt" in summary
    torch.jit.script(nn.Sequential(nn.Linear(8, 4), nn.ReLU())).save(str(file))
    [entry] = compared(pytester, "files/net.pt[1x8]")[0].values()
    assert verdicts(entry)["regression[calls]"] == "fail"


def test_installed_models_are_not_compared_with_themselves(pytester: pytest.Pytester) -> None:
    project(pytester.path)
    model = "--hiddencost-model=torch.nn:Identity[1x8]"
    result = run_here(pytester, *QUICK, "--hiddencost-against=main", model)
    result.assert_outcomes(failed=1)
    text = " ".join(result.stdout.str().split())
    assert "head and base both have torch.nn from outside of their trees" in text


def test_models_have_baselines(pytester: pytest.Pytester) -> None:
    project(pytester.path, mynet=MODEL + NEW)
    net = (*QUICK, "--hiddencost-model=mynet:Net[1x8]", "--hiddencost-batch=1,2")
    record = ("--hiddencost-update-new", "--hiddencost-launches=2")
    result = run_here(pytester, *net, *record)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["baselines: 2 added in .hiddencost (2 launches each)"])
    commit(pytester.path)
    result = run_here(pytester, *net, "-k", "1x8")
    result.assert_outcomes(passed=1, deselected=1)
    assert "unused" not in result.stdout.str()
    [entry] = profiles(pytester.path).values()
    assert verdicts(entry)["regression[calls]"] == "pass"
    # A run of the suite knows nothing of models that another command line names.
    result = run_here(pytester, *QUICK)
    result.assert_outcomes(passed=1)
    assert "unused" not in result.stdout.str()
    renamed = ("--hiddencost-model=mynet:New[1x8]", "--hiddencost-rename")
    result = run_here(pytester, *QUICK, *renamed)
    text = " ".join(result.stdout.str().split())
    was, now = (f"hiddencost-model::mynet:{name}[1x8-eager]" for name in ("Net", "New"))
    assert f"renamed: 1 baseline entry carried over: {was} -> {now}" in text


@pytest.mark.nightly
def test_models_run_in_two_workers(tmp_path: Path) -> None:
    write(tmp_path, mynet=MODEL + NEW, conftest=ALONE, test_it="def test_it(): pass")
    models = ("--hiddencost-model=mynet:Net,mynet:New", "--hiddencost-input=1x8")
    done = pytest_apart(tmp_path, *QUICK, *models, "--hiddencost-batch=1,2", "-n2")
    assert done.code == 0, done.output
    names = [f"mynet:{name}[{batch}x8-eager]" for name in ("Net", "New") for batch in (1, 2)]
    assert list(profiles(tmp_path)) == names
    assert done.outcomes == dict.fromkeys(names, "passed")
