"""Put real output into README: runs its example and the study, and replaces the output blocks."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from verdicts_parts.repository import commit

README = Path(__file__).parent.parent / "README.md"
EXAMPLE = re.compile(r"```python\n(# (test_latency\.py)\n.*?)```", re.DOTALL)
WIDTH = 100
AGAINST = ("--hiddencost-against=main", "--hiddencost-threads=1")


def pytest_output(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "COLUMNS": str(WIDTH)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def example_output(readme: str) -> str:
    found = EXAMPLE.search(readme)
    assert found is not None, "README has no test_latency.py"
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / found[2]).write_text(found[1])
        output = pytest_output(Path(name))
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if "FAILURES" in line)
    return f"$ pytest {found[2]}\n" + "\n".join(lines[start:])


def against_output(readme: str) -> str:
    """The example without its budget, beside a revision in which nothing is copied."""
    found = EXAMPLE.search(readme)
    assert found is not None, "README has no test_latency.py"
    text = re.sub(r"@pytest\.mark.*\n", "", found[1])
    changed = text.replace("self.norm(y).relu()", "self.norm(y).clone().relu()")
    assert text not in (found[1], changed), "README's example is another one by now"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / found[2]).write_text(text)
        commit(folder, found[2])
        (folder / found[2]).write_text(changed)
        output = pytest_output(folder, *AGAINST)
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if "FAILURES" in line)
    return f"$ pytest {' '.join(AGAINST)}\n" + "\n".join(lines[start:])


def study_output(kept: Path | None) -> str:
    with tempfile.TemporaryDirectory() as name:
        run_file = kept.absolute() if kept else Path(name) / "study.json"
        output = pytest_output(
            Path(name), "--pyargs", "pytest_hiddencost.study", f"--hiddencost-json={run_file}"
        )
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if " device study " in line)
    end = next(i for i, line in enumerate(lines) if i > start and line.startswith("====="))
    head = next(line for line in lines if line.startswith(("cpu:", "cuda:")))
    tables = "\n".join(lines[start + 1 : end]).strip()
    return f"$ pytest --pyargs pytest_hiddencost.study\n...\n{head}\n\n{tables}\n{lines[-1]}"


def replaced(readme: str, block: str, output: str) -> str:
    pattern = re.compile(
        rf"(<!-- output: {block} -->\n```console\n).*?(```\n<!-- end -->)", re.DOTALL
    )
    assert pattern.search(readme), f"README has no output block {block!r}"
    return pattern.sub(lambda found: f"{found[1]}{output}\n{found[2]}", readme)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["example", "against", "study"])
    parser.add_argument("--json", type=Path, help="keep the study's run file")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    if options.only in (None, "example"):
        readme = replaced(readme, "example", example_output(readme))
    if options.only in (None, "against"):
        readme = replaced(readme, "against", against_output(readme))
    if options.only in (None, "study"):
        readme = replaced(readme, "study", study_output(options.json))
    README.write_text(readme, encoding="utf-8")


if __name__ == "__main__":
    main()
