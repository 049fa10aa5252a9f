"""The HTML report: records to plain data, data to one self-contained page."""

from __future__ import annotations

from pytest_hiddencost.core.extras import extra


def require_report(wanted_by: str) -> None:
    """Check that the libraries of the report are installed. Raises ``ExtraError``."""
    for module in ("jinja2", "plotly"):
        extra(module, "report", wanted_by)
