"""``hiddencost kinds``: the throughput of this device by operator kind, and models below it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_hiddencost.cli.echo_writer import EchoWriter, color_option, echo_writer
from pytest_hiddencost.core import model_names
from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.model_names import Matrix, Variant
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.report.run_file import RunFile, check_writable, save
from pytest_hiddencost.report.wording import device_line

if TYPE_CHECKING:
    from pytest_hiddencost.core.records import Profile
    from pytest_hiddencost.measure import Call

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True)
class _Asked:
    """The parts of one survey: its device, threads, models and files."""

    device: str | None
    threads: int | None
    variants: tuple[Variant, ...]
    energy: bool
    json: Path | None
    report: Path | None


@click.command("kinds")
@click.option("--threads", "--hiddencost-threads", type=click.IntRange(1), help="Intra-op threads.")
@click.option("--device", "--hiddencost-device", help="torch device: cpu, cuda, ...")
@click.option(
    "--model",
    "--hiddencost-model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Put the operators of this model below the roofs as well; may be repeated.",
)
@click.option("--input", "--hiddencost-input", "shapes", metavar="SHAPES", help="Its input.")
@click.option("--dtype", "--hiddencost-dtype", metavar="DTYPE", help="Its dtype.")
@click.option("--energy", is_flag=True, help="Measure the energy of a MAC as well.")
@click.option("--json", metavar="FILE", type=_FILE, help="Write a run file.")
@click.option("--report", metavar="FILE", type=_FILE, help="Write an HTML page with rooflines.")
@color_option
def kinds_command(
    threads: int | None,
    device: str | None,
    models: tuple[str, ...],
    shapes: str | None,
    dtype: str | None,
    energy: bool,
    json: Path | None,
    report: Path | None,
    color: str,
) -> None:
    """Measure the throughput of operator kinds on this device.

    It times a short battery of operators: convolutions, linear layers, products, attention, an
    LSTM, and operators without MACs. They stand beside the device's peaks: a large matrix product,
    copies, and a call of one element. With a model, each of its operators is replayed alone, and
    the table says what bounds it.

    \b
    Examples:
      hiddencost kinds --threads 1
      hiddencost kinds --model torchvision:resnet18 --input 1x3x224x224 --report kinds.html
    """
    for path, option in ((json, "--json"), (report, "--report")):
        if path is not None:
            check_writable(path, option)
    if report is not None:
        from pytest_hiddencost.report.html import require_report

        require_report("hiddencost kinds --report")
    variants = _variants(models, shapes, dtype)
    _survey(_Asked(device, threads, variants, energy, json, report), echo_writer(color))


def _variants(
    models: tuple[str, ...], shapes: str | None, dtype: str | None
) -> tuple[Variant, ...]:
    """Return the models to measure. Raises ``SettingError``."""
    for value, option in ((shapes, "--input"), (dtype, "--dtype")):
        if value is not None and not models:
            raise SettingError(
                f"{option}={value} was given without a model; the battery has shapes of its own, "
                "in fp32; name a model with --model"
            )
    matrix = Matrix(
        inputs=() if shapes is None else (model_names.parsed_inputs(shapes, "--input"),),
        dtypes=() if dtype is None else (model_names.parsed_dtype(dtype, "--dtype"),),
    )
    names = [model_names.named_model(text, "--model") for text in models]
    return tuple(dict.fromkeys(variant for name in names for variant in matrix.of(name)))


def _survey(asked: _Asked, writer: EchoWriter) -> None:
    from pytest_hiddencost.measure import choose_device, describe_device
    from pytest_hiddencost.measure.kinds.surveys import measured_kinds, named_call
    from pytest_hiddencost.report.battery_tables import battery_blocks

    device = choose_device(asked.device)
    calls = {variant.name: named_call(variant, device) for variant in asked.variants}
    described = describe_device(device, asked.threads)
    writer.write_line(device_line(described))
    tell = _progress()
    kinds = measured_kinds(device, asked.threads, tell, energy=asked.energy)
    tell("")
    for block in battery_blocks(kinds):
        _write(writer, block)
    profiles: list[Profile] = []
    try:
        for name, call in calls.items():
            profiles.append(_model(name, call, asked, writer))
    finally:  # a model may fail, or the user stop it: the others are kept
        tell("")
        _save(asked, RunFile(described, tuple(profiles), utc_now(), kinds=kinds))
        for path in filter(None, (asked.json, asked.report)):
            writer.write_line(f"written: {path}")


def _model(name: str, call: Call, asked: _Asked, writer: EchoWriter) -> Profile:
    """Measure a model, and write its tables."""
    from pytest_hiddencost.measure.kinds.surveys import measured_model
    from pytest_hiddencost.report.replay_tables import replay_blocks

    tell = _progress()
    tell(f"model {name}")
    profile = measured_model(name, call, asked.threads, energy=asked.energy)
    tell("")
    writer.write_line("")
    writer.write_line(name, bold=True)
    for block in replay_blocks(profile):
        _write(writer, block)
    for note in profile.notes:
        writer.write_line(note)
    return profile


def _save(asked: _Asked, run: RunFile) -> None:
    if asked.json is not None:
        save(asked.json, run.profiles, run.device, Path.cwd(), run.kinds)
    if asked.report is not None:
        from pytest_hiddencost.report.html.page import report_page

        page = report_page(run)
        asked.report.write_text(page, encoding="utf-8", errors="backslashreplace")


def _write(writer: EchoWriter, block: str) -> None:
    writer.write_line("")
    for line in block.splitlines():
        writer.write_line(line.rstrip())


def _progress() -> Callable[[str], None]:
    """Return a function that shows the progress on the last line of a terminal, or nowhere."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda text: click.echo(f"\r\033[K{text}", nl=False, err=True)
