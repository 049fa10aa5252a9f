"""Run ``python -m benchmarks`` from the repository root."""

import sys

from benchmarks.lib.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
