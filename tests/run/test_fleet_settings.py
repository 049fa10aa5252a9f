"""The options of a fleet, and those that it refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_hiddencost.core.errors import FleetError, SettingError
from pytest_hiddencost.core.model_names import Variant, model_name
from pytest_hiddencost.run.fleet_devices import settings_of_kind
from pytest_hiddencost.run.modes.base import Request
from pytest_hiddencost.run.modes.on_fleet import OnFleet, files_of_models, without_outputs
from pytest_hiddencost.run.settings import OUTPUT_FILES, Settings
from pytest_hiddencost.workers.carried import matching
from tests.run.test_settings import refusal, settings

LOCAL = "tcp://127.0.0.1:8786"


def test_a_fleet_is_named_with_its_kinds_and_its_limit() -> None:
    line = {"fleet": LOCAL, "fleet-kinds": "pi, nano", "fleet-limit": "90 s"}
    found = settings(line).fleet
    assert found is not None
    assert (found.address, found.kinds, found.limit_s) == (LOCAL, ("pi", "nano"), 90.0)


def test_the_ini_file_may_name_the_fleet() -> None:
    found = settings(ini={"fleet": LOCAL}).fleet
    assert found is not None
    assert (found.kinds, found.limit_s) == ((), 900.0)


def test_processes_of_a_run_have_no_fleet_of_their_own() -> None:
    assert settings({"fleet": LOCAL}, hiddencost_relaunch="result.json").fleet is None


def test_a_scheduler_on_the_network_is_refused_without_tls() -> None:
    text = refusal({"fleet": "tcp://10.0.0.1:8786"})
    assert text.startswith("--hiddencost-fleet: tcp://10.0.0.1:8786 has no TLS")
    assert "--hiddencost-fleet-insecure" in text
    assert settings({"fleet": "tcp://10.0.0.1:8786", "fleet-insecure": True}).fleet is not None


def test_each_kind_writes_files_of_its_own() -> None:
    found = settings_of_kind(Settings(json=Path("/out/run.json")), "cpu-pi")
    assert found.json == Path("/out/run.cpu-pi.json")
    assert found.markdown is None


def test_the_run_itself_writes_no_file() -> None:
    found = without_outputs(Settings(json=Path("/out/run.json"), github="on"))
    assert all(getattr(found, name) is None for name in OUTPUT_FILES)
    assert found.github == "off"


def mode(*, worker: bool = False, **line: object) -> OnFleet:
    config: Any = SimpleNamespace(option=SimpleNamespace(tx=None))
    if worker:
        config.workerinput = {}
    return OnFleet(config, settings({"fleet": LOCAL, **line}), cast("Any", None))


def test_workers_of_xdist_cannot_share_a_fleet() -> None:
    with pytest.raises(SettingError, match="run with -n0"):
        mode(worker=True)


def test_renaming_is_refused_on_a_fleet() -> None:
    with pytest.raises(SettingError, match="--hiddencost-rename: renaming needs no fleet; run it"):
        mode(rename=True)


def test_files_of_named_models_travel(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "net[1].pt2").touch()
    names = ["net[1].pt2", "pkg.m:local", "hf:local", "hf:bert", "torchvision:resnet18"]
    models = [Variant(model_name(name, "")) for name in names]
    found = [path for pattern in files_of_models(models, tmp_path) for path in matching(pattern)]
    assert found == [tmp_path / "net[1].pt2", tmp_path / "local"]


def test_a_test_that_asks_for_the_fixture_while_it_runs_is_refused() -> None:
    request = cast("Request", SimpleNamespace(test="test_a.py::test_a"))
    with pytest.raises(FleetError, match="name the fixture in the test's arguments"):
        mode().measure(request)
