"""The reasons that bring the plugin in or keep it out, and pytest's words about it.

The imports of an idle run are tested in ``tests/end_to_end``.
"""

from __future__ import annotations

import pytest

from tests.suites import (
    BRIEF,
    GIVEN,
    NEIGHBOUR,
    run,
    run_here,
    section,
    stand_in,
    suite,
    write_suite,
)

CALL = "@budget(macs=128)\ndef test_it(hiddencost): hiddencost(MODEL, X)"


def test_unused_prints_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    result = run_here(pytester)
    result.assert_outcomes(passed=1)
    assert "hidden cost" not in result.stdout.str()


def test_first_use_brings_it_in_without_any_option(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    write_suite(
        pytester, [GIVEN, CALL.replace("MODEL", "given(network())").replace("128", "10**9")]
    )
    result = run_here(pytester)
    result.assert_outcomes(passed=1)
    assert section(result.stdout.str())


def test_fixture_asked_for_by_name_at_run_time(pytester: pytest.Pytester) -> None:
    """Collection cannot know of it; what was measured is reported all the same."""
    write_suite(
        pytester,
        """
        def test_dynamic(request):
            request.getfixturevalue("hiddencost")(MODEL, X)
        """,
    )
    result = run_here(pytester, BRIEF, "--junitxml=junit.xml", "-o", "verbosity_hiddencost=0")
    result.assert_outcomes(passed=1)
    assert "test_it.py::test_dynamic" in "\n".join(section(result.stdout.str()))
    assert "hiddencost.p50_ns" in (pytester.path / "junit.xml").read_text(encoding="utf-8")


# --- switched off -------------------------------------------------------------------------------


def test_disabled_skips_what_measures_and_runs_the_rest(pytester: pytest.Pytester) -> None:
    marked = '@budget(p50="1 s")\ndef test_marked_only(): pass'
    (pytester.path / "test_it.py").write_text(
        suite(CALL, marked, "def test_plain(): pass"), encoding="utf-8"
    )
    result = run_here(pytester, "--hiddencost-disable", "-rs")
    result.assert_outcomes(passed=2, skipped=1)
    assert "hiddencost is switched off (--hiddencost-disable)" in result.stdout.str()
    assert "hidden costs" not in result.stdout.str()


# --- what pytest says about it ------------------------------------------------------------------


def test_markers_shows_the_marker_and_its_units(pytester: pytest.Pytester) -> None:
    result = run_here(pytester, "--markers")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["@pytest.mark.latency_budget(*): *each with its unit*"])


def test_strict_markers_knows_the_marker(pytester: pytest.Pytester) -> None:
    result = run(pytester, NEIGHBOUR, "--strict-markers", "--strict-config")
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("option", ["--fixtures", "--setup-plan", "--setup-only"])
def test_ways_to_look_without_running(pytester: pytest.Pytester, option: str) -> None:
    result = run(pytester, NEIGHBOUR, option)
    assert result.ret == 0
    result.assert_outcomes()
    assert "hiddencost" in result.stdout.str()
