"""Results of the study: profiles matched by label, and the shares of their parts."""

from __future__ import annotations

import pytest

from pytest_hiddencost.study.models import REFERENCE_MODELS
from pytest_hiddencost.study.results import (
    BACKENDS,
    INSIDE_NAMES,
    PART_NAMES,
    coarse_kind,
    label_of,
    results_in,
)
from tests.profiles import MS, composite, network
from tests.study.study_results import INSIDE, PARTS, result


def test_every_model_on_every_backend_is_recognised_by_its_label() -> None:
    profiles = [
        network(label=label_of(model, backend))
        for model in REFERENCE_MODELS
        for backend in BACKENDS
    ]
    results = results_in([*reversed(profiles), network(label="b1"), network()])
    assert [(r.model.name, r.backend) for r in results] == [
        (model.name, backend) for backend in BACKENDS for model in REFERENCE_MODELS
    ]
    assert all(r.profile.label == label_of(r.model, r.backend) for r in results)


def test_profiles_of_other_tests_are_no_results() -> None:
    assert results_in([network(), network(label="VGG16"), network(label="VGG, default")]) == []


def test_parts_have_their_shares_of_the_latency() -> None:
    shares = result("VGG16").part_shares()
    assert list(shares) == list(PART_NAMES)
    assert {name: 100 * share for name, share in shares.items()} == pytest.approx(PARTS)


def test_operators_inside_conv2d_have_their_shares_of_it() -> None:
    shares = result("VGG16").inside_conv2d_shares()
    assert list(shares) == list(INSIDE_NAMES)
    assert {name: 100 * share for name, share in shares.items()} == pytest.approx(INSIDE)


@pytest.mark.parametrize("kernel", ["aten::_slow_conv2d_forward", "aten::cudnn_convolution"])
def test_any_convolution_kernel_of_a_backend_counts_as_the_convolution(kernel: str) -> None:
    conv2d = composite("aten::conv2d", 1, {kernel: (1, 4 * MS), "aten::_convolution": (1, MS)})
    shares = result("VGG16", conv2d=conv2d).inside_conv2d_shares()
    assert (shares["convolution"], shares["other"]) == (0.8, 0.2)


def test_rates_are_per_second_of_kernel_time() -> None:
    rates = result("VGG16").kind_rates()
    assert rates == pytest.approx({
        "conv2d kxk": 24_000_000 / 2e-3, "conv2d 1x1": 6e9, "conv2d depthwise": 1e9,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("conv2d 3x3", "conv2d kxk"), ("conv2d 1x7", "conv2d kxk"), ("conv2d 11x11", "conv2d kxk"),
        ("conv2d 1x1", "conv2d 1x1"), ("conv2d depthwise", "conv2d depthwise"),
        ("conv2d grouped", "conv2d grouped"), ("linear", "linear"), ("matmul", "matmul"),
    ],
)  # fmt: skip
def test_dense_kernels_larger_than_1x1_count_as_one_kind(kind: str, expected: str) -> None:
    assert coarse_kind(kind) == expected
