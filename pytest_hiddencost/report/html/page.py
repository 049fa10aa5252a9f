"""The report: one HTML file that needs nothing else, neither a server nor a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.report.html import overview
from pytest_hiddencost.report.html.call_page import Detail, call_data
from pytest_hiddencost.report.html.escaping import visible
from pytest_hiddencost.report.html.packing import packed, packed_json, script_hash
from pytest_hiddencost.report.html.study_figures import StudyFigures
from pytest_hiddencost.report.run_file import RunFile

LARGEST_BYTES = 6_000_000
DETAILS = (Detail(), Detail(600, 400), Detail(300, 200), Detail(150, 120), Detail(80, 60))
"""The detail of each call, most first: the page takes the first with which it is small enough."""
SCRIPTS = ("core.js", "table.js", "charts.js", "call.js", "changes.js", "study.js", "start.js")


def report_page(
    head: RunFile,
    base: RunFile | None = None,
    *,
    base_name: str = "base",
    study: StudyFigures | None = None,
) -> str:
    """Return the page on a run, compared with another one if ``base`` is given.

    ``study`` has the figures of the device study, if the run holds it. If a run has many calls, the
    page keeps fewer samples and fewer nodes of each, so that it stays below ``LARGEST_BYTES``.
    """
    bases = {} if base is None else {(p.test, p.label): p for p in base.profiles}
    name = _base_name(base, base_name)
    shell = _shell(head, base, name, bases, study)
    calls: list[str] | None = None
    thinned = False
    for detail in DETAILS:
        found = list(_calls(head, bases, name, detail))
        if len(shell) + sum(map(len, found)) + 8 * len(found) <= LARGEST_BYTES:
            calls, thinned = found, detail != DETAILS[0]
            break
    if calls is None:  # thousands of calls: the first ones have details
        calls, thinned = _first_that_fit(found, LARGEST_BYTES - len(shell)), True
    data = {"calls": calls, "thinned": thinned}
    return shell.replace(_CALLS, json.dumps(data, separators=(",", ":")), 1)


_CALLS = "<calls/>"  # text of users has no raw "<"


def _first_that_fit(calls: list[str], room: int) -> list[str]:
    kept = []
    for call in calls:
        room -= len(call) + 8
        kept.append(call if room > 0 else "")
    return kept


def _calls(
    head: RunFile, bases: Mapping[CallKey, Profile], base_name: str, detail: Detail
) -> Iterator[str]:
    for profile in head.profiles:
        base = bases.get((profile.test, profile.label))
        yield packed_json(call_data(profile, base, base_name, detail))


def _base_name(base: RunFile | None, name: str) -> str:
    return name if base is None or not base.commit else f"{name} ({base.commit})"


def _shell(
    head: RunFile,
    base: RunFile | None,
    base_name: str,
    bases: Mapping[CallKey, Profile],
    study: StudyFigures | None,
) -> str:
    """Return the page without the data of calls."""
    headers, rows = overview.call_rows(head.profiles, bases)
    script, style, plotly = _script(), _asset("style.css"), _plotly()
    overview_data = {
        "shares": overview.shares_chart(head.profiles),
        "growths": overview.growth_chart(head.profiles, bases),
        "study": None if study is None else encode(study),
    }
    page: str = _template().render(
        version=__version__,
        policy=f"{script_hash(script)} {script_hash(plotly)}",
        style=style,
        script=script,
        plotly=_packed_plotly(),
        overview=packed_json(overview_data),
        calls=_CALLS,
        run=overview.run_facts(head),
        base=None if base is None else overview.run_facts(base),
        base_name=visible(base_name),
        same_device=base is None or base.device.key == head.device.key,
        health=overview.health_lines(head.profiles),
        counts=overview.outcome_counts(rows),
        broken=overview.broken_checks(head.profiles),
        unmatched=overview.only_in_one(head.profiles, bases) if base else {},
        study=study is not None,
        headers=headers,
        rows=rows,
    )
    return page


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets").joinpath(name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    """Return the page's own script."""
    return '"use strict";\n(function () {\n' + "\n".join(map(_asset, SCRIPTS)) + "\n})();\n"


@cache
def _plotly() -> str:
    """Return plotly.js, which the package plotly brings."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text


@cache
def _packed_plotly() -> str:
    return packed(_plotly())


@cache
def _template() -> Any:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html.jinja"))
