"""The reference models have the published counts, to the digit."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pytest_hiddencost.measure.operators.profiler import profiled
from pytest_hiddencost.study.models import REFERENCE_MODELS, ReferenceModel, reference_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # thop imports distutils
    import thop


class Published(NamedTuple):
    """A row of the published table."""

    parameters: int
    thop_macs: int
    operator_macs: int
    top1_percent: float


PUBLISHED = {
    "VGG16": Published(34_015_396, 333_586_432, 332_480_512, 72.93),
    "InceptionV3": Published(22_318_148, 3_406_971_520, 3_390_711_808, 77.19),
    "InceptionV4": Published(41_296_516, 7_535_302_784, 7_503_132_032, 75.86),
    "ResNet50": Published(23_705_252, 1_311_778_816, 1_298_014_208, 77.39),
    "SeResNet50": Published(26_262_804, 1_316_076_288, 1_300_529_152, 78.58),
    "Xception": Published(21_013_988, 1_137_838_592, 1_129_865_728, 74.93),
    "MobileNet": Published(3_315_428, 48_098_304, 46_446_592, 65.98),
    "MobileNetV2": Published(2_369_380, 68_474_112, 64_947_264, 68.08),
    "ShuffleNet": Published(1_012_108, 45_361_344, 41_693_952, 70.06),
    "ShuffleNetV2": Published(1_360_896, 45_753_728, 43_675_520, 69.51),
}

MACS_BY_KIND = {
    "VGG16": {"dense": 313_196_544, "linear": 19_283_968},
    "InceptionV3": {"dense": 2_609_381_376, "1x1": 781_125_632, "linear": 204_800},
    "InceptionV4": {"dense": 5_338_078_592, "1x1": 2_164_899_840, "linear": 153_600},
    "ResNet50": {"dense": 605_749_248, "1x1": 692_060_160, "linear": 204_800},
    "SeResNet50": {"dense": 605_749_248, "1x1": 692_060_160, "linear": 2_719_744},
    "Xception": {
        "dense": 19_759_104,
        "1x1": 1_095_409_664,
        "depthwise": 14_492_160,
        "linear": 204_800,
    },
    "MobileNet": {
        "dense": 884_736,
        "1x1": 44_040_192,
        "depthwise": 1_419_264,
        "linear": 102_400,
    },
    "MobileNetV2": {"1x1": 62_179_584, "depthwise": 2_767_680},
    "ShuffleNet": {
        "dense": 663_552,
        "1x1, 3 groups": 39_690_240,
        "depthwise": 1_244_160,
        "linear": 96_000,
    },
    "ShuffleNetV2": {
        "dense": 663_552,
        "1x1": 41_629_696,
        "depthwise": 1_279_872,
        "linear": 102_400,
    },
}

# Parameters of the modules at each path.
CHECK_POINTS = {
    "InceptionV3": {
        "inception_a.0": 305_056,
        "inception_a.1": 408_544,
        "inception_a.2": 432_608,
        "reduction_b": 1_153_280,
        "inception_c.0": 1_297_408,
        "inception_c.1": 1_691_008,
        "inception_c.2": 1_691_008,
        "inception_c.3": 2_141_952,
        "reduction_d": 1_698_304,
        "inception_e.0": 5_044_608,
        "inception_e.1": 6_076_800,
        "classifier": 204_900,
    },
    "InceptionV4": {
        "stem": 605_728,
        "inception_a": 1_270_528,
        "reduction_a": 2_306_112,
        "inception_b": 20_553_792,
        "reduction_b": 2_747_392,
        "inception_c": 13_659_264,
        "classifier": 153_700,
    },
    "ResNet50": {
        "stem": 1_856,
        "stage1": 215_808,
        "stage2": 1_219_584,
        "stage3": 7_098_368,
        "stage4": 14_964_736,
        "classifier": 204_900,
    },
    "SeResNet50": {
        "stem": 1_920,
        "stage1": 242_608,
        "stage2": 1_356_416,
        "stage3": 7_901_568,
        "stage4": 16_555_392,
        "classifier": 204_900,
    },
    "Xception": {
        "entry": 1_107_872,
        "middle": 12_911_808,
        "exit": 6_789_408,
        "classifier": 204_900,
    },
    "MobileNetV2": {
        "stem": 192,
        "stage1": 2_064,
        "stage2": 14_496,
        "stage3": 40_848,
        "stage4": 186_816,
        "stage5": 306_528,
        "stage6": 800_736,
        "stage7": 476_160,
        "head": 413_440,
        "classifier": 128_100,
    },
    "ShuffleNet": {
        "stem": 720,
        "stage2": 40_008,
        "stage3": 313_200,
        "stage4": 562_080,
        "classifier": 96_100,
    },
    "ShuffleNetV2": {
        "stem": 720,
        "stage2": 27_672,
        "stage3": 247_196,
        "stage4": 504_600,
        "head": 478_208,
        "classifier": 102_500,
    },
}


@dataclass(frozen=True)
class Structure:
    """The number of calls of layers and operators in one call of a model."""

    convs: int
    relus: int
    depthwise: int = 0
    cats: int = 0
    adds: int = 0
    splits: int = 0


STRUCTURES = {
    "VGG16": Structure(convs=13, relus=15),
    "InceptionV3": Structure(convs=94, relus=94, cats=15),
    "InceptionV4": Structure(convs=149, relus=149, cats=25),
    "ResNet50": Structure(convs=53, relus=49, adds=16),
    "SeResNet50": Structure(convs=53, relus=81, adds=16),
    "Xception": Structure(convs=74, relus=35, depthwise=34, adds=12),
    "MobileNet": Structure(convs=27, relus=27, depthwise=13),
    "MobileNetV2": Structure(convs=54, relus=36, depthwise=17, adds=10),
    "ShuffleNet": Structure(convs=49, relus=33, depthwise=16, cats=3, adds=13),
    "ShuffleNetV2": Structure(convs=56, relus=36, depthwise=19, cats=16, splits=13),
}


class GroupLoop(NamedTuple):
    """Profiler events of one call without oneDNN, which loops over the groups."""

    narrow: int
    cat: int


GROUP_LOOPS = {
    "VGG16": GroupLoop(0, 0),
    "InceptionV3": GroupLoop(0, 15),
    "InceptionV4": GroupLoop(0, 25),
    "ResNet50": GroupLoop(0, 0),
    "SeResNet50": GroupLoop(0, 0),
    "Xception": GroupLoop(46_096, 34),
    "MobileNet": GroupLoop(9_920, 13),
    "MobileNetV2": GroupLoop(21_408, 17),
    "ShuffleNet": GroupLoop(6_768, 51),
    "ShuffleNetV2": GroupLoop(7_304, 35),
}


class CallCounter(TorchDispatchMode):
    """Counts the operators that run, by name."""

    def __init__(self, counts: Counter[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def is_depthwise(conv: nn.Conv2d) -> bool:
    return conv.groups == conv.in_channels > 1


def kind_of(layer: nn.Module) -> str:
    if not isinstance(layer, nn.Conv2d):
        return "linear"
    if is_depthwise(layer):
        return "depthwise"
    if layer.kernel_size == (1, 1):
        return "1x1" if layer.groups == 1 else f"1x1, {layer.groups} groups"
    return "dense"


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count_calls(model: nn.Module, x: Tensor) -> Counter[str]:
    counts: Counter[str] = Counter()
    with torch.no_grad(), CallCounter(counts):
        model(x)
    return counts


def count_macs_by_kind(model: nn.Module, x: Tensor) -> dict[str, int]:
    """Count MACs by hand: each output element is a dot product with a row of the weight."""
    macs: Counter[str] = Counter()

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        macs[kind_of(layer)] += output.numel() * layer.weight[0].numel()

    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return dict(macs)


@pytest.fixture(scope="module", params=REFERENCE_MODELS, ids=lambda reference: reference.name)
def reference(request: pytest.FixtureRequest) -> ReferenceModel:
    assert isinstance(request.param, ReferenceModel)
    return request.param


@pytest.fixture(scope="module")
def model(reference: ReferenceModel) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return reference.build().eval()


@pytest.fixture(scope="module")
def shapes(reference: ReferenceModel) -> nn.Module:
    """The model without data: its operators run on shapes alone."""
    with torch.device("meta"):
        return reference.build().eval()


@pytest.fixture(scope="module")
def image_shape() -> Tensor:
    return torch.empty(1, 3, 32, 32, device="meta")


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_the_registry_holds_the_published_figures(reference: ReferenceModel) -> None:
    assert dataclasses.astuple(reference)[2:] == PUBLISHED[reference.name]


def test_the_registry_is_in_the_order_of_the_tables() -> None:
    assert [reference.name for reference in REFERENCE_MODELS] == list(PUBLISHED)


def test_the_parameters_are_the_published_ones(
    reference: ReferenceModel, shapes: nn.Module
) -> None:
    assert parameters_of(shapes) == reference.parameters


def test_thop_counts_the_published_macs(
    reference: ReferenceModel, shapes: nn.Module, image_shape: Tensor
) -> None:
    macs, _ = thop.profile(copy.deepcopy(shapes), inputs=(image_shape,), verbose=False)
    assert macs == reference.thop_macs


def test_formulas_count_the_published_macs(
    reference: ReferenceModel, shapes: nn.Module, image_shape: Tensor
) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shapes(image_shape)
    flops = counter.get_flop_counts()["Global"]
    assert {str(operator) for operator in flops} <= {"aten.convolution", "aten.addmm"}
    assert sum(flops.values()) == 2 * reference.operator_macs


def test_macs_by_kind_add_up_to_the_published_macs(
    reference: ReferenceModel, shapes: nn.Module, image_shape: Tensor
) -> None:
    macs = count_macs_by_kind(shapes, image_shape)
    assert macs == MACS_BY_KIND[reference.name]
    assert sum(macs.values()) == reference.operator_macs


def test_every_stage_has_its_parameters(reference: ReferenceModel, shapes: nn.Module) -> None:
    expected = CHECK_POINTS.get(reference.name, {})
    assert {path: parameters_of(shapes.get_submodule(path)) for path in expected} == expected


def test_a_call_has_its_structure(
    reference: ReferenceModel, shapes: nn.Module, image_shape: Tensor
) -> None:
    calls = count_calls(shapes, image_shape)
    assert STRUCTURES[reference.name] == Structure(
        convs=calls["convolution"],
        relus=sum(calls[name] for name in ("relu", "relu_", "hardtanh", "hardtanh_")),
        depthwise=sum(map(is_depthwise, convolutions(shapes))),
        cats=calls["cat"],
        adds=calls["add"],
        splits=calls["split"],
    )


def test_the_group_loop_follows_from_the_structure(
    reference: ReferenceModel, shapes: nn.Module
) -> None:
    # Per group: one narrow of the input, of the weight and of the bias. At the end: one cat.
    grouped = [conv for conv in convolutions(shapes) if conv.groups > 1]
    narrow = sum(conv.groups * (2 if conv.bias is None else 3) for conv in grouped)
    structure = STRUCTURES[reference.name]
    assert GROUP_LOOPS[reference.name] == GroupLoop(
        narrow=narrow + 2 * structure.splits, cat=len(grouped) + structure.cats
    )


def test_classes_are_the_last_dimension(
    reference: ReferenceModel, shapes: nn.Module, image_shape: Tensor
) -> None:
    with torch.no_grad(), torch.device("meta"):
        assert shapes(image_shape).shape == (1, 100)
        assert reference.build(num_classes=7).eval()(image_shape).shape == (1, 7)


def test_activations_in_place_overwrite_no_tensor_that_is_read_again(
    model: nn.Module, image: Tensor
) -> None:
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
    given = image.clone()
    with torch.no_grad():
        torch.testing.assert_close(model(given), plain(image), rtol=0, atol=0)
    assert torch.equal(given, image)


def test_shuffle_units_shuffle() -> None:
    for name in ("ShuffleNet", "ShuffleNetV2"):
        with torch.device("meta"):
            modules = reference_model(name).build().named_modules()
        assert sum(path.endswith(".shuffle") for path, _ in modules) == 16


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # mkldnn.flags sets TF32 too
def test_the_profiler_shows_the_group_loop_without_onednn(image: Tensor) -> None:
    model = reference_model("ShuffleNetV2").build().eval()
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        session = profiled(lambda: model(image))
    counts = Counter(event.name() for event in session.result.events())
    assert GroupLoop(counts["aten::narrow"], counts["aten::cat"]) == GROUP_LOOPS["ShuffleNetV2"]


def test_a_reference_model_is_found_by_its_name(reference: ReferenceModel) -> None:
    assert reference_model(reference.name) is reference


def test_an_unknown_name_is_refused_with_the_accepted_names() -> None:
    with pytest.raises(ValueError, match="no reference model is called 'vgg'") as caught:
        reference_model("vgg")
    assert all(name in str(caught.value) for name in PUBLISHED)
