"""The id of a test is that of the command line, whatever plugins make of its node id."""

from __future__ import annotations

import pytest

from pytest_hiddencost.workers.node_ids import test_id as id_of
from tests.changed_node_ids import CHANGES

SUITE = """
import unittest
import pytest

def test_plain(): pass

@pytest.mark.parametrize("a", ["x@y", "[1]", "größe", ""])
@pytest.mark.parametrize("b", [1, 2])
def test_parameters(a, b): pass

class TestClass:
    class TestInner:
        @pytest.mark.parametrize("a", ["a::b"])
        def test_method(self, a): pass

class TestOld(unittest.TestCase):
    def test_case(self): pass
"""


def ids(pytester: pytest.Pytester, *arguments: str) -> list[str]:
    items, _ = pytester.inline_genitems("-p", "no:hypothesispytest", *arguments)
    return [id_of(item) for item in items]


def test_an_unchanged_node_id_is_the_id(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=SUITE)
    items, _ = pytester.inline_genitems("-p", "no:hypothesispytest")
    assert [id_of(item) for item in items] == [item.nodeid for item in items]
    assert len(items) == 11


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_node_id_leaves_the_id(pytester: pytest.Pytester, change: str) -> None:
    pytester.makepyfile(test_it=SUITE)
    plain = ids(pytester)
    pytester.makeconftest(CHANGES[change])
    items, _ = pytester.inline_genitems("-p", "no:hypothesispytest")
    assert [item.nodeid for item in items] != plain
    assert [id_of(item) for item in items] == plain


@pytest.mark.parametrize("change", CHANGES)
def test_the_id_selects_the_test(pytester: pytest.Pytester, change: str) -> None:
    pytester.makepyfile(test_it=SUITE)
    pytester.makeconftest(CHANGES[change])
    for test in ids(pytester)[1:]:
        assert ids(pytester, test) == [test]
