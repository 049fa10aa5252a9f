"""Files of meters, in a folder of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.measure.energy.energy_files import EnergyFiles


@pytest.fixture
def files(tmp_path: Path) -> EnergyFiles:
    return EnergyFiles(tmp_path)
