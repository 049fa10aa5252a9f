"""Sphinx configuration: the pages of the project's site."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "pytest-hiddencost"
copyright = "the authors of pytest-hiddencost"  # the name that Sphinx reads
extensions = ["myst_parser", "sphinx.ext.autodoc", "docs.tables"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
smartquotes = False  # an option begins with two hyphens
html_theme = "furo"
html_title = "pytest-hiddencost"
html_extra_path = ["reference/run-file.schema.json"]
