"""``hiddencost device`` and ``hiddencost fleet``, without a scheduler."""

from __future__ import annotations

import pytest

from tests.cli.running import error_of, hiddencost

NETWORK = "tcp://10.1.2.3:8786"


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
