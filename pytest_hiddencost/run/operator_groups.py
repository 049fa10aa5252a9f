"""The operator groups of a run: the built-in table, and the additions of conftest.py files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.taxonomy import DEFAULT, Taxonomy

if TYPE_CHECKING:
    import pytest


def operator_groups(config: pytest.Config) -> Taxonomy:
    """Ask every ``pytest_hiddencost_taxonomy`` hook. Raises ``HiddenCostError``."""
    taxonomy = DEFAULT
    for mapping in reversed(config.hook.pytest_hiddencost_taxonomy(config=config)):
        if not isinstance(mapping, Mapping):
            raise HiddenCostError(
                f"pytest_hiddencost_taxonomy returned {mapping!r:.80}; return a mapping from "
                "operator to group such as {'mylib::norm': 'normalization'}"
            )
        taxonomy = taxonomy.extended(mapping)
    return taxonomy
