"""Git: its output, its errors, and an environment without the variables of a hook."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_hiddencost.core.errors import GitError
from pytest_hiddencost.system.git import (
    checked_out_commit,
    commit_line,
    git,
    outside_hooks,
    top_folder,
    tracked_files,
)
from tests.repositories import commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("one")
    commit(tmp_path)
    return tmp_path


def test_the_output_is_returned(repository: Path) -> None:
    assert git(repository, "ls-files") == ".gitignore\nfile\n"


def test_variables_can_be_added_to_the_environment(repository: Path) -> None:
    name = git(repository, "var", "GIT_EDITOR", environment={"GIT_EDITOR": "nobody"})
    assert name == "nobody\n"


def test_an_error_names_the_command_and_its_last_line(repository: Path) -> None:
    with pytest.raises(GitError, match=r"git rev-parse --verify nothing: fatal: .*single revision"):
        git(repository, "rev-parse", "--verify", "nothing")


def test_an_error_without_text_has_the_exit_code(repository: Path) -> None:
    with pytest.raises(GitError, match="git rev-parse --verify --quiet nothing: exit 1"):
        git(repository, "rev-parse", "--verify", "--quiet", "nothing")


def test_a_missing_git_is_an_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository / "nothing"))
    with pytest.raises(GitError, match="git could not be run"):
        git(repository, "status")


def test_a_git_that_takes_too_long_is_an_error(repository: Path) -> None:
    with pytest.raises(GitError, match=r"git could not be run: .*timed out"):
        git(repository, "-c", "alias.wait=!sleep 5", "wait", limit_s=0.1)


def test_the_variables_of_a_hook_do_not_reach_git(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / "another"))
    monkeypatch.setenv("GITHUB_SHA", "1234")
    assert "GIT_DIR" not in outside_hooks()
    assert outside_hooks()["GITHUB_SHA"] == "1234"
    assert git(repository, "ls-files") == ".gitignore\nfile\n"


def test_gits_own_list_of_variables_of_a_repository_does_not_reach_git(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = git(repository, "rev-parse", "--local-env-vars").split()
    assert "GIT_DIR" in listed
    of_configuration = {"GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS"}
    for name in listed:
        monkeypatch.setenv(name, "")
    assert {name for name in listed if name in outside_hooks()} <= of_configuration


def test_settings_of_a_person_reach_git(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository of another user is readable only by ``safe.directory``."""
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/somewhere")
    assert outside_hooks()["GIT_SSH_COMMAND"] == "ssh -i key"
    assert git(repository, "config", "safe.directory") == "/somewhere\n"
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (repository / "inner").mkdir()
    with pytest.raises(GitError, match="not a git repository"):
        git(repository / "inner", "status")


def test_git_never_asks_a_person(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "1")
    asks = git(repository, "-c", "alias.asks=!echo $GIT_TERMINAL_PROMPT", "asks")
    assert asks == "0\n"


def test_pathspecs_mean_the_same_whatever_the_environment_says(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert tracked_files(repository, "fil*") == {"file"}


def test_the_checked_out_commit_has_an_id_and_is_dirty_after_a_change(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD").strip()
    assert checked_out_commit(repository) == {"id": head, "dirty": False}
    assert commit_line(repository) == head[:12]
    (repository / "file").write_text("two")
    assert checked_out_commit(repository) == {"id": head, "dirty": True}
    assert commit_line(repository) == f"{head[:12]} with changes"


def test_a_folder_outside_a_repository_has_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert checked_out_commit(tmp_path / "missing") is None
    assert commit_line(tmp_path / "missing") == ""


def test_tracked_files_are_those_of_the_whole_repository(repository: Path) -> None:
    inner = repository / "deep" / "er"
    inner.mkdir(parents=True)
    for name in ("a.py", "naïve \n name.py", "data.txt"):
        (inner / name).write_text("")
    (repository / "top.py").write_text("")
    commit(repository)
    (inner / "new.py").write_text("")
    found = {"top.py", "deep/er/a.py", "deep/er/naïve \n name.py"}
    assert tracked_files(inner, "*.py") == found
    assert tracked_files(repository, "*.py") == found
    assert tracked_files(repository, "*.rs") == frozenset()
    assert top_folder(inner) == repository.resolve()


def test_outside_a_repository_there_are_no_tracked_files(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        tracked_files(tmp_path, "*.py")
    with pytest.raises(GitError, match="not a git repository"):
        top_folder(tmp_path)
