"""``hiddencost device`` and ``hiddencost fleet``, without a scheduler."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from tests.cli.running import error_of, hiddencost

NETWORK = "tcp://10.1.2.3:8786"
HERE = ("device", "--scheduler", "tcp://127.0.0.1:1", "--kind", "pi")


@pytest.mark.parametrize(
    "arguments", [("device", "--scheduler", NETWORK, "--kind", "pi"), ("fleet", NETWORK)]
)
def test_a_scheduler_on_the_network_needs_tls(arguments: tuple[str, ...]) -> None:
    assert f"{NETWORK} has no TLS and is not this machine" in error_of(*arguments)
    assert "--insecure" in error_of(*arguments)


def test_a_text_that_is_no_scheduler_is_refused() -> None:
    assert "'nowhere' is neither an address" in error_of("fleet", "nowhere")


def test_a_kind_is_a_plain_word() -> None:
    error = error_of("device", "--scheduler", "tcp://127.0.0.1:1", "--kind", "a b")
    assert error.startswith("--kind='a b': expected letters")


def test_a_device_needs_a_scheduler() -> None:
    result = hiddencost("device")
    assert result.exit_code == 2
    assert "Missing option '--scheduler'" in result.stderr


@pytest.mark.parametrize("given", [(), ("--name", "pi"), ("--cache", "own")])
def test_a_second_device_on_a_cache_is_refused_with_the_way_to_give_it_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...]
) -> None:
    """Two devices of one kind remove each other's trees in it."""
    pytest.importorskip("distributed")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cache = Path("own") if "own" in given else tmp_path / ".cache" / "hiddencost-device" / "pi"
    cache.mkdir(parents=True)
    with FileLock(cache / "device.lock"):
        assert error_of(*HERE, *given) == (
            f"{cache}: another device on this machine uses this cache; give --name or --cache, so "
            "that each device has its own"
        )
