"""Libraries of extras: the module, or the command that installs it."""

from __future__ import annotations

import json

import pytest

from pytest_hiddencost.core.errors import HiddenCostError
from pytest_hiddencost.core.extras import extra


def test_an_installed_library_is_imported() -> None:
    assert extra("json", "report", "the report") is json
    assert extra("json.decoder", "report", "the report") is json.decoder


def test_a_missing_library_is_an_error_with_the_command() -> None:
    with pytest.raises(HiddenCostError) as error:
        extra("no_such_library.part", "report", "--hiddencost-report")
    assert str(error.value) == (
        "--hiddencost-report: no_such_library is not installed; run "
        "pip install 'pytest-hiddencost[report]'"
    )
