"""Test files are found below the root folder, and written in one step, or left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import SuggestionError
from pytest_hiddencost.judge.budgets import check
from pytest_hiddencost.run.markers import latency_budget
from pytest_hiddencost.suggest.by_function import FunctionSuggestion, suggestions
from pytest_hiddencost.suggest.suite_files import FileChange, Plan, plan_changes
from tests.profiles import network, operator, profile_of

BRIEF = profile_of(operator("aten::relu", 1), varies=("activation_memory",))
SOURCE = b"import pytest\n\ndef test_it(): ...\n"


def measured(*tests: str) -> list[FunctionSuggestion]:
    return suggestions([replace(BRIEF, test=test) for test in tests])


def change_of(folder: Path, source: bytes = SOURCE, name: str = "test_it.py") -> FileChange:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(source)
    (change,) = plan_changes(folder, measured(f"{name}::test_it")).changes
    return change


def left_alone(folder: Path, functions: Sequence[FunctionSuggestion]) -> str:
    plan = plan_changes(folder, functions)
    assert plan.changes == ()
    (line,) = plan.left_alone
    assert len(line.splitlines()) == 1
    return line


def test_a_change_is_shown_as_a_diff_and_then_written(tmp_path: Path) -> None:
    change = change_of(tmp_path)
    assert change.diff().splitlines() == [
        "--- a/test_it.py",
        "+++ b/test_it.py",
        "@@ -1,3 +1,4 @@",
        " import pytest",
        " ",
        '+@pytest.mark.latency_budget(p50="11 ms", p95="12 ms")',
        " def test_it(): ...",
    ]
    assert (tmp_path / "test_it.py").read_bytes() == SOURCE
    change.write()
    assert (tmp_path / "test_it.py").read_bytes() == change.after
    assert [path.name for path in tmp_path.iterdir()] == ["test_it.py"]
    assert left_alone(tmp_path, measured("test_it.py::test_it")) == (
        "test_it.py::test_it: it has a latency_budget marker already"
    )


def test_line_ends_do_not_show_in_the_diff(tmp_path: Path) -> None:
    change = change_of(tmp_path, SOURCE.replace(b"\n", b"\r\n"))
    assert "\r" not in change.diff()
    assert change.after.count(b"\r\n") == 4


def test_functions_of_one_file_are_written_together(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_bytes(b"def test_x(): ...\ndef test_y(): ...\n")
    (tmp_path / "test_b.py").write_bytes(b"class TestB:\n def test_x(self): ...\n")
    tests = "test_a.py::test_x", "test_b.py::TestB::test_x", "test_a.py::test_y[1]"
    plan = plan_changes(tmp_path, measured(*tests))
    assert {change.name: change.functions for change in plan.changes} == {
        "test_a.py": ("test_a.py::test_x", "test_a.py::test_y"),
        "test_b.py": ("test_b.py::TestB::test_x",),
    }
    assert plan.left_alone == ()
    assert plan.changes[0].after.count(b"latency_budget") == 2


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o600, 0o664])
def test_permission_bits_are_kept(tmp_path: Path, mode: int) -> None:
    change = change_of(tmp_path)
    change.path.chmod(mode)
    change.write()
    assert change.path.stat().st_mode & 0o777 == mode


def test_a_link_within_the_root_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.py").write_bytes(SOURCE)
    (tmp_path / "test_it.py").symlink_to("real.py")
    (change,) = plan_changes(tmp_path, measured("test_it.py::test_it")).changes
    change.write()
    assert (tmp_path / "test_it.py").is_symlink()
    assert b"latency_budget" in (tmp_path / "real.py").read_bytes()


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("gone.py::test_it", "no file gone.py in "),
        ("../test_it.py::test_it", "its file is not below "),
        ("/etc/test_it.py::test_it", "its file is not below "),
        ("link/test_it.py::test_it", "its file is not below "),
        ("folder.py::test_it", "no file folder.py in "),
        ("README.md::README.md", "is no test function in a Python file"),
        ("resnet18", "is no test function in a Python file"),
        ("a\0b.py::test_it", "its path cannot be used: "),
        ("x" * 5000 + ".py::test_it", "its path cannot be used: "),
        ("site-packages/test_it.py::test_it", "its file belongs to an installed package"),
        ("test_it.py::test_other", "no such function in the file"),
        ("test_it.py", "no such function in the file"),
    ],
)
def test_a_test_without_a_file_below_the_root_is_left_alone(
    tmp_path: Path, test: str, reason: str
) -> None:
    root = tmp_path / "root"
    for folder in (root, root / "site-packages", tmp_path / "elsewhere", root / "folder.py"):
        folder.mkdir()
    for folder in (tmp_path, root, root / "site-packages", tmp_path / "elsewhere"):
        (folder / "test_it.py").write_bytes(SOURCE)
    (root / "link").symlink_to(tmp_path / "elsewhere")
    line = left_alone(root, measured(test))
    assert line.startswith(f"{test}: ")
    assert reason in line


def test_a_file_that_nothing_may_write_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_bytes(SOURCE)
    path.chmod(0o444)
    assert "its file is read-only" in left_alone(tmp_path, measured("test_it.py::test_it"))


def test_a_file_that_is_nested_too_deeply_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_bytes(SOURCE + b"x = 1" + b" + 1" * 900 + b"\n")
    assert "nested too deeply" in left_alone(tmp_path, measured("test_it.py::test_it"))


def test_a_test_that_had_limits_from_elsewhere_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_bytes(SOURCE)
    found = network(test="test_it.py::test_it", verdicts=check(network(), latency_budget(macs=1)))
    assert "a marker limited it" in left_alone(tmp_path, suggestions([found]))


def test_a_test_of_which_nothing_can_be_limited_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_bytes(SOURCE)
    nothing = profile_of(activation_peak_bytes=None, samples_ns=[5], test="test_it.py::test_it")
    line = left_alone(tmp_path, suggestions([nothing]))
    assert line == "test_it.py::test_it: no limit on it can be decided"


def test_one_bad_function_keeps_no_other_from_its_marker(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_bytes(SOURCE)
    plan: Plan = plan_changes(tmp_path, measured("test_it.py::test_it", "test_it.py::test_x"))
    assert [change.functions for change in plan.changes] == [("test_it.py::test_it",)]
    assert len(plan.left_alone) == 1


def test_a_file_that_changed_since_the_diff_is_not_written(tmp_path: Path) -> None:
    change = change_of(tmp_path)
    change.path.write_bytes(SOURCE + b"# edited\n")
    with pytest.raises(SuggestionError, match=r"test_it\.py: changed meanwhile"):
        change.write()
    assert change.path.read_bytes() == SOURCE + b"# edited\n"
    change.path.unlink()
    with pytest.raises(SuggestionError, match=r"test_it\.py: No such file"):
        change.write()


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = change_of(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SuggestionError, match=r"test_it\.py: No space left on device"):
        change.write()
    assert change.path.read_bytes() == SOURCE
    assert [path.name for path in tmp_path.iterdir()] == ["test_it.py"]
