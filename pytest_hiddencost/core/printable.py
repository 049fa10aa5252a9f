"""Text of others on one line of a terminal: test ids, labels, paths."""

from __future__ import annotations

import re

# Control characters, separators of lines, changes of direction, halves of characters, and the two
# other characters that XML forbids.
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """Return the text with escapes such as ``\\n`` for characters that a terminal obeys."""
    return _HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
