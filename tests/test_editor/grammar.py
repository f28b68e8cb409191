"""The tree-sitter parser of editors/, compiled for tests, and the programs that it is tried on."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.parser import parse

ROOT = Path(__file__).parents[2]
EDITORS = ROOT / "editors"
GRAMMAR = EDITORS / "tree-sitter-lmp"
FENCE = re.compile(r"^([ ]*)(`{3,})lmp[^\n]*\n(.*?)^\1\2$", re.MULTILINE | re.DOTALL)
FOLDERS = ("bench", "docs", "examples", "grammars", "lmc", "optimizers", "programs", "tests")


@cache
def language() -> Any:
    """The language of the compiled parser. Skips without a C compiler or the package."""
    tree_sitter = pytest.importorskip("tree_sitter")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = GRAMMAR / "src"
    with TemporaryDirectory() as folder:
        built = Path(folder) / "lmp.so"
        files = [source / "parser.c", source / "scanner.c"]
        subprocess.run(
            [
                compiler,
                "-shared",
                "-fPIC",
                "-O1",
                "-I",
                source,
                *files,
                "-o",
                built,
            ],
            check=True,
        )
        made = ctypes.CDLL(str(built)).tree_sitter_lmp
    made.restype = ctypes.c_void_p
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.restype = ctypes.py_object
    capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return tree_sitter.Language(capsule(made(), b"tree_sitter.Language", None))


def parsed(text: str) -> Any:
    """The root of a text's tree."""
    return parser().parse(text.encode()).root_node


def parser() -> Any:
    known = language()
    import tree_sitter

    return tree_sitter.Parser(known)


@cache
def query(path: Path) -> Any:
    """A file of queries. Raises: QueryError."""
    known = language()
    import tree_sitter

    return tree_sitter.Query(known, path.read_text("utf-8"))


def captures(path: Path, root: Any) -> list[tuple[int, str, Any]]:
    """All captures of a file of queries: the number of the pattern, the name, the node."""
    import tree_sitter

    return [
        (pattern, name, node)
        for pattern, found in tree_sitter.QueryCursor(query(path)).matches(root)
        for name, captured in found.items()
        for node in captured
    ]


def walk(root: Any) -> Iterator[Any]:
    """All nodes of a tree."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(node.children)


def mistakes(text: str) -> list[str]:
    """What the tree has of ERROR and MISSING."""
    root = parsed(text)
    if not root.has_error:
        return []
    wrong = [node for node in walk(root) if node.is_error or node.is_missing]
    return [f"{node.type} at {node.start_point}: {node.text[:40]!r}" for node in wrong]


def accepted(text: str) -> bool:
    """Whether the compiler's parser finds no mistake."""
    return not parse(Source("a.lmp", text))[1]


def declarations(text: str) -> tuple[nodes.Decl, ...]:
    return parse(Source("a.lmp", text))[0].decls


@cache
def programs() -> dict[str, str]:
    """All programs of the project that the compiler's parser accepts, by where they stand."""
    found = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.lmp")):
            found[path.relative_to(ROOT).as_posix()] = path.read_text("utf-8")
        for page in sorted((ROOT / folder).rglob("*.md")):
            text = page.read_text("utf-8")
            for block in FENCE.finditer(text):
                name = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 1}"
                found[name] = block[3]
    return {name: text for name, text in found.items() if accepted(text)}
