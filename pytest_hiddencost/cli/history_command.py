"""``hiddencost history``: questions to a store of runs, its change points, its compaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.extras import extra
from pytest_hiddencost.core.printable import printable

if TYPE_CHECKING:
    from pytest_hiddencost.history.database import HistoryDatabase, StorePart
    from pytest_hiddencost.history.found_changes import FoundChange, Gated
    from pytest_hiddencost.history.questions import Asked, QueryTable

FOUND = 1
LAST = 20
QUANTITY = click.Choice(["p50", "non_mac", "mac", "macs", "peak_bytes", "energy"])
FINDER = click.Choice(["ranks", "otava"])
GROUPING = click.Choice(["device", "branch", "torch", "version", "commit", "run"])


class _WithCompact(click.Group):
    """``history STORE`` is the question, ``history compact STORE`` the one subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in ("compact", *ctx.help_option_names):
            args = ["ask", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return (None if name == "ask" else name), command, rest

    def get_help(self, ctx: click.Context) -> str:
        """Return the help of the question: nobody types its name."""
        question = self.commands["ask"]
        width = ctx.terminal_width
        shown = click.Context(question, ctx.parent, info_name=ctx.info_name, terminal_width=width)
        return question.get_help(shown)


@click.group(cls=_WithCompact)
def history_command() -> None:
    """Ask a store of runs: trends, change points, a gate."""


@dataclass(frozen=True)
class _Wanted:
    """Options of the command that choose its output."""

    sql: str | None
    changes: bool
    gate: bool
    last: int
    html: Path | None
    by: tuple[str, ...]
    finder: str

    def check(self) -> None:
        """Refuse questions that exclude each other. Raises ``SettingError``."""
        chosen = {
            "--sql": self.sql is not None,
            "--by": bool(self.by),
            "--changes": self.changes,
            "--gate": self.gate,
        }
        given = [name for name, yes in chosen.items() if yes]
        if len(given) > 1:
            raise SettingError(f"{' and '.join(given)} ask for different things; give one of them")
        if self.finder != "ranks" and not (self.changes or self.gate or self.html):
            raise SettingError("--finder is for --changes, --gate and --html; give one of them")
        if "run" in self.by and len(self.by) > 1:
            raise SettingError("--by run is one row a run already; leave the other --by out")


@history_command.command("ask", add_help_option=True)
@click.argument("store")
@click.option("--test", default="", metavar="TEXT", help="Calls whose test id has this in it.")
@click.option("--device", multiple=True, metavar="KEY", help="Device: key, part of it, pattern.")
@click.option("--branch", default="", help="Runs of one branch.")
@click.option("--torch", default="", metavar="VERSION", help="Runs with this version of torch.")
@click.option("--since", default="", metavar="DAY", help="Runs from a day on, or 90d, 12w.")
@click.option("--operator", default="", metavar="NAME", help="Figures of one operator: aten::cat.")
@click.option("--by", multiple=True, type=GROUPING, help="Rows per device (default), ..., or run.")
@click.option("--quantity", type=QUANTITY, default="p50", help="For change points (default: p50).")
@click.option("--changes", is_flag=True, help="Print the change points.")
@click.option("--gate", is_flag=True, help="Fail on a rise within the last runs.")
@click.option("--last", type=click.IntRange(6), default=LAST, help=f"Runs for --gate ({LAST}).")
@click.option("--finder", type=FINDER, default="ranks", help="Finds changes (default: ranks).")
@click.option("--html", type=click.Path(path_type=Path), metavar="OUT", help="Draw the trends.")
@click.option("--sql", metavar="SELECT", help="Ask tables runs, profiles, operators; reads only.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table")
@click.pass_context
def _ask(ctx: click.Context, /, store: str, form: str, quantity: str, **given: Any) -> None:
    """Ask a store of runs, which pytest --hiddencost-store=STORE writes.

    Without options: one row for each call and device. `hiddencost history compact STORE` makes the
    store smaller and faster.

    \b
    Examples:
      hiddencost history runs --test mobilenet --by run
      hiddencost history runs --operator aten::cat --by torch
      hiddencost history s3://bucket/runs --gate --last 20
      hiddencost history runs --sql "SELECT branch, count(*) FROM runs GROUP BY branch"
    """
    _require("duckdb", "fsspec")
    from pytest_hiddencost.history.questions import Asked

    wanted = _Wanted(**{name: given[name] for name in _Wanted.__dataclass_fields__})
    wanted.check()
    if wanted.finder == "otava":
        extra("otava", "otava", "--finder otava")
    asked = Asked(given["test"], given["branch"], given["torch"], given["operator"])
    part = _part(given["device"], given["since"])
    name = "operator" if asked.operator else quantity
    if wanted.html is not None:
        _write_page(store, part, asked, name, wanted)
        if not (wanted.gate or wanted.changes or wanted.sql or wanted.by):
            return
    if wanted.gate or wanted.changes:
        failed = _print_changes(store, part, asked, name, wanted, form)
        ctx.exit(FOUND if failed else 0)
    _print_answer(store, part, asked, wanted, form)


def _require(*modules: str) -> None:
    for module in modules:
        extra(module, "history", "hiddencost history")


def _part(devices: tuple[str, ...], since: str) -> StorePart:
    from pytest_hiddencost.history.ages import moment_of
    from pytest_hiddencost.history.database import StorePart

    now = datetime.now(timezone.utc)
    return StorePart(devices, moment_of(since, "--since", now) if since else None)


def _asked_of(store: str, part: StorePart, question: Callable[[HistoryDatabase], Any]) -> Any:
    from pytest_hiddencost.history.database import ask
    from pytest_hiddencost.history.store_folder import StoreFolder

    def answered(database: HistoryDatabase) -> Any:
        if database.newer:
            message = f"{store}: a later version stored runs; columns that it added are left out"
            click.echo(printable(message), err=True)
        return question(database)

    return ask(StoreFolder(store), part, answered)


def _print_answer(store: str, part: StorePart, asked: Asked, wanted: _Wanted, form: str) -> None:
    from pytest_hiddencost.history.answers import FORMATS
    from pytest_hiddencost.history.questions import QueryTable, figures_by_run, grouped_figures

    def question(database: HistoryDatabase) -> QueryTable:
        if wanted.sql is not None:
            return QueryTable(*database.question(wanted.sql))
        if wanted.by == ("run",):
            return figures_by_run(database, asked)
        return grouped_figures(database, asked, tuple(dict.fromkeys(wanted.by)) or ("device",))

    answer = _asked_of(store, part, question)
    click.echo(FORMATS[form](answer))
    if not answer.rows and wanted.sql is None:
        click.echo(f"{printable(store)}: no run matches", err=True)


def _print_changes(
    store: str, part: StorePart, asked: Asked, quantity: str, wanted: _Wanted, form: str
) -> bool:
    """Print change points, and return whether the gate fails. Raises ``SettingError``."""
    from pytest_hiddencost.history.found_changes import all_changes, gated

    if not wanted.gate:
        found, series = _asked_of(
            store, part, lambda db: all_changes(db, asked, quantity, wanted.finder)
        )
        _print_found(found, series, wanted, asked, form)
        return False
    gate: Gated = _asked_of(
        store, part, lambda db: gated(db, asked, quantity, wanted.last, wanted.finder)
    )
    if not gate.series:
        raise SettingError(
            "--gate: no run matches, so nothing was checked; change --test, --device, --branch, "
            "--torch, --since, --operator or --quantity"
        )
    _print_found(gate.rises, gate.series, wanted, asked, form)
    _tell_unchecked(gate, quantity, wanted.last)
    return bool(gate.rises)


def _print_found(
    found: Sequence[FoundChange], series: int, wanted: _Wanted, asked: Asked, form: str
) -> None:
    if form == "table":
        _print_lines(found, series, wanted, asked.operator)
    else:
        from pytest_hiddencost.history.answers import FORMATS

        click.echo(FORMATS[form](_as_answer(found)))


def _tell_unchecked(gate: Gated, quantity: str, last: int) -> None:
    """Say of how many series the gate says nothing, on standard error for every format."""
    from pytest_hiddencost.history.found_changes import fewest_runs

    fewest = fewest_runs(quantity)
    reasons = {
        f"fewer than {fewest} comparable runs; store more runs": gate.short,
        f"no comparable run within the last {last}; --html shows unfit runs": gate.unfit,
    }
    for why, count in reasons.items():
        if count:
            told = f"--gate did not check {count} of {_counted(gate.series, 'series')}: {why}"
            click.echo(told, err=True)


def _print_lines(found: Sequence[FoundChange], series: int, wanted: _Wanted, operator: str) -> None:
    from pytest_hiddencost.history.found_changes import change_line

    for one in found:
        click.echo(printable(change_line(one, operator)))
    what = "rise" if wanted.gate else "change point"
    within = f" within the last {wanted.last} runs" if wanted.gate else ""
    click.echo(f"{_counted(len(found), what)}{within}, in {_counted(series, 'series')}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 or noun.endswith("s") else f"{count} {noun}s"


def _as_answer(found: Sequence[FoundChange]) -> QueryTable:
    from pytest_hiddencost.history.found_changes import FoundChange
    from pytest_hiddencost.history.questions import QueryTable

    headers = list(FoundChange.__dataclass_fields__)
    return QueryTable(headers, [tuple(one.data()[name] for name in headers) for one in found])


def _write_page(store: str, part: StorePart, asked: Asked, quantity: str, wanted: _Wanted) -> None:
    path = wanted.html
    assert path is not None
    for module in ("jinja2", "plotly"):
        extra(module, "report", "--html")
    from pytest_hiddencost.history.trend_page import trend_page
    from pytest_hiddencost.report.run_file import check_writable
    from pytest_hiddencost.system.replacing import replacing

    check_writable(path, "--html")
    text = _asked_of(store, part, lambda db: trend_page(db, asked, quantity, wanted.finder))
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))
    click.echo(f"trends: {printable(str(path))}")


@history_command.command("compact")
@click.argument("store")
@click.option("--keep-samples", metavar="AGE", help="Drop older samples: 90d, 12w (default: none).")
@click.option("--remove-after", metavar="AGE", default="1h", help="Age of a replacement (1h).")
def _compact(store: str, keep_samples: str | None, remove_after: str) -> None:
    """Merge small files, and drop samples older than AGE; summaries stay for ever.

    Runs may be added meanwhile, and a kill at any moment loses nothing. Files that were replaced
    are removed by a later compaction, since others may be reading them.
    """
    _require("pyarrow", "fsspec")
    from pytest_hiddencost.history.ages import age_of
    from pytest_hiddencost.history.compaction import compact
    from pytest_hiddencost.history.store_folder import StoreFolder

    keep = None if keep_samples is None else age_of(keep_samples, "--keep-samples")
    done = compact(StoreFolder(store), keep, age_of(remove_after, "--remove-after"))
    click.echo(
        f"{printable(store)}: merged {done.merged} files, removed {done.removed}, "
        f"dropped the samples of {done.samples} profiles"
    )
