"""Every reason as a user may meet it: with realistic values, long ones among them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_hiddencost.judge import reasons
from pytest_hiddencost.judge.reasons import Reason

ALL: Mapping[str, Reason] = MappingProxyType(
    {name: value for name, value in vars(reasons).items() if isinstance(value, Reason)}
)
"""Every reason by its name."""

VALUES: Mapping[str, object] = MappingProxyType(
    {
        "allowed": "130%",
        "calls": 10_000,
        "change": "12.3 % slower",
        "confidence": "99.9999 %",
        "count": 103,
        "device": "cuda:1",
        "doubt": "1.23 ms",
        "event": "412 ns",
        "faults": 1_250,
        "files": "weights/large.pt,weights/small.pt",
        "file": "test_reference_models.py.json",
        "growth": "+12.3 %",
        "high": "+35.1 %",
        "key": "aten::native_batch_norm",
        "lacking": 4,
        "launches": 3,
        "low": "-1.25 %",
        "macs": "12.3 MMAC",
        "needed": 10_361,
        "operators": "mylib::fused_attention, mylib::rotary_embedding, mylib::swiglu",
        "option": "--rootdir=/home/nobody/project",
        "other": "torch 2.12 and 8 threads and 8 cores",
        "own": "torch 2.13 and 2 threads and 4 cores",
        "pairs": 16,
        "preemptions": 250,
        "quantity": "activation_memory",
        "recorded": "INA3221 VDD_IN (board)",
        "remedy": "permit it: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj",
        "reasons": "cpu0 was throttled 12 times while measured; load of 3.1 on 2 usable cores",
        "remedies": "cool the device or lower its clock; end other processes",
        "rough": " (below resolution: aten::as_strided, aten::narrow, aten::slice and 12 more)",
        "samples": 7,
        "scatter": "45 %",
        "seconds": 125,
        "time": "90 us",
        "trouble": "main: the worker process ended with exit status -9: out of memory; Killed",
        "side": "the one that it is compared with",
        "why": "feature/a-long-branch-name: the test has no hiddencost call with label 'batch 32'; "
        "labels of its calls: 'batch 1', 'batch 8', 'batch 16'",
        "wait": "95 min",
        "windows": 7,
    }
)  # fmt: skip

FILLED: Mapping[str, Reason] = MappingProxyType(
    {name: reason.filled(**VALUES) for name, reason in ALL.items()}
)
