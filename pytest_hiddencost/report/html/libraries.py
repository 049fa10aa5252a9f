"""The libraries of a page: plotly.js, and a template of jinja2."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def plotly_script() -> str:
    """Return plotly.js, which the package plotly brings."""
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    return text


def page_template(text: str) -> Any:
    """Return the jinja2 template of a page; it escapes every value, and refuses missing ones."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
