"""Injected regressions: changes made between recording and comparing, to see a gate fire."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

INJECTED_FILE = "injected.json"
FILES = ("test_models.py", "pytest.ini", INJECTED_FILE)
FUSED = "fused"
TINY = "Tiny"


@dataclass(frozen=True)
class Injection:
    """A change of the model's ``code``, or a ``share`` of its own time added to every call.

    ``recorded`` is the code before the change; one of ``operators`` names the change.
    """

    name: str
    share: float = 0.0
    code: str = ""
    recorded: str = ""
    operators: tuple[str, ...] = ()


NONE = Injection("none")
STRUCTURE = (
    Injection("copy", code="copy", operators=("aten::clone", "aten::copy_")),
    Injection("cat", code="cat", operators=("aten::cat",)),
    Injection(
        "batch norm not fused",
        code="plain",
        recorded=FUSED,
        operators=("aten::batch_norm", "aten::native_batch_norm", "aten::_batch_norm_impl_index"),
    ),
    Injection(
        "contiguous",
        code="contiguous",
        operators=("aten::contiguous", "aten::clone", "aten::copy_"),
    ),
)
LATENCY = tuple(Injection(f"+{percent} %", share=percent / 100) for percent in (5, 10))
SLOW = Injection("three times as slow", share=2.0)  # every tool sees it, whatever the noise
INJECTIONS = {injection.name: injection for injection in (NONE, *STRUCTURE, *LATENCY)}

HEAD = """\
import torch

from benchmarks.lib.subjects import calls_in, subject
"""
TEST = """

def {test}({fixture}):
    model, image = subject("{name}", __file__)
    {call}
"""


def function_of(name: str, prefix: str = "test") -> str:
    """Return the name of the test of this model."""
    return f"{prefix}_{name.lower().replace(' ', '_')}"


def write_project(
    folder: Path, names: Iterable[str], fixture: str, call: str, prefix: str = "test"
) -> None:
    """Write a folder with one test per model, which calls it through a tool's fixture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    tests = [
        TEST.format(test=function_of(name, prefix), name=name, fixture=fixture, call=call)
        for name in names
    ]
    (folder / "test_models.py").write_text(HEAD + "".join(tests), encoding="utf-8")


def inject(folder: Path, injection: Injection) -> None:
    """Change the code under test."""
    (folder / INJECTED_FILE).write_text(json.dumps(asdict(injection)), encoding="utf-8")


def inject_before(folder: Path, injection: Injection) -> None:
    """Give the code under test the state that precedes an injection."""
    inject(folder, Injection("recorded", code=injection.recorded))


def injected_in(folder: Path) -> Injection:
    """Return the state of the code under test."""
    return Injection(**json.loads((folder / INJECTED_FILE).read_text(encoding="utf-8")))
