"""The code that head and base import: each its own, or the comparison is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from pytest_hiddencost.core.errors import InterleavingError
from pytest_hiddencost.workers.imported_code import (
    MOST_PACKAGES,
    SameCode,
    import_roots,
    inside,
    installed_copies,
    module_files,
    outside,
    packages,
    refuse_same_code,
)


@pytest.fixture(autouse=True)
def nothing_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return folder(tmp_path / "project")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return folder(tmp_path / "hiddencost-against-x" / "project")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return folder(tmp_path / "env" / "lib" / "python3.11" / "site-packages")


def folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def written(root: Path, *names: str) -> Path:
    """Empty files below a folder; the first of them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root / names[0]


def module(name: str, file: object) -> ModuleType:
    made = ModuleType(name)
    if file is not None:
        made.__file__ = file  # type: ignore[assignment]
    return made


# --- the files of modules -----------------------------------------------------------------------


def test_modules_without_a_file_are_left_out(top: Path) -> None:
    modules = {
        "net": module("net", str(top / "net.py")),
        "net.layers": module("net.layers", str(top / "net" / "layers.py")),
        "namespace": module("namespace", None),
        "strange": module("strange", 5),
    }
    assert module_files(modules) == {
        "net": top / "net.py",
        "net.layers": top / "net" / "layers.py",
    }


def test_the_standard_library_and_the_program_itself_are_left_out() -> None:
    modules = {
        "json": module("json", "/usr/lib/python3.11/json/__init__.py"),
        "json.decoder": module("json.decoder", "/usr/lib/python3.11/json/decoder.py"),
        "__main__": module("__main__", "/usr/bin/pytest"),
    }
    assert module_files(modules) == {}


def test_by_default_the_modules_are_those_of_this_process() -> None:
    found = module_files()
    assert found[__name__] == Path(__file__)
    assert "pathlib" not in found


def test_a_strange_object_among_the_modules_does_no_harm() -> None:
    class Strange(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise AttributeError(name)

    assert module_files({"strange": Strange("strange")}) == {}


# --- the folders that modules are found in ------------------------------------------------------


def test_a_source_folder_is_found_by_its_packages(top: Path) -> None:
    files = {
        "net": written(top, "src/net/__init__.py"),
        "net.layers": written(top, "src/net/layers.py"),
        "net.parts": written(top, "src/net/parts/__init__.py"),
    }
    assert import_roots(files, top) == [top / "src"]


def test_a_flat_layout_is_the_top_itself(top: Path) -> None:
    files = {"net": written(top, "net/__init__.py"), "single": written(top, "single.py")}
    assert import_roots(files, top) == [top]


def test_a_namespace_package_is_found_by_its_modules(top: Path) -> None:
    files = {"company.net": written(top, "src/company/net/__init__.py")}
    assert import_roots(files, top) == [top / "src"]


def test_a_compiled_module_does_no_harm(top: Path) -> None:
    compiled = written(top, "src/net/_c.cpython-311-aarch64-linux-gnu.so")
    files = {"net": written(top, "src/net/__init__.py"), "net._c": compiled}
    assert import_roots(files, top) == [top / "src"]


def test_a_module_whose_name_is_not_its_path_is_no_evidence(top: Path) -> None:
    files = {
        "conftest": written(top, "src/net/tests/conftest.py", "src/net/tests/__init__.py"),
        "loaded_by_hand": written(top, "tools/script.py"),
        "net.models.deep": written(top, "deep.py"),
    }
    assert import_roots({k: files[k] for k in ("loaded_by_hand", "net.models.deep")}, top) == []
    # A conftest.py is a module of its own folder where that is no package.
    assert import_roots({"conftest": files["conftest"]}, top) == [top / "src/net/tests"]


def test_a_conftest_of_a_package_is_found_by_its_whole_name(top: Path) -> None:
    names = ("src/net/tests/conftest.py", "src/net/tests/__init__.py", "src/net/__init__.py")
    files = {"net.tests.conftest": written(top, *names)}
    assert import_roots(files, top) == [top / "src"]


def test_the_path_comes_first_and_in_its_order(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(top / "b"), str(top / "a"), "/elsewhere"])
    files = {"net": written(top, "a/net.py"), "other": written(top, "c/other.py")}
    assert import_roots(files, top) == [top / "b", top / "a", top / "c"]


def test_an_empty_entry_of_the_path_is_the_current_folder(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(top)
    monkeypatch.setattr(sys, "path", ["", "src"])
    assert import_roots({}, top) == [top, top / "src"]


def test_an_environment_inside_the_tree_is_no_source(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = top / ".venv/lib/python3.11/site-packages"
    monkeypatch.setattr(sys, "path", [str(installed), str(top)])
    files = {"torch": written(installed, "torch/__init__.py")}
    assert import_roots(files, top) == [top]


def test_a_folder_outside_of_the_tree_is_no_root(top: Path, tmp_path: Path) -> None:
    assert import_roots({"net": written(tmp_path, "project-2/net.py")}, top) == []
    assert import_roots({"net": tmp_path / "net.py", "a.b.c.d.e.f": Path("/f.py")}, top) == []


# --- what is inside, and what it is called ------------------------------------------------------


def test_modules_inside_a_tree_are_not_installed_ones(top: Path, site: Path) -> None:
    files = {
        "net": top / "net.py",
        "deep": top / "a/b/deep.py",
        "torch": site / "torch/__init__.py",
        "own_env": top / ".venv/lib/python3.11/site-packages/own_env.py",
        "debian": top / "usr/lib/python3/dist-packages/debian.py",
        "neighbour": top.with_name("project-2") / "neighbour.py",
    }
    assert sorted(inside(files, top)) == ["deep", "net"]


def test_a_tree_below_installed_packages_is_a_tree_all_the_same(site: Path) -> None:
    assert inside({"net": site / "checkout/net.py"}, site / "checkout") == {
        "net": site / "checkout/net.py"
    }


def test_a_neighbour_that_is_reached_by_two_dots_is_not_inside(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a conftest.py has it that puts ``dirname(__file__) + "/../common"`` on the path."""
    written(top, "../common/helper.py")
    entry = f"{top}/../common"
    monkeypatch.setattr(sys, "path", [entry])
    files = module_files({"helper": module("helper", f"{entry}/helper.py")})
    assert inside(files, top) == {}
    assert import_roots(files, top) == []


def test_packages_are_named_by_their_outermost_folder(top: Path) -> None:
    files = [
        written(top, "src/net/__init__.py"),
        written(top, "src/net/parts/layer.py", "src/net/parts/__init__.py"),
        written(top, "single.py"),
        written(top, "src/company/net.py"),
    ]
    assert packages(files, top) == ["single.py", "src/company/net.py", "src/net"]


def test_a_top_that_is_a_package_itself_is_not_named(top: Path) -> None:
    assert packages([written(top, "net.py", "__init__.py")], top) == ["net.py"]
    assert packages([top / "__init__.py"], top) == ["__init__.py"]


# --- installed copies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source", ["net/__init__.py", "src/net/__init__.py", "lib/net.py", "python/net.py", "net.py"]
)
def test_sources_whose_installed_copy_runs_are_found(tree: Path, site: Path, source: str) -> None:
    written(tree, source)
    files = {
        "net": written(site, "net/__init__.py"),
        "net.layers": written(site, "net/layers.py"),
        "torch": written(site, "torch/__init__.py"),
    }
    assert installed_copies(files, tree) == {"net": site / "net/__init__.py"}


def test_sources_that_run_themselves_are_no_copy(tree: Path) -> None:
    assert installed_copies({"net": written(tree, "src/net/__init__.py")}, tree) == {}


def test_a_folder_that_is_no_package_is_no_source(tree: Path, site: Path) -> None:
    written(tree, "torch/readme.txt")
    assert installed_copies({"torch": written(site, "torch/__init__.py")}, tree) == {}


def test_an_installed_part_of_a_namespace_package_is_found(tree: Path, site: Path) -> None:
    written(tree, "src/company/net/__init__.py")
    files = {"company.net": written(site, "company/net/__init__.py")}
    with pytest.raises(SameCode, match=r"head and base both import company\.net from "):
        refuse_same_code({}, files, tree.with_name("head"), tree)


# --- head and base ------------------------------------------------------------------------------


def test_each_side_may_run_its_own_code(top: Path, tree: Path, site: Path) -> None:
    torch = {"torch": written(site, "torch/__init__.py")}
    of_head = {"net": written(top, "src/net/__init__.py"), "test_it": written(top, "test_it.py")}
    of_base = {"net": written(tree, "net.py"), "test_it": written(tree, "test_it.py")}
    assert refuse_same_code({**of_head, **torch}, {**of_base, **torch}, top, tree) == (
        "src/net, test_it.py",
        "net.py, test_it.py",
    )


def test_long_lists_are_cut(top: Path, tree: Path) -> None:
    of_head = {f"m{i}": top / f"m{i}.py" for i in range(MOST_PACKAGES + 3)}
    of_base = {f"m{i}": tree / f"m{i}.py" for i in range(MOST_PACKAGES)}
    assert refuse_same_code(of_head, of_base, top, tree) == (
        "m0.py, m1.py, m2.py, m3.py, m4.py, m5.py and 3 more",
        "m0.py, m1.py, m2.py, m3.py, m4.py, m5.py",
    )


def test_a_base_without_code_of_its_own_is_refused(top: Path, tree: Path) -> None:
    with pytest.raises(SameCode, match="imports nothing of its own tree"):
        refuse_same_code({"net": written(top, "net.py")}, {}, top, tree)


def test_an_installed_copy_is_refused_with_a_remedy(top: Path, tree: Path, site: Path) -> None:
    written(tree, "src/net/__init__.py")
    files = {"net": written(site, "net/__init__.py")}
    with pytest.raises(SameCode) as caught:
        refuse_same_code(files, files, top, tree)
    message = str(caught.value)
    assert f"head and base both import net from {site / 'net/__init__.py'}" in message
    assert "pip install --editable" in message
    assert "installed:PYTHON" in message
    assert isinstance(caught.value, InterleavingError)


def test_a_base_that_imports_heads_code_is_refused(top: Path, tree: Path) -> None:
    files = {"net": written(top, "net.py")}
    with pytest.raises(
        SameCode,
        match=r"^base imports net from head's tree, .*net\.py; import it by a path relative",
    ):
        refuse_same_code(files, {**files, "test_it": written(tree, "test_it.py")}, top, tree)


def test_a_base_inside_heads_tree_is_another_tree(top: Path) -> None:
    tree = folder(top / "old")
    of_head = {"net": written(top, "net.py"), "old.shared": written(tree, "shared.py")}
    of_base = {"net": written(tree, "net.py")}
    assert refuse_same_code(of_head, of_base, top, tree) == ("net.py", "net.py")
    with pytest.raises(SameCode, match="imports helper from head's tree"):
        refuse_same_code(of_head, {**of_base, "helper": written(top, "helper.py")}, top, tree)


def test_a_base_around_heads_tree_is_another_tree(tmp_path: Path) -> None:
    tree = folder(tmp_path / "outer")
    top = folder(tree / "inner")
    of_head, of_base = {"net": written(top, "net.py")}, {"net": written(tree, "net.py")}
    assert refuse_same_code(of_head, of_base, top, tree) == ("net.py", "net.py")
    with pytest.raises(SameCode, match="base imports net from head's tree"):
        refuse_same_code(of_head, of_head, top, tree)


def test_a_package_of_an_environment_inside_the_tree_may_be_shared(top: Path, tree: Path) -> None:
    shared = {"torch": written(top, ".venv/lib/python3.11/site-packages/torch/__init__.py")}
    of_head, of_base = {"net": written(top, "net.py")}, {"net": written(tree, "net.py")}
    assert refuse_same_code({**of_head, **shared}, {**of_base, **shared}, top, tree) == (
        "net.py",
        "net.py",
    )


def test_the_standard_library_inside_the_tree_may_be_shared(
    top: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment of conda's holds its standard library, one module by no fixed name."""
    name = "_sysconfigdata__linux_x86_64-linux-gnu"
    library = written(top, f"env/lib/python3.11/{name}.py")
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(library.parent))
    shared = module_files({name: module(name, str(library))})
    of_head, of_base = {"net": written(top, "net.py")}, {"net": written(tree, "net.py")}
    assert refuse_same_code({**of_head, **shared}, {**of_base, **shared}, top, tree) == (
        "net.py",
        "net.py",
    )


def test_a_module_that_only_pretends_to_have_a_file_has_none() -> None:
    import torch

    assert torch.ops.__file__ == "_ops.py"
    assert "torch.ops" not in module_files()
    assert "torch" in module_files()


def test_code_of_neither_tree_is_outside(top: Path, tree: Path, site: Path) -> None:
    base = {"timm": site / "timm.py", "nets": tree / "nets.py", "own": top / "own.py"}
    assert outside("timm", base, top, tree)
    assert outside("not_imported", base, top, tree)
    assert not outside("nets", base, top, tree)
    assert not outside("own", base, top, tree)  # another error says that base runs head's code
    assert not outside("", base, top, tree)
