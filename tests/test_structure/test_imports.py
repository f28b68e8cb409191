"""The structure of the code: no import circles, one meaning for each class name, true folders."""

import ast
import graphlib
import re
from collections import defaultdict
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
TOPS = ("lmc", "optimizers", "programs", "grammars")


def python_files() -> list[Path]:
    """The Python files of the product, each once."""
    files = (file for top in TOPS for file in (ROOT / top).rglob("*.py"))
    real = [file for file in files if not any(parent.is_symlink() for parent in file.parents)]
    return [file for file in real if file.parent.name != "scaffold"]  # files for a user's folder


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text("utf-8")) for file in python_files()}


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """The modules that each module imports, those inside functions and for types included."""
    graph = grimp.build_graph("lmc", cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """A circle of imports, empty where there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as found:
        return list(found.args[1])
    return []


def test_no_import_circle(imports: dict[str, set[str]]) -> None:
    assert len(imports) > 200  # the links to optimizers, programs and grammars were followed
    assert "lmc.optimizers.compilation.compile" in imports
    assert circle(imports) == []


def test_a_circle_would_be_found(imports: dict[str, set[str]]) -> None:
    changed = imports | {"lmc.source": {"lmc.optimizers.compilation.compile"}}
    assert "lmc.source" in circle(changed)


def test_each_public_class_has_a_name_of_its_own(trees: dict[Path, ast.Module]) -> None:
    owners = defaultdict(list)
    for file, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                owners[node.name].append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in owners.items() if len(files) > 1} == {}


def test_each_folder_says_what_it_holds(trees: dict[Path, ast.Module]) -> None:
    docs = {file.parent: None for file in trees} | {
        file.parent: ast.get_docstring(tree)
        for file, tree in trees.items()
        if file.name == "__init__.py"
    }
    assert [folder for folder, text in docs.items() if not text] == []


IO_CALLS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "connect",
    "create_engine", "glob", "iterdir", "stat", "exists", "is_file", "is_dir", "urlopen", "Popen",
    "run_sync", "import_module",
}  # fmt: skip


def test_no_constructor_does_io(trees: dict[Path, ast.Module]) -> None:
    """What opens, reads or writes has a method for it, so that making an object never fails."""
    found = []
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__post_init__"):
                calls = (n.func for n in ast.walk(node) if isinstance(n, ast.Call))
                names = {getattr(f, "attr", getattr(f, "id", "")) for f in calls}
                found += [f"{file.relative_to(ROOT)}:{node.lineno} {n}" for n in names & IO_CALLS]
    assert found == []


def test_optimizers_stand_alone_on_their_level() -> None:
    """Beside `base` and `events` there is one file for each optimizer that a user can name."""
    from lmc.optimizers.compilation.catalog import OPTIMIZERS

    files = {file.stem for file in (ROOT / "optimizers").glob("*.py")} - {"__init__"}
    homes = {o.function.__module__.removeprefix("lmc.optimizers.") for o in OPTIMIZERS}
    assert files == homes | {"base", "events"}


@pytest.mark.parametrize("file", sorted((ROOT / "bench").glob("*.py")), ids=lambda file: file.name)
def test_a_bench_finds_the_project_beside_it(file: Path) -> None:
    """Python looks in the folder of a script, and `examples` and `bench` are not installed."""
    lines = file.read_text(encoding="utf-8").splitlines()
    needs = [i for i, line in enumerate(lines) if re.match(r"from (bench|examples|tests)\b", line)]
    looks = [i for i, line in enumerate(lines) if line.startswith("sys.path.insert(0, ")]
    assert not needs or (looks and looks[0] < needs[0])
