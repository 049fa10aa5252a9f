"""The command line, the same for every benchmark."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lib import page
from benchmarks.lib.benchmark import Benchmark, Measuring, Setting
from benchmarks.lib.log import Log, current_facts, read
from benchmarks.lib.processes import say
from benchmarks.lib.registry import BENCHMARKS, results_file

PROGRAM = "python -m benchmarks"
COMMON = "[--short] [--models A,B] [--processes N] [--threads N] [--results FILE] [--tables]"


def main(arguments: Sequence[str]) -> int:
    """List the benchmarks, run one, or write the page of results."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing())
        return 0
    name, *rest = arguments
    if name == "results" and not rest:
        page.write()
        return 0
    if name not in BENCHMARKS:
        known = ", ".join([*BENCHMARKS, "results"])
        say(f"{PROGRAM}: no benchmark is called {name!r}; known: {known}")
        return 2
    run(name, rest)
    return 0


def listing() -> str:
    """Return usage, and one line per benchmark."""
    lines = [f"  {name:13} {entry.question}" for name, entry in BENCHMARKS.items()]
    lines.append(f"  {'results':13} (writes benchmarks/RESULTS.md from the lines in results/)")
    return "\n".join([f"usage: {PROGRAM} NAME {COMMON}", "", *lines])


def run(name: str, arguments: Sequence[str]) -> None:
    """Measure the cases that the results file lacks, and print the tables of the file."""
    benchmark = BENCHMARKS[name].load()
    options = parser_for(name, benchmark).parse_args(arguments)
    if not options.tables:
        if missing := BENCHMARKS[name].missing():
            environment = BENCHMARKS[name].environment
            raise SystemExit(
                f"{PROGRAM} {name}: not installed: {', '.join(missing)}; "
                f"run tox run -e {environment}, or pip install {' '.join(missing)}"
            )
        benchmark.run(measuring(benchmark, options))
    print(page.tables_text(benchmark, read(options.results)), flush=True)


def parser_for(name: str, benchmark: Benchmark) -> argparse.ArgumentParser:
    """Return the parser of one benchmark's options."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {name}", description=BENCHMARKS[name].question, allow_abbrev=False
    )
    parser.add_argument("--short", action="store_true", help="measure a little of every part")
    for setting in _settings(benchmark):
        add = parser.add_argument
        add(f"--{setting.name}", type=_type(setting, name), help=_help(setting), metavar="X")
    parser.add_argument(
        "--results", type=Path, default=results_file(name), help="file of lines to continue"
    )
    parser.add_argument("--tables", action="store_true", help="print the tables, measure nothing")
    return parser


def measuring(benchmark: Benchmark, options: argparse.Namespace) -> Measuring:
    """Return the run that the options describe."""
    chosen = {s.name: _chosen(s, options) for s in _settings(benchmark)}
    own = {s.name: chosen[s.name] for s in benchmark.own}
    recorded = {s.name: own[s.name] for s in benchmark.own if s.recorded}
    if "threads" not in own:
        recorded = {"threads": chosen["threads"], **recorded}
    facts = current_facts({"short": options.short, **recorded})
    return Measuring(
        log=Log(options.results, facts),
        short=options.short,
        models=chosen["models"],
        processes=chosen["processes"],
        threads=None if "threads" in own else chosen["threads"],
        own=own,
    )


def _settings(benchmark: Benchmark) -> tuple[Setting, ...]:
    """Return the common settings and the benchmark's own, which may replace a common one."""
    threads = benchmark.threads
    common = (
        Setting("models", "models", *benchmark.models, benchmark.known_models),
        Setting("processes", "repetitions, each in fresh processes", *benchmark.processes),
        Setting("threads", "threads of torch", threads, threads),
    )
    names = {setting.name for setting in benchmark.own}
    return (*(setting for setting in common if setting.name not in names), *benchmark.own)


def _chosen(setting: Setting, options: argparse.Namespace) -> Any:
    given = getattr(options, setting.name)
    if given is not None:
        return given
    return setting.short if options.short else setting.full


def _type(setting: Setting, benchmark: str) -> Callable[[str], Any]:
    if isinstance(setting.full, tuple):
        return _names(setting, benchmark)
    return _count if isinstance(setting.full, int | None) else type(setting.full)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive whole number")
    return int(text)


def _names(setting: Setting, benchmark: str) -> Callable[[str], tuple[str, ...]]:
    what = setting.name.removesuffix("s")

    def parsed(text: str) -> tuple[str, ...]:
        found = tuple(name.strip() for name in text.split(","))
        for name in found:
            if name not in setting.known:
                known = ", ".join(setting.known) or f"none, {benchmark} has no choice of {what}s"
                raise argparse.ArgumentTypeError(f"no {what} is called {name!r}; known: {known}")
        return found

    return parsed


def _help(setting: Setting) -> str:
    known = f"some of {', '.join(setting.known)}, separated by commas; " if setting.known else ""
    defaults = f"default {_shown(setting.full)}, with --short {_shown(setting.short)}"
    return f"{setting.help}; {known}{defaults}".replace("%", "%%")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "as torch has it" if value is None else str(value)
