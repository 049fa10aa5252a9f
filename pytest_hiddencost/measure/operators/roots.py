"""The root operators of a call: where they are called from, and their shares by the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pytest_hiddencost.measure.calls import Call
from pytest_hiddencost.measure.operators.attribution import NO_CLOCK
from pytest_hiddencost.measure.operators.clock import clocked_shares
from pytest_hiddencost.measure.operators.folding import CallSite, Root
from pytest_hiddencost.measure.operators.tracing import root_call_sites

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class RootOperators:
    """Call sites in the order of the calls, shares by the clock, and notes on what is not known."""

    call_sites: list[tuple[str, CallSite]]
    shares: Mapping[Root, float]
    notes: tuple[str, ...] = ()


def root_operators(call: Call, latency_ns: float | None) -> RootOperators:
    """Return the root operators of a call of ``latency_ns``; None: without the clock.

    A model that does not run with an instrument is still measured, and a note gives the reason.
    """
    notes: list[str] = []

    def tried(take: Callable[[], _Found], lack: str) -> _Found | None:
        try:
            return take()
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            notes.append(f"{lack}: {text:.200}")
            return None

    lack = "the call sites of the operators are not known"
    sites = tried(lambda: root_call_sites(call), lack) or []
    shares: Mapping[Root, float] | None = None
    if latency_ns is not None:
        lack = "operators are timed by the profiler alone"
        shares = tried(lambda: clocked_shares(call, sites, latency_ns), lack)
    return RootOperators(sites, shares or NO_CLOCK, tuple(notes))
