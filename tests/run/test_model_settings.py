"""Which named models a run has: options, ini file, node ids, and worker processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_hiddencost.run.model_settings import ModelSettings
from tests.run.test_settings import STARTED, refusal, settings

LINE = {"model": ["m:Net,m:Other[1x9]"], "input": ["1x3"]}
NET, OTHER = "m:Net[1x3-eager]", "m:Other[1x9-eager]"
INI = {"model": "\nm:Net\nm:Other[1x9]", "input": "1x3"}
WORKER = {"hiddencost_relaunch": "result.json"}


def models(line: dict[str, Any] | None = None, *selected: str, **given: Any) -> ModelSettings:
    return settings(line, selected=selected, **given).models


def names(found: ModelSettings) -> list[str]:
    return [variant.name for variant in found.variants]


# --- options and the ini file -------------------------------------------------------------------


def test_models_of_the_command_line_run_alone() -> None:
    found = models(LINE)
    assert names(found) == [NET, OTHER]
    assert found.alone
    assert not found.in_full


def test_models_of_the_command_line_run_beside_the_paths_given() -> None:
    found = models(LINE, "tests")
    assert names(found) == [NET, OTHER]
    assert not found.alone


def test_models_of_the_ini_file_run_beside_the_whole_suite() -> None:
    found = models(ini=INI)
    assert names(found) == [NET, OTHER]
    assert not found.alone
    assert found.in_full


def test_paths_leave_the_models_of_the_ini_file_out() -> None:
    assert models(None, "tests", ini=INI) == ModelSettings()


def test_the_command_line_goes_before_the_ini_file() -> None:
    assert names(models({"model": ["m:New"]}, ini=INI)) == ["m:New[1x3-eager]"]


def test_an_option_may_be_given_several_times() -> None:
    found = models({"model": ["m:Net", "m:Net,m:B"], "input": ["1x3"], "batch": ["2", "4,2"]})
    assert names(found) == [
        f"m:{name}[{batch}x3-eager]" for name in ("Net", "B") for batch in (2, 4)
    ]


def test_the_matrix() -> None:
    found = models({**LINE, "dtype": ["float32,bfloat16"], "compile": True})
    assert names(found)[:4] == [
        f"m:Net[1x3-{dtype}-{mode}]"
        for dtype in ("float32", "bfloat16")
        for mode in ("eager", "compiled")
    ]


def test_a_mode_in_brackets_leaves_input_and_dtype_to_the_options() -> None:
    found = models({"model": ["m:Net[compiled]"], "input": ["1x3"], "dtype": ["bfloat16"]})
    assert names(found) == ["m:Net[1x3-bfloat16-compiled]"]


def test_a_batch_size_needs_an_input() -> None:
    line = {"model": ["m:Net[1x3]", "net.pt2"], "batch": ["8"]}
    why = refusal(line, selected=())
    assert why.startswith("--hiddencost-batch: no input of below/net.pt2 is named, and the example")
    assert "add --hiddencost-input=1x3x224x224" in why
    assert refusal(ini={"model": "m:Net", "batch": "8"}).startswith(
        "hiddencost_batch in the ini file: no input of m:Net is named"
    )
    selected = ("hiddencost-model::net.pt2[float32]",)
    assert "no input of net.pt2 is named" in refusal({"batch": ["8"]}, selected=selected)
    found = models({"batch": ["8"]}, "hiddencost-model::net.pt2[float32-eager]")
    assert names(found) == ["net.pt2[float32-eager]"]


def test_files_are_named_relative_to_the_rootdir() -> None:
    line = {"model": ["net.pt2", "../net.pt", "/elsewhere/net.ts"]}
    texts = [variant.model.text for variant in models(line).variants]
    assert texts == ["below/net.pt2", "net.pt", "/elsewhere/net.ts"]
    [found] = models(ini={"model": "net.pt2"}).variants
    assert found.model.text == "config/net.pt2"


def test_a_folder_of_a_library_is_named_relative_to_the_rootdir(tmp_path: Path) -> None:
    (tmp_path / "below" / "bert").mkdir(parents=True)
    (tmp_path / "below" / "bert" / "config.json").touch()
    found = models({"model": ["hf:bert", "hf:gpt2"]}, root=tmp_path)
    assert [variant.model.text for variant in found.variants] == ["hf:below/bert", "hf:gpt2"]


def test_a_folder_without_a_configuration_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "below" / "bert").mkdir(parents=True)
    found = models({"model": ["hf:bert"]}, root=tmp_path)
    assert [variant.model.text for variant in found.variants] == ["hf:bert"]


# --- node ids -----------------------------------------------------------------------------------


def test_a_node_id_names_its_variant_without_any_option() -> None:
    found = models(None, f"hiddencost-model::{NET}", ini={"batch": "8"})
    assert names(found) == [NET]
    assert found.alone


def test_a_node_id_without_brackets_selects_the_variants_of_a_model() -> None:
    found = models({**LINE, "batch": ["1,8"]}, "hiddencost-model::m:Net")
    assert names(found) == ["m:Net[1x3-eager]", "m:Net[8x3-eager]"]


def test_the_bare_word_selects_the_models_of_the_ini_file() -> None:
    found = models(None, "hiddencost-model", ini=INI)
    assert names(found) == [NET, OTHER]
    assert found.alone
    assert found.in_full


def test_node_ids_of_models_run_beside_paths() -> None:
    found = models(None, "tests", f"hiddencost-model::{NET}")
    assert names(found) == [NET]
    assert not found.alone


def test_a_worker_has_the_models_of_its_node_ids_alone() -> None:
    found = models({**LINE, "batch": ["0"]}, f"hiddencost-model::{NET}", **WORKER)
    assert names(found) == [NET]
    assert models(LINE, "test_it.py", ini=INI, **WORKER) == ModelSettings()


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"model": ["net"]}, "--hiddencost-model: 'net' names no model; expected"),
        ({"model": [","]}, "--hiddencost-model: names no model; expected"),
        ({**LINE, "input": ["1x3y"]}, "--hiddencost-input: '1x3y' is no input; expected"),
        ({**LINE, "batch": ["0"]}, "--hiddencost-batch: '0' is no batch size; expected"),
        ({**LINE, "dtype": ["Float"]}, "--hiddencost-dtype: 'Float' is no dtype; expected"),
        ({**LINE, "model-budget": ["p50 = 3"]}, "--hiddencost-model-budget: 'p50 = 3': "),
    ],
)
def test_a_bad_value_is_refused_with_its_option(line: dict[str, Any], why: str) -> None:
    assert refusal(line, selected=()).startswith(why)


def test_a_bad_value_of_the_ini_file_is_refused_with_its_name() -> None:
    assert refusal(ini={"model": "net"}).startswith("hiddencost_model in the ini file: 'net' names")


@pytest.mark.parametrize("name", ["input", "batch", "dtype", "model-budget", "compile"])
def test_an_option_of_models_needs_a_model(name: str) -> None:
    text = {"compile": True, "model-budget": ["p50 = 1 ms"], "dtype": ["float32"]}.get(name, ["1"])
    assert "none is named; add --hiddencost-model" in refusal({name: text})
    assert models(ini={name: text}) == ModelSettings()


def test_the_bare_word_needs_a_model() -> None:
    assert "add --hiddencost-model" in refusal(selected=("hiddencost-model",))


def test_started_folder() -> None:
    """The tests above rely on it."""
    assert Path("/project/below") == STARTED
