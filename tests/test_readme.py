"""What README shows runs, and does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from pytest_hiddencost import Sampling, profile

# Runs in this process forget what they imported, and torch cannot be imported twice.
profile(torch.relu, torch.ones(1), sampling=Sampling(max_time_ns=1_000_000))

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- example(?:: (\S+))? -->\n```python\n(.*?)```", README, re.DOTALL)
USES_IT = """
import torch

def test_uses_it(hiddencost):
    hiddencost(torch.relu, torch.ones(3))
"""
FIRST = re.search(r"```python\n# test_latency\.py\n(.*?)```", README, re.DOTALL)


def test_the_first_example_is_measured_and_judged(pytester: pytest.Pytester) -> None:
    assert FIRST is not None
    pytester.makepyfile(test_readme_first=FIRST[1])
    result = pytester.runpytest_inprocess("--hiddencost-max-time=200ms")
    # Which of its limits hold hangs on the machine; that they are checked does not.
    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    result.stdout.fnmatch_lines(["*hidden costs*", "*::test_blocks*"])
    assert re.search(r" (pass|fail|inconclusive)$", str(result.stdout), re.MULTILINE)


@pytest.mark.parametrize("name", range(len(BLOCKS)))
def test_every_other_example_runs(pytester: pytest.Pytester, name: int) -> None:
    file_name, code = BLOCKS[name]
    if file_name:
        (pytester.path / file_name).write_text(code)
        code = USES_IT
    pytester.makepyfile(
        test_readme_other=code if "def test_" in code else f"def test_it():\n{indented(code)}"
    )
    result = pytester.runpytest_inprocess("--hiddencost-max-time=50ms")
    result.assert_outcomes(passed=1)


def indented(code: str) -> str:
    return "".join(f"    {line}" for line in code.splitlines(keepends=True))


def test_output_blocks_are_filled() -> None:
    outputs = re.findall(r"<!-- output: \w+ -->\n```console\n(.*?)```", README, re.DOTALL)
    assert outputs
    assert all(output.strip() for output in outputs)


def test_the_set_up_commands_name_environments_that_exist() -> None:
    commands = re.findall(r"python3 -m venv .*tox run -e (\w+)", README)
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    assert commands == ["study", "py"]
    assert all(f"[testenv:{name}]" in tox for name in commands)


def test_ci_calls_the_readme_test_command() -> None:
    command = next(line for line in README.splitlines() if line.endswith("tox run -e py"))
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert all(part in script for part in map(str.strip, command.split("&&")))
    assert shlex.split(command)


def test_every_option_is_in_readme() -> None:
    from pytest_hiddencost.options import OPTIONS

    assert all(f"`{option.argument}" in README for option in OPTIONS)
