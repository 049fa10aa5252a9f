"""The plugin that makes a pytest a peer: loaded with ``-p`` by the run that starts it."""

from __future__ import annotations

import pytest

from pytest_hiddencost.peer_side import PEER, PeerSide


def pytest_addoption(parser: pytest.Parser) -> None:
    """The socket to the run that asks."""
    group = parser.getgroup("hiddencost")
    group.addoption("--hiddencost-peer", dest="hiddencost_peer", type=int, default=None)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Connect."""
    descriptor = config.getoption("hiddencost_peer")
    if descriptor is not None:
        side = config.stash[PEER] = PeerSide(descriptor)
        config.pluginmanager.register(side)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests that are asked for, one at a time, until nobody asks any more."""
    side = session.config.stash.get(PEER, None)
    if side is None:
        return None
    side.serve(session)
    return True
