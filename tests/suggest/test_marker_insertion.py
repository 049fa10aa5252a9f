"""Markers in the source of a test file: where they go, and what is left alone."""

from __future__ import annotations

from textwrap import dedent

import pytest

from pytest_hiddencost.core.errors import SuggestionError
from pytest_hiddencost.suggest.by_function import SuggestedMarker, suggestions
from pytest_hiddencost.suggest.marker_insertion import SourceFile
from tests.profiles import network, operator, profile_of

BRIEF = profile_of(operator("aten::relu", 1), varies=("activation_memory",))
LINE = '@pytest.mark.latency_budget(p50="11 ms", p95="12 ms")'


def markers(*labels: str) -> tuple[SuggestedMarker, ...]:
    (function,) = suggestions(
        [profile_of(operator("aten::relu", 1), varies=("activation_memory",), label=label)
         for label in labels or [""]]
    )  # fmt: skip
    return function.markers


def inserted(source: str | bytes, *names: str, labels: tuple[str, ...] = ()) -> str:
    """The source with a marker above each function, named with its classes."""
    data = dedent(source).encode() if isinstance(source, str) else source
    file = SourceFile(data)
    wanted = [(file.unmarked(tuple(name.split("::"))), markers(*labels)) for name in names]
    result = file.with_markers(wanted)
    return result.decode(file.encoding)


def refused(source: str | bytes, name: str) -> str:
    with pytest.raises(SuggestionError) as error:
        inserted(source, name)
    return str(error.value)


def test_a_marker_goes_in_front_of_other_decorators_and_behind_comments() -> None:
    source = """\
        import pytest

        # about it
        @pytest.mark.parametrize("n", [1, 8])
        # inner
        @other
        def test_it(hiddencost, n):   # kept
            x = ( 1,2 )
        """
    expected = dedent(source).replace("@pytest.mark.para", f"{LINE}\n@pytest.mark.para")
    assert inserted(source, "test_it") == expected


def test_methods_and_async_tests_are_found_in_their_classes() -> None:
    source = """\
        import pytest
        class TestA:
            class TestB:
              def test_it(self): ...
            async def test_it(self): ...
        async def test_it(): ...
        if True:
            def test_there(): ...
        """
    names = ("TestA::TestB::test_it", "TestA::test_it", "test_it", "test_there")
    lines = inserted(source, *names).splitlines()
    found = {lines[i + 1]: line for i, line in enumerate(lines) if "latency_budget" in line}
    assert found == {
        "      def test_it(self): ...": f"      {LINE}",
        "    async def test_it(self): ...": f"    {LINE}",
        "async def test_it(): ...": LINE,
        "    def test_there(): ...": f"    {LINE}",
    }


def test_a_long_marker_is_indented_as_its_function() -> None:
    file = SourceFile(b"import pytest\nclass TestA:\n\tdef test_it(self): ...\n")
    (function,) = suggestions([network()])
    result = file.with_markers([(file.unmarked(("TestA", "test_it")), function.markers)])
    lines = result.decode().splitlines()[2:]
    assert lines[0] == "\t@pytest.mark.latency_budget("
    assert lines[1] == '\t\tp50="11 ms",'
    assert lines[-2:] == ["\t)", "\tdef test_it(self): ..."]


def test_each_label_has_its_marker() -> None:
    found = inserted("import pytest\ndef test_it(): ...\n", "test_it", labels=("a", 'b"'))
    assert found.splitlines()[1:3] == [
        f'{LINE[:-1]}, label="a")',
        f'{LINE[:-1]}, label="b\\"")',
    ]


# --- what pytest is called ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("imports", "mark"),
    [
        ("import pytest", "pytest.mark"),
        ("import os, pytest as pt", "pt.mark"),
        ("from pytest import fixture, mark", "mark"),
        ("from pytest import mark as m", "m"),
        ("from pytest import mark; import pytest", "pytest.mark"),
    ],
)
def test_the_marker_is_spelled_as_the_file_imports_pytest(imports: str, mark: str) -> None:
    lines = inserted(f"{imports}\ndef test_it(): ...\n", "test_it").splitlines()
    assert lines[0] == imports
    assert lines[1] == LINE.replace("pytest.mark", mark)
    assert len(lines) == 3


TEST = "\n\ndef test_it(): ...\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import torch\n", "import pytest\nimport torch\n"),
        ("import os\n\nimport torch\n", "import os\n\nimport pytest\nimport torch\n"),
        ("import os\n", "import os\n\nimport pytest\n"),
        (
            '"""Doc."""\n\nfrom __future__ import annotations\n\nimport numpy\n',
            '"""Doc."""\n\nfrom __future__ import annotations\n\nimport numpy\nimport pytest\n',
        ),
        (
            "# license\n\nimport os\n\n# why\nfrom mine import it\n",
            "# license\n\nimport os\n\nimport pytest\n# why\nfrom mine import it\n",
        ),
        ("from . import models\n", "import pytest\nfrom . import models\n"),
        (
            "from __future__ import annotations\n",
            "from __future__ import annotations\n\nimport pytest\n",
        ),
        ("from notpytest import mark\n", "import pytest\nfrom notpytest import mark\n"),
        ("from .pytest import mark\n", "import pytest\nfrom .pytest import mark\n"),
    ],
)
def test_a_missing_import_is_added_where_it_belongs(before: str, after: str) -> None:
    assert inserted(before + TEST, "test_it") == after + TEST.replace("def", f"{LINE}\ndef")


@pytest.mark.parametrize(
    ("source", "after"),
    [
        ("def test_it(): ...\n", "import pytest\n\n\n{}\ndef test_it(): ...\n"),
        ('"""Doc."""\ndef test_it(): ...\n', '"""Doc."""\n\nimport pytest\n\n\n{}\ndef test_it'),
        ("#!/usr/bin/python\n# about it\ndef test_it(): ...\n",
         "#!/usr/bin/python\n\nimport pytest\n\n\n# about it\n{}\ndef"),
        ("# license\n\ndef test_it(): ...\n", "# license\n\nimport pytest\n\n\n{}\ndef"),
        ("if True:\n    import pytest\ndef test_it(): ...\n",
         "import pytest\n\n\nif True:\n    import pytest\n{}\ndef"),
        ("def test_it(): ...\n\nimport pytest\n", "import pytest\n\n\n{}\ndef test_it"),
    ],
)  # fmt: skip
def test_a_file_without_imports_gets_one(source: str, after: str) -> None:
    assert inserted(source, "test_it").startswith(after.format(LINE))


# --- markers that are there ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "where"),
    [
        ('import pytest\n@pytest.mark.latency_budget(p50="1 s")\ndef test_it(): ...', "it"),
        ("import pytest\nfast = pytest.mark.latency_budget(p50='1 s')\n@fast\ndef test_it(): ...",
         "it"),
        ("import pytest\nbudget: object = pytest.mark.latency_budget\nslow = budget(p50='1 s')\n"
         "@slow\ndef test_it(): ...", "it"),
        ("from m import latency_budget as lb\n@lb(p50='1 s')\ndef test_it(): ...", "it"),
        ("import pytest\n@pytest.mark.parametrize('n', [pytest.param(1, "
         "marks=pytest.mark.latency_budget(p50='1 s'))])\ndef test_it(n): ...", "it"),
        ("import pytest\npytestmark = [pytest.mark.latency_budget(p50='1 s')]\n"
         "def test_it(): ...", "the module's pytestmark"),
        ("import pytest\npytestmark = []\npytestmark += [pytest.mark.latency_budget(p50='1 s')]\n"
         "def test_it(): ...", "the module's pytestmark"),
    ],
)  # fmt: skip
def test_a_function_with_a_marker_is_left_alone(source: str, where: str) -> None:
    assert refused(source, "test_it") == f"{where} has a latency_budget marker already"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("@pytest.mark.latency_budget(p50='1 s')\nclass TestA:\n class TestB:\n", "class TestA"),
        ("class TestA:\n @pytest.mark.latency_budget(p50='1 s')\n class TestB:\n", "class TestB"),
        ("class TestA:\n pytestmark = pytest.mark.latency_budget(p50='1 s')\n class TestB:\n",
         "class TestA"),
    ],
)  # fmt: skip
def test_a_class_with_a_marker_limits_its_methods(body: str, where: str) -> None:
    source = f"import pytest\n{body}  def test_it(self): ...\ndef test_other(): ...\n"
    assert refused(source, "TestA::TestB::test_it").startswith(f"{where} has")
    assert LINE in inserted(source, "test_other")


def test_other_uses_of_marks_are_no_marker() -> None:
    source = """\
        import pytest
        pytestmark = pytest.mark.slow
        def helper():
            mark = pytest.mark.latency_budget
            pytestmark = mark(p50="1 s")
        @pytest.mark.other("latency_budget")
        def test_it(): ...
        """
    assert LINE in inserted(source, "test_it")


# --- files that are left alone, and what is kept ------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        ("import pytest\n", "test_it", "no such function in the file"),
        ("class TestA:\n def test_it(self): ...\n", "test_it", "no such function"),
        ("def make():\n def test_it(): ...\n return test_it\n", "test_it", "no such function"),
        ("test_it = make()\n", "test_it", "renamed, inherited from a class, or generated"),
        ("def test_it(): ...\ndef test_it(): ...\n", "test_it", "the file defines it 2 times"),
        ("import x\ndef test_it(:\n", "test_it", "a syntax error in line 2: "),
        (b"x = '\xff'\ndef test_it(): ...\n", "test_it", "can't decode byte 0xff"),
        (b"# coding: nope\ndef test_it(): ...\n", "test_it", "unknown encoding: nope"),
        (b"x = 1\0\ndef test_it(): ...\n", "test_it", "null bytes"),
        (b"\x0cx = 1\r\ny = 2\rdef test_it(): ...\n", "test_it", "line ends"),
        ("x = " + "(" * 3000 + ")" * 3000, "test_it", "too many nested parentheses"),
    ],
)
def test_a_function_that_is_not_there_is_left_alone(
    source: str | bytes, name: str, reason: str
) -> None:
    message = refused(source, name)
    assert reason in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    "source",
    [
        b"import pytest\r\n\r\ndef test_it(): ...\r\n",
        b"\xef\xbb\xbfimport pytest\n\ndef test_it(): ...\n",
        "# -*- coding: latin-1 -*-\nimport pytest\nx = '\xe9'\ndef test_it(): ...\n".encode(
            "latin-1"
        ),
        b"import pytest\nclass A:\n\t\tx = 1\ndef test_it():\n\tpass\n",
        b"import pytest\ndef test_it(): ...",
        b"import pytest\r\nx = 1\ndef test_it(): ...\r\n",
    ],
    ids=["crlf", "bom", "latin-1", "tabs", "no newline at the end", "mixed line ends"],
)
def test_every_other_byte_is_kept(source: bytes) -> None:
    file = SourceFile(source)
    result = file.with_markers([(file.unmarked(("test_it",)), markers())])
    at = source.index(b"def test_it")
    start, end = result[:at], result[len(result) - len(source) + at :]
    assert start + end == source
    newline = "\r\n" if b"\r\n" in source else "\n"
    assert result[at : len(result) - len(end)].decode() == f"{LINE}{newline}"


def test_a_label_that_the_encoding_lacks_is_refused() -> None:
    file = SourceFile(b"# coding: latin-1\nimport pytest\ndef test_it(): ...\n")
    with pytest.raises(SuggestionError, match="iso-8859-1, lacks characters"):
        file.with_markers([(file.unmarked(("test_it",)), markers("a", "\u2713"))])


def test_a_second_time_nothing_is_left_to_do() -> None:
    once = inserted("import pytest\nclass TestA:\n    def test_it(self): ...\n", "TestA::test_it")
    assert refused(once, "TestA::test_it") == "it has a latency_budget marker already"
