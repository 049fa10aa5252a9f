"""What the device study takes: time, and memory at its peak. Prints the study's tables first."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

TARGET_S = 240
TARGET_GB = 1.5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_file = Path(folder) / "study.json"
        command = [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs",
            "pytest_hiddencost.study", f"--hiddencost-json={run_file}",
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True)
        took_s = time.perf_counter() - start
        size_mb = run_file.stat().st_size / 1e6
    peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    rows = [
        ["time, s", f"{took_s:.0f}", f"{TARGET_S}"],
        ["peak memory, GB", f"{peak_gb:.2f}", f"{TARGET_GB}"],
        ["run file, MB", f"{size_mb:.1f}", "-"],
    ]
    print(tabulate(rows, ["study", "measured", "target"], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
