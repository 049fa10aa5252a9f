"""The comparison of two devices: its tables, and its errors."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import pearsonr

from pytest_hiddencost.core import units
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.report import run_file
from pytest_hiddencost.study import compare
from pytest_hiddencost.study.models import REFERENCE_MODELS, reference_model
from pytest_hiddencost.study.results import (
    BACKENDS,
    DEFAULT_BACKEND,
    ONEDNN_OFF,
    StudyResult,
    results_in,
)
from tests.profiles import DEVICE, MS, composite, network, read_table
from tests.study.study_results import (
    LATENCIES_MS,
    NAMES,
    OFF_MS,
    result,
    several,
    with_latency,
)

OTHER = replace(DEVICE, model="Other Board", threads=4, torch="2.4.0")


def written(path: Path, results: Sequence[StudyResult], device: Device = DEVICE) -> Path:
    run_file.save(path, [found.profile for found in results], device, path.parent)
    return path


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    doubled = [with_latency(found, 2 * found.profile.latency.median_ns)
               for found in several(LATENCIES_MS)]  # fmt: skip
    conv2d = composite("aten::conv2d", 1, {"aten::mkldnn_convolution": (1, 1.0)})
    doubled[0] = with_latency(result("VGG16", conv2d=conv2d, non_mac_share=0.123), 60 * MS)
    a = written(tmp_path / "a.json", several(LATENCIES_MS) + several(OFF_MS[:1], ONEDNN_OFF))
    return [str(a), str(written(tmp_path / "b.json", doubled, OTHER))]


def test_the_table_shows_two_devices_side_by_side(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(pair) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, second, blank, title, _, *lines = out.splitlines()
    assert first == "A: Some Board, 2 threads, torch 2.13.0"
    assert second == "B: Other Board, 4 threads, torch 2.4.0"
    assert blank == ""
    assert title.startswith("default (")
    rows = read_table(lines[:-1])
    assert [row["model"] for row in rows] == [m.name for m in REFERENCE_MODELS if m.name in NAMES]
    assert rows[0] == {
        "model": "VGG16",
        "A p50 ms": "30",
        "B p50 ms": "60",
        "B/A": "2.00",
        "A non-MAC %": "70.0",
        "B non-MAC %": "12.3",
        "A in Conv2D %": "40.0",
        "B in Conv2D %": "0.0",
    }
    assert {row["B/A"] for row in rows} == {"2.00"}


def test_the_last_line_shows_the_correlation_of_macs_and_time_on_each_device(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main(pair)
    last = capsys.readouterr().out.splitlines()[-1]
    macs_a = [float(reference_model(name).operator_macs) for name in NAMES]
    macs_b = [31_100_000.0, *macs_a[1:]]
    a, b = (pearsonr(macs, LATENCIES_MS).statistic for macs in (macs_a, macs_b))
    assert last == f"Pearson correlation of MACs and time: A {a:.2f}, B {b:.2f}"


@pytest.mark.parametrize(("models", "correlated"), [(2, False), (3, True)])
def test_a_correlation_needs_three_models(
    models: int, correlated: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(written(tmp_path / "a.json", several(LATENCIES_MS[:models])))
    assert compare.main([path, path]) == 0
    assert ("Pearson" in capsys.readouterr().out) is correlated


def test_each_backend_that_both_devices_have_gets_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = several(LATENCIES_MS[:1]) + several(OFF_MS[:1], ONEDNN_OFF)
    path = str(written(tmp_path / "a.json", both))
    assert compare.main([path, path]) == 0
    out = capsys.readouterr().out
    assert [out.count(f"\n{backend} (") for backend in BACKENDS] == [1, 1]


def error_of(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert compare.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read as a run file"),
        ("not JSON", "cannot be read as a run file"),
        ("[]", "not a run file"),
        ('{"format": 2, "profiles": []}', "format 2, this version reads format 1"),
        ('{"format": 1, "profiles": []}', "device"),
    ],
)
def test_an_error_names_the_file_that_cannot_be_used(
    pair: list[str],
    bad: int,
    content: str | None,
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    pair[bad] = str(path)
    message = error_of(pair, capsys)
    assert f"{path}: " in message
    assert problem in message


def test_an_error_names_a_run_file_without_the_study(
    pair: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    run_file.save(path, [network(label="b1")], DEVICE, tmp_path)
    message = error_of([pair[0], str(path)], capsys)
    assert message == (
        f"error: {path}: holds no profile of the device study; record one with "
        "pytest --pyargs pytest_hiddencost.study --hiddencost-json=FILE\n"
    )


def test_an_error_names_run_files_with_nothing_in_common(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = written(tmp_path / "a.json", [result("VGG16")])
    b = written(tmp_path / "b.json", [result("VGG16", ONEDNN_OFF), result("ResNet50")])
    message = error_of([str(a), str(b)], capsys)
    assert message == f"error: {a} and {b} have no model and backend in common\n"


def test_an_error_names_the_key_that_a_profile_lacks(
    pair: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = json.loads(Path(pair[0]).read_text(encoding="utf-8"))
    del document["profiles"][0]["latency"]["median_ns"]
    Path(pair[0]).write_text(json.dumps(document), encoding="utf-8")
    assert "LatencySamples lacks the key 'median_ns'" in error_of(pair, capsys)


@pytest.mark.parametrize("arguments", [[], ["a.json"], ["a.json", "b.json", "c.json"]])
def test_the_program_takes_two_files(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        compare.main(arguments)
    assert exit_.value.code == 2
    assert "usage: python -m pytest_hiddencost.study.compare" in capsys.readouterr().err


def test_the_program_ends_with_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["compare", "missing.json", "b.json"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(compare.__file__, run_name="__main__")
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "")
    assert err.startswith("error: missing.json: cannot be read as a run file")


def test_every_figure_is_within_rounding_of_its_profile(pair: list[str]) -> None:
    a, b = (results_in(run_file.load(Path(path))[1]) for path in pair)
    lines = compare.comparison_lines(Path(pair[0]), Path(pair[1]))
    rows = {row["model"]: row for row in read_table(lines[5:-1])}
    for side, results in (("A", a), ("B", b)):
        for found in (r for r in results if r.backend == DEFAULT_BACKEND):
            row, profile = rows[found.model.name], found.profile
            printed = units.parse(f"{row[f'{side} p50 ms']} ms", ["duration"], "table").value
            assert printed == pytest.approx(profile.latency.median_ns, rel=0.0051)
            assert float(row[f"{side} non-MAC %"]) == pytest.approx(
                100 * profile.non_mac_share, abs=0.051
            )
