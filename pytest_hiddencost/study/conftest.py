"""Brings in the study's output, however its tests were named."""

from __future__ import annotations

import pytest

from pytest_hiddencost.study import study_output


def pytest_configure(config: pytest.Config) -> None:
    """Register the output, unless the plugin did so for ``--pyargs``."""
    if not config.pluginmanager.is_registered(study_output):
        config.pluginmanager.register(study_output, study_output.__name__)
