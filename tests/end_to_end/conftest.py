"""The files of whole processes, and those that the runs in this process share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from typing import cast
from unittest.mock import patch

import pytest

from pytest_hiddencost.system.reaper import Reaper
from pytest_hiddencost.workers.starting import Starter, TemplateProcess
from tests.suites import environment_of_runs
from tests.workers.fake_workers import FakeReaper


@pytest.fixture
def own_temporary_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A temporary folder that only this test and its processes use."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)


@pytest.fixture(scope="session")
def _template() -> Iterator[TemplateProcess]:
    """A template that has started."""
    with patch.dict(os.environ, environment_of_runs(), clear=True):
        starter = Starter(cast("Reaper", FakeReaper()))
    starter.prepare()
    [template] = starter._templates.values()
    assert template is not None
    assert template.ready
    yield template
    starter.close()


@pytest.fixture
def one_template(_template: TemplateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process share one template of its interpreter: each takes seconds to start."""
    start, end = Starter._template, Starter.close

    def shared(starter: Starter, python: str) -> TemplateProcess | None:
        return _template if python == sys.executable else start(starter, python)

    def close(starter: Starter) -> None:
        starter._templates.pop(sys.executable, None)
        end(starter)

    monkeypatch.setattr(Starter, "_template", shared)
    monkeypatch.setattr(Starter, "close", close)
