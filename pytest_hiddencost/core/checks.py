"""The checks of the plugin, as a kind and a key, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["pass", "fail", "inconclusive", "new"]
PASS: Final = "pass"
FAIL: Final = "fail"
INCONCLUSIVE: Final = "inconclusive"
NEW: Final = "new"

CheckKind = Literal["limit", "operators", "regression"]
LIMIT: Final = "limit"
OPERATORS: Final = "operators"
REGRESSION: Final = "regression"


@dataclass(frozen=True)
class Check:
    """One question to a measured call.

    The key names a quantity (``LIMIT``), an operator, glob or group (``OPERATORS``), or any of
    these but a glob (``REGRESSION``). A regression check without a key is the whole comparison.
    """

    kind: CheckKind
    key: str = ""

    def __str__(self) -> str:
        if self.kind == LIMIT:
            return self.key
        return f"{self.kind}[{self.key}]" if self.key else self.kind


def regression(key: str = "") -> Check:
    """Return the check on growth of one quantity."""
    return Check(REGRESSION, key)
