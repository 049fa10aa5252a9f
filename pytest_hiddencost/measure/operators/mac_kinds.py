"""MAC kinds as they were counted, without times; notes on those that have none."""

from __future__ import annotations

from collections import Counter

from pytest_hiddencost.core.records import GENERATED, MacKindCost
from pytest_hiddencost.core.units import format_quantity
from pytest_hiddencost.measure.macs.counting import MacCount

UNMATCHED = "MACs could not be matched with profiler events: MAC kinds have no times"


def generated_kind(macs: MacCount) -> tuple[MacKindCost, ...]:
    """Return the kind of products in generated kernels, if there are any."""
    found = macs.generated_macs
    return (MacKindCost(GENERATED, 1, found, None),) if found else ()


def generated_note(macs: MacCount) -> tuple[str, ...]:
    """Return a note on products in generated kernels, if there are any."""
    if not macs.generated_macs:
        return ()
    found = format_quantity("macs", macs.generated_macs)
    what = f"{found} ran in {GENERATED}, whose time counts as non-MAC time"
    return (f"{what}; limit p50 or macs instead of non_mac",)


def counted_kinds(macs: MacCount) -> tuple[MacKindCost, ...]:
    """Return the kinds of counted MACs, without times."""
    totals = Counter[str]()
    for call in macs.calls:
        totals[call.kind] += call.macs
    calls = Counter(call.kind for call in macs.calls)
    return tuple(MacKindCost(kind, calls[kind], totals[kind], None) for kind in calls)
