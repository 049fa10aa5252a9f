"""The results of the device study: profiles matched with their reference models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.core.records import CompositeCost, MacKindCost, Profile
from pytest_hiddencost.core.taxonomy import DEFAULT
from pytest_hiddencost.report.device_table import bookkeeping_share
from pytest_hiddencost.study.models import REFERENCE_MODELS, ReferenceModel

DEFAULT_BACKEND, ONEDNN_OFF = "default", "oneDNN off"
BACKENDS = (DEFAULT_BACKEND, ONEDNN_OFF)

_OPERATORS = {
    "Conv2D": "conv2d",
    "BatchNorm": "batch_norm",
    "ReLU": "relu relu_ relu6 hardtanh hardtanh_",
    "Concat": "cat",
    "Add": "add add_",
    "Linear": "linear",
    "Pooling": "max_pool2d avg_pool2d adaptive_avg_pool2d",
}
PARTS = {f"aten::{name}": part for part, names in _OPERATORS.items() for name in names.split()}
PART_NAMES = (*_OPERATORS, "other", "outside")
INSIDE_NAMES = ("convolution", "slice", "narrow", "empty", "view", "copy", "cat", "other")
INSIDE: Mapping[str, str] = {
    "aten::slice": "slice",
    "aten::as_strided": "slice",  # slice calls it
    "aten::narrow": "narrow",
    "aten::empty": "empty",
    "aten::view": "view",
    "aten::copy_": "copy",
    "aten::cat": "cat",
}


@dataclass(frozen=True)
class StudyResult:
    """The profile of one reference model on one convolution backend."""

    model: ReferenceModel
    backend: str
    profile: Profile

    def part_shares(self) -> dict[str, float]:
        """Return the share of the latency per kind of layer, by the operator Python called."""
        latency_ns = self.profile.latency.median_ns
        shares = dict.fromkeys(PART_NAMES, 0.0)
        for composite in self.profile.composites:
            shares[PARTS.get(composite.name, "other")] += composite.total_ns / latency_ns
        shares["outside"] = self.profile.outside_ns / latency_ns
        return shares

    def inside_conv2d_shares(self) -> dict[str, float]:
        """Return the share of Conv2D's time per kind of operator inside it."""
        shares = dict.fromkeys(INSIDE_NAMES, 0.0)
        conv2d = self.conv2d()
        if conv2d is None or not conv2d.total_ns:
            return shares
        for cost in conv2d.inside:
            kernel = DEFAULT.is_mac_kernel(cost.name)
            name = "convolution" if kernel else INSIDE.get(cost.name, "other")
            shares[name] += cost.self_ns / conv2d.total_ns
        return shares

    def raw_convolution_share(self) -> float:
        """Return the share of Conv2D's time in MAC kernels, from uncorrected times."""
        conv2d = self.conv2d()
        inside = () if conv2d is None else conv2d.inside
        total_ns = sum(cost.raw_self_ns for cost in inside)
        kernels_ns = sum(c.raw_self_ns for c in inside if DEFAULT.is_mac_kernel(c.name))
        return kernels_ns / total_ns if total_ns else 0.0

    def bookkeeping_share(self) -> float:
        """Return the share of Conv2D's time that is not the convolution kernel."""
        return bookkeeping_share(self.profile) or 0.0

    def conv2d(self) -> CompositeCost | None:
        """Return the cost of all two-dimensional convolutions; None without any."""
        return next((c for c in self.profile.composites if c.name == "aten::conv2d"), None)

    def kind_rates(self) -> dict[str, float]:
        """Return MAC/s of kernel time by MAC kind; dense kernels larger than 1x1 count as one."""
        sums = _by_coarse_kind((k, k.self_ns) for k in self.profile.mac_kinds if k.self_ns)
        return {kind: macs / self_ns * 1e9 for kind, (macs, self_ns) in sums.items()}

    def kind_energies_nj(self) -> dict[str, float]:
        """Return the energy of a MAC in nJ by MAC kind, from replays, in the model's own mix."""
        known = (
            (kind, kind.macs * kind.energy_nj_per_mac)
            for kind in self.profile.mac_kinds
            if kind.energy_nj_per_mac is not None
        )
        sums = _by_coarse_kind(known)
        return {kind: energy_nj / macs for kind, (macs, energy_nj) in sums.items()}


def _by_coarse_kind(
    found: Iterable[tuple[MacKindCost, float]],
) -> dict[str, tuple[float, float]]:
    """Return the MACs and the sum of the values of each kind of the papers."""
    sums: dict[str, tuple[float, float]] = {}
    for kind, value in found:
        macs, total = sums.get(coarse_kind(kind.kind), (0.0, 0.0))
        sums[coarse_kind(kind.kind)] = (macs + kind.macs, total + value)
    return sums


def coarse_kind(kind: str) -> str:
    """Return ``conv2d kxk`` for every dense kernel larger than 1x1, else the kind itself."""
    if kind.startswith("conv2d ") and "x" in kind and kind != "conv2d 1x1":
        return "conv2d kxk"
    return kind


def label_of(model: ReferenceModel, backend: str) -> str:
    """Return the label of a call in the study, by which a run file is read again."""
    return f"{model.name}, {backend}"


def study_results(profiles: Iterable[Profile], where: str) -> list[StudyResult]:
    """Return the study's results, one at least. Raises ``FormatError`` that names the file."""
    if found := results_in(profiles):
        return found
    raise FormatError(
        f"{where}: holds no profile of the device study; record one with "
        "hiddencost study --hiddencost-json=FILE"
    )


def results_in(profiles: Iterable[Profile]) -> list[StudyResult]:
    """Return the study's results among ``profiles``, by backend, in the order of the models."""
    by_label = {profile.label: profile for profile in profiles}
    return [
        StudyResult(model, backend, by_label[label])
        for backend in BACKENDS
        for model in REFERENCE_MODELS
        if (label := label_of(model, backend)) in by_label
    ]
