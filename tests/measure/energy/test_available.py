"""The choice of a meter: the first source that can be read, or why there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pytest_hiddencost.core.errors import EnergyError
from pytest_hiddencost.measure.energy.available import energy_meter
from tests.measure.energy.energy_files import EnergyFiles, readable_by_root_only

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")


def why(root: Path, device: torch.device = CPU) -> EnergyError:
    with pytest.raises(EnergyError) as error:
        energy_meter(device, root)
    return error.value


def test_the_counter_of_the_processor_goes_first(files: EnergyFiles) -> None:
    files.desktop()
    files.chip(0, "ltc2947", energy1_input=42)
    assert energy_meter(CPU, files.root).name == "RAPL"


def test_a_counter_goes_before_a_sensor_that_has_to_be_sampled(files: EnergyFiles) -> None:
    files.chip(0, "ina226", power1_input=4_500_000)
    files.chip(1, "ltc2947", energy1_input=42)
    assert energy_meter(CPU, files.root).name == "ltc2947 energy1"


def test_a_jetson_is_measured_by_its_supply(files: EnergyFiles) -> None:
    files.orin_nano()
    assert energy_meter(CPU, files.root).name == "INA3221 VDD_IN"


def test_a_sensor_is_better_than_nothing(files: EnergyFiles) -> None:
    files.chip(0, "ina226", power1_input=4_500_000)
    assert energy_meter(CPU, files.root).name == "ina226 power1"


def test_without_a_meter_each_source_is_named_and_what_to_do(files: EnergyFiles) -> None:
    error = why(files.root)
    for source in ("no RAPL package", "no energy counter", "no power sensor"):
        assert source in error.reason
    assert error.reason.startswith("no energy meter found: ")
    assert error.remedy == "give a meter of your own by the hook pytest_hiddencost_energy_meter"


def test_rapl_that_only_root_may_read_comes_with_the_command(
    files: EnergyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.desktop()
    readable_by_root_only(monkeypatch, "energy_uj")
    error = why(files.root)
    assert "only root may read" in error.reason
    assert error.remedy.startswith("permit it: sudo chmod a+r /sys/class/powercap/intel-rapl:*/")
    assert error.remedy.endswith("or give a meter of your own by the hook "
                                 "pytest_hiddencost_energy_meter")  # fmt: skip


def test_a_device_that_no_source_knows_is_named(files: EnergyFiles) -> None:
    files.desktop()
    assert "none is known for meta" in why(files.root, torch.device("meta")).reason


# --- through zeus ------------------------------------------------------------------------------

GPU = """
class Gpus:
    def __init__(self):
        self.used_mj = 1000

    def get_total_energy_consumption(self, gpu_index):
        if gpu_index != 1:
            raise RuntimeError("NVMLError_NotSupported: Not Supported")
        self.used_mj += 5
        return self.used_mj


def get_gpus():
    return Gpus()
"""
APPLE = """
class Measurement:
    cpu_total_mj, dram_mj, gpu_mj, gpu_sram_mj, ane_mj = 70, 7, 500, None, 9000


class AppleSilicon:
    def get_total_energy_consumption(self):
        return Measurement()
"""


@pytest.fixture
def zeus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zeus with a GPU that counts and one that does not, and an Apple chip."""
    packages = ("__init__", "device/__init__", "device/soc/__init__")
    modules = {"device/gpu": GPU, "device/soc/apple": APPLE, **dict.fromkeys(packages, "")}
    for name, text in modules.items():  # packages, or an installed zeus would come first
        file = tmp_path / f"library/zeus/{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    forget(monkeypatch)
    monkeypatch.syspath_prepend(tmp_path / "library")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "zeus"]:
        del sys.modules[name]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "zeus"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.usefixtures("zeus")
def test_a_gpu_is_measured_by_its_own_counter(files: EnergyFiles) -> None:
    files.desktop()
    meter = energy_meter(torch.device("cuda:1"), files.root)
    assert meter.domain == "gpu"
    assert meter.read_nj() == 1010 * 10**6


@pytest.mark.usefixtures("zeus")
def test_a_gpu_without_a_counter_is_not_measured_by_the_processors(files: EnergyFiles) -> None:
    files.desktop()
    error = why(files.root, torch.device("cuda:0"))
    assert "GPU counter: RuntimeError: NVMLError_NotSupported" in error.reason


@pytest.mark.usefixtures("zeus")
def test_the_gpu_of_a_jetson_is_measured_with_the_board(files: EnergyFiles) -> None:
    files.orin_nano()
    assert energy_meter(torch.device("cuda:0"), files.root).domain == "board"


@pytest.mark.usefixtures("zeus")
def test_an_apple_chip_has_a_counter_for_processor_and_gpu(
    files: EnergyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    processor, gpu = (energy_meter(torch.device(name), files.root) for name in ("cpu", "mps"))
    assert (processor.domain, processor.read_nj()) == ("package", 77 * 10**6)
    assert (gpu.domain, gpu.read_nj()) == ("gpu", 500 * 10**6)


def test_without_zeus_the_reason_names_the_command_that_installs_it(
    files: EnergyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    monkeypatch.setattr("pytest_hiddencost.core.extras.find_spec", lambda name: None)
    error = why(files.root, torch.device("cuda:0"))
    assert "zeus is not installed" in error.reason
    assert "pip install 'pytest-hiddencost[energy]'" in error.remedy
