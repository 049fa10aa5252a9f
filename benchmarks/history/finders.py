"""Ways to find change points: the package's own, and Apache Otava's with the same limits."""

from __future__ import annotations

from pytest_hiddencost.history.by_otava import otava_changes
from pytest_hiddencost.history.change_points import noisy_changes
from pytest_hiddencost.history.found_changes import Finder

OURS, OTAVA = "ours", "Otava"
FINDERS: dict[str, Finder] = {OURS: noisy_changes, OTAVA: otava_changes}
