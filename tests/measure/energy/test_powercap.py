"""RAPL's counters: which of them count, wrap-arounds, and rights."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.meter import Unwrapped
from pytest_hiddencost.measure.energy.powercap import Powercap
from tests.measure.energy.energy_files import EnergyFiles, readable_by_root_only


def test_a_package_counts_and_its_parts_do_not(files: EnergyFiles) -> None:
    package = files.desktop()
    meter = Powercap(files.root)
    assert meter.read_nj() == 0
    files.zone("0:0", "core", 60_000)
    files.zone("1", "psys", 990_000)
    assert meter.read_nj() == 0
    package.write_text("51500\n")
    assert meter.read_nj() == 1_500_000
    assert (meter.name, meter.domain) == ("RAPL", "package")


def test_all_packages_and_their_dram_count_together(files: EnergyFiles) -> None:
    files.server()
    meter = Powercap(files.root)
    files.zone("1", "package-1", 1_000_300)
    files.zone("0:0", "dram", 200_020)
    assert meter.read_nj() == 320_000
    assert (meter.name, meter.domain) == ("RAPL of 2 packages", "package and DRAM")


def test_a_counter_that_begins_anew_goes_on(files: EnergyFiles) -> None:
    files.zone("0", "package-0", 990, range_uj=1_000)
    meter = Powercap(files.root)
    files.zone("0", "package-0", 5, range_uj=1_000)
    assert meter.read_nj() == 15_000
    files.zone("0", "package-0", 6, range_uj=1_000)
    assert meter.read_nj() == 16_000


@given(st.integers(0, 999), st.lists(st.integers(0, 999), max_size=40))
def test_the_sum_is_exact_over_any_number_of_wraps(start_uj: int, steps_uj: list[int]) -> None:
    counter = Unwrapped(1_000)
    assert counter.counted_uj(start_uj) == 0
    for used_uj in accumulate(steps_uj):
        assert counter.counted_uj((start_uj + used_uj) % 1_000) == used_uj


def test_rights_that_are_missing_come_with_the_command_that_gives_them(
    files: EnergyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = files.desktop()
    readable_by_root_only(monkeypatch, "energy_uj")
    with pytest.raises(EnergyError) as error:
        Powercap(files.root)
    assert error.value.reason == f"only root may read {package}"
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in error.value.remedy


@pytest.mark.parametrize("content", ["", "many", "1.5"])
def test_a_counter_that_is_no_number_is_refused(files: EnergyFiles, content: str) -> None:
    files.desktop().write_text(content)
    with pytest.raises(EnergyError, match="which is no number"):
        Powercap(files.root)


def test_a_counter_that_vanishes_is_refused(files: EnergyFiles) -> None:
    package = files.desktop()
    meter = Powercap(files.root)
    package.unlink()
    with pytest.raises(EnergyError, match="cannot be read: No such file or directory"):
        meter.read_nj()


def test_a_machine_without_rapl_is_told_apart(files: EnergyFiles) -> None:
    with pytest.raises(EnergyError, match="no RAPL package in /sys/class/powercap"):
        Powercap(files.root)
    files.write("sys/class/powercap/dtpm/name", "dtpm")  # as on many boards
    with pytest.raises(EnergyError, match="no RAPL package"):
        Powercap(files.root)
