"""JSON data and scripts as compressed text, which the page decompresses."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any

from pytest_hiddencost.report.html.escaping import finite


def packed(text: str, level: int = 9) -> str:
    """Return a text deflated (zlib) and in base64: nothing in it can end a script element."""
    # A lone surrogate of a hostile file must not stop the report.
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"), level)).decode("ascii")


def packed_json(data: Any) -> str:
    """Return JSON data as :func:`packed` text."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError:  # rare, and looking at every number takes longer than writing them
        text = json.dumps(finite(data), separators=(",", ":"), allow_nan=False)
    return packed(text, 6)


def script_hash(text: str) -> str:
    """Return the source expression by which a content security policy allows one script."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
