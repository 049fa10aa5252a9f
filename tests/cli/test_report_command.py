"""``hiddencost report``: a page from run files, and errors in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pytest_hiddencost.cli import report_command
from pytest_hiddencost.core import extras
from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.records import Device
from pytest_hiddencost.report import run_file
from tests.cli.running import error_of, hiddencost, written
from tests.profiles import DEVICE, MS
from tests.report.html.reports import data_of, layered
from tests.study.study_results import several


def test_a_run_file_becomes_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = hiddencost(
        "report", written(tmp_path / "run.json", layered(label="a"), layered(label="b")), "-o", page
    )
    assert (result.exit_code, result.output) == (0, f"report: {page}\n")
    _, calls = data_of(page.read_text(encoding="utf-8"))
    assert [call["name"] for call in calls] == [
        "test_models.py::test_it a", "test_models.py::test_it b",
    ]  # fmt: skip


def test_a_base_gives_the_change_of_each_call(tmp_path: Path) -> None:
    head = written(tmp_path / "run.json", layered(1.5))
    base = written(tmp_path / "main.json", layered())
    page = tmp_path / "page.html"
    assert hiddencost("report", head, base, "-o", page).exit_code == 0
    overview, (call,) = data_of(page.read_text(encoding="utf-8"))
    assert overview["growths"][0]["growth"] == pytest.approx(50, abs=1)
    assert call["changes"][0]["title"] == "against main.json"
    assert call["changes"][0]["waterfalls"][0]["base"] == pytest.approx(10, rel=0.01)


def test_the_study_of_two_devices_gives_its_figures(tmp_path: Path) -> None:
    def study(name: str, device: Device, times: list[float]) -> Path:
        test = "test_study.py::test_reference_model[default-X]"
        profiles = [replace(found.profile, test=test) for found in several(times)]
        return written(tmp_path / name, *profiles, device=device)

    head = study("a.json", DEVICE, [30.0, 80.0, 12.0, 25.0, 101.0])
    base = study("b.json", replace(DEVICE, key="pi", model="Pi"), [60.0, 170.0, 20.0, 55.0, 210.0])
    page = tmp_path / "page.html"
    assert hiddencost("report", head, base, "-o", page).exit_code == 0
    overview, _ = data_of(page.read_text(encoding="utf-8"))
    (pair,) = overview["study"]["against"]
    assert (pair["head_ms"][0], pair["base_ms"][0]) == (30.0, 60.0)
    assert overview["study"]["names"][1] == "Pi, 2 threads, torch 2.13.0"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no JSON", "cannot be read as a run file"),
        ('{"format": 2, "profiles": []}', "this version reads format 1"),
        ("[]", "not a run file"),
    ],
)
def test_a_file_that_is_no_run_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    assert message in error_of("report", path, "-o", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "missing.json" in error_of(
        "report", tmp_path / "missing.json", "-o", tmp_path / "p.html"
    )


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """It has no memory and no composites at call sites, and does not name the commit."""
    path = written(tmp_path / "run.json", layered())
    text = path.read_text(encoding="utf-8").replace('"root": "aten::conv2d"', '"later": 1')
    path.write_text(text.replace('"memory":', '"unheard_of":'), encoding="utf-8")
    assert hiddencost("report", path, "-o", tmp_path / "page.html").exit_code == 0
    _, (call,) = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert call["memory"] is None


def test_the_output_must_be_a_file_that_can_be_written(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", layered())
    assert "is a folder" in error_of("report", path, "-o", tmp_path)
    assert "does not exist" in error_of("report", path, "-o", tmp_path / "none" / "page.html")
    before = path.read_bytes()
    assert "is a run file, and would be lost" in error_of("report", path, "-o", path)
    assert path.read_bytes() == before


@pytest.fixture
def _run_as_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command reads a file where it would read standard input."""
    path = written(tmp_path / "run.json", layered())
    monkeypatch.setattr(report_command, "read_run", lambda _: run_file.read(path))


@pytest.mark.usefixtures("_run_as_input")
def test_standard_input_is_no_file_that_standard_output_overwrites() -> None:
    result = hiddencost("report", "-", "-o", "-")
    assert result.exit_code == 0
    assert result.stdout.startswith("<!DOCTYPE html>")


def test_a_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    message = error_of("report", written(tmp_path / "run.json", layered()))
    assert message == (
        "hiddencost report: jinja2 is not installed; run pip install 'pytest-hiddencost[report]'"
    )


def test_help_has_an_example() -> None:
    result = hiddencost("report", "--help")
    assert result.exit_code == 0
    assert "hiddencost report run.json main.json -o report.html" in result.output


def test_profiles_are_written_as_they_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "run.json", layered())
    found = run_file.read(path)
    assert encode(found.profiles[0]) == encode(layered())
    assert found.profiles[0].latency.median_ns == pytest.approx(10 * MS, rel=0.01)
