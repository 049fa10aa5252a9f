"""Names of models: accepted and refused texts; a variant can be made again from its name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import SettingError
from pytest_hiddencost.core.model_names import (
    Matrix,
    ModelInput,
    ModelName,
    Variant,
    model_name,
    model_of_id,
    named_model,
    parsed_batch,
    parsed_dtype,
    parsed_inputs,
    split_names,
)

WHERE = "--hiddencost-model"
DTYPES = st.sampled_from(["float32", "bfloat16", "int64", "bool"])
WORDS = st.text("aZ_é9", min_size=1, max_size=4).map(lambda text: f"n{text}")
IDENTIFIERS = st.lists(WORDS, min_size=1, max_size=3).map(".".join)
TEXTS = st.text(st.sampled_from("ab :[]%-,\n\u2028é\ud800/"), min_size=1, max_size=6)
PATHS = TEXTS.map(lambda text: f"{text}.pt2")
MODELS = st.one_of(
    st.builds("{}:{}".format, IDENTIFIERS, IDENTIFIERS),
    st.builds("{}:{}".format, st.sampled_from(["torchvision", "timm"]), TEXTS),
    PATHS,
)
INPUTS = st.builds(
    ModelInput,
    st.lists(st.integers(1, 10**6), min_size=1, max_size=5).map(tuple),
    st.just("") | DTYPES,
)


def named(text: str) -> ModelName | None:
    try:
        return model_name(text, WHERE)
    except SettingError:
        return None


VARIANTS = st.builds(
    Variant,
    MODELS.map(named).filter(bool),
    st.lists(INPUTS, max_size=3).map(tuple),
    st.just("") | DTYPES,
    st.booleans(),
)


def variants(text: str, matrix: Matrix) -> list[str]:
    return [variant.name for variant in matrix.of(named_model(text, WHERE))]


def refusal(text: str) -> str:
    with pytest.raises(SettingError) as error:
        named_model(text, WHERE)
    message = str(error.value)
    assert message.startswith(f"{WHERE}: ")
    assert "\n" not in message
    return message


# --- a variant and its name ---------------------------------------------------------------------


@given(VARIANTS)
def test_a_variant_comes_back_from_its_name(variant: Variant) -> None:
    assert Matrix(batches=(7,), dtypes=("float16",), compiled=True).of_id(
        model_of_id(variant.name, WHERE)
    ) == [variant]


@given(VARIANTS)
def test_a_name_is_one_part_of_a_node_id(variant: Variant) -> None:
    name = variant.name
    assert "::" not in name
    assert len(name.splitlines()) == 1
    assert name.count("[") == name.count("]") == 1
    assert name.endswith("]")


@given(VARIANTS, VARIANTS)
def test_two_variants_have_two_names(one: Variant, other: Variant) -> None:
    assert (one == other) == (one.name == other.name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mypkg.models:Net", "mypkg.models:Net[1x3x8x8-eager]"),
        ("mypkg.models:factory.small", "mypkg.models:factory.small[1x3x8x8-eager]"),
        ("torchvision:resnet18", "torchvision:resnet18[1x3x8x8-eager]"),
        ("hf:bert[int64:1x128]", "hf:bert[int64:1x128-eager]"),
        ("models/net.pt2[2x8 ; bool:2]", "models/net.pt2[2x8+bool:2-eager]"),
        ("net[1].pt", "net%5B1%5D.pt[1x3x8x8-eager]"),
        ("100%.ts", "100%25.ts[1x3x8x8-eager]"),
        ("mypkg:Net[bfloat16]", "mypkg:Net[1x3x8x8-bfloat16-eager]"),
        ("mypkg:Net[1x8-bfloat16-compiled]", "mypkg:Net[1x8-bfloat16-compiled]"),
    ],
)
def test_a_name_is_readable(text: str, name: str) -> None:
    assert variants(text, Matrix(inputs=(parsed_inputs("1x3x8x8", WHERE),))) == [name]


# --- the matrix ---------------------------------------------------------------------------------


def test_a_matrix_has_every_variant_in_order() -> None:
    matrix = Matrix(
        (parsed_inputs("1x3", WHERE),),
        batches=(1, 8),
        dtypes=("float32", "bfloat16"),
        compiled=True,
    )
    assert variants("m:Net", matrix) == [
        f"m:Net[{batch}x3-{dtype}-{mode}]"
        for batch in (1, 8)
        for dtype in ("float32", "bfloat16")
        for mode in ("eager", "compiled")
    ]


def test_a_name_that_fixes_the_mode_leaves_the_other_parts_to_the_matrix() -> None:
    matrix = Matrix((parsed_inputs("1x3", WHERE),), (2, 4), ("bfloat16",), compiled=True)
    assert variants("m:Net[compiled]", matrix) == [
        f"m:Net[{batch}x3-bfloat16-compiled]" for batch in (2, 4)
    ]
    assert variants("m:Net[eager]", matrix)[0] == "m:Net[2x3-bfloat16-eager]"
    assert variants("m:Net[5x6-float32-eager]", Matrix(dtypes=("bfloat16",))) == [
        "m:Net[5x6-float32-eager]"
    ]


def test_a_batch_replaces_the_first_dimension_of_every_input() -> None:
    assert variants("m:Net[1x3+int64:4x5]", Matrix(batches=(8,))) == ["m:Net[8x3+int64:8x5-eager]"]


def test_an_input_in_brackets_goes_before_that_of_the_option() -> None:
    matrix = Matrix((parsed_inputs("1x3", WHERE), parsed_inputs("1x4", WHERE)))
    assert variants("m:Net", matrix) == ["m:Net[1x3-eager]", "m:Net[1x4-eager]"]
    assert variants("m:Net[1x9]", matrix) == ["m:Net[1x9-eager]"]


def test_without_an_input_there_is_one_variant() -> None:
    assert variants("m:Net", Matrix(batches=(1, 8))) == ["m:Net[eager]"]


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "net", "m:", ":Net", "m:1", "timm:", ".pt", "m:Net:Other"])
def test_a_text_that_names_no_model_is_refused(text: str) -> None:
    assert "names no model; expected package.module:Attribute" in refusal(text)


@pytest.mark.parametrize("text", ["mypkg.models::Net", "mypkg.models.Net"])
def test_a_likely_slip_is_named(text: str) -> None:
    assert refusal(text).endswith("; write mypkg.models:Net")


@pytest.mark.parametrize("text", ["1x0", "x3", "1x3x", "-1x3", "1X3", "1x3++2", "float32", "a b:1"])
def test_a_text_that_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected a shape such as 1x3x224x224"):
        parsed_inputs(text, WHERE)


def test_brackets_that_fix_a_part_twice_are_refused() -> None:
    assert "[1x3-1x4] fixes a part twice" in refusal("m:Net[1x3-1x4]")


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 5000])
def test_a_text_that_is_no_batch_size_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="expected a whole number of at least 1"):
        parsed_batch(text, WHERE)


def test_a_text_that_is_no_dtype_is_refused() -> None:
    with pytest.raises(SettingError, match="expected one such as bfloat16"):
        parsed_dtype("torch.float32", WHERE)


def answer(text: str) -> str:
    try:
        return named_model(text, WHERE).model.text
    except SettingError as error:
        return str(error)


@given(st.text())
def test_any_text_is_a_model_or_is_refused_in_one_line(text: str) -> None:
    assert len(answer(text).splitlines()) <= 1 or text.strip() in answer(text)


# --- lists of names -----------------------------------------------------------------------------


def test_commas_and_lines_separate_names_but_not_in_brackets() -> None:
    assert split_names("a:b, c:d[1x3,2]\n\n e:f[1 ,g:h\n") == ["a:b", "c:d[1x3,2]", "e:f[1", "g:h"]
