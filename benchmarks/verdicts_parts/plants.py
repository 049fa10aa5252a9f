"""What is planted into the code under test between recording and comparing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

PLANT_FILE = "plant.json"


@dataclass(frozen=True)
class Plant:
    """A change: to the model's ``code``, or ``share`` of every call's own time on top of it.

    ``recorded`` is the code that is recorded before; any of ``operators`` names the change.
    """

    name: str
    share: float = 0.0
    code: str = ""
    recorded: str = ""
    operators: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The part of the benchmark that it belongs to."""
        if self.share:
            return "power"
        return "structure" if self.code else "alarms"


NONE = Plant("none")
STRUCTURE = (
    Plant("copy", code="copy", operators=("aten::clone", "aten::copy_")),
    Plant("cat", code="cat", operators=("aten::cat",)),
    Plant(
        "batch norm not fused",
        code="plain",
        recorded="fused",
        operators=("aten::batch_norm", "aten::native_batch_norm", "aten::_batch_norm_impl_index"),
    ),
    Plant(
        "contiguous",
        code="contiguous",
        operators=("aten::contiguous", "aten::clone", "aten::copy_"),
    ),
)
LATENCY = tuple(Plant(f"+{percent} %", share=percent / 100) for percent in (5, 10, 20, 50))
SLOW = Plant("three times as slow", share=2.0)  # what every tool sees, whatever the noise
PLANTS = {plant.name: plant for plant in (NONE, *STRUCTURE, *LATENCY)}

HEAD = """\
import torch

from verdicts_parts.subjects import calls_in, subject
"""
TEST = """

def {test}({fixture}):
    model, image = subject("{name}", __file__)
    {call}
"""


def function_of(name: str, prefix: str = "test") -> str:
    """The test of this model."""
    return f"{prefix}_{name.lower().replace(' ', '_')}"


def write_project(
    folder: Path, names: Iterable[str], fixture: str, call: str, prefix: str = "test"
) -> None:
    """A folder with one test per name, each calling the same model through a tool's fixture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    tests = [
        TEST.format(test=function_of(name, prefix), name=name, fixture=fixture, call=call)
        for name in names
    ]
    (folder / "test_models.py").write_text(HEAD + "".join(tests), encoding="utf-8")


def plant(folder: Path, planted: Plant) -> None:
    """The code under test is from now on as planted."""
    _write(folder, planted)


def plant_recorded(folder: Path, planted: Plant) -> None:
    """The code under test is as it was before this is planted."""
    _write(folder, Plant("recorded", code=planted.recorded))


def _write(folder: Path, planted: Plant) -> None:
    (folder / PLANT_FILE).write_text(json.dumps(asdict(planted)), encoding="utf-8")
