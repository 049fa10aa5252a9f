"""The quantities of a call, and names that are unique."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.report.exports.call_quantities import CALL_QUANTITIES, uniquely_named
from tests.profiles import network

NETWORK = network()


def test_the_quantities_are_those_of_the_profile() -> None:
    profile = network(allocated_bytes=7)
    found = {quantity.key: quantity.of(profile) for quantity in CALL_QUANTITIES}
    assert found == {
        "p50": profile.latency.median_ns,
        "p95": profile.latency.p95_ns,
        "p99": profile.latency.p99_ns,
        "non_mac": 4_000_000,
        "non_mac_share": profile.non_mac_share,
        "macs": 30_000_000,
        "mac_rate": profile.mac_rate,
        "calls": 86,
        "activation_memory": 24 * 2**20,
        "allocated_bytes": 7,
        "energy": None,
    }


def test_a_name_is_the_test_and_the_label() -> None:
    profiles = [network(label="b1"), network()]
    names = [name for name, _ in uniquely_named(profiles)]
    assert names == ["test_models.py::test_it b1", "test_models.py::test_it"]


def test_a_name_that_two_calls_have_gets_a_number() -> None:
    names = [
        name for name, _ in uniquely_named([network(), network(label="(2)"), network(), network()])
    ]
    assert names[0] == "test_models.py::test_it"
    assert len(set(names)) == 4


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=8), max_size=6), st.integers(8, 12))
def test_names_are_unique_of_one_line_and_not_too_long(texts: list[str], longest: int) -> None:
    profiles = [replace(NETWORK, test=text) for text in texts]
    found = list(uniquely_named(profiles, longest))
    names = [name for name, _ in found]
    assert [profile for _, profile in found] == profiles
    assert len(set(names)) == len(names)
    for name in names:
        assert 0 < len(name) <= longest
        assert name == name.strip() == printable(name)
