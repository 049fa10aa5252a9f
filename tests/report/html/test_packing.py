"""Compressed data of a page."""

from __future__ import annotations

import base64
import json
import math
import zlib

from pytest_hiddencost.report.html.packing import packed_json


def test_a_number_that_json_cannot_hold_is_null_in_the_page() -> None:
    data = {"name": "net", "times": [1.5, math.nan, -math.inf], "none": None}
    text = zlib.decompress(base64.b64decode(packed_json(data))).decode()
    assert json.loads(text, parse_constant=lambda name: name) == {
        "name": "net",
        "times": [1.5, None, None],
        "none": None,
    }
