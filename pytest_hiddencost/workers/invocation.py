"""The invocation of a run, and the arguments of another pytest like it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.options import model_of

FLEET_REPORTS = "HIDDENCOST_FLEET_REPORTS"  # variable: the file for reports, on a device
TIMES_MAX = 20  # a process counts as hanging after this many times max-time
SLOWER = 10  # or after this many times the time that the same work took in this run
# These stop for a person, or pick tests from the cache of an earlier run.
LEFT_OUT = frozenset(
    {
        "--pdb", "--trace", "--lf", "--last-failed", "--ff", "--failed-first", "--nf",
        "--new-first", "--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--sw-reset",
        "--stepwise-reset", "--cache-clear", "--pyargs", "--exitfirst", "-x",
        "--color=yes",
        "--hiddencost-update", "--hiddencost-update-new", "--hiddencost-selftest",
        "--hiddencost-rename",
    }
)  # fmt: skip
OF_PLUGINS = {
    "terminal": ("--color=no",),
    "faulthandler": ("-o", "faulthandler_timeout=0"),  # it may end a process that waits
    "cacheprovider": ("-o", "cache_dir={folder}/cache"),
    "tmpdir": ("--basetemp={folder}/tmp",),  # pytest empties a given folder at its start
    "xdist": ("-n0",),
    "_cov": ("--no-cov",),
    "logging": (f"--log-file={os.devnull}",),
    "junitxml": ("--junit-xml={folder}/junit.xml",),
    "pytest_reportlog": ("--report-log={folder}/log.jsonl",),
    "html": ("--html={folder}/report.html",),
    "pytest_jsonreport": ("--json-report-file={folder}/report.json",),
    "allure_pytest": ("--alluredir={folder}/allure",),
    "benchmark": ("--benchmark-json={folder}/benchmark.json",),
    "helpconfig": ("--debug={folder}/debug.log",),
}
"""The arguments of a pytest process by the plugins of the run, whose options they are."""


WRITERS = {
    "junitxml": "xmlpath",
    "pytest_reportlog": "report_log",
    "html": "htmlpath",
    "pytest_jsonreport": "json_report",
    "allure_pytest": "allure_report_dir",
    "benchmark": "benchmark_json",
    "helpconfig": "debug",
}
"""Plugins that write a file for the user, and the option without which they write none."""


@dataclass(frozen=True)
class Invocation:
    """The invocation of pytest; ``arguments`` are those that select no tests."""

    directory: Path
    root: Path
    ini: Path | None
    arguments: tuple[str, ...]
    max_time_ns: int


def without_selection(arguments: Sequence[str], selected: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments without the files, folders and node ids in ``selected``.

    If the same word is the value of an option as well, the one after an option is kept.
    """
    kept = list(arguments)
    for word in selected:
        indices = [i for i, argument in enumerate(kept) if argument == word]
        free = [i for i in indices if i == 0 or not kept[i - 1].startswith("-")]
        if found := (free or indices):
            del kept[found[-1]]
    return tuple(argument for argument in kept if argument not in LEFT_OUT)


def pytest_arguments(
    invocation: Invocation, plugins: frozenset[str], folder: Path
) -> tuple[str, ...]:
    """Return the arguments of a pytest like this run that writes its files to ``folder``.

    ``plugins`` are those of this run, and of ``WRITERS`` those that write a file. The caller
    adds the arguments that select tests.
    """
    common = [*invocation.arguments, f"--rootdir={invocation.root}", "--maxfail=0"]
    if invocation.ini is not None:
        common += ["-c", str(invocation.ini)]
    return (*common, *plugin_arguments(plugins, folder))


def plugin_arguments(plugins: frozenset[str], folder: Path) -> list[str]:
    """Return the arguments by which these plugins write to ``folder`` and start nothing."""
    active = [parts for name, parts in OF_PLUGINS.items() if name in plugins]
    return [part.format(folder=folder) for parts in active for part in parts]


def selection_of(test: str) -> str:
    """Return the argument that lets a worker collect a test: its file, or a named model's id."""
    return test.partition("::")[0] if model_of(test) is None else test


def absolute(root: Path, test: str) -> str:
    """Return a node id that means the same wherever pytest is started."""
    if model_of(test) is not None:
        return test
    module, separator, name = test.partition("::")
    return f"{root / module}{separator}{name}"
