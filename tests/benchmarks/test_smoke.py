"""The shortest form of every benchmark, as a person starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.lib.registry import BENCHMARKS
from benchmarks.lib.repository import ROOT

LONGEST_S = 600


@pytest.mark.nightly
@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_shortest_form_leaves_lines_and_prints_tables(name: str, tmp_path: Path) -> None:
    if missing := BENCHMARKS[name].missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    results = tmp_path / "results.jsonl"
    done = started(name, "--short", f"--results={results}")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(text) for text in results.read_text(encoding="utf-8").splitlines()]
    assert lines
    for line in lines:
        assert line["date"].endswith("Z")
        assert line["commit"]
        assert set(line["machine"]) == {"processor", "cores", "python", "torch"}
        assert line["options"]["short"] is True
        assert line["figures"]
    assert "|--" in done.stdout
    assert f"*Machine: {lines[0]['machine']['processor']}" in done.stdout
    again = started(name, "--tables", f"--results={results}")
    assert again.stdout == done.stdout


def started(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S)
