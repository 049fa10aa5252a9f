"""The table of published MACs, and the packages that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy.published_macs import tables
from benchmarks.lib import registry
from benchmarks.lib.command_line import main
from benchmarks.lib.log import Facts, Line

FACTS = Facts("abc1234", False, {}, {"short": False, "threads": 1})


def line(model: str, published: int, ours: int, **others: int | None) -> Line:
    counts = {"ours": ours, **dict.fromkeys(("fvcore", "torch", "thop"), published), **others}
    figures = {"published": published, "torchvision": "0.29.1", "side": 224, **counts}
    return Line("2026-05-01T10:00:00Z", FACTS, {"model": model}, 0, figures)


def cells(*lines: Line) -> tuple[list[list[str]], str]:
    """Return the rows of the table, and its note."""
    [table] = tables(lines)
    return [list(row) for row in table.rows], table.note


@pytest.mark.parametrize(
    ("published", "ours", "met"),
    [
        (4_000_000_000, 4_040_000_000, "yes"),
        (4_000_000_000, 4_041_000_000, "no"),
        (40_000_000, 40_500_000, "yes"),
        (40_000_000, 40_510_000, "no"),
        (4_000_000_000, 3_959_000_000, "no"),
    ],
)
def test_a_model_is_met_within_a_percent_or_half_an_mmac(
    published: int, ours: int, met: str
) -> None:
    [row], note = cells(line("net", published, ours))
    assert row[5] == met
    assert note.endswith("misses: none." if met == "yes" else "misses: net.")


def test_the_note_counts_the_models_that_each_counter_meets() -> None:
    swin = line("swin", 4_000_000_000, 4_000_000_000, thop=3_000_000_000)
    quantized = line("quantized", 40_000_000, 40_000_000, thop=0, fvcore=None)
    rows, note = cells(swin, quantized)
    assert [row[-3:] for row in rows] == [
        ["+0.00 %", "+0.00 %", "-25.00 %"], ["-", "+0.00 %", "-100.00 %"],
    ]  # fmt: skip
    assert "Models met, of 2: this package 2, fvcore 1, torch 2, thop 0." in note


def test_without_torchvision_the_benchmark_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="not installed: torchvision, fvcore; run tox run -e torc"):
        main(["torchvision", "--short", f"--results={tmp_path / 'results.jsonl'}"])


def test_tables_of_recorded_lines_need_no_torchvision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)
    results = tmp_path / "results.jsonl"
    results.write_text(f"{line('net', 40_000_000, 40_000_000).to_json()}\n")
    main(["torchvision", "--tables", f"--results={results}"])
    assert "MACs of one image" in capsys.readouterr().out
