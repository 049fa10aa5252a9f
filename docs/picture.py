"""The picture of README: where the latency of four reference models goes."""

from __future__ import annotations

from pathlib import Path

import torch

from pytest_hiddencost import Profile, Sampling, profile
from pytest_hiddencost.study.models import reference_model

PATH = Path(__file__).parent / "hidden-costs.svg"
MODELS = ("VGG16", "ResNet50", "MobileNetV2", "ShuffleNetV2")
PARTS = {
    "MAC kernels": ("mac",),
    "normalisation": ("normalization",),
    "activation": ("activation",),
    "copies and views": ("data_movement", "view", "allocation", "concatenation"),
    "outside operators": ("outside",),
}
COLORS = ("#4c6a92", "#e8a33d", "#c8553d", "#6f9d6b", "#9a86a4", "#bdbdbd")
BAR, GAP, LEFT, WIDTH, TOP = 26, 12, 110, 560, 58
STYLE = "font: 13px sans-serif; fill: #333"


def shares(found: Profile) -> list[float]:
    """Return the share of each part of the latency, and that of all others."""
    groups = {**found.group_ns(), "outside": found.outside_ns}
    parts = [sum(groups.get(name, 0.0) for name in names) for names in PARTS.values()]
    latency_ns = found.latency.median_ns
    return [*(part / latency_ns for part in parts), max(0.0, 1.0 - sum(parts) / latency_ns)]


def svg(by_model: dict[str, list[float]], title: str) -> str:
    """Return a chart with a bar for each model."""
    height = TOP + len(by_model) * (BAR + GAP) + 10
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" '
        f'role="img"><title>{title}</title>',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="18" style="{STYLE}; font-weight: bold">{title}</text>',
    ]
    x = 10.0
    for color, name in zip(COLORS, (*PARTS, "other"), strict=True):
        rows.append(f'<rect x="{x:.0f}" y="29" width="11" height="11" fill="{color}"/>')
        rows.append(f'<text x="{x + 15:.0f}" y="39" style="{STYLE}; font-size: 11px">{name}</text>')
        x += 28 + 5.7 * len(name)
    for row, (model, parts) in enumerate(by_model.items()):
        y = TOP + row * (BAR + GAP)
        rows.append(f'<text x="10" y="{y + 18}" style="{STYLE}">{model}</text>')
        x = float(LEFT)
        for color, share in zip(COLORS, parts, strict=True):
            width = WIDTH * share
            rows.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{color}"/>'
            )
            if share > 0.06:
                rows.append(
                    f'<text x="{x + width / 2:.1f}" y="{y + 17}" text-anchor="middle" '
                    f'style="font: 11px sans-serif; fill: white">{100 * share:.0f} %</text>'
                )
            x += width
    return "\n".join([*rows, "</svg>", ""])


def draw() -> None:
    """Measure the models and write the picture."""
    found = {}
    for model in MODELS:
        measured = profile(
            reference_model(model).build().eval(), torch.randn(1, 3, 32, 32), sampling=Sampling()
        )
        found[model] = shares(measured)
    PATH.write_text(svg(found, "Where the latency of a call goes"), encoding="utf-8")
