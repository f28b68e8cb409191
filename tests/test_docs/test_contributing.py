"""CONTRIBUTING.md sends people to files and tables that are there."""

import re
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
QUOTED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w.]+(/[\w.]+)*\.(py|md|lmp|lark|json|toml|txt)|(lmc|tests)(/\w+)+")
FOLDERS = ("optimizers", "programs", "grammars", "tests/cases")
TABLE = re.compile(r"_?[A-Z][A-Z_]+[A-Z]")
NEW = "NAME"  # in the name of a file that a contributor writes
STEP = re.compile(r"^\d+\. .*(?:\n   .*)*", re.MULTILINE)


def quoted(text: str, pattern: re.Pattern[str]) -> list[str]:
    return [word for word in QUOTED.findall(text) if pattern.fullmatch(word)]


def found(path: str) -> list[Path]:
    """The files that a path names; a new file's neighbours, since it is one of their kind."""
    return list(ROOT.glob(path.replace(NEW, "[a-z]*")))


PATHS = sorted({*quoted(TEXT, FILE), *FOLDERS} - {"explanations.md"})
STEPS = STEP.findall(TEXT)
TABLES = [(table, step) for step in STEPS for table in quoted(step, TABLE) if table != NEW]


@pytest.mark.parametrize("path", PATHS)
def test_each_path_exists(path: str) -> None:
    assert found(path)


@pytest.mark.parametrize(("table", "step"), TABLES, ids=[table for table, _ in TABLES])
def test_each_table_stands_in_a_file_that_its_step_names(table: str, step: str) -> None:
    files = chain.from_iterable(found(path) for path in quoted(step, FILE) if NEW not in path)
    assert any(
        re.search(rf"^{table}\b.* = ", file.read_text("utf-8"), re.MULTILINE)
        for file in files
        if file.is_file()
    )


def test_the_patterns_find_what_there_is_to_find() -> None:
    assert len(PATHS) > 60
    assert {"PASSES", "TABLE", "_MAKERS", "PERFORM", "COMMANDS"} <= {table for table, _ in TABLES}
    assert not found("lmc/passes/no_such_pass.py") and not found("lmc/nowhere/NAME.py")


def test_each_kind_of_addition_begins_with_a_file_of_its_kind() -> None:
    kinds = re.findall(r"^### (.*)\n(.*)", TEXT, re.MULTILINE)
    assert len(kinds) == 6
    assert all("Example: " in example for _, example in kinds)
