"""The report: one HTML file that needs nothing else, neither a server nor a network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from pytest_hiddencost import __version__
from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.records import CallKey, Profile
from pytest_hiddencost.report.html import overview
from pytest_hiddencost.report.html.call_page import Detail, call_data
from pytest_hiddencost.report.html.escaping import visible
from pytest_hiddencost.report.html.libraries import page_template, plotly_script
from pytest_hiddencost.report.html.packing import packed, packed_json, script_hash
from pytest_hiddencost.report.html.roofline_chart import roofline_of_device
from pytest_hiddencost.report.html.study_figures import StudyFigures
from pytest_hiddencost.report.run_file import RunFile

LARGEST_BYTES = 6_000_000
DETAILS = (
    Detail(),
    Detail(600, 400, 5, 120, 60),
    Detail(300, 200, 3, 80, 30),
    Detail(150, 100, 2, 50, 15),
    Detail(80, 50, 1, 30, 8),
)
"""The detail of each call, most first: the page takes the first with which it is small enough."""
MOST_TRIED = 10  # calls by which the detail is chosen: making all of them takes seconds
SCRIPTS = (
    "core.js", "table.js", "charts.js", "roofline.js", "call.js", "changes.js", "study.js",
    "start.js",
)  # fmt: skip


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
    bases = {} if base is None else {p.key: p for p in base.profiles}
    name = _base_name(base, base_name)
    shell = _shell(head, base, name, bases, study)
    room = LARGEST_BYTES - len(shell)
    calls: list[str] = []
    for detail in DETAILS[_first_to_try(head, bases, name, room) :]:
        calls = list(_calls(head.profiles, bases, name, detail))
        if sum(map(len, calls)) + PER_CALL * len(calls) <= room:
            break
    else:  # thousands of calls: the first ones have details
        calls = _first_that_fit(calls, room)
    thinned = detail != DETAILS[0]
    data = {"calls": calls, "thinned": thinned}
    return shell.replace(_CALLS, json.dumps(data, separators=(",", ":")), 1)


PER_CALL = 8  # bytes around the data of a call
_CALLS = "<calls/>"  # text of users has no raw "<"


def _first_to_try(
    head: RunFile, bases: Mapping[CallKey, Profile], base_name: str, room: int
) -> int:
    """Return the position of the first detail with which some calls suggest that all fit."""
    count = len(head.profiles)
    some = head.profiles[:: max(1, count // MOST_TRIED)]
    for position, detail in enumerate(DETAILS):
        sizes = [len(call) + PER_CALL for call in _calls(some, bases, base_name, detail)]
        if not sizes or sum(sizes) / len(sizes) * count <= room:
            return position
    return len(DETAILS) - 1


def _first_that_fit(calls: list[str], room: int) -> list[str]:
    kept = []
    for call in calls:
        room -= len(call) + PER_CALL
        kept.append(call if room > 0 else "")
    return kept


def _calls(
    profiles: Sequence[Profile],
    bases: Mapping[CallKey, Profile],
    base_name: str,
    detail: Detail,
) -> Iterator[str]:
    for profile in profiles:
        base = bases.get(profile.key)
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
    script, style, plotly = _script(), _asset("style.css"), plotly_script()
    overview_data = {
        "shares": overview.shares_chart(head.profiles),
        "growths": overview.growth_chart(head.profiles, bases),
        "study": None if study is None else encode(study),
        "kinds": roofline_of_device(head.kinds),
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
        kinds=head.kinds is not None,
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
def _packed_plotly() -> str:
    return packed(plotly_script())


@cache
def _template() -> Any:
    return page_template(_asset("page.html.jinja"))
