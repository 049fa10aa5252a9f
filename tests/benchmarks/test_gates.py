"""How the gates' benchmarks read verdicts, order their runs and count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gates.comparisons import DISTURBED, QUIET, Job, in_rounds
from benchmarks.gates.hiddencost import RUN_FILE, Baseline
from benchmarks.gates.tables import tables
from benchmarks.gates.tools import Judgement, ToolSettings
from benchmarks.lib.injections import (
    INJECTIONS,
    NONE,
    STRUCTURE,
    inject,
    inject_before,
    injected_in,
    write_project,
)
from benchmarks.lib.log import Facts, Line
from benchmarks.lib.pytest_runs import Outcome, Run, outcomes_in
from pytest_hiddencost.core.checks import Check, regression
from pytest_hiddencost.core.records import Comparison, Verdict
from tests.profiles import profile as plain_profile
