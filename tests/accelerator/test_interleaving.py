"""Head and base on one CUDA device: they take turns, and the side that rests is not stopped."""

from __future__ import annotations

import pytest
import torch

from tests.repositories import project
from tests.suites import ALONE, SHORT, run_file, run_here, verdicts

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("clock")]

TEST = """\
import torch
from mynet import Net


def test_net(hiddencost, hiddencost_device):
    hiddencost(Net().to(hiddencost_device), torch.ones(1, 8, device=hiddencost_device))
"""


def test_unchanged_code_passes_on_the_device(cuda: torch.device, pytester: pytest.Pytester) -> None:
    project(pytester.path, test_it=TEST, conftest=ALONE)
    arguments = (
        SHORT, f"--hiddencost-device={cuda}", "--hiddencost-against=main",
        "--hiddencost-tolerance=1000%", "--hiddencost-confidence=60%",
        "--hiddencost-json=run.json",
    )  # fmt: skip
    run_here(pytester, *arguments).assert_outcomes(passed=1)
    (entry,) = run_file(pytester.path)["profiles"]
    assert entry["device"].startswith("cuda")
    assert set(verdicts(entry).values()) == {"pass"}
    assert entry["paired"]["blocks"] > 0
