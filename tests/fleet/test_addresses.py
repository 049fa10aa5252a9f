from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.fleet import device_info
from pytest_hiddencost.fleet.addresses import (
    Certificates,
    is_loopback,
    refuse_open_network,
    scheduler_address,
    security,
)
from pytest_hiddencost.fleet.device_info import kind_of, named_device


def test_an_address_is_taken_as_it_is() -> None:
    assert scheduler_address("tls://ci:8786", Path(), "--s") == "tls://ci:8786"


def test_a_scheduler_file_names_the_address(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))
    assert scheduler_address("s.json", tmp_path, "--s") == "tcp://127.0.0.1:1"


@pytest.mark.parametrize("text", ["nowhere.json", "http://ci:8786", "tcp://ci", "tcp://a b:1", ""])
def test_other_texts_are_refused_with_the_option(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^--s: .*"):
        scheduler_address(text, tmp_path, "--s")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
def test_a_scheduler_on_this_machine_needs_no_tls(host: str) -> None:
    assert is_loopback(f"tcp://{host}:8786")
    refuse_open_network(f"tcp://{host}:8786", "--s", insecure=False, option="--insecure")


@pytest.mark.parametrize("host", ["10.0.0.1", "ci.example.org", "0.0.0.0", "localhost.evil.org"])
def test_one_on_the_network_needs_tls_or_to_be_asked_for(host: str) -> None:
    with pytest.raises(SettingError, match=r"no TLS.*use tls://, or --insecure"):
        refuse_open_network(f"tcp://{host}:8786", "--s", insecure=False, option="--insecure")
    refuse_open_network(f"tcp://{host}:8786", "--s", insecure=True, option="--insecure")
    refuse_open_network(f"tls://{host}:8786", "--s", insecure=False, option="--insecure")


def test_tls_without_its_files_says_which_ones(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(SettingError, match=r"TLS needs an authority.*or give --tls-ca-file"):
        security("tls://ci:8786")
    files = Certificates(*(str(tmp_path / name) for name in ("ca", "cert", "key")))
    with pytest.raises(SettingError, match="the files of TLS cannot be read"):
        security("tls://ci:8786", files)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("cpu-raspberry-pi-4-4c2t-aarch64-torch2.13", "cpu-raspberry-pi-4"),
        ("cuda-nvidia-a100-16c8t-x86_64-torch2.13", "cuda-nvidia-a100"),
        ("cpu-unknown", "cpu-unknown"),
    ],
)
def test_the_kind_is_the_key_without_threads_and_versions(key: str, kind: str) -> None:
    assert kind_of(key) == kind


def test_the_key_of_a_device_with_a_given_kind_has_its_cores_and_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device_info, "usable_cores", lambda: {0, 1, 4})
    monkeypatch.setattr(device_info, "installed_torch", lambda: "2.13.1+cpu")
    found = named_device("pi")
    assert (found.kind, found.torch) == ("pi", "2.13.1+cpu")
    assert found.key == f"pi-3c-{platform.machine()}-torch2.13"
