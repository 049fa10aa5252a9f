"""Run README's examples and the device study, and put their output into README.

Usage: ``python -m benchmarks.readme [--only BLOCK] [--json FILE]``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lib.processes import environment
from benchmarks.lib.repository import ROOT, commit_project

README = ROOT / "README.md"
EXAMPLE = re.compile(r"```python\n(# (test_latency\.py)\n.*?)```", re.DOTALL)
WIDTH = "100"
AGAINST = ("--hiddencost-against=main", "--hiddencost-threads=1")
BLOCKS = ("example", "against", "study")


def pytest_output(folder: Path, *arguments: str) -> str:
    """Run pytest in a folder and return its output."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment(), "COLUMNS": WIDTH},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def example_output(readme: str) -> str:
    """Run README's first example and return the block that shows it."""
    name, text = example_in(readme)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text)
        output = pytest_output(Path(folder))
    return f"$ pytest {name}\n{failures_in(output)}"


def against_output(readme: str) -> str:
    """Run the example without its budget, against a revision that copies nothing."""
    name, example = example_in(readme)
    text = re.sub(r"@pytest\.mark.*\n", "", example)
    changed = text.replace("self.norm(y).relu()", "self.norm(y).clone().relu()")
    if text in (example, changed):
        raise SystemExit("README's example has changed: adapt against_output to it")
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        (folder / name).write_text(text)
        commit_project(folder, name)
        (folder / name).write_text(changed)
        output = pytest_output(folder, *AGAINST)
    return f"$ pytest {' '.join(AGAINST)}\n{failures_in(output)}"


def study_output(kept: Path | None) -> str:
    """Run the study and return the block that shows its tables; keep its run file if asked to."""
    with tempfile.TemporaryDirectory() as name:
        run_file = kept.absolute() if kept else Path(name) / "study.json"
        option = f"--hiddencost-json={run_file}"
        output = pytest_output(Path(name), "--pyargs", "pytest_hiddencost.study", option)
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if " device study " in line)
    end = next(i for i, line in enumerate(lines) if i > start and line.startswith("====="))
    head = next(line for line in lines if line.startswith(("cpu:", "cuda:")))
    tables = "\n".join(lines[start + 1 : end]).strip()
    return f"$ pytest --pyargs pytest_hiddencost.study\n...\n{head}\n\n{tables}\n{lines[-1]}"


def example_in(readme: str) -> tuple[str, str]:
    """Return the file name and the code of README's first example."""
    found = EXAMPLE.search(readme)
    if found is None:
        raise SystemExit("README has no example test_latency.py")
    return found[2], found[1]


def failures_in(output: str) -> str:
    """Return pytest's output from the failures on."""
    lines = output.splitlines()
    return "\n".join(lines[next(i for i, line in enumerate(lines) if "FAILURES" in line) :])


def replaced(readme: str, block: str, output: str) -> str:
    """Return README with this output in its block."""
    pattern = re.compile(
        rf"(<!-- output: {block} -->\n```console\n).*?(```\n<!-- end -->)", re.DOTALL
    )
    if not pattern.search(readme):
        raise SystemExit(f"README has no output block {block!r}")
    return pattern.sub(lambda found: f"{found[1]}{output}\n{found[2]}", readme)


def main() -> None:
    """Replace the blocks that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--only", choices=BLOCKS)
    parser.add_argument("--json", type=Path, help="keep the study's run file")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    for block in [options.only] if options.only else BLOCKS:
        output = study_output(options.json) if block == "study" else OUTPUTS[block](readme)
        readme = replaced(readme, block, output)
    README.write_text(readme, encoding="utf-8")


OUTPUTS = {"example": example_output, "against": against_output}

if __name__ == "__main__":
    main()
