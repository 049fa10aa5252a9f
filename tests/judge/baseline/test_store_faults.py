"""Baselines that cannot be used, links, full and read-only disks: refused, and nothing is lost."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.errors import BaselineError, FormatError, HiddenCostError
from pytest_hiddencost.judge.baseline import files as baseline_files
from pytest_hiddencost.judge.baseline.document import parse_document, render
from tests.judge.baseline.stored_entries import (
    DEVICE,
    MODULE,
    OTHER,
    entry,
    environment,
    file_of,
    snapshot,
    store,
)
from tests.profiles import patient

VALID = render(DEVICE, MODULE, {"test_a": {"": encode(entry(1))}})


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base directory with one entry in one file."""
    base = tmp_path / ".hiddencost"
    store(base).update({(MODULE, "test_a", ""): entry(1)})
    return base


def read_refusal(base: Path, module: str = MODULE) -> str:
    with pytest.raises(BaselineError) as error:
        store(base).entry(module, "test_a", "")
    assert isinstance(error.value, HiddenCostError)
    with pytest.raises(BaselineError, match=re.escape(str(error.value))):
        store(base).entries(module)
    return str(error.value)


def update_refusal(base: Path, module: str = MODULE) -> str:
    with pytest.raises(BaselineError) as error:
        store(base).update({(module, "test_new", ""): entry(9)})
    return str(error.value)


# --- contents ----------------------------------------------------------------------------------


def spoiled(*path: str, value: Any = None) -> bytes:
    """The valid file with another value at one place; without one the key is gone."""
    document = json.loads(VALID)
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    if value is None:
        del target[path[-1]]
    return json.dumps(document).encode()


def spoiled_entry(*path: str, value: Any = None) -> bytes:
    return spoiled("entries", "test_a", "", *path, value=value)


TWICE = VALID.replace(b'"test_a": {', b'"test_a": {},\n  "test_a": {')
MERGED = VALID.replace(b' "format"', b'<<<<<<< ours\n "format"')
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "cannot be read as JSON"),
    "truncated": (VALID[: len(VALID) // 2], "cannot be read as JSON"),
    "text": (b"Hello\n", "cannot be read as JSON"),
    "zeros": (bytes(4096), "cannot be read as JSON"),
    "utf-16": (VALID.decode().encode("utf-16"), "cannot be read as JSON: 'utf-8' codec"),
    "byte order mark": (b"\xef\xbb\xbf" + VALID, "cannot be read as JSON"),
    "merge conflict": (MERGED, "a merge left its conflict markers in it"),
    "merged twice": (TWICE, "the key 'test_a' is there twice"),
    "deep lists": (b"[" * 200_000, "nested too deeply"),
    "deep objects": (b'{"a":' * 200_000, "nested too deeply"),
    "NaN": (VALID.replace(b"10.25", b"NaN"), "NaN is not a number"),
    "Infinity": (VALID.replace(b"10.25", b"-Infinity"), "-Infinity is not a number"),
    "1e999": (VALID.replace(b"10.25", b"1e999"), "1e999 is too large for a number"),
    "5000 digits": (VALID.replace(b"30000000", b"9" * 5000), "a number of 5000 digits"),
    "list": (b"[]", "expected an object, got []"),
    "null": (b"null", "expected an object, got None"),
    "no format": (spoiled("format"), "format None, and this version reads format 1"),
    "format 0": (spoiled("format", value=0), "format 0, and"),
    "format '1'": (spoiled("format", value="1"), "format '1', and"),
    "format true": (spoiled("format", value=True), "format True, and"),
    "format 1.0": (spoiled("format", value=1.0), "format 1.0, and"),
    "no device": (spoiled("device"), "lacks the key 'device'"),
    "device text": (spoiled("device", value="cpu"), "baseline.device: expected an object"),
    "cores text": (spoiled("device", "cores", value="4"), "baseline.device.cores: expected int"),
    "other device": (spoiled("device", "key", value="cpu-x"), "device 'cpu-x' in the folder"),
    "no module": (spoiled("module"), "lacks the key 'module'"),
    "other module": (spoiled("module", value=OTHER), f"module {OTHER!r} in the file of"),
    "no entries": (spoiled("entries"), "lacks the key 'entries'"),
    "entries list": (spoiled("entries", value=[]), "baseline.entries: expected an object"),
    "labels list": (spoiled("entries", "test_a", value=[1]), "entries['test_a']: expected an obj"),
    "entry text": (spoiled("entries", "test_a", "", value="x"), "entries['test_a']['']: expected"),
    "entry without macs": (spoiled_entry("macs"), "lacks the key 'macs'"),
    "p50 text": (spoiled_entry("p50_ns", value="fast"), "p50_ns: expected a list"),
    "p50 float": (spoiled_entry("p50_ns", value=[1.5, 2.5]), "p50_ns[0]: expected int"),
    "p50 missing": (spoiled_entry("p50_ns", value=[]), "for 0 launches"),
    "p50 zero": (spoiled_entry("p50_ns", value=[0, 1]), "p50_ns: 0 is not a possible value"),
    "p50 huge": (spoiled_entry("p50_ns", value=[10**19, 1]), "is not a possible value"),
    "launches": (spoiled_entry("control_ns", value=[1]), "1 values for 2 launches"),
    "macs negative": (spoiled_entry("macs", value=-1), "macs: -1 is not a possible count"),
    "groups list": (spoiled_entry("groups_ns", value=[]), "groups_ns: expected an object"),
    "group text": (spoiled_entry("groups_ns", value={"mac": "x"}), "groups_ns['mac']: expected"),
    "operator text": (spoiled_entry("operators", value={"o": "x"}), "operators['o']: expected"),
    "modules list": (
        spoiled_entry("operators", "aten::operator_0", "modules", value=[1]),
        "operators['aten::operator_0'].modules: expected an object",
    ),
}


@pytest.mark.parametrize(("content", "problem"), HOSTILE.values(), ids=list(HOSTILE))
def test_an_unusable_file_is_refused_with_the_way_out_and_never_overwritten(
    base: Path, content: bytes, problem: str
) -> None:
    path = file_of(base)
    path.write_bytes(content)
    message = read_refusal(base)
    assert message.startswith(f"{path}: ")
    assert problem in message
    assert f"git checkout -- {path}" in message
    assert "--hiddencost-update" in message
    assert len(message) < 1000
    assert update_refusal(base) == message
    assert path.read_bytes() == content
    with pytest.raises(BaselineError):
        store(base).update({(MODULE, "test_a", ""): None})
    assert path.read_bytes() == content


@pytest.mark.parametrize("number", [2, 10**20])
def test_a_newer_format_asks_for_an_upgrade(base: Path, number: int) -> None:
    content = b'{"format": %d, "everything": "else"}' % number
    file_of(base).write_bytes(content)
    message = read_refusal(base)
    assert message.startswith(f"{file_of(base)}: written by a newer version, format {number}: ")
    assert "upgrade pytest-hiddencost, or delete the file and record again" in message
    assert update_refusal(base) == message
    assert file_of(base).read_bytes() == content


def test_other_files_are_written_and_every_bad_one_is_named(base: Path) -> None:
    bad = [MODULE, "tests/test_worse.py"]
    for module in bad:
        file_of(base, module).write_bytes(b"{")
    with pytest.raises(BaselineError) as error:
        store(base).update(
            {(module, "test_new", ""): entry(9) for module in [*bad, OTHER, "a.py", "z.py"]}
        )
    lines = str(error.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(file_of(base, m)) for m in bad]
    for module in (OTHER, "a.py", "z.py"):
        assert store(base).entry(module, "test_new", "") == entry(9)
    assert all(file_of(base, module).read_bytes() == b"{" for module in bad)


def test_a_bad_file_does_not_keep_others_from_being_read(base: Path) -> None:
    store(base).update({(OTHER, "test_a", ""): entry(2)})
    file_of(base).write_bytes(b"{")
    assert store(base).modules() == [MODULE, OTHER]
    assert store(base).entry(OTHER, "test_a", "") == entry(2)


def test_a_file_is_usable_again_once_it_is_deleted(base: Path) -> None:
    baselines = store(base)
    file_of(base).write_bytes(b"{")
    with pytest.raises(BaselineError):
        baselines.entry(MODULE, "test_a", "")
    file_of(base).unlink()
    assert baselines.entry(MODULE, "test_a", "") is None
    baselines.update({(MODULE, "test_a", ""): entry(5)})
    assert baselines.entry(MODULE, "test_a", "") == entry(5)


@patient
@given(st.integers(0, len(VALID) - 3))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(FormatError):
        parse_document(VALID[:length], DEVICE.key, MODULE)


@settings(patient, max_examples=300)
@given(st.binary(max_size=6), st.integers(0, len(VALID)), st.integers(0, 6))
@example(b"\xff", 5, 1)
def test_a_spoiled_file_is_read_or_refused_and_nothing_else(
    inserted: bytes, start: int, removed: int
) -> None:
    data = VALID[:start] + inserted + VALID[start + removed :]
    try:
        document, entries = parse_document(data, DEVICE.key, MODULE)
    except FormatError:
        return
    assert document.module == MODULE
    assert (
        parse_document(render(document.device, MODULE, entries), DEVICE.key, MODULE)[1] == entries
    )


def test_contents_that_could_not_be_written_again_are_left_alone(base: Path) -> None:
    deep = VALID.replace(b'"commit"', b'"later": ' + b"[" * 700 + b"]" * 700 + b', "commit"')
    file_of(base).write_bytes(deep)
    baselines = store(base)
    try:
        baselines.update({(MODULE, "test_new", ""): entry(2)})
    except BaselineError:
        assert file_of(base).read_bytes() == deep
    else:
        assert store(base).entry(MODULE, "test_new", "") == entry(2)


@pytest.mark.parametrize("size", [100 * 2**20, 16 * 2**20 + 1])
def test_a_file_of_unlikely_size_is_refused_without_reading_it(
    base: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(*_: object) -> None:
        raise AssertionError("it was opened")

    os.truncate(file_of(base), size)  # sparse: it takes no space
    monkeypatch.setattr(Path, "open", unread)
    message = read_refusal(base)
    assert f"has {size} bytes, and a baseline at most 16777216" in message
    assert "git checkout -- " in message
    assert update_refusal(base) == message
    assert file_of(base).stat().st_size == size


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_a_folder_or_pipe_in_the_place_of_a_file_is_refused(base: Path, kind: str) -> None:
    file_of(base).unlink()
    if kind == "folder":
        file_of(base).mkdir()
    else:
        os.mkfifo(file_of(base))
    message = read_refusal(base)
    assert message == f"{file_of(base)}: is not a file, but a baseline lies here: move it away"
    assert update_refusal(base) == message


def test_a_file_in_the_place_of_a_folder_is_refused(base: Path) -> None:
    (base / DEVICE.key / "a file").write_text("the user's", encoding="utf-8")
    module = "a file/test_a.py"
    assert "cannot be read: Not a directory" in read_refusal(base, module)
    assert "cannot be read: Not a directory" in update_refusal(base, module)
    assert (base / DEVICE.key / "a file").read_text(encoding="utf-8") == "the user's"


@pytest.mark.parametrize("name", ["%41.json", "%2e.json", "ö.json", "%FF.json", "%.x/a.json"])
def test_a_file_name_that_no_module_has_is_refused(base: Path, name: str) -> None:
    path = base / DEVICE.key / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(BaselineError, match="is not a name that pytest-hiddencost gives to a"):
        store(base).modules()


def test_files_of_other_kinds_are_no_baselines(base: Path) -> None:
    (base / DEVICE.key / "README.md").touch()
    (base / DEVICE.key / ".writing-12ab.tmp").touch()
    (base / "notes.json").touch()
    assert store(base).modules() == [MODULE]


# --- what is not written -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"relative": (math.nan, 1.0)}, "not JSON compliant"),
        ({"relative": (math.inf, 1.0)}, "not JSON compliant"),
        ({"p50_ns": ()}, "for 0 launches"),
        ({"macs": -1}, "macs: -1 is not a possible count"),
        ({"macs": 1.5}, "macs: expected int"),
        ({"model": "m" * 2**24}, "bytes, and a baseline at most 16777216"),
        ({"model": "\ud83d\ude00"}, "its entries would change"),
    ],
)
def test_an_entry_that_could_not_be_read_again_is_not_written(
    base: Path, changes: dict[str, Any], problem: str
) -> None:
    before = snapshot(base)
    with pytest.raises(BaselineError) as error:
        store(base).update({(MODULE, "test_new", ""): replace(entry(), **changes)})
    assert str(error.value).startswith(f"{file_of(base)}: not written, it could not be read back: ")
    assert problem in str(error.value)
    assert snapshot(base) == before


# --- links -------------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the base with a valid baseline in it, and what a killed process left."""
    folder = tmp_path / "outside"
    (folder / "tests").mkdir(parents=True)
    (folder / f"{MODULE}.json").write_bytes(VALID)
    (folder / ".writing-12ab.tmp").touch()
    return folder


LINKS = {
    "device": (DEVICE.key, ""),
    "folder": (f"{DEVICE.key}/tests", "tests"),
    "file": (f"{DEVICE.key}/{MODULE}.json", f"{MODULE}.json"),
}


@pytest.mark.parametrize("exists", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize(("link", "target"), LINKS.values(), ids=list(LINKS))
def test_nothing_is_read_or_written_through_a_link(
    tmp_path: Path, outside: Path, link: str, target: str, exists: bool
) -> None:
    base = tmp_path / ".hiddencost"
    pointed = outside / target if exists else tmp_path / "missing"
    (base / link).parent.mkdir(parents=True, exist_ok=True)
    (base / link).symlink_to(pointed)
    before = snapshot(outside)
    for message in (read_refusal(base), update_refusal(base)):
        assert message.startswith(f"{base / link}: is a symbolic link, and hiddencost does not ")
    with pytest.raises(BaselineError, match="is a symbolic link"):
        store(base).update({(MODULE, "test_a", ""): None})
    with pytest.raises(BaselineError, match="is a symbolic link"):
        store(base).modules()
    if link != LINKS["file"][0]:
        assert "is a symbolic link" in update_refusal(base, "tests/new/er/test_b.py")
    assert snapshot(outside) == before
    assert not (tmp_path / "missing").exists()
    assert (base / link).is_symlink()


def test_empty_folders_behind_a_link_are_left(base: Path, outside: Path) -> None:
    (outside / "empty").mkdir()
    (base / DEVICE.key / "link").symlink_to(outside)
    update_refusal(base, "link/empty/test_a.py")
    assert (outside / "empty").is_dir()


def test_a_link_that_comes_late_is_not_followed(base: Path, outside: Path) -> None:
    before = snapshot(outside)
    (base / DEVICE.key / "link").symlink_to(outside)
    path = base / DEVICE.key / "link" / f"{MODULE}.json"
    with pytest.raises(BaselineError, match="is a symbolic link"):
        baseline_files.write_file(base, path, b"{}")
    with pytest.raises(BaselineError, match="is a symbolic link"):
        baseline_files.remove(base, path)
    assert snapshot(outside) == before


def test_leftovers_behind_a_link_are_left(base: Path, outside: Path) -> None:
    (base / DEVICE.key / "link").symlink_to(outside)
    store(base).update({(MODULE, "test_b", ""): entry()})
    assert (outside / ".writing-12ab.tmp").exists()


@pytest.mark.parametrize("exists", [True, False], ids=["there", "dangling"])
def test_a_linked_lock_is_refused(base: Path, tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "precious"
    if exists:
        target.write_text("precious", encoding="utf-8")
    (base / ".lock").unlink(missing_ok=True)
    (base / ".lock").symlink_to(target)
    before = snapshot(base)
    message = update_refusal(base)
    assert message.startswith(f"{base / '.lock'}: is a symbolic link")
    assert snapshot(base) == before
    assert target.exists() is exists
    assert not exists or target.read_text(encoding="utf-8") == "precious"


def test_a_linked_gitignore_is_not_written_through(base: Path, tmp_path: Path) -> None:
    (base / ".gitignore").unlink()
    (base / ".gitignore").symlink_to(tmp_path / "missing")
    store(base).update({(MODULE, "test_b", ""): entry()})
    assert not (tmp_path / "missing").exists()


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(BaselineError, match=re.escape(str(tmp_path / "a"))):
        store(tmp_path / "a").update({(MODULE, "test_a", ""): entry()})


# --- the lock ----------------------------------------------------------------------------------


def test_a_lock_that_is_never_released_is_named(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(baseline_files, "LOCK_TIMEOUT_S", 0.1)
    before = snapshot(base)
    with FileLock(base / ".lock"):
        message = update_refusal(base)
        assert store(base).entry(MODULE, "test_a", "") == entry(1)  # readers need no lock
    assert message.startswith(f"{base / '.lock'}: another process held this lock for 0.1 s; ")
    assert "nothing was written" in message
    assert snapshot(base) == before
    store(base).update({(MODULE, "test_new", ""): entry(9)})


def test_a_folder_in_the_place_of_the_lock_is_refused(base: Path) -> None:
    (base / ".lock").unlink(missing_ok=True)
    (base / ".lock").mkdir()
    assert update_refusal(base).startswith(f"{base / '.lock'}: cannot be written: ")


def test_a_file_system_without_locks_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> None:
        raise NotImplementedError("flock is unknown here")

    monkeypatch.setattr("filelock.FileLock.acquire", missing)
    before = snapshot(base)
    message = update_refusal(base)
    assert message.startswith(f"{base / '.lock'}: cannot be locked: flock is unknown here; ")
    assert snapshot(base) == before


def test_leftovers_of_killed_processes_are_removed_but_nothing_else(base: Path) -> None:
    leftovers = [base / ".writing-1.tmp", file_of(base).parent / ".writing-2.tmp"]
    others = [base / "notes.tmp", base / "docs" / ".writing-3.tmp", base / DEVICE.key / "x.tmp"]
    for path in [*leftovers, *others]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    store(base).update({(MODULE, "test_a", ""): entry(1)})
    assert not any(path.exists() for path in leftovers)
    assert all(path.exists() for path in others)


# --- disks -------------------------------------------------------------------------------------


def failing(error: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(error, os.strerror(error))

    return fail


def full_disk(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    return "No space left on device"


def no_rename(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(os, "replace", failing(errno.EPERM))
    return "Operation not permitted"


def read_only(monkeypatch: pytest.MonkeyPatch) -> str:
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if mode != "rb":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opened(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refuse)
    return "Permission denied"


@pytest.mark.parametrize("fault", [full_disk, no_rename, read_only])
@pytest.mark.parametrize("module", [MODULE, "new/folder/test_new.py"])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    base: Path,
    fault: Callable[[pytest.MonkeyPatch], str],
    module: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = snapshot(base)
    with monkeypatch.context() as broken:
        problem = fault(broken)
        message = update_refusal(base, module)
    assert message.startswith(f"{file_of(base, module)}: cannot be written: {problem}; ")
    assert "nothing was lost" in message
    assert snapshot(base) == before
    store(base).update({(module, "test_new", ""): entry(9)})


def test_a_first_update_that_fails_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / ".hiddencost"
    with monkeypatch.context() as broken:
        full_disk(broken)
        assert "No space left on device" in update_refusal(base)
    assert snapshot(base) == {}
    store(base).update({(MODULE, "test_a", ""): entry()})
    assert ".lock" in (base / ".gitignore").read_text(encoding="utf-8")


def test_an_interrupt_leaves_what_was_there_and_nothing_else(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    before = snapshot(base)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store(base).update({(MODULE, "test_new", ""): entry(9)})
    assert snapshot(base) == before
    store(base).update({(MODULE, "test_new", ""): entry(9)})


def test_a_drop_that_fails_leaves_the_file(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(base)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "unlink", failing(errno.EROFS))
        with pytest.raises(BaselineError, match="cannot be written: Read-only file system"):
            store(base).update({(MODULE, "test_a", ""): None})
    assert snapshot(base) == before


SMALL_FILES_ONLY = """
import resource, sys
from pathlib import Path
from tests.judge.baseline.stored_entries import MODULE, entry, store
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
store(Path(sys.argv[1])).update({(MODULE, "test_new", ""): entry(2, operators=100)})
"""


def test_a_file_that_is_cut_while_written_replaces_nothing(base: Path) -> None:
    before = snapshot(base)
    done = subprocess.run(
        [sys.executable, "-c", SMALL_FILES_ONLY, str(base)],
        env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"BaselineError: {file_of(base)}: cannot be written: File too large" in done.stderr
    assert snapshot(base) == before


def test_a_base_that_is_a_file_is_refused(tmp_path: Path) -> None:
    base = tmp_path / ".hiddencost"
    base.write_text("the user's", encoding="utf-8")
    assert f"{base}: is not a folder" in update_refusal(base)
    assert "cannot be read: Not a directory" in read_refusal(base)
    with pytest.raises(BaselineError, match="cannot be read: Not a directory"):
        store(base).modules()
    assert store(base).elsewhere(MODULE, "test_a", "") == []
    assert base.read_text(encoding="utf-8") == "the user's"


def test_a_base_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    base = tmp_path / "file" / ".hiddencost"
    assert update_refusal(base).startswith(f"{base}: cannot be written: Not a directory")


def test_a_read_only_base_is_refused(base: Path) -> None:
    before = snapshot(base)
    folders = [base, base / DEVICE.key, file_of(base).parent]
    for folder in folders:
        folder.chmod(0o500)
    try:
        if os.access(base, os.W_OK):
            pytest.skip("root writes everywhere")
        assert "cannot be written: Permission denied" in update_refusal(base)
        assert store(base).entry(MODULE, "test_a", "") == entry(1)
    finally:
        for folder in folders:
            folder.chmod(0o700)
    assert snapshot(base) == before


def test_a_file_nobody_may_read_is_refused(base: Path) -> None:
    file_of(base).chmod(0)
    if os.access(file_of(base), os.R_OK):
        pytest.skip("root reads everything")
    assert "cannot be read: Permission denied" in read_refusal(base)
    assert "cannot be read: Permission denied" in update_refusal(base)


def test_a_file_the_disk_cannot_read_is_refused(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "open", failing(errno.EIO))
    assert read_refusal(base) == f"{file_of(base)}: cannot be read: Input/output error"
