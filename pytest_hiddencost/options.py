"""The options, one row each: a command-line option and the ini value of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pytest


class Option:
    """One row: ``--hiddencost-NAME`` (``argument``) and ``hiddencost_NAME`` (``ini``).

    Without a ``metavar`` it is a ``flag``: on or off, no value on the command line. ``several``: it
    may be given several times. A plain class, since every start of pytest makes it, and a named
    tuple takes most of a millisecond.
    """

    __slots__ = ("argument", "flag", "help", "ini", "metavar", "name", "several")

    def __init__(self, name: str, metavar: str | None, help: str, *, several: bool = False) -> None:
        self.name = name
        self.metavar = metavar
        self.help = help
        self.several = several
        self.flag = metavar is None
        self.ini = "hiddencost_" + name.replace("-", "_")
        self.argument = "--hiddencost-" + name


OPTIONS = (
    Option("device", "DEVICE", "device to measure on: cpu, cuda, cuda:1, ... (default: torch's)"),
    Option("threads", "N", "intra-op threads while measuring (default: torch's)"),
    Option("max-time", "TIME", "time for the timed calls of one profile (default: 2 s)"),
    Option("min-samples", "N", "fewest timed calls, if max-time allows (default: 20)"),
    Option("confidence", "SHARE", "confidence of intervals and verdicts (default: 99%)"),
    Option("tolerance", "SHARE", "growth against baseline or base to tolerate (default: 5%)"),
    Option("baseline-dir", "DIR", "folder of the baselines, or off (default: .hiddencost)"),
    Option("update", None, "accept: rewrite the baselines of the selected tests that pass"),
    Option("update-new", None, "record a baseline for tests that have none on this device"),
    Option("rename", None, "carry baselines of renamed or moved tests over to their new names"),
    Option("reason", "TEXT", "reason for the update, kept in the baseline"),
    Option("launches", "N", "launches of a recording, each a fresh process (default: 3)"),
    Option("selftest", None, "run each call again with injected regressions, to see the gate fire"),
    Option("against", "REV", "compare with a revision, a folder or installed:PYTHON, interleaved"),
    Option("carry", "PATHS", "files that base or devices need and git lacks: PATH[,PATH] or globs"),
    Option("interleave", "WHEN", "measure the accepted commit too: never, always (default: auto)"),
    Option("strict", None, "fail on inconclusive verdicts, and on new, unused and stale baselines"),
    Option("kinds", None, "replay each operator of a call alone: rates by kind, and a roofline"),
    Option("disable", None, "measure nothing: skip the tests that use hiddencost"),
    Option("json", "PATH", "write everything measured to a JSON run file"),
    Option("energy", None, "measure the energy of each call, if the device has a meter"),
    Option("report", "PATH", "write a report, one HTML page (needs pytest-hiddencost[report])"),
    Option("metrics", "PATH", "write the main figures as OpenMetrics, for GitLab or Prometheus"),
    Option("markdown", "PATH", "write a summary in Markdown, for a comment on a pull request"),
    Option("codequality", "PATH", "write broken and open checks as a GitLab code-quality report"),
    Option("github", "WHEN", "job summary and annotations on GitHub: on, off (default: auto)"),
    Option("store", "URL", "add the run to a store of runs: a folder, s3://... or another URL"),
    Option("store-host", None, "keep the host name in the store of runs"),
    Option("fleet", "ADDRESS", "run each test on many devices: a Dask scheduler, or its file"),
    Option("fleet-kinds", "KINDS", "kinds of devices to run on: KIND[,KIND] (default: all)"),
    Option("fleet-limit", "TIME", "longest time of one test on a device (default: 900 s)"),
    Option("fleet-insecure", None, "allow a scheduler on the network without TLS"),
    Option(
        "model",
        "NAMES",
        "measure models without a test: pkg.module:Name, torchvision:NAME, timm:NAME, hf:TYPE, or "
        "a file",
        several=True,
    ),
    Option(
        "input",
        "SHAPES",
        "shape of the named models' input: 1x3x224x224, or int64:1x128 for token ids; join "
        "several by +",
        several=True,
    ),
    Option("batch", "SIZES", "batch sizes of the named models, such as 1,8", several=True),
    Option("dtype", "DTYPES", "dtypes of the named models: float32,bfloat16", several=True),
    Option("compile", None, "measure the named models compiled as well, by torch.compile"),
    Option(
        "model-budget",
        "LINES",
        'limits for the named models, such as "p50 = 15 ms"; those below [PATTERN] are for a few',
        several=True,
    ),
)
VERBOSITY = "verbosity_hiddencost"
MODELS = "hiddencost-model"
"""The node ids of named models begin with this word, where those of tests have a file."""


def add_to(parser: pytest.Parser) -> None:
    """Register every option and its ini twin; the default is None, or the ini would never count."""
    group = parser.getgroup("hiddencost", "latency and hidden cost of PyTorch models")
    for option in OPTIONS:
        on_off: dict[str, object] = {"action": "store_true"}
        takes: dict[str, object] = on_off if option.flag else {"metavar": option.metavar}
        if option.several:
            takes["action"] = "append"
        text = option.help.replace("%", "%%")  # argparse reads % as a format
        group.addoption(option.argument, dest=option.ini, default=None, help=text, **takes)
        kind: Literal["bool", "string"] = "bool" if option.flag else "string"
        parser.addini(option.ini, option.help, type=kind, default=None)
    parser.addini(
        VERBOSITY,
        "verbosity of the hiddencost summary (default: as -v says)",
        type="string",
        default="auto",
    )


def raw_value(config: pytest.Config, option: Option) -> object:
    """Return the command line's value, else the ini's, else None; neither parsed nor checked."""
    value = config.getoption(option.ini)
    return config.getini(option.ini) if value is None else value


def model_of(test: str) -> str | None:
    """Return the name of the named model that a node id is of; None for other node ids.

    The name is empty if the id stands for all named models.
    """
    word, _, name = test.partition("::")
    return name if word == MODELS else None
