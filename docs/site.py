"""Build the site. Usage: ``python -m docs.site [--refresh] [PAGE ...]``.

With ``--refresh``, first run the commands of these pages, or of README and of all pages, and put
their output into them; draw the picture, and write the schema of the run file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from docs import picture, schema
from docs.blocks import ROOT, Project, blocks_of, pages, refreshed


def refresh(paths: list[Path]) -> None:
    """Run the commands of these pages and put their output into them."""
    import torch

    from pytest_hiddencost.measure.device.description import describe_device

    device = describe_device(torch.device("cpu"))
    print(f"on {device.model}, {device.cores} cores, torch {device.torch}")
    for path in paths:
        page = path.read_text(encoding="utf-8")
        if any(block.kind == "run" for block in blocks_of(page)):
            print(path.relative_to(ROOT))
            with tempfile.TemporaryDirectory() as folder:
                new = refreshed(page, Project(Path(folder)), print)
            path.write_text(new, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Refresh if asked, then build; return the exit status of Sphinx."""
    from sphinx.cmd.build import build_main

    parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("pages", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    if options.refresh:
        if not options.pages:
            picture.draw()
            schema.write()
        refresh([path.resolve() for path in options.pages] or pages())
    output = ROOT / "build" / "docs"
    return build_main(["-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(output)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
