"""The id of a test that is the same in every run, whatever plugins append to its node id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def test_id(item: pytest.Item) -> str:
    """Return the id by which a command line selects this test.

    Plugins change ``item.nodeid`` after the collection: with ``--dist=loadgroup``, pytest-xdist
    appends ``@group``. The id is made of what pytest collected instead.
    """
    parent = getattr(item, "parent", None)
    return item.nodeid if parent is None else f"{parent.nodeid}::{_collected_name(item)}"


def _collected_name(item: pytest.Item) -> str:
    """Return the item's name before plugins rewrote the parameters in it."""
    function = str(getattr(item, "originalname", None) or "")
    parameters = getattr(getattr(item, "callspec", None), "id", "")
    renamed = function and parameters and item.name.startswith(f"{function}[")
    return f"{function}[{parameters}]" if renamed else item.name
