"""Records as JSON and back: nothing is lost, newer and older writers are read, junk is refused."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.codec import decode, encode, key_of
from pytest_hiddencost.core.energy_records import EnergyUnknown
from pytest_hiddencost.core.errors import FormatError, HiddenCostError
from pytest_hiddencost.core.operator_rates import CopyRate, OperatorRate, Peaks
from pytest_hiddencost.core.records import (
    CallsChange,
    Comparison,
    Device,
    DeviceFigures,
    DeviceHealth,
    InterleavedComparison,
    MacKindCost,
    OperatorChange,
    OperatorCost,
    Profile,
    ReferenceTime,
    Sampling,
    Verdict,
)
from tests.profiles import DEVICE, any_profiles, composite, energy_use, limit_on, network, patient

Path = tuple[str | int, ...]

CHANGED = (CallsChange("aten::copy_", 1, "blocks.*", "net.py:7"),)
# Every optional part of the record is there, so that every key is somewhere in it.
FULL = network(
    label="b1",
    thop_macs=31_000_000,
    composites=[
        dataclasses.replace(
            composite("aten::cat", 12, {"aten::cat": (12, 900_000.0)}),
            clocked=True,
            event_cost_ns=300.0,
        )
    ],
    mac_kinds=(MacKindCost("conv2d 3x3", 20, 30_000_000, 6_000_000.0, 5_000_000.0, 0.5),),
    replays=(
        OperatorRate(
            "aten::mm", "matmul", "8x8 8x8", 512, 768, 900.0, (890.0, 910.0), 2, 1_536, 40.0
        ),
    ),
    peaks=Peaks(100e9, (CopyRate(2**20, 40e9), CopyRate(2**27, 10e9)), 1_200.0),
    verdicts=(Verdict(limit_on("p50"), "pass", 1.0, 2.0, "", "duration", (0.5, 1.5)),),
    uncosted=("mylib::gemm",),
    notes=("a note",),
    allocated_bytes=2**25,
    reference=ReferenceTime(60_000.0, 166.7, 40),
    comparison=Comparison(
        "0123abc", 0.01, (-0.01, 0.03), 0.14, 0.0, 3, 9, ("+1 aten::copy_",), ("p50",), CHANGED
    ),
    health=DeviceHealth(True, ("none",), ("warm",), ("psi",), DeviceFigures(0.01, 0.2, 3.5)),
    interleaved=InterleavedComparison(
        "main",
        "0123abc",
        1.01,
        (0.99, 1.03),
        1.02,
        (0.9, 1.1),
        40,
        3,
        ("+1 aten::copy_",),
        ("p50",),
        CHANGED,
        (OperatorChange("aten::cat", 1, 2, 3.0, 4.0),),
        ("net.py", "net.py"),
    ),
    energy=energy_use(12e6),
    waiting_for_host_ns=250.0,
    energy_unknown=EnergyUnknown("no meter", "buy one"),
)
OLD_WRITER_LACKS = {
    "LatencySamples": {"confidence"},
    "OperatorCost": {
        "macs", "mac_share", "windows_ns", "calls_range", "uncertainty_ns", "below_resolution",
        "sites",
    },
    "CompositeCost": {"clocked", "event_cost_ns"},
    "InsideCost": {"raw_self_ns"},
    "MacKindCost": {"replay_ns", "energy_nj_per_mac"},
    "OperatorRate": {"interval_ns", "calls", "touched_bytes", "energy_nj"},
    "ProfilerCost": {"windows", "inside_cost_ns", "observed_cost_ns", "calibrated_cost_ns"},
    "DeviceHealth": {"reasons", "remarks", "unknown", "figures", "remedies"},
    "InterleavedComparison": {
        "commit", "ratio", "interval", "non_mac_ratio", "non_mac_interval", "blocks", "launches",
        "differences", "improved", "changed_calls", "operators", "imported", "spent_ns",
    },
    "EnergyUse": {"confidence"},
    "ReferenceTime": {"mean_ns", "relative", "blocks", "version"},
    "Verdict": {"reason", "unit", "interval", "at_least", "sampling_helps", "remedy"},
    "Check": {"key"},
    "Comparison": {
        "growth", "interval", "smallest_growth", "control_growth", "launches", "fresh",
        "differences", "improved", "changed_calls",
    },
    "CallsChange": {"modules", "line"},
    "Profile": {
        "verdicts", "model", "grad_mode", "device", "structure_varies", "varies", "unseen_ns",
        "uncosted", "thop_note", "notes", "allocated_bytes", "control", "comparison", "paired",
        "calls_made", "spent_ns", "memory", "energy", "energy_unknown", "waiting_for_host_ns",
        "replays", "peaks",
    },
}  # fmt: skip


def over_the_wire(data: object) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def written() -> dict[str, Any]:
    data: dict[str, Any] = over_the_wire(FULL.to_dict())
    return data


def refusal(data: object) -> str:
    with pytest.raises(FormatError) as error:
        Profile.from_dict(data)
    assert isinstance(error.value, HiddenCostError)
    return str(error.value)


# --- nothing is lost ---------------------------------------------------------------------------


@settings(patient, max_examples=60)
@given(any_profiles())
def test_a_profile_survives_json(profile: Profile) -> None:
    assert Profile.from_dict(over_the_wire(profile.to_dict())) == profile


def test_a_realistic_profile_survives_json_to_the_last_type() -> None:
    back = Profile.from_dict(written())
    assert back == FULL
    assert repr(back) == repr(FULL)  # == takes 1 for 1.0, and a list differs from a tuple only here
    assert hash(back) == hash(FULL)


@pytest.mark.parametrize("record", [DEVICE, Sampling(), Sampling(1, 2, 0.5)])
def test_other_records_survive_json(record: Device | Sampling) -> None:
    assert decode(type(record), over_the_wire(encode(record))) == record


@settings(patient, max_examples=30)
@given(any_profiles())
def test_a_record_is_written_as_plain_json_data(profile: Profile) -> None:
    def check(value: object) -> None:
        assert value is None or type(value) in (dict, list, str, int, float, bool)
        if isinstance(value, dict):
            assert all(type(key) is str for key in value)
            value = list(value.values())
        if isinstance(value, list):
            for item in value:
                check(item)

    check(profile.to_dict())


def test_text_that_is_derived_is_written_and_never_read() -> None:
    data = written()
    assert data["verdicts"][0]["gate"] == "p50"
    data["verdicts"][0]["gate"] = "something else"
    assert Profile.from_dict(data).verdicts[0].gate == "p50"
    del data["verdicts"][0]["gate"]
    assert Profile.from_dict(data) == FULL


@pytest.mark.parametrize(
    "record", [Profile, Comparison, InterleavedComparison, OperatorChange, OperatorCost, Verdict]
)
def test_every_field_of_a_record_has_a_key_of_its_own(record: type[Any]) -> None:
    keys = [key_of(field) for field in dataclasses.fields(record)]
    assert len(set(keys)) == len(keys)


def test_mappings_and_sets_become_json_too() -> None:
    assert encode({"a": (1, 2), 3: {4}}) == {"a": [1, 2], "3": [4]}


@pytest.mark.parametrize("unknown", [float("nan"), float("inf")])
def test_a_number_json_does_not_know_is_not_written_as_one(unknown: float) -> None:
    profile = network(mac_rate=unknown)
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps(profile.to_dict(), allow_nan=False)


def test_the_keys_are_those_of_run_file_format_1() -> None:
    data = written()
    assert data.keys() >= {
        "test", "label", "latency", "macs", "thop_macs", "mac_rate", "parameters", "mac_ns",
        "non_mac_share", "outside_ns", "activation_peak_bytes", "operators", "composites",
        "mac_kinds", "profiler", "fitness", "verdicts",
    }  # fmt: skip
    assert data["latency"].keys() >= {
        "median_ns", "p95_ns", "p99_ns", "min_ns", "samples_ns", "median_ci_ns",
    }  # fmt: skip
    assert data["operators"][0].keys() >= {
        "name", "group", "calls", "self_ns", "raw_self_ns", "macs",
    }  # fmt: skip
    assert data["composites"][0].keys() >= {"name", "calls", "total_ns", "raw_total_ns", "inside"}
    assert data["composites"][0]["inside"][0].keys() >= {"name", "calls", "self_ns"}
    assert data["mac_kinds"][0].keys() >= {"kind", "calls", "macs", "self_ns"}
    assert data["profiler"].keys() >= {
        "event_cost_ns", "events", "inflation_share", "residual_share",
    }  # fmt: skip
    assert data["fitness"].keys() >= {"fit", "reasons"}
    assert data["verdicts"][0].keys() >= {
        "check", "gate", "verdict", "measured", "limit", "reason", "remedy",
    }  # fmt: skip
    assert data["control"].keys() == {"mean_ns", "relative", "blocks", "version"}
    assert data["comparison"].keys() >= {"baseline", "growth", "control_growth", "improved"}
    assert data["paired"].keys() >= {"revision", "commit", "ratio", "interval", "imported"}
    assert data["paired"]["operators"][0].keys() == {
        "name", "calls_there", "calls_here", "there_ns", "here_ns",
    }  # fmt: skip
    assert encode(DEVICE).keys() >= {
        "key", "kind", "model", "cores", "threads", "arch", "os", "python", "torch",
    }  # fmt: skip


# --- a tree of keys to spoil -------------------------------------------------------------------


def objects(value: object, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every JSON object within, and where it is."""
    if isinstance(value, dict):
        yield path, value
        for key, item in value.items():
            yield from objects(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from objects(item, (*path, index))


def spoiled(path: Path, value: object) -> dict[str, Any]:
    """The full profile with another value at one place."""
    data = written()
    target: Any = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return data


def spelled(path: Path) -> str:
    """The path as messages spell it."""
    return "profile" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)


@dataclass(frozen=True)
class Key:
    """One key of one record within the full profile; ``attributes`` lead to its value."""

    path: Path
    attributes: Path
    record: str

    @property
    def name(self) -> str:
        return str(self.path[-1])

    @property
    def required(self) -> bool:
        return self.name not in OLD_WRITER_LACKS.get(self.record, set())


def place(key: Key) -> str:
    """The key as messages spell it."""
    return spelled(key.path)


def value_at(record: object, path: Path) -> Any:
    """The value that attributes and indices lead to."""
    for step in path:
        record = record[step] if isinstance(step, int) else getattr(record, step)  # type: ignore[index]  # a tuple, by FULL
    return record


def _keys(record: object, path: Path = (), attributes: Path = ()) -> Iterator[Key]:
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        for field in dataclasses.fields(record):
            if field.init:
                key = Key((*path, key_of(field)), (*attributes, field.name), type(record).__name__)
                yield key
                yield from _keys(getattr(record, field.name), key.path, key.attributes)
    elif isinstance(record, tuple) and record:
        yield from _keys(record[0], (*path, 0), (*attributes, 0))


KEYS = list(_keys(FULL))
REQUIRED = [key for key in KEYS if key.required]
DEFAULTED = [key for key in KEYS if not key.required]
MAYBE_UNKNOWN = {
    ("thop_macs",), ("parameters",), ("activation_peak_bytes",), ("latency", "median_ci_ns"),
    ("operators", 0, "calls_range"), ("mac_kinds", 0, "self_ns"), ("verdicts", 0, "measured"),
    ("verdicts", 0, "interval"), ("allocated_bytes",), ("comparison",),
    ("composites", 0, "event_cost_ns"), ("peaks",),
    *(("mac_kinds", 0, name) for name in ("replay_ns", "energy_nj_per_mac")),
    *(("replays", 0, name) for name in ("interval_ns", "energy_nj")),
    *(("comparison", name) for name in ("growth", "interval", "smallest_growth", "control_growth")),
    ("paired",), ("fitness", "figures"),
    *(("paired", name) for name in ("ratio", "interval", "non_mac_ratio", "non_mac_interval")),
    ("paired", "imported"), ("energy",), ("energy", "interval_nj"), ("energy_unknown",),
    ("waiting_for_host_ns",),
    *(("fitness", "figures", field.name) for field in dataclasses.fields(DeviceFigures)),
}  # fmt: skip
NULLABLE = [key for key in KEYS if key.path in MAYBE_UNKNOWN]
NOT_NULL = [key for key in KEYS if key.path not in MAYBE_UNKNOWN]


# --- newer and older writers -------------------------------------------------------------------


def test_unknown_keys_of_a_newer_writer_are_passed_over() -> None:
    data = written()
    for _, found in list(objects(data)):
        found["invented_later"] = {"deep": [1, {"deeper": None}]}
    before = copy.deepcopy(data)
    assert Profile.from_dict(data) == FULL
    assert data == before  # what was read is left as it was


@pytest.mark.parametrize("key", DEFAULTED, ids=place)
def test_keys_an_older_writer_lacks_have_their_default(key: Key) -> None:
    data = written()
    target: Any = data
    for step in key.path[:-1]:
        target = target[step]
    del target[key.name]
    read = Profile.from_dict(data)
    assert read.test == FULL.test
    assert value_at(read, key.attributes) in (
        "",
        (),
        0,
        1,
        False,
        None,
        0.99,
        "duration",
        "inference",
        "cpu",
        ReferenceTime(),
    )


def test_a_file_of_the_oldest_writer_is_read() -> None:
    data = written()
    for path, found in list(objects(data)):
        for key in DEFAULTED:
            if key.path[:-1] == path:
                del found[key.name]
    read = Profile.from_dict(data)
    assert read.operators[0] == OperatorCost(
        "aten::mkldnn_convolution", "mac", 20, 6_000_000.0, 7_500_000.0
    )
    assert read.latency.confidence == 0.99
    assert (read.verdicts, read.grad_mode, read.structure_varies) == ((), "inference", False)


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize("key", REQUIRED, ids=place)
def test_a_missing_key_is_named_with_its_place(key: Key) -> None:
    data = written()
    target: Any = data
    for step in key.path[:-1]:
        target = target[step]
    del target[key.name]
    message = refusal(data)
    assert message.startswith(f"{spelled(key.path[:-1])}: ")
    assert repr(key.name) in message


WRONG: dict[type, tuple[object, ...]] = {
    float: ("1.0", True, [1.0], {}),
    int: (1.5, 1.0, "1", True, [1]),
    str: (5, True, ["text"], {}),
    bool: (0, 1, "true", []),
    tuple: ("text", 5, {}, True),
    dict: ([], "text", 5),
}


def expected_type(key: Key) -> type:
    value = value_at(FULL, key.attributes)
    return dict if dataclasses.is_dataclass(value) else type(value)


@pytest.mark.parametrize("key", [key for key in KEYS if key.name != "calls_range"], ids=place)
def test_a_value_of_another_type_is_refused_with_its_place(key: Key) -> None:
    for wrong in WRONG[expected_type(key)]:
        message = refusal(spoiled(key.path, wrong))
        assert message.startswith(f"{spelled(key.path)}: expected "), wrong


@pytest.mark.parametrize("key", NOT_NULL, ids=place)
def test_null_is_refused_where_a_value_must_be(key: Key) -> None:
    assert refusal(spoiled(key.path, None)).startswith(f"{spelled(key.path)}: expected ")


@pytest.mark.parametrize("key", NULLABLE, ids=place)
def test_null_means_an_unknown_number(key: Key) -> None:
    read = Profile.from_dict(spoiled(key.path, None))
    assert value_at(read, key.attributes) is None


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("operators", 3, "name"), 7, "profile.operators[3].name: expected str, got 7"),
        (("operators", 2), "cat", "profile.operators[2]: expected an object for OperatorCost"),
        (("latency", "samples_ns", 1), "9", "profile.latency.samples_ns[1]: expected int, got '9'"),
        (("latency", "median_ci_ns"), [1.0], "profile.latency.median_ci_ns: expected 2 values"),
        (("operators", 0, "calls_range"), [1, 2, 3], "operators[0].calls_range: expected 2 values"),
        (("operators", 0, "calls_range"), [1, 2.5], "operators[0].calls_range: expected int"),
        (("verdicts", 0, "unit"), "furlong", "profile.verdicts[0].unit: expected"),
        (("verdicts", 0, "unit"), 5, "profile.verdicts[0].unit: expected"),
        pytest.param(("mac_rate",), 10**400, "profile.mac_rate: expected", id="too large"),
    ],
)
def test_the_place_of_a_bad_value_is_spelled_out(path: Path, value: object, problem: str) -> None:
    assert problem in refusal(spoiled(path, value))


@pytest.mark.parametrize("data", [None, [], "profile", 5, True])
def test_only_an_object_is_a_profile(data: object) -> None:
    assert refusal(data).startswith("profile: expected an object for Profile")


def test_a_bad_value_is_not_quoted_at_length() -> None:
    assert len(refusal(spoiled(("test",), list(range(10_000))))) < 200


def test_a_whole_number_is_a_time() -> None:
    read = Profile.from_dict(spoiled(("mac_ns",), 6))
    assert read.mac_ns == 6.0
    assert type(read.mac_ns) is float


def test_the_caller_chooses_how_a_message_begins() -> None:
    with pytest.raises(FormatError, match=r"^run\.json: device: Device lacks the key 'key'$"):
        decode(Device, {}, "run.json: device")


# --- mappings ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shelf:
    """A record with mappings: of numbers, of records, of mappings."""

    counts: Mapping[str, int]
    spans: dict[str, tuple[float, ...]]
    samplings: Mapping[str, Mapping[str, Sampling]]
    maybe: Mapping[str, int] | None = None


FILLED = Shelf({"a": 1, "": 2}, {"x": (1.0, 2.0)}, {"m": {"n": Sampling()}, "o": {}}, {"b": 3})


def test_mappings_survive_json_to_the_last_type() -> None:
    back = decode(Shelf, over_the_wire(encode(FILLED)))
    assert back == FILLED
    assert repr(back) == repr(FILLED)


@given(st.dictionaries(st.text(), st.integers()))
def test_any_keys_survive(counts: dict[str, int]) -> None:
    shelf = Shelf(counts, {}, {})
    assert decode(Shelf, over_the_wire(encode(shelf))) == shelf


def test_a_record_shares_nothing_with_the_data_it_was_read_from() -> None:
    data = over_the_wire(encode(FILLED))
    back = decode(Shelf, data)
    data["counts"]["later"] = 1
    assert back == FILLED


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"counts": [1]}, r"shelf\.counts: expected an object, got \[1\]"),
        ({"counts": None}, r"shelf\.counts: expected an object, got None"),
        ({"counts": {"a b": 1.5}}, r"shelf\.counts\['a b'\]: expected int, got 1\.5"),
        ({"counts": {"a": True}}, r"shelf\.counts\['a'\]: expected int, got True"),
        ({"counts": {5: 1}}, r"shelf\.counts: expected text as a key, got 5"),
        ({"spans": {"x": [1, "2"]}}, r"shelf\.spans\['x'\]\[1\]: expected float, got '2'"),
        ({"samplings": {"m": {"n": 5}}}, r"shelf\.samplings\['m'\]\['n'\]: expected an object"),
        (
            {"samplings": {"m": {"n": {"confidence": "x"}}}},
            r"shelf\.samplings\['m'\]\['n'\]\.confidence: expected float",
        ),
        ({"maybe": 5}, r"shelf\.maybe: expected an object, got 5"),
    ],
)
def test_the_place_of_a_bad_value_within_a_mapping_is_spelled_out(
    changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        decode(Shelf, {**encode(FILLED), **changes}, "shelf")


def test_a_key_is_not_quoted_at_length() -> None:
    with pytest.raises(FormatError) as error:
        decode(Shelf, {**encode(FILLED), "counts": {"k" * 10_000: "x"}}, "shelf")
    assert len(str(error.value)) < 400


def test_an_optional_mapping_may_be_null() -> None:
    assert decode(Shelf, {**encode(FILLED), "maybe": None}).maybe is None
