"""The device: its choice, its record, and torch's threads and version."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from pytest_hiddencost.core.errors import MeasurementError
from pytest_hiddencost.measure import (
    choose_device,
    describe_device,
    intra_op_threads,
    torch_version,
)
from pytest_hiddencost.measure.device import description


def test_the_default_is_torchs_default_device() -> None:
    assert choose_device(None) == torch.get_default_device()


def test_a_device_that_exists_is_chosen() -> None:
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is available")
@pytest.mark.parametrize("name", ["cuda", "cuda:7"])
def test_a_device_that_is_not_available_is_refused(name: str) -> None:
    with pytest.raises(
        MeasurementError,
        match=rf"'{name}' is not available: torch 2\..*--hiddencost-device.*the CPU",
    ):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", ""])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(
        MeasurementError, match="not known to torch; --hiddencost-device accepts cpu, cuda"
    ):
        choose_device(name)


def test_a_backend_this_build_lacks_is_refused() -> None:
    with pytest.raises(MeasurementError, match="'meta' is not available"):
        choose_device("meta")


def test_the_record_names_hardware_and_software() -> None:
    record = describe_device(torch.device("cpu"), threads=1)
    assert record.kind == "cpu"
    assert record.threads == 1
    assert record.torch == torch.__version__
    assert type(record.torch) is str
    assert record.cores >= 1
    assert re.fullmatch(r"cpu-[a-z0-9.-]+-\d+c1t-\w+-torch\d+\.\d+", record.key)


def test_a_device_tree_gives_the_name_of_the_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"/proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0", "/proc/cpuinfo": ""}
    monkeypatch.setattr(description, "_read", lambda path: files[path])
    assert description.cpu_model() == "Raspberry Pi 4 Model B Rev 1.4"
    key = describe_device(torch.device("cpu"), threads=4).key
    assert key.startswith("cpu-raspberry-pi-4-model-b-rev-1.4-")


def test_the_key_can_name_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {
        "/proc/device-tree/model": "",
        "/proc/cpuinfo": "processor: 0\nmodel name\t: Intel(R) Core(TM) i7-9 CPU @ 2.60GHz / x\n",
    }
    monkeypatch.setattr(description, "_read", lambda path: files[path])
    assert description.cpu_model() == "Intel(R) Core(TM) i7-9 CPU @ 2.60GHz / x"
    key = describe_device(torch.device("cpu"), threads=2).key
    assert key.startswith("cpu-intel-core-i7-9-")
    (tmp_path / key).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [key]


def test_a_machine_without_proc_has_a_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description, "_read", lambda path: "")
    assert description.cpu_model()


def test_the_threads_are_those_that_torch_uses() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert intra_op_threads() == 1
        assert describe_device(torch.device("cpu")).threads == 1
    finally:
        torch.set_num_threads(before)


def test_the_version_is_a_plain_string() -> None:
    assert torch_version() == torch.__version__
    assert type(torch_version()) is str
