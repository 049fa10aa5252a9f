"""Baselines: what is recorded is what is found again, and an update changes what it was asked to.

Contents that cannot be used, faults and several processes have files of their own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pytest_hiddencost.core.codec import encode
from pytest_hiddencost.core.errors import BaselineError
from pytest_hiddencost.judge.baseline.document import parse_document, render
from pytest_hiddencost.judge.baseline.entries import LARGEST, Entry, OperatorEntry
from pytest_hiddencost.judge.baseline.files import (
    MAX_NAME_BYTES,
    decoded,
    device_folder,
    encoded,
    module_path,
)
from pytest_hiddencost.judge.baseline.store import Baselines, split_node_id
from tests.judge.baseline.stored_entries import (
    DEVICE,
    MODULE,
    OTHER,
    entry,
    file_of,
    snapshot,
    store,
)
from tests.profiles import patient

on_disk = settings(patient, max_examples=25, suppress_health_check=[HealthCheck.too_slow])

FOLDER = PurePosixPath("/base/device")
PIECES = [
    "/", "/", ".", "..", "...", "", "a", "A", "test_models.py", ".json", ".lock", ".git", "%",
    "%2E", "%2F", "\\", ":", "::", "~", " ", "*", "\0", "\n", "ö", "o\u0308", "模", "\udcff",
    "\U0001f600", "con", "-", "..\\", ".writing-1.tmp",
]  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / ".hiddencost"


def any_paths() -> st.SearchStrategy[str]:
    """Module ids from ordinary to hostile."""
    pieces = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
    return pieces | st.text(st.characters(exclude_categories=()), max_size=12)


def joined(text: str) -> bool:
    """No two halves of one character side by side: JSON cannot tell them from it."""
    return text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


@st.composite
def any_entries(draw: st.DrawFn) -> Entry:
    """Entries of one to three launches with every number that could have been measured."""
    text, count = st.text(max_size=8), st.integers(0, LARGEST)
    launches = draw(st.integers(1, 3))

    def times(least: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
        return st.tuples(*[st.integers(least, LARGEST)] * launches)

    def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
        return st.dictionaries(text, values, max_size=3)

    operators = st.builds(
        OperatorEntry, group=text, calls=count, self_ns=times(), calls_most=st.none() | count,
        below_resolution=st.booleans(), modules=named(count),
    )  # fmt: skip
    return draw(
        st.builds(
            Entry, model=text, created=text, commit=text, reason=text, macs=count,
            mac_kinds=named(count), allocated_bytes=st.none() | count,
            activation_peak_bytes=st.none() | count, p50_ns=times(1), reference_ns=times(),
            relative=st.tuples(*[st.floats(1e-6, 1e9)] * launches), non_mac_ns=times(),
            groups_ns=named(times()), operators=named(operators),
        )
    )  # fmt: skip


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# --- node ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodeid", "module", "test"),
    [
        ("tests/test_a.py::test_b", "tests/test_a.py", "test_b"),
        ("test_a.py::TestA::test_b[x::y/z]", "test_a.py", "TestA::test_b[x::y/z]"),
        ("../outside/test_a.py::test_b", "../outside/test_a.py", "test_b"),
        ("README.md", "README.md", ""),
    ],
)
def test_a_node_id_is_its_module_and_its_test(nodeid: str, module: str, test: str) -> None:
    assert split_node_id(nodeid) == (module, test)


# --- what is recorded is found again -----------------------------------------------------------


def test_another_process_on_the_device_finds_what_was_recorded(base: Path) -> None:
    written = store(base).update({(MODULE, "test_a", "b1"): entry(1), (OTHER, "test_b", ""): None})
    assert written == [file_of(base)]
    found = store(base)
    assert found.entry(MODULE, "test_a", "b1") == entry(1)
    assert repr(found.entry(MODULE, "test_a", "b1")) == repr(entry(1))  # == takes 1 for 1.0
    assert found.entries(MODULE) == {("test_a", "b1"): entry(1)}
    assert found.modules() == [MODULE]


@pytest.mark.parametrize(
    ("module", "test", "label"),
    [(MODULE, "test_a", ""), (MODULE, "test_b", "b1"), (OTHER, "test_a", "b1"), ("", "", "")],
)
def test_a_call_that_was_never_recorded_has_no_entry(
    base: Path, module: str, test: str, label: str
) -> None:
    store(base).update({(MODULE, "test_a", "b1"): entry()})
    assert store(base).entry(module, test, label) is None


def test_another_device_has_baselines_of_its_own(base: Path) -> None:
    store(base).update({(MODULE, "test_a", ""): entry(1)})
    other = store(base, key="cpu-other")
    assert other.entry(MODULE, "test_a", "") is None
    assert other.modules() == []
    other.update({(MODULE, "test_a", ""): entry(2)})
    assert store(base).entry(MODULE, "test_a", "") == entry(1)


@on_disk
@given(
    st.dictionaries(
        st.tuples(any_paths().filter(joined), st.text(max_size=20), st.text(max_size=8)),
        any_entries(),
        min_size=1,
        max_size=4,
    )
)
def test_any_entries_of_any_modules_survive(recorded: dict[tuple[str, str, str], Entry]) -> None:
    with TemporaryDirectory() as folder:
        base = Path(folder, "base")
        written = store(base).update(recorded)
        assert all(path.is_file() for path in written)
        found = store(base)
        assert found.modules() == sorted({module for module, _, _ in recorded})
        for (module, test, label), wanted in recorded.items():
            assert found.entry(module, test, label) == wanted
            assert (test, label) in found.entries(module)
        outside = {item.name for item in Path(folder).iterdir()} - {"base"}
        assert not outside
        assert {item.name for item in base.iterdir()} <= {".gitignore", ".lock", DEVICE.key}


def test_a_file_is_read_once_until_an_update(base: Path) -> None:
    store(base).update({(MODULE, "test_a", ""): entry(1), (OTHER, "test_a", ""): entry(1)})
    reader = store(base)
    assert reader.entry(MODULE, "test_a", "") == entry(1)
    store(base).update({(MODULE, "test_a", ""): entry(2)})
    assert reader.entry(MODULE, "test_a", "") == entry(1)
    reader.update({(OTHER, "test_a", ""): entry(3)})
    assert reader.entry(MODULE, "test_a", "") == entry(2)
    assert reader.entry(OTHER, "test_a", "") == entry(3)


def test_changing_the_returned_entries_changes_no_baseline(base: Path) -> None:
    store(base).update({(MODULE, "test_a", ""): entry()})
    reader = store(base)
    found = reader.entries(MODULE)
    assert isinstance(found, dict)
    found.clear()
    assert reader.entry(MODULE, "test_a", "") == entry()


# --- what a person reviews ---------------------------------------------------------------------


def test_the_document_is_format_1(base: Path) -> None:
    store(base).update({(MODULE, "test_a[größe 模]", "b1"): entry()})
    found = document(file_of(base))
    assert sorted(found) == ["device", "entries", "format", "module"]
    assert found["format"] == 1
    assert found["module"] == MODULE
    assert found["device"]["key"] == DEVICE.key
    assert list(found["entries"]) == ["test_a[größe 模]"]
    assert found["entries"]["test_a[größe 模]"]["b1"]["macs"] == 30_000_000


def test_a_list_of_numbers_is_one_line_and_names_are_not_escaped(base: Path) -> None:
    store(base).update({(MODULE, "test_a[größe 模]", ""): entry()})
    text = file_of(base).read_text(encoding="utf-8")
    assert '"p50_ns": [1, 2]' in text
    assert '"relative": [10.25, 9.5]' in text
    assert "test_a[größe 模]" in text
    assert text.endswith("}\n")
    assert max(map(len, text.splitlines())) < 80


@patient
@given(st.text(max_size=30))
@example("[\n 1\n]")
@example('[\\n1,\\n 2\\n], ["')
def test_a_name_that_looks_like_a_list_is_left_alone(name: str) -> None:
    data = render(DEVICE, name, {name: {}})
    assert parse_document(data, DEVICE.key, name)[1] == {name: {}}


@settings(patient, max_examples=30)
@given(st.dictionaries(st.text(max_size=5), any_entries(), min_size=1, max_size=2), st.randoms())
def test_the_same_entries_in_another_order_are_the_same_bytes(
    recorded: dict[str, Entry], shuffler: random.Random
) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, Mapping):
            items = list(value.items())
            shuffler.shuffle(items)
            return {key: shuffled(item) for key, item in items}
        return value

    plain = {test: {"": encode(found)} for test, found in recorded.items()}
    assert render(DEVICE, MODULE, shuffled(plain)) == render(DEVICE, MODULE, plain)


def test_entries_recorded_one_by_one_are_the_bytes_of_those_recorded_at_once(base: Path) -> None:
    change = {(MODULE, f"test_{name}", ""): entry(number) for number, name in enumerate("cab", 1)}
    store(base).update(change)
    for key in sorted(change):
        store(base.with_name("other")).update({key: change[key]})
    assert snapshot(base) == snapshot(base.with_name("other"))


def test_a_change_of_one_entry_is_few_lines_of_diff(base: Path) -> None:
    store(base).update({(MODULE, f"test_{i}", ""): entry(1) for i in range(5)})
    before = file_of(base).read_text(encoding="utf-8").splitlines()
    store(base).update({(MODULE, "test_3", ""): entry(1, macs=31_000_000)})
    after = file_of(base).read_text(encoding="utf-8").splitlines()
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1


# --- an update changes what it was asked to ----------------------------------------------------


def test_an_update_adds_replaces_and_drops_only_what_it_names(base: Path) -> None:
    store(base).update(
        {
            (MODULE, "test_a", ""): entry(1),
            (MODULE, "test_a", "b1"): entry(2),
            (MODULE, "test_b", ""): entry(3),
            (OTHER, "test_a", ""): entry(4),
        }
    )
    untouched = file_of(base, OTHER).read_bytes()
    written = store(base).update(
        {
            (MODULE, "test_a", ""): entry(10),
            (MODULE, "test_a", "b1"): None,
            (MODULE, "test_c", ""): entry(11),
            (MODULE, "test_never", ""): None,
        }
    )
    assert written == [file_of(base)]
    assert store(base).entries(MODULE) == {
        ("test_a", ""): entry(10),
        ("test_b", ""): entry(3),
        ("test_c", ""): entry(11),
    }
    assert file_of(base, OTHER).read_bytes() == untouched


@on_disk
@given(
    st.lists(
        st.dictionaries(
            st.tuples(
                st.sampled_from([MODULE, OTHER, "a.py", "a.py.json/b.py"]),
                st.sampled_from(["test_a", "test_b"]),
                st.sampled_from(["", "b1"]),
            ),
            st.none() | st.integers(1, 3),
        ),
        max_size=4,
    )
)
def test_updates_are_those_of_a_dictionary(
    updates: list[dict[tuple[str, str, str], int | None]],
) -> None:
    with TemporaryDirectory() as folder:
        known: dict[tuple[str, str, str], int | None] = {}
        baselines = store(Path(folder, "base"))
        for update in updates:
            baselines.update({key: n if n is None else entry(n) for key, n in update.items()})
            known = {key: n for key, n in {**known, **update}.items() if n is not None}
            modules = sorted({module for module, _, _ in known})
            assert baselines.modules() == modules
            assert {
                (module, *call): found.p50_ns[0]
                for module in modules
                for call, found in baselines.entries(module).items()
            } == known


def test_keys_of_a_newer_writer_are_kept_in_other_entries(base: Path) -> None:
    store(base).update({(MODULE, "test_a", ""): entry(1), (MODULE, "test_b", ""): entry(2)})
    found = document(file_of(base))
    found["entries"]["test_a"][""]["invented_later"] = {"deep": [1, None]}
    file_of(base).write_text(json.dumps(found), encoding="utf-8")
    assert store(base).entry(MODULE, "test_a", "") == entry(1)
    store(base).update({(MODULE, "test_b", ""): entry(3)})
    kept = document(file_of(base))["entries"]["test_a"][""]
    assert kept["invented_later"] == {"deep": [1, None]}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {(MODULE, "test_a", ""): entry(1)},
        {(MODULE, "test_never", ""): None},
        {("never.py", "test_a", ""): None},
    ],
    ids=["nothing", "the same", "drop of no test", "drop of no module"],
)
def test_a_file_that_would_not_change_is_not_rewritten(
    base: Path, change: dict[tuple[str, str, str], Entry | None]
) -> None:
    store(base).update({(MODULE, "test_a", ""): entry(1)})
    path = file_of(base)
    path.write_text(json.dumps(document(path)), encoding="utf-8")  # in another layout than ours
    os.utime(path, (0, 0))
    before = snapshot(base)
    assert store(base).update(change) == []
    assert path.stat().st_mtime == 0
    assert snapshot(base) == before


def test_the_last_entry_takes_its_file_and_empty_folders_along(base: Path) -> None:
    deep = "tests/deep/er/test_a.py"
    store(base).update({(MODULE, "test_a", ""): entry(), (deep, "test_a", "b1"): entry()})
    assert store(base).update({(deep, "test_a", "b1"): None}) == [file_of(base, deep)]
    assert store(base).modules() == [MODULE]
    assert [path.name for path in file_of(base).parent.iterdir()] == [file_of(base).name]
    store(base).update({(MODULE, "test_a", ""): None})
    assert store(base).modules() == []
    assert list(snapshot(base)) == [".gitignore"]


def test_reading_and_dropping_create_nothing(tmp_path: Path, base: Path) -> None:
    baselines = store(base)
    assert baselines.entry(MODULE, "test_a", "") is None
    assert baselines.entries(MODULE) == {}
    assert baselines.modules() == []
    assert baselines.elsewhere(MODULE, "test_a", "") == []
    assert baselines.update({}) == []
    assert baselines.update({(MODULE, "test_a", ""): None}) == []
    assert list(tmp_path.iterdir()) == []


def test_the_first_update_creates_the_folder_with_what_git_needs(tmp_path: Path) -> None:
    base = tmp_path / "not" / "there yet"
    store(base).update({(MODULE, "test_a", ""): entry()})
    assert set(snapshot(base)) - {".gitignore"} == {
        str(path.relative_to(base))
        for path in [base / DEVICE.key, file_of(base).parent, file_of(base)]
    }
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (file_of(base).parent / ".writing-12ab.tmp").touch()
    (base / ".lock").touch()
    listed = subprocess.run(
        ["git", "-C", str(base), "ls-files", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    tracked = [base / ".gitignore", file_of(base)]
    assert sorted(listed.stdout.split()) == [str(path.relative_to(base)) for path in tracked]


def test_a_gitignore_of_the_users_is_left_as_it_is(base: Path) -> None:
    base.mkdir()
    (base / ".gitignore").write_text("mine\n", encoding="utf-8")
    store(base).update({(MODULE, "test_a", ""): entry()})
    assert (base / ".gitignore").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_others_may_read_it_as_any_file_of_the_user(base: Path, umask: int, mode: int) -> None:
    users = os.umask(umask)
    try:
        store(base).update({(MODULE, "test_a", ""): entry()})
    finally:
        left = os.umask(users)
    assert file_of(base).stat().st_mode & 0o777 == mode
    assert (base / ".gitignore").stat().st_mode & 0o777 == mode
    assert left == umask


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("tests/test_models.py", "tests/test_models.py.json"),
        ("a folder/test_a b.py", "a folder/test_a b.py.json"),
        ("../other/test_a.py", "%2E%2E/other/test_a.py.json"),
        ("./.hidden/test_a.py", "%2E/%2Ehidden/test_a.py.json"),
        ("/etc/passwd", "%/etc/passwd.json"),
        ("a//b.py", "a/%/b.py.json"),
        ("", "%.json"),
        ("..\\..\\a.py", "%2E%2E%5C..%5Ca.py.json"),
        ("test_größe.py", "test_gr%C3%B6%C3%9Fe.py.json"),
        ("a\0b\n.py", "a%00b%0A.py.json"),
        ("100%.py", "100%25.py.json"),
        ("tests/a.py.json/b.py", "tests/a.py%2Ejson/b.py.json"),
    ],
)
def test_a_module_keeps_its_place_and_its_name_where_it_can(module: str, file: str) -> None:
    assert module_path(Path(FOLDER), module) == Path(FOLDER, file)


@patient
@given(any_paths())
def test_no_module_leaves_the_folder_or_hides_in_it(module: str) -> None:
    path = module_path(Path(FOLDER), module)
    names = path.parts[len(FOLDER.parts) :]
    assert path.parts[: len(FOLDER.parts)] == FOLDER.parts
    assert os.path.normpath(path) == str(path)
    assert len(names) == module.count("/") + 1
    for name in names:
        assert not name.startswith(".")
        assert name.isascii()
        assert name.isprintable()


@patient
@given(st.lists(any_paths(), min_size=2, max_size=6, unique=True))
@example(["a", "a/", "/a", "a//", "%", "", "%25", ".", "%2E", "a.json", "a.json/a", "a/a"])
@example(["\ud83d\ude00", "\U0001f600", "ö", "o\u0308", "\udcc3\udcb6"])
def test_no_two_modules_share_a_file_or_need_the_others_as_a_folder(modules: list[str]) -> None:
    paths = [module_path(Path(FOLDER), module) for module in modules]
    for one, other in combinations(paths, 2):
        assert one != other
        assert one not in other.parents
        assert other not in one.parents


@patient
@given(any_paths())
def test_a_name_is_decoded_to_the_part_that_it_encodes(part: str) -> None:
    name = encoded(part)
    assert "/" not in name
    assert not name.startswith(".")
    assert decoded(name) == part


@pytest.mark.parametrize("name", [".git", "..", "a/b", "%2e", "%41", "%FF", "%G", "ö", "%25%", ""])
def test_a_name_that_encodes_nothing_is_not_decoded(name: str) -> None:
    assert decoded(name) is None


@pytest.mark.parametrize("key", ["..", ".", "", "a/../..", "/tmp", ".lock", ".gitignore", "a\0"])
def test_a_device_key_is_one_folder_of_the_base(base: Path, key: str) -> None:
    baselines = store(base, key=key)
    assert baselines.folder.parent == base.resolve()
    assert device_folder(base, key).name == baselines.folder.name
    baselines.update({(MODULE, "test_a", ""): entry()})
    assert store(base, key=key).entry(MODULE, "test_a", "") == entry()
    assert {item.name for item in base.iterdir()} - {".lock"} == {
        ".gitignore",
        baselines.folder.name,
    }
    assert [item.name for item in base.parent.iterdir()] == [base.name]


def test_a_name_that_is_too_long_for_a_file_is_refused_with_its_length(base: Path) -> None:
    longest = "t" * (MAX_NAME_BYTES - len(".json"))
    store(base).update({(f"tests/{longest}", "test_a", ""): entry()})
    for module in (f"tests/{longest}t", f"{longest}tttttt/test_a.py", "模" * 40):
        with pytest.raises(BaselineError, match=r"too long.*bytes, and a file name may have 255"):
            store(base).entry(module, "test_a", "")
        with pytest.raises(BaselineError, match=r"too long for a baseline.*; shorten it"):
            store(base).update({(module, "test_a", ""): entry(), (MODULE, module, ""): entry()})
    assert store(base).modules() == [MODULE, f"tests/{longest}"]
    with pytest.raises(BaselineError, match="too long for a baseline"):
        store(base, key="k" * 256)


def test_a_path_that_is_too_long_for_the_system_is_refused(base: Path) -> None:
    module = "/".join(["folder" * 30] * 40)
    with pytest.raises(BaselineError, match="cannot be read: File name too long"):
        store(base).entry(module, "test_a", "")
    with pytest.raises(BaselineError, match="File name too long"):
        store(base).update({(module, "test_a", ""): entry()})


# --- the same call on other set-ups of the device ----------------------------------------------


def test_entries_of_the_same_hardware_are_found_elsewhere_nearest_first(base: Path) -> None:
    setups: list[dict[str, Any]] = [
        {"key": "newer torch", "torch": "2.14.0"},
        {"key": "more threads", "threads": 4},
        {"key": "fewer cores", "cores": 2},
        {"key": "fewer cores, newer torch", "cores": 2, "torch": "2.14.0"},
        {"key": "another model", "model": "Other Board"},
        {"key": "another kind", "kind": "cuda"},
        {"key": "another arch", "arch": "x86_64"},
    ]
    for number, setup in enumerate(setups, 1):
        store(base, **setup).update({(MODULE, "test_a", "b1"): entry(number)})
    store(base).update({(MODULE, "test_a", "b1"): entry(99)})
    found = store(base).elsewhere(MODULE, "test_a", "b1")
    assert [(device.key, recorded.p50_ns[0]) for device, recorded in found] == [
        ("newer torch", 1),
        ("more threads", 2),
        ("fewer cores", 3),
        ("fewer cores, newer torch", 4),
    ]
    assert store(base).elsewhere(MODULE, "test_a", "") == []
    assert store(base).elsewhere("never.py", "test_a", "b1") == []


def test_unusable_baselines_of_other_devices_are_passed_over(base: Path) -> None:
    for key in ("good", "spoiled", "linked"):
        store(base, key=key, torch="2.14.0").update({(MODULE, "test_a", ""): entry()})
    (base / "spoiled" / f"{MODULE}.json").write_bytes(b"{")
    (base / "linked").rename(base.parent / "outside")
    (base / "linked").symlink_to(base.parent / "outside")
    (base / ".git").mkdir()
    (base / "a file").touch()
    found = store(base).elsewhere(MODULE, "test_a", "")
    assert [device.key for device, _ in found] == ["good"]


def test_the_base_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    store(tmp_path / "link").update({(MODULE, "test_a", ""): entry()})
    assert store(tmp_path / "target").entry(MODULE, "test_a", "") == entry()
    assert store(tmp_path / "link").entry(MODULE, "test_a", "") == entry()
    assert (tmp_path / "link").is_symlink()


def test_a_base_below_the_current_folder_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    baselines = Baselines(Path("base"), DEVICE)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert baselines.update({(MODULE, "test_a", ""): entry()}) == [file_of(tmp_path / "base")]
