"""The command line that both benchmarks of verdicts share, and the results file it names."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from verdicts_parts.log import Log
from verdicts_parts.plants import PLANTS
from verdicts_parts.runs import CONDITIONS
from verdicts_parts.tools import Settings, Tool

MODELS = ("MobileNet", "MobileNetV2", "ShuffleNetV2", "ResNet50")


def parser_for(description: str | None, sections: Iterable[str]) -> argparse.ArgumentParser:
    """A parser of what is to be run, with what, and where the results lie."""
    names = list(sections)
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--short", action="store_true", help="a few of each, under 10 minutes")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--conditions", nargs="+", choices=CONDITIONS, help="default all")
    parser.add_argument("--plants", nargs="+", choices=PLANTS, help="default all")
    parser.add_argument("--processes", type=int, default=0, help="of each kind; default: a table's")
    parser.add_argument("--tools", help="names, separated by commas; default all")
    parser.add_argument("--models", help="names, separated by commas; default four, or one")
    parser.add_argument("--time", type=float, help="s for each test")
    parser.add_argument("--threads", type=int, default=1, help="of torch; default 1")
    parser.add_argument("--results", type=Path, help="default: a file in a temporary folder")
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the others")
    parser.add_argument("--patience", type=float, help="s to try to be alone on the machine")
    parser.add_argument("--tables", action="store_true", help="run nothing, print the tables")
    return parser


def models_of(options: argparse.Namespace) -> tuple[str, ...]:
    """The models to measure."""
    if options.models:
        return tuple(options.models.split(","))
    return MODELS[:1] if options.short else MODELS


def log_of(
    options: argparse.Namespace, name: str, models: Iterable[str], settings: Settings
) -> Log:
    """The results file: a rerun of the same configuration continues it."""
    file = f"{name}-{'short' if options.short else 'long'}.jsonl"
    return Log(
        options.results or Path(tempfile.gettempdir(), file),
        {
            "models": list(models),
            "time_s": settings.time_s,
            "threads": settings.threads,
            "machine": platform.node(),
        },
    )


def tools_of(
    options: argparse.Namespace, kinds: Iterable[type[Tool]], settings: Settings
) -> list[Tool]:
    """Those of these tools that are to be run."""
    names = options.tools.split(",") if options.tools else [kind.name for kind in kinds]
    return [
        kind(options.peers if kind.elsewhere else sys.executable, settings)
        for kind in kinds
        if kind.name in names
    ]


def show_tools(log: Log, tools: Iterable[Tool]) -> None:
    """Where the results lie, and which tools could not be run."""
    print(f"\nresults: {log.path}")
    for tool in tools:
        print(f"- {tool.name}: {tool.missing or tool.version_of(tool.module)}")
