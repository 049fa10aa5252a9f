"""Git repositories of a small project with two revisions, made by the tests that compare them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.suites import ALONE

MODEL = """\
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        self.eval()
"""
COPYING = (
    MODEL
    + """
    def forward(self, x):
        return super().forward(x.clone())
"""
)
SLOW = (
    MODEL
    + """
    def forward(self, x):
        import time
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass
        return super().forward(x)
"""
)
TEST = """\
import torch
from mynet import Net


def test_net(hiddencost):
    hiddencost(Net(), torch.ones(1, 8))
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git there; what it printed."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def write(folder: Path, **files: str) -> None:
    """Python files by their path without suffix."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def commit(folder: Path, message: str = "change") -> str:
    """Commit everything there; the commit's id."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
        (folder / ".gitignore").write_text("__pycache__/\nrun.json\njunit.xml\n", encoding="utf-8")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def project(folder: Path, **files: str) -> str:
    """A committed project: a model, a test of it, or these files; the commit's id."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    write(folder, **{"mynet": MODEL, "test_it": TEST, "conftest": ALONE, **files})
    return commit(folder)
