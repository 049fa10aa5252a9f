"""The operators of a profile that a key names: an operator, a glob or a group."""

from __future__ import annotations

from fnmatch import fnmatchcase

from pytest_hiddencost.core.records import OperatorCost, Profile
from pytest_hiddencost.core.taxonomy import GROUPS


def operators_of(profile: Profile, key: str) -> list[tuple[OperatorCost, float]]:
    """Return the operators that a key names, each with the part of its self time that counts.

    A wrapper with a MAC kernel of its own counts for ``mac`` by its MAC share, for its group by
    the rest.
    """
    if key == "mac":
        return [(o, o.mac_share) for o in profile.operators if o.mac_share > 0]
    if key in GROUPS:
        return [(o, 1.0 - o.mac_share) for o in profile.operators if o.group == key]
    return [(o, 1.0) for o in profile.operators if o.name == key or fnmatchcase(o.name, key)]
