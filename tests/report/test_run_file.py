"""The run file: written whole or not at all, read back as it was, refused with a reason."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.checks import OPERATORS, Check
from pytest_hiddencost.core.errors import FormatError, SettingError
from pytest_hiddencost.core.printable import printable
from pytest_hiddencost.core.records import InterleavedComparison, Profile, Verdict
from pytest_hiddencost.report import run_file
from tests.profiles import DEVICE, MS, any_profiles, limit_on, network, patient


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def write(path: Path, *profiles: Profile) -> dict[str, Any]:
    """Write a run file and give its JSON."""
    run_file.save(path, profiles, DEVICE, path.parent)
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def rewrite(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**write(path, network()), **changes}), encoding="utf-8")


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as error:
        run_file.load(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


# --- what is written is what is read -----------------------------------------------------------


@settings(patient, max_examples=25)  # each asks git for the commit
@given(st.lists(any_profiles(), max_size=3))
def test_profiles_and_device_are_read_back_as_they_were(profiles: list[Profile]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        run_file.save(path, profiles, DEVICE, Path(folder))
        assert run_file.load(path) == (DEVICE, profiles)


def test_the_document_is_format_1(path: Path) -> None:
    document = write(path, network(label="a"), network(label="b"))
    assert list(document) == ["format", "created", "commit", "device", "profiles", "kinds"]
    assert document["format"] == 1
    assert document["device"]["key"] == DEVICE.key
    assert [profile["label"] for profile in document["profiles"]] == ["a", "b"]


def test_the_time_of_writing_is_in_utc(path: Path) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    created = write(path)["created"]
    assert created.endswith("Z")
    written = datetime.fromisoformat(created.replace("Z", "+00:00"))
    assert before <= written <= datetime.now(timezone.utc)


def test_names_in_any_script_survive(path: Path) -> None:
    write(path, network(label="größe 3×3 \u2028 模型"))
    assert run_file.load(path)[1][0].label == "größe 3×3 \u2028 模型"


def test_keys_of_a_newer_writer_are_passed_over(path: Path) -> None:
    rewrite(path, invented_later={"deep": 1}, commit="unheard of")
    assert run_file.load(path) == (DEVICE, [network()])


# --- the commit --------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Nobody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "nobody@example.com")
    for name in [name for name in os.environ if name in ("GIT_DIR", "GIT_WORK_TREE")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "code.py").write_text("1\n", encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_the_commit_is_that_of_the_tests(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "run.json"
    run_file.save(path, [], DEVICE, repository)
    commit = json.loads(path.read_text(encoding="utf-8"))["commit"]
    assert commit == {"id": git(repository, "rev-parse", "HEAD"), "dirty": False}


def test_uncommitted_changes_are_marked(tmp_path: Path, repository: Path) -> None:
    (repository / "code.py").write_text("2\n", encoding="utf-8")
    path = tmp_path / "run.json"
    run_file.save(path, [], DEVICE, repository)
    assert json.loads(path.read_text(encoding="utf-8"))["commit"]["dirty"] is True


def test_the_index_of_the_repository_is_left_alone(tmp_path: Path, repository: Path) -> None:
    index = repository / ".git" / "index"
    os.utime(repository / "code.py", (1e9, 1e9))  # git would note that it is unchanged all the same
    before = index.read_bytes()
    run_file.save(tmp_path / "run.json", [], DEVICE, repository)
    assert index.read_bytes() == before


@pytest.mark.parametrize("root", ["", "missing"])
def test_outside_a_repository_there_is_no_commit(
    path: Path, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(path.parent.parent))
    run_file.save(path, [], DEVICE, path.parent / root)
    assert json.loads(path.read_text(encoding="utf-8"))["commit"] is None


def test_without_git_there_is_no_commit(
    path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    run_file.save(path, [], DEVICE, repository)
    assert json.loads(path.read_text(encoding="utf-8"))["commit"] is None


# --- all or nothing ----------------------------------------------------------------------------


def test_a_new_run_replaces_the_old_file(path: Path) -> None:
    write(path, network(label="old"), network(label="older"))
    write(path, network(label="new"))
    assert [profile.label for profile in run_file.load(path)[1]] == ["new"]
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


def break_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)


def break_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", forbidden)


def interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(json, "dump", interrupted)


@pytest.mark.parametrize("fault", [break_disk, break_rename, interrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    path: Path, fault: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, network(label="old"))
    before = path.read_bytes()
    with monkeypatch.context() as broken:
        fault(broken)
        with pytest.raises((OSError, KeyboardInterrupt)):
            run_file.save(path, [network(label="new")], DEVICE, path.parent)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


def test_a_number_json_does_not_know_is_never_half_written(path: Path) -> None:
    write(path, network(label="old"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(path, network(label="fine"), network(mac_rate=float("inf")))
    assert [profile.label for profile in run_file.load(path)[1]] == ["old"]
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_others_may_read_it_as_any_file_of_the_user(path: Path, umask: int, mode: int) -> None:
    users = os.umask(umask)
    try:
        write(path)
    finally:
        left = os.umask(users)
    assert path.stat().st_mode & 0o777 == mode
    assert left == umask


# --- refused before the run --------------------------------------------------------------------


def setting_refusal(path: Path) -> str:
    with pytest.raises(SettingError) as error:
        run_file.check_writable(path)
    assert str(error.value).startswith(f"--hiddencost-json={path}: ")
    return str(error.value)


def test_a_path_that_can_be_written_is_left_as_it_is(path: Path) -> None:
    run_file.check_writable(path)
    assert list(path.parent.iterdir()) == []
    path.write_text("a file of the user's", encoding="utf-8")
    os.utime(path, (0, 0))
    run_file.check_writable(path)
    assert path.read_text(encoding="utf-8") == "a file of the user's"
    assert path.stat().st_mtime == 0
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder; name a file in it" in setting_refusal(tmp_path)


def test_the_setting_that_named_the_path_is_blamed(tmp_path: Path) -> None:
    with pytest.raises(SettingError) as error:
        run_file.check_writable(tmp_path, "hiddencost_json in the ini file")
    assert str(error.value).startswith(f"hiddencost_json in the ini file: {tmp_path}: is a folder")


def test_a_missing_parent_is_refused(tmp_path: Path) -> None:
    message = setting_refusal(tmp_path / "missing" / "run.json")
    assert f"the folder {tmp_path / 'missing'} does not exist" in message
    assert not (tmp_path / "missing").exists()


def test_a_file_as_parent_is_refused(path: Path) -> None:
    path.touch()
    assert "does not exist" in setting_refusal(path / "run.json")


def test_a_folder_nobody_can_write_to_is_refused() -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("/proc is the one folder even root cannot write to")
    assert "cannot be written: " in setting_refusal(Path("/proc/run.json"))


def test_a_read_only_folder_is_refused(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        if os.access(path.parent, os.W_OK):
            pytest.skip("root writes everywhere")
        assert "cannot be written: Permission denied" in setting_refusal(path)
    finally:
        path.parent.chmod(0o700)


def test_a_read_only_file_is_refused(path: Path) -> None:
    path.touch(mode=0o400)
    if os.access(path, os.W_OK):
        pytest.skip("root writes everything")
    assert "cannot be written: Permission denied" in setting_refusal(path)


def test_a_device_is_refused_rather_than_replaced() -> None:
    # A regular file in the place of /dev/null, as root may put it there, breaks the machine.
    setting_refusal(Path("/dev/null"))


def test_a_pipe_is_refused_rather_than_replaced(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without one, opening to write would wait
    try:
        setting_refusal(path)
    finally:
        os.close(reader)


def test_an_open_file_is_refused_rather_than_replaced(tmp_path: Path, path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc")
    with (tmp_path / "out").open("wb") as file:  # as standard output, redirected
        path.symlink_to(f"/proc/self/fd/{file.fileno()}")
        why = "is a file that a process has open, and would be replaced"
        assert why in setting_refusal(Path(f"/dev/fd/{file.fileno()}"))
        assert why in setting_refusal(path)


def test_a_link_is_checked_where_it_leads_to(tmp_path: Path, path: Path) -> None:
    path.symlink_to(tmp_path / "runs" / "today.json")
    assert f"the folder {tmp_path / 'runs'} does not exist" in setting_refusal(path)
    (tmp_path / "runs").mkdir()
    run_file.check_writable(path)
    write(path, network())
    assert path.is_symlink()
    assert len(run_file.read(tmp_path / "runs" / "today.json").profiles) == 1


# --- refused when read -------------------------------------------------------------------------


def test_a_missing_file_is_named(path: Path) -> None:
    assert "cannot be read as a run file" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"not JSON", b'{"format": 1, "profiles": [', b"\xff\xfe\x00", b"format = 1\n"],
)
def test_text_that_is_not_json_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "cannot be read as a run file" in refusal(path)


def test_a_folder_is_no_run_file(tmp_path: Path) -> None:
    assert "cannot be read as a run file" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["[]", "5", "null", '"profiles"', "{}", '{"format": 1}'])
def test_other_json_is_refused(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    assert "not a run file: no 'profiles' in it" in refusal(path)


@pytest.mark.parametrize("other", [2, 0, "1", None, 1.5])
def test_another_format_is_refused_with_both_numbers(path: Path, other: object) -> None:
    rewrite(path, format=other)
    assert f"format {other!r}, this version reads format 1" in refusal(path)


@pytest.mark.parametrize("device", [None, {}, "cpu"])
def test_a_file_without_its_device_is_refused(path: Path, device: object) -> None:
    rewrite(path, device=device)
    assert "device: " in refusal(path)


@pytest.mark.parametrize("profiles", [None, 5, True, "text", {"0": {}}, [None], [{}], [5]])
def test_data_that_are_no_profiles_are_refused(path: Path, profiles: object) -> None:
    rewrite(path, profiles=profiles)
    assert "profile" in refusal(path)


def test_the_key_that_is_wrong_is_named(path: Path) -> None:
    document = write(path, network(), network())
    document["profiles"][1]["latency"]["median_ns"] = "fast"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert "latency.median_ns: expected float, got 'fast'" in refusal(path)


# --- the same figures for JUnit ----------------------------------------------------------------


def test_properties_are_the_records_figures_with_their_units() -> None:
    profile = network(
        verdicts=(
            Verdict(limit_on("p50"), "pass", 10 * MS, 11 * MS),
            Verdict(Check(OPERATORS, "aten::cat"), "fail", 0.1, 0.05, unit="share"),
        )
    )
    assert dict(run_file.properties(profile)) == {
        "hiddencost.p50_ns": "10000000",
        "hiddencost.p95_ns": str(round(profile.latency.p95_ns)),
        "hiddencost.p99_ns": str(round(profile.latency.p99_ns)),
        "hiddencost.samples": "600",
        "hiddencost.macs": "30000000",
        "hiddencost.mac_rate": "3000000000",
        "hiddencost.non_mac_share": "0.4000",
        "hiddencost.activation_peak_bytes": str(24 * 2**20),
        "hiddencost.verdict.p50": "pass",
        "hiddencost.verdict.operators[aten::cat]": "fail",
    }


def test_a_label_keeps_the_properties_of_calls_apart() -> None:
    names = {name for name, _ in run_file.properties(network(label="batch 1"))}
    assert "hiddencost[batch 1].p50_ns" in names
    assert all(name.startswith("hiddencost[batch 1].") for name in names)


def test_names_of_properties_have_no_character_that_xml_forbids() -> None:
    """pytest escapes the values, and writes the names as they are."""
    verdict = Verdict(Check(OPERATORS, "odd\x1b::op"), "pass", 0.1, 0.2, unit="share")
    found = run_file.properties(network(label="a\x1b\ufffe\ud800b", verdicts=(verdict,)))
    element = ElementTree.Element("properties")
    for name, value in found:
        ElementTree.SubElement(element, "property", name=name, value=value)
    names = {p.get("name") for p in ElementTree.fromstring(ElementTree.tostring(element))}
    assert "hiddencost[a\\x1b\\ufffe\\ud800b].p50_ns" in names
    assert "hiddencost[a\\x1b\\ufffe\\ud800b].verdict.operators[odd\\x1b::op]" in names


def test_an_unknown_figure_is_no_property() -> None:
    names = {
        name for name, _ in run_file.properties(replace(network(), activation_peak_bytes=None))
    }
    assert "hiddencost.activation_peak_bytes" not in names
    assert "hiddencost.macs" in names


def test_the_base_of_a_run_is_a_property_and_the_ratio_if_it_was_measured() -> None:
    found = InterleavedComparison("main", "0123456789abcdef", 1.05123, (1.04, 1.06))
    properties = dict(run_file.properties(network(interleaved=found)))
    assert properties["hiddencost.paired.revision"] == "main (0123456789)"
    assert properties["hiddencost.paired.ratio"] == "1.0512"
    unmeasured = network(interleaved=replace(found, ratio=None, interval=None))
    assert "hiddencost.paired.ratio" not in dict(run_file.properties(unmeasured))


@settings(patient, max_examples=50)
@given(any_profiles())
def test_properties_are_texts_close_to_the_stored_figures(profile: Profile) -> None:
    found = run_file.properties(profile)
    assert all(type(name) is str and type(value) is str for name, value in found)
    prefix = f"hiddencost[{printable(profile.label)}]." if profile.label else "hiddencost."
    by_name = {name.removeprefix(prefix): value for name, value in found}
    assert int(by_name["p50_ns"]) == pytest.approx(profile.latency.median_ns, abs=0.5)
    assert int(by_name["mac_rate"]) == pytest.approx(profile.mac_rate, abs=0.5)
    assert float(by_name["non_mac_share"]) == pytest.approx(profile.non_mac_share, abs=5.1e-5)
    assert int(by_name["macs"]) == profile.macs
    assert int(by_name["samples"]) == len(profile.latency.samples_ns)
