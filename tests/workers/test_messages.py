"""Messages: each survives JSON to the last type, and junk is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.errors import FormatError
from pytest_hiddencost.workers import messages
from pytest_hiddencost.workers.messages import PROTOCOL, Hello, Message, from_json, to_json
from tests.profiles import any_profiles, network, patient

KINDS: tuple[type[Any], ...] = get_args(Message)
_count = st.integers(0, 2**62)
_texts = st.lists(st.text(max_size=8), max_size=4).map(tuple)
_core = st.none() | st.integers(0, 1023)

ANY: Mapping[type[Any], st.SearchStrategy[Any]] = {
    messages.Fork: st.builds(
        messages.Fork,
        arguments=_texts,
        directory=st.text(),
        path=_texts,
        descriptor=st.none() | st.integers(0, 1 << 20),
    ),
    messages.Forked: st.builds(messages.Forked, st.integers(1, 1 << 22)),
    messages.Refused: st.builds(messages.Refused, st.text()),
    messages.Ended: st.builds(messages.Ended, st.integers(1, 1 << 22), st.integers(-64, 255)),
    messages.RunTest: st.builds(
        messages.RunTest, st.text(), st.text(), st.booleans(), st.text()
    ),
    messages.TakeTurn: st.builds(messages.TakeTurn, _count, _count, _core),
    messages.Hello: st.builds(messages.Hello, st.integers(), st.text()),
    messages.Working: st.builds(messages.Working, _count),
    messages.Ready: st.builds(
        messages.Ready,
        torch=st.text(),
        room=st.booleans(),
        oversubscribed=st.booleans(),
        core=_core,
        files=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4),
    ),
    messages.Times: st.builds(
        messages.Times, st.lists(_count, max_size=6).map(tuple), _count, _count
    ),
    messages.WindowTimes: st.builds(messages.WindowTimes, _count, _count),
    messages.Measured: st.just(messages.Measured(network())),
    messages.Over: st.builds(messages.Over, st.text()),
    messages.TakeStep: st.builds(
        messages.TakeStep, st.sampled_from(["prepare", "window", "finish"])
    ),
    messages.Prepared: st.just(messages.Prepared()),
}  # fmt: skip
any_messages = st.one_of(*ANY.values())


def over_the_wire(message: Message) -> Any:
    return json.loads(json.dumps(to_json(message), allow_nan=False))


def example(kind: type[Any]) -> Any:
    """One message of a kind, and the JSON data that it is sent as."""
    given: dict[type[Any], Message] = {
        messages.RunTest: messages.RunTest("a.py::test_a", "b", True),
        messages.TakeTurn: messages.TakeTurn(3_000_000, 1, 0),
        messages.Fork: messages.Fork(("-q", "test_it.py"), "/project", ("/project/src",), 7),
        messages.Forked: messages.Forked(4711),
        messages.Refused: messages.Refused("no memory left"),
        messages.Ended: messages.Ended(4711, -9),
        messages.Hello: Hello(PROTOCOL, "0.1.0"),
        messages.Ready: messages.Ready("2.13.0", True, core=1, files={"net": "/net.py"}),
        messages.Working: messages.Working(14_000_000_000),
        messages.Times: messages.Times((1, 2)),
        messages.WindowTimes: messages.WindowTimes(1, 2),
        messages.Measured: messages.Measured(network()),
        messages.Over: messages.Over("skipped"),
        messages.TakeStep: messages.TakeStep("finish"),
    }
    return over_the_wire(given.get(kind) or kind())


def test_every_kind_of_message_is_tried() -> None:
    assert set(ANY) == set(KINDS)
    assert len({kind.__name__ for kind in KINDS}) == len(KINDS)


@settings(patient, max_examples=200)
@given(any_messages)
def test_a_message_survives_json_to_the_last_type(message: Message) -> None:
    back = from_json(over_the_wire(message))
    assert type(back) is type(message)
    assert back == message
    assert repr(back) == repr(message)


@settings(patient, max_examples=15)
@given(any_profiles())
def test_any_profile_survives_json(profile: Any) -> None:
    message = messages.Measured(profile)
    assert from_json(over_the_wire(message)) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_message_names_its_kind(kind: type[Any]) -> None:
    assert example(kind)["kind"] == kind.__name__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_keys_of_a_newer_version_are_passed_over(kind: type[Any]) -> None:
    data = example(kind)
    assert from_json({**data, "invented_later": {"deep": [1]}}) == from_json(data)


REQUIRED = [
    (kind, field.name)
    for kind in KINDS
    for field in dataclasses.fields(kind)
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
]


@pytest.mark.parametrize(
    ("kind", "name"), REQUIRED, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_message_without_a_field_is_refused(kind: type[Any], name: str) -> None:
    data = example(kind)
    del data[name]
    with pytest.raises(FormatError, match=f"^message: {kind.__name__} lacks the key '{name}'$"):
        from_json(data)


@pytest.mark.parametrize(
    ("kind", "name"), REQUIRED, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_field_of_another_type_is_refused(kind: type[Any], name: str) -> None:
    for wrong in ({"x": 1}, 1.5):
        with pytest.raises(FormatError, match=rf"^message\.{name}"):
            from_json({**example(kind), name: wrong})


@pytest.mark.parametrize(
    "data",
    [
        None, 5, "Over", [], [{"kind": "Over"}], {}, {"kind": None}, {"kind": 5},
        {"kind": ["Over"]}, {"kind": "Message"}, {"kind": "over"}, {"kind": "__class__"},
        {"kind": ""}, {"kind": "x" * 10_000},
    ],
)  # fmt: skip
def test_data_that_is_no_message_is_refused(data: object) -> None:
    with pytest.raises(FormatError, match=r"^message: unknown kind ") as caught:
        from_json(data)
    assert len(str(caught.value)) < 200


@settings(patient, max_examples=50)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    st.sampled_from([kind.__name__ for kind in KINDS]),
)
def test_any_data_is_a_message_or_refused(data: Any, kind: str) -> None:
    for candidate in (data, {**data, "kind": kind} if isinstance(data, dict) else data):
        try:
            found = from_json(candidate)
        except FormatError:
            continue
        assert isinstance(found, KINDS)


# --- other versions ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [PROTOCOL - 1, PROTOCOL + 1, 10**6])
def test_the_greeting_of_another_protocol_is_read(protocol: int) -> None:
    data = {"kind": "Hello", "protocol": protocol, "version": "9.9", "languages": ["later"]}
    assert from_json(data) == Hello(protocol, "9.9")


def test_a_greeting_has_the_two_fields_that_every_protocol_has() -> None:
    assert over_the_wire(Hello(8, "0.1.0")) == {"kind": "Hello", "protocol": 8, "version": "0.1.0"}


def test_the_messages_are_those_of_protocol_10() -> None:
    """A change of a message or of its meaning needs another number."""
    assert PROTOCOL == 10
    assert {
        kind.__name__: [field.name for field in dataclasses.fields(kind)] for kind in KINDS
    } == {
        "Fork": ["arguments", "directory", "path", "descriptor"],
        "Forked": ["pid"],
        "Refused": ["why"],
        "Ended": ["pid", "status"],
        "RunTest": ["test", "label", "whole", "injection"],
        "TakeTurn": ["duration_ns", "refill", "core"],
        "TakeStep": ["step"],
        "Hello": ["protocol", "version"],
        "Working": ["longest_ns"],
        "Ready": ["torch", "room", "oversubscribed", "core", "files", "code"],
        "Times": ["samples_ns", "faults", "preempted"],
        "Prepared": [],
        "WindowTimes": ["non_mac_ns", "whole_ns"],
        "Measured": ["profile"],
        "Over": ["why"],
    }
