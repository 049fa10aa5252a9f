"""Markdown in GitHub's and GitLab's dialect: text that stays text, tables, details, a size limit.

Test ids, labels, module names and messages are the user's, and hostile at worst: none of it may
become a tag, a link, a mention or a cell of its own.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_hiddencost.core.printable import printable

_SPECIAL = re.compile(
    r"[<>&$|]|[\\`*_{}\[\]~^]|(?<=:)/(?=/)|(?<=www)\.|[@#!](?=\w)|:(?=[\w+-]+:)",
    re.IGNORECASE,
)
_AT_START = re.compile(r"[-+=](?!\w)|#(?!\w)|>|\d+(?=[.)](?:\s|$))")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "$": "&#36;", "|": "&#124;"}
_NO_WIDTH = "&#8203;"  # a space behind the sign of a mention, or of an emoji such as :cat:

ALWAYS = 0  # the rank of what is never left out


@dataclass(frozen=True)
class Part:
    """A part of a document that is kept whole or left out.

    A lower ``rank`` is kept first. ``one`` and ``many`` name what is left out.
    """

    text: str
    rank: int = ALWAYS
    one: str = ""
    many: str = ""

    @property
    def size(self) -> int:
        """The part's size in bytes."""
        return size_of(self.text)


def size_of(text: str) -> int:
    """Return the size of a text in bytes, as files have it."""
    return len(text.encode("utf-8", "replace"))


def code(text: str) -> str:
    """Return the text as a code span, also in a cell of a table; ids and names go through here.

    A vertical line would end the cell, inside a code span as well, so it stands between two spans.
    """
    return "&#124;".join(map(_span, printable(text).split("|"))) if text else ""


def _span(text: str) -> str:
    if not text:
        return ""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padded = text.startswith(("`", " ")) or text.endswith(("`", " "))
    space = " " if padded and text.strip(" ") else ""
    return f"{fence}{space}{text}{space}{fence}"


def prose(text: str) -> str:
    """Return the text so that it reads as it stands: no markup, links, mentions or tags."""
    text = printable(text)
    start = _AT_START.match(text)
    if start is None:
        return _inline(text)
    if start[0].isdigit():
        return f"{start[0]}\\{_inline(text[start.end() :])}"
    return ("&gt;" if start[0] == ">" else f"\\{start[0]}") + _inline(text[1:])


def _inline(text: str) -> str:
    return _SPECIAL.sub(lambda found: _escaped(found[0]), text)


def _escaped(sign: str) -> str:
    if sign in "@#!:":
        return sign + _NO_WIDTH
    return _ENTITIES.get(sign, f"\\{sign}")


def fenced(text: str) -> str:
    """Return several lines as a block of code, with a fence that the text cannot close."""
    lines = [printable(line) for line in text.split("\n")]
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence]) + "\n"


def in_summary(text: str) -> str:
    """Return a name for the line of ``<summary>``, which is HTML."""
    return f"<code>{html.escape(printable(text))}</code>"


def row(cells: Iterable[str]) -> str:
    """Return a row of a table from cells in Markdown."""
    return f"| {' | '.join(cells)} |\n"


def head(headers: Sequence[str], aligned: Sequence[str]) -> str:
    """Return the head of a table; each column is aligned ``left`` or ``right``."""
    rule = ["---:" if side == "right" else ":---" for side in aligned]
    return row(headers) + row(rule)


def opened(summary: str) -> str:
    """Return the beginning of collapsed details, with its line in HTML."""
    return f"<details>\n<summary>{summary}</summary>\n\n"


CLOSED = "\n</details>\n\n"


def fitted(parts: Sequence[Part], limit_bytes: int, rest: str) -> str:
    """Return the document, with the parts that matter least left out if it is too large.

    The last line names the parts that were left out; ``rest`` says where they are. Empty if not
    even the parts fit that are never left out.
    """
    if sum(part.size for part in parts) <= limit_bytes:
        return "".join(part.text for part in parts)
    left_bytes = limit_bytes - size_of(_cut(parts, limit_bytes, rest))
    kept: set[int] = set()
    for place, part in sorted(enumerate(parts), key=lambda each: each[1].rank):
        if part.size <= left_bytes:
            kept.add(place)
            left_bytes -= part.size
        elif part.rank == ALWAYS:
            return ""
    cut = [part for place, part in enumerate(parts) if place not in kept]
    shown = "".join(part.text for place, part in enumerate(parts) if place in kept)
    return shown + _cut(cut, limit_bytes, rest)


def _cut(cut: Sequence[Part], limit_bytes: int, rest: str) -> str:
    """Return the line on the parts that were left out."""
    counts = Counter((part.one, part.many) for part in cut if part.one)
    named = [f"{count} {one if count == 1 else many}" for (one, many), count in counts.items()]
    return f"\nLeft out to stay below {limit_bytes // 1000} kB: {', '.join(named)}; {rest}\n"
