"""Results of the device study for tests, with known shares and rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_hiddencost.core.records import MacKindCost, Profile
from pytest_hiddencost.study.models import reference_model
from pytest_hiddencost.study.results import DEFAULT_BACKEND, StudyResult, label_of
from tests.profiles import MS, composite, operator, profile_of

# A call of 10 ms, by the operators that Python called: half of it in conv2d, 3 ms in the kernel.
CONV2D = composite(
    "aten::conv2d",
    20,
    {
        "aten::mkldnn_convolution": (20, 3 * MS),
        "aten::_convolution": (20, 0.5 * MS),
        "aten::slice": (40, 0.25 * MS),
        "aten::as_strided": (40, 0.25 * MS),
        "aten::narrow": (40, 0.5 * MS),
        "aten::empty": (20, 0.2 * MS),
        "aten::view": (20, 0.1 * MS),
        "aten::copy_": (20, 0.15 * MS),
        "aten::cat": (20, 0.05 * MS),
    },
)
RAW_CONVOLUTION = 100 * 3.008 / 5.096  # each call is 400 ns longer
CALLED = {
    "aten::batch_norm": 1.5 * MS,
    "aten::relu_": 0.3 * MS,
    "aten::hardtanh_": 0.2 * MS,
    "aten::cat": 0.6 * MS,
    "aten::add_": 0.1 * MS,
    "aten::add": 0.1 * MS,
    "aten::linear": 0.4 * MS,
    "aten::max_pool2d": 0.1 * MS,
    "aten::adaptive_avg_pool2d": 0.2 * MS,
    "aten::sigmoid": 0.7 * MS,
    "aten::flatten": 0.3 * MS,
}
PARTS = {
    "Conv2D": 50.0, "BatchNorm": 15.0, "ReLU": 5.0, "Concat": 6.0, "Add": 2.0, "Linear": 4.0,
    "Pooling": 3.0, "other": 10.0, "outside": 5.0,
}  # fmt: skip
INSIDE = {
    "convolution": 60.0, "slice": 10.0, "narrow": 10.0, "empty": 4.0, "view": 2.0, "copy": 3.0,
    "cat": 1.0, "other": 10.0,
}  # fmt: skip
KINDS = (
    MacKindCost("conv2d 3x3", 5, 12_000_000, 1.5 * MS),
    MacKindCost("conv2d 5x5", 2, 12_000_000, 0.5 * MS),
    MacKindCost("conv2d 1x1", 9, 6_000_000, 1 * MS),
    MacKindCost("conv2d depthwise", 3, 1_000_000, 1 * MS),
    MacKindCost("linear", 1, 100_000, None),
)


def study_profile(
    conv2d: Any = CONV2D, called: Mapping[str, float] = CALLED, **changes: Any
) -> Profile:
    composites = [] if conv2d is None else [conv2d]
    composites += [composite(name, 1, {name: (1, ns)}) for name, ns in called.items()]
    return profile_of(
        operator("aten::mkldnn_convolution", 3 * MS, 20, macs=31_100_000),
        composites=composites,
        **{"outside_ns": 0.5 * MS, "mac_kinds": KINDS, **changes},
    )


def result(name: str, backend: str = DEFAULT_BACKEND, **changes: Any) -> StudyResult:
    model = reference_model(name)
    label = label_of(model, backend)
    return StudyResult(model, backend, study_profile(label=label, **changes))


def with_latency(found: StudyResult, latency_ns: float) -> StudyResult:
    latency = replace(found.profile.latency, median_ns=latency_ns)
    return replace(found, profile=replace(found.profile, latency=latency))


NAMES = ["VGG16", "ResNet50", "MobileNet", "ShuffleNet", "Xception"]
LATENCIES_MS = [30.0, 80.0, 12.0, 25.0, 101.0]
OFF_MS = [35.0, 70.0, 44.0, 90.0, 120.0]


def several(latencies_ms: Sequence[float], backend: str = DEFAULT_BACKEND) -> list[StudyResult]:
    return [
        with_latency(
            result(name, backend, macs=reference_model(name).operator_macs,
                   parameters=reference_model(name).parameters), ms * MS,
        )
        for name, ms in zip(NAMES, latencies_ms, strict=False)
    ]  # fmt: skip
