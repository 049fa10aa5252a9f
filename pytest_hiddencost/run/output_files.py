"""The files that a run writes at its end: checked before any test runs, named in the summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_hiddencost.core.errors import HiddenCostError, SettingError, StoreError
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.core.timestamps import utc_now
from pytest_hiddencost.report import run_file
from pytest_hiddencost.report.html import require_report
from pytest_hiddencost.run.ci_output import (
    GitHubOutput,
    Review,
    Reviews,
    on_github,
    tell_github,
    write_code_quality,
    write_markdown,
)
from pytest_hiddencost.run.results import Results
from pytest_hiddencost.run.settings import Settings
from pytest_hiddencost.run.storing import add_to_store, check_store
from pytest_hiddencost.system.git import commit_line
from pytest_hiddencost.system.replacing import replacing


@dataclass(frozen=True)
class Written:
    """Lines that name the files, errors, which fail the run, and warnings.

    ``commands`` are for GitHub Actions, which reads them from the terminal.
    """

    lines: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputFile:
    """A file that a setting asks for; ``write`` returns the line on it, which may be empty.

    ``where`` names the setting that gave the path.
    """

    name: str
    option: str
    path: Path
    where: str
    write: Callable[[Results, Path], str]


def output_files(settings: Settings, reviews: Reviews) -> list[OutputFile]:
    """Return the files that the settings ask for."""
    found = []
    if settings.json is not None:
        write = _writer_of_run_file(settings, settings.json)
        option = "--hiddencost-json"
        found.append(OutputFile("run file", option, settings.json, settings.json_option, write))
    if settings.report is not None:
        write = _writer_of_report(settings, settings.report)
        option = "--hiddencost-report"
        found.append(OutputFile("report", option, settings.report, settings.report_option, write))
    if settings.metrics is not None:
        write = _writer_of_metrics(settings, settings.metrics)
        where, option = settings.metrics_option, "--hiddencost-metrics"
        found.append(OutputFile("metrics file", option, settings.metrics, where, write))
    if settings.markdown is not None:
        write = _writer_for_reviewers(reviews, settings.markdown, write_markdown)
        option, where = "--hiddencost-markdown", settings.markdown_option
        found.append(OutputFile("Markdown summary", option, settings.markdown, where, write))
    if settings.codequality is not None:
        write = _writer_for_reviewers(reviews, settings.codequality, write_code_quality)
        option, where = "--hiddencost-codequality", settings.codequality_option
        found.append(OutputFile("code-quality report", option, settings.codequality, where, write))
    return found


def check_output_files(settings: Settings) -> None:
    """Check that every file can be written at the end of the run, and has a path of its own.

    Raises ``SettingError``, and ``ExtraError`` if a file needs a library that is not installed.
    """
    check_store(settings)
    if settings.report is not None:
        require_report(settings.report_option)
    by_path: dict[Path, OutputFile] = {}
    for file in output_files(settings, Reviews(settings)):
        run_file.check_writable(file.path, file.where)
        first = by_path.setdefault(file.path, file)
        if first is not file:
            raise SettingError(
                f"{first.where} and {file.where} name the same file, {file.path}; choose another "
                "path for one of them"
            )


def write_output_files(settings: Settings, results: Results, root: Path) -> Written:
    """Write every file, what GitHub shows, and the run in the store, even if some fail."""
    reviews = Reviews(settings)
    found = [_written(file, results, root) for file in output_files(settings, reviews)]
    found.append(_stored(settings, results, root))
    github = GitHubOutput()
    if on_github(settings):
        github = tell_github(settings, reviews.of(results, root))
    return Written(
        tuple(line for each in found for line in each.lines),
        tuple(line for each in found for line in each.errors),
        github.warnings,
        github.commands,
    )


def _written(file: OutputFile, results: Results, root: Path) -> Written:
    try:
        line = file.write(results, root)
    except (OSError, ValueError) as error:
        why = f"{error}; choose another path ({file.option})"
        return Written(errors=(f"hiddencost: the {file.name} was not written: {why}",))
    return Written((line,) if line else ())


def _stored(settings: Settings, results: Results, root: Path) -> Written:
    try:
        line = add_to_store(settings, results, root)
    except StoreError as error:
        option = settings.store.where if settings.store else "--hiddencost-store"
        return Written(errors=(f"hiddencost: the run was not stored: {error} ({option})",))
    return Written((line,) if line else ())


def _writer_of_run_file(settings: Settings, path: Path) -> Callable[[Results, Path], str]:
    def write(results: Results, root: Path) -> str:
        device = results.device or default_device(settings)
        run_file.save(path, results.in_order(), device, root)
        return ""

    return write


def _writer_of_metrics(settings: Settings, path: Path) -> Callable[[Results, Path], str]:
    from pytest_hiddencost.report.exports.openmetrics import openmetrics_text

    def write(results: Results, root: Path) -> str:
        device = results.device or default_device(settings)
        run = run_file.RunFile(device, tuple(results.in_order()))
        with replacing(path) as file:
            file.write(openmetrics_text(run).encode())
        return ""

    return write


def _writer_for_reviewers(
    reviews: Reviews, path: Path, write: Callable[[Path, Review], None]
) -> Callable[[Results, Path], str]:
    def written(results: Results, root: Path) -> str:
        write(path, reviews.of(results, root))
        return ""

    return written


def _writer_of_report(settings: Settings, path: Path) -> Callable[[Results, Path], str]:
    def write(results: Results, root: Path) -> str:
        from pytest_hiddencost.report.html.page import report_page

        device = results.device or default_device(settings)
        profiles = tuple(results.in_order())
        run = run_file.RunFile(device, profiles, utc_now(), commit_line(root))
        page = report_page(run, study=results.study_figures(run))
        with replacing(path) as file:
            file.write(page.encode("utf-8", "backslashreplace"))
        return f"hiddencost report: {path}"

    return write


def default_device(settings: Settings) -> Device:
    """Return the device that the settings name, or torch's default if the machine lacks it."""
    from pytest_hiddencost.measure import choose_device, describe_device

    try:
        device = choose_device(settings.device)
    except HiddenCostError:
        device = choose_device(None)
    return describe_device(device, settings.threads)
