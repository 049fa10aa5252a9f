"""The time of a call as a tree."""

from __future__ import annotations

import pytest

from pytest_hiddencost.report.call_parts import UNKNOWN_SITE
from pytest_hiddencost.report.exports.call_tree import (
    OUTSIDE,
    UNEXPLAINED,
    TreeNode,
    call_tree,
)
from tests.profiles import MS, network, operator, profile_of
from tests.report.exports.runs import site, sited


def paths(node: TreeNode, above: str = "") -> dict[str, int]:
    """The own time of every node that has some, by its path below the root."""
    found = {}
    for inner in node.ordered():
        path = f"{above} > {inner.frame.name}".removeprefix(" > ")
        if inner.self_ns:
            found[path] = inner.self_ns
        found |= paths(inner, path)
    return found


def test_module_then_the_operator_that_python_called_then_the_operator() -> None:
    assert paths(call_tree(sited(), "it")) == {
        "features > features.0 > aten::conv2d > aten::mkldnn_convolution": 4 * MS,
        "features > features.0 > aten::conv2d > aten::copy_": MS,
        "features > features.3 > aten::conv2d > aten::mkldnn_convolution": 2 * MS,
        "aten::relu_": MS,
        f"{UNKNOWN_SITE} > aten::copy_": MS,
        OUTSIDE: MS // 2,
        UNEXPLAINED: MS // 2,
    }


def test_the_whole_is_the_latency() -> None:
    tree = call_tree(sited(), "it")
    assert tree.frame.name == "it"
    assert tree.total_ns == 10 * MS


def test_the_largest_part_is_first() -> None:
    totals = [node.total_ns for node in call_tree(sited(), "it").ordered()]
    assert totals == sorted(totals, reverse=True)


def test_a_frame_has_the_line_that_calls_it() -> None:
    features = call_tree(sited(), "it").ordered()[0]
    conv2d = features.ordered()[0].ordered()[0].frame
    assert (conv2d.name, conv2d.file, conv2d.line) == ("aten::conv2d", "net.py", 10)


def test_a_file_without_roots_shows_the_operator_alone() -> None:
    old = operator("aten::cat", MS, call_sites=[site("block", MS)])
    assert paths(call_tree(profile_of(old, outside_ns=9 * MS), "it")) == {
        OUTSIDE: 9 * MS,
        "block > aten::cat": MS,
    }


def test_without_call_sites_no_module_is_known() -> None:
    found = paths(call_tree(network(), "it"))
    assert found[f"{UNKNOWN_SITE} > aten::cat"] == MS


@pytest.mark.parametrize("line", ["", "net.py", "net.py:", ":3", "net.py:x", "net.py:²"])
def test_a_line_that_is_none_is_left_out(line: str) -> None:
    odd = operator("aten::cat", MS, call_sites=[site("block", MS, line)])
    tree = call_tree(profile_of(odd, outside_ns=9 * MS), "it")
    frame = tree.ordered()[1].ordered()[0].frame
    assert (frame.name, frame.file, frame.line) == ("aten::cat", "", 0)


def test_modules_nest_only_so_deep() -> None:
    deep = operator("aten::cat", MS, call_sites=[site(".".join("a" * 5000), MS)])
    assert call_tree(profile_of(deep), "it").total_ns == 10 * MS


def test_a_correction_below_zero_takes_no_time() -> None:
    odd = operator("aten::view", -5.0, call_sites=[site("block", -5.0)])
    assert "block" not in str(paths(call_tree(profile_of(odd), "it")))
