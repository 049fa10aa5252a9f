"""Run the benchmarks one after another, or those named: ``python benchmarks/run.py idle study``.

Options are for the one that is named: ``python benchmarks/run.py paired --short``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

BENCHMARKS = ("idle", "study", "attribution", "analysis", "control", "verdicts", "turns", "paired")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    given = list(takewhile(lambda word: not word.startswith("-"), sys.argv[1:]))
    options = sys.argv[1 + len(given) :]
    names = parser.parse_args(given or options).names or BENCHMARKS
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    if options and len(names) > 1:
        parser.error(f"{options[0]} is an option of one benchmark: name it alone")
    for name in names:
        print(f"\n## {name}\n", flush=True)
        program = Path(__file__).with_name(f"{name}.py")
        subprocess.run([sys.executable, program, *options], check=True)


if __name__ == "__main__":
    main()
