"""Tools that need no record: both revisions are measured when they are compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from scipy.stats import mannwhitneyu

from verdicts_parts.plants import PLANT_FILE
from verdicts_parts.process import BENCHMARKS, LONGEST_S, Run, Watch
from verdicts_parts.repository import commit
from verdicts_parts.tools import HiddenCost, Judgement, Tool

TOLERANCE = 0.02
ROUNDS = 4
RISK = 0.01


class Paired(HiddenCost):
    """This plugin, against the revision that was committed."""

    name = "against"
    needs = "--hiddencost-against"

    @property
    def always(self) -> list[str]:
        return [f"--hiddencost-max-time={self.settings.time_s:g}s"]

    @property
    def recording(self) -> list[str]:
        return []

    @property
    def comparing(self) -> list[str]:
        return [
            "--hiddencost-against=HEAD",
            f"--hiddencost-tolerance={TOLERANCE:.0%}",
            f"--hiddencost-json={self.RUN_FILE}",
        ]

    @property
    def adding(self) -> None:
        return None

    def record(self, folder: Path) -> Run:
        """Commit the code as it is."""
        watch = Watch()
        commit(folder, "test_models.py", "pytest.ini", PLANT_FILE)
        return Run(0, "", *watch.stop(), {})

    def entries(self, folder: Path) -> int:
        return int((folder / ".git").is_dir())


class Alternation(Tool):
    """What asv does with ``--interleave-rounds``, by hand: processes of both revisions in turns.

    Each round is a fresh process on either side; slower if the median of all samples is, by the
    same tolerance as ours, and a rank test says so too.
    """

    name = "alternation"
    fixture = "request"
    plugin = "none"
    module = "scipy"
    needs = "--version"

    SIDE = """
import json, sys
from time import perf_counter_ns
import torch
from verdicts_parts.subjects import calls_in, subject
found = {}
for name in sys.argv[2:]:
    model, image = subject(name, "test_models.py")
    count = calls_in(float(sys.argv[1]), model, image)
    times = []
    with torch.inference_mode():
        for _ in range(count):
            start = perf_counter_ns()
            model(image)
            times.append(perf_counter_ns() - start)
    found[name] = times
print(json.dumps(found))
"""
    RECORDED = "recorded"

    call = "pass"
    always: list[str] = []  # noqa: RUF012  # as the others have it
    recording: list[str] = []  # noqa: RUF012
    comparing: list[str] = []  # noqa: RUF012

    def record(self, folder: Path) -> Run:
        watch = Watch()
        (folder / self.RECORDED).mkdir(exist_ok=True)  # disturbed, it is done again
        shutil.copy(folder / PLANT_FILE, folder / self.RECORDED)
        return Run(0, "", *watch.stop(), {})

    def compare(self, folder: Path) -> Run:
        names = self._names(folder)
        samples: dict[str, dict[str, list[int]]] = {"here": {}, "there": {}}
        watch = Watch()
        sides = [("there", folder / self.RECORDED), ("here", folder)]
        for _ in range(ROUNDS):
            for side, place in sides:
                for name, times in self._side(place, names).items():
                    samples[side].setdefault(name, []).extend(times)
            sides.reverse()
        return Run(0, json.dumps(samples), *watch.stop(), {})

    def _side(self, place: Path, names: list[str]) -> dict[str, list[int]]:
        path = [str(BENCHMARKS), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "OMP_NUM_THREADS": str(self.settings.threads),
        }
        done = subprocess.run(
            [self.python, "-c", self.SIDE, str(self.settings.time_s / ROUNDS), *names],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=LONGEST_S,
        )
        found: dict[str, list[int]] = json.loads(done.stdout)
        return found

    def _names(self, folder: Path) -> list[str]:
        lines = (folder / "test_models.py").read_text(encoding="utf-8").splitlines()
        return [line.split('"')[1] for line in lines if "subject(" in line and '"' in line]

    def judgements(self, run: Run, folder: Path, names: Iterable[str]) -> dict[str, Judgement]:
        samples = json.loads(run.output)
        found = {}
        for name in names:
            here, there = samples["here"][name], samples["there"][name]
            growth = median(here) / median(there) - 1
            risk = float(mannwhitneyu(here, there, alternative="greater").pvalue)
            slower = growth > TOLERANCE and risk < RISK
            told = f"median {100 * growth:+.1f} %, p {risk:.2g}"
            found[name] = Judgement("fail" if slower else "pass", told, growth)
        return found

    def entries(self, folder: Path) -> int:
        return int((folder / self.RECORDED / PLANT_FILE).is_file())
