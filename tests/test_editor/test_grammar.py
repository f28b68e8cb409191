"""The tree-sitter grammar reads what the compiler reads, and copes with what is being typed."""

from __future__ import annotations

import json
import os
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.tables import tables
from lmc.syntax.tokens import RESERVED, tokens
from tests.test_editor.grammar import (
    GRAMMAR,
    accepted,
    declarations,
    language,
    mistakes,
    parsed,
    parser,
    programs,
    walk,
)
from tests.test_soundness.generator import ProgramMaker

FUZZ = "LMC_FUZZ" in os.environ
CASE = re.compile(r"={80}\n([^\n]+)\n={80}\n\n(.*?)\n\n-{80}\n\n(.*?)\n(?=\n={80}|\Z)", re.DOTALL)
LOOSE_PIECES = [
    *('"t"', 'r"d"', '"""x"""', 'f"{a}"', 'f"{{a{b}"', "12", "0.5", "_", "# c\n", "{a: 1}"),
    *("key:", "arg=", "[a]", "(a)", "as", "frozen", "unique", "tokens", "x"),
]  # fmt: skip


def cases() -> list[Any]:
    """The cases of the grammar's own corpus: a text, and its tree."""
    return [
        pytest.param(case[2], case[3], id=f"{path.stem}: {case[1]}")
        for path in sorted((GRAMMAR / "test" / "corpus").glob("*.txt"))
        for case in CASE.finditer(path.read_text("utf-8"))
    ]


@pytest.mark.parametrize(("text", "tree"), cases())
def test_corpus(text: str, tree: str) -> None:
    assert str(parsed(text)) == re.sub(r"\s+", " ", tree)


def test_the_corpus_is_read() -> None:
    assert len(cases()) >= 32


def test_every_program_of_the_project() -> None:
    assert len(programs()) > 900
    assert {name: found for name, text in programs().items() if (found := mistakes(text))} == {}


def test_random_programs() -> None:
    first = random.randrange(10**9) if FUZZ else 0
    for seed in range(first, first + (5000 if FUZZ else 200)):
        made = ProgramMaker(seed).make()
        for text in (made.main, made.parts or ""):
            assert accepted(text), seed
            assert mistakes(text) == [], seed


def test_programs_with_other_tokens() -> None:
    """Tokens are replaced, added and taken away. Most texts are wrong then; right ones count."""
    chance = random.Random() if FUZZ else random.Random(3)
    texts = [text for text in programs().values() if len(text) < 800]
    pieces = [*tables().words, *tables().signs, *LOOSE_PIECES]
    right = 0
    for _ in range(50_000 if FUZZ else 2000):
        text = chance.choice(texts)
        for _ in range(chance.choice([1, 1, 2])):
            text = changed(text, chance, pieces)
        if accepted(text):
            right += 1
            assert mistakes(text) == [], text
    assert right > (1000 if FUZZ else 50)


def changed(text: str, chance: random.Random, pieces: list[str]) -> str:
    found = [token for token in tokens(Source("a.lmp", text)) if token.end > token.start]
    if not found:
        return text
    token, piece = chance.choice(found), chance.choice([*pieces, chance.choice(found).text])
    end = token.start if chance.random() < 0.4 else token.end
    return text[: token.start] + (piece if chance.random() < 0.8 else "") + " " + text[end:]


def test_operators_bind_as_in_the_compiler() -> None:
    kinds = ("binary_expression", "logical_expression", "comparison_expression")
    operations = 0
    for name, text in programs().items():
        raw = text.encode()
        of_compiler = {
            (len(text[: node.span.start].encode()), len(text[: node.span.end].encode()))
            for node in below(declarations(text))
            if isinstance(node, nodes.Binary)
        }
        found = {with_parentheses(node) for node in walk(parsed(text)) if node.type in kinds}
        assert found == of_compiler, (name, [raw[a:b] for a, b in found ^ of_compiler])
        operations += len(found)
    assert operations > 500


def below(decls: tuple[nodes.SyntaxNode, ...]) -> list[nodes.SyntaxNode]:
    found, waiting = [], list(decls)
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(nodes.children(node))
    return found


def with_parentheses(node: Any) -> tuple[int, int]:
    while node.parent is not None and node.parent.type == "parenthesized_expression":
        node = node.parent
    return node.start_byte, node.end_byte


def test_the_words_and_signs_are_those_of_the_language() -> None:
    """What the compiler's grammar gains or loses is missed or left over here."""
    json_types = json.loads((GRAMMAR / "src" / "node-types.json").read_text("utf-8"))
    known = {found["type"] for found in json_types if not found["named"]}
    named = {found["type"] for found in json_types} & {"true", "false", "none"}
    words = {word for word in known | named if word.isalpha()}
    assert words == {*tables().words, "frozen"}
    in_texts = {'"', 'r"', 'f"', '"""', 'f"""'}
    compare = re.findall(r"[<>=!]+", dict(tables().terminals)["COMPARE"])
    assert known - words - in_texts | {"_"} == {*tables().signs, *compare}


def test_the_reserved_words_are_those_of_the_language() -> None:
    grammar = json.loads((GRAMMAR / "src" / "grammar.json").read_text("utf-8"))
    assert {word["value"] for word in grammar["reserved"]["values"]} == RESERVED
    assert grammar["reserved"]["names"] == []


def test_names_and_numbers_are_those_of_the_language() -> None:
    rules = json.loads((GRAMMAR / "src" / "grammar.json").read_text("utf-8"))["rules"]
    terminals = dict(tables().terminals)
    assert rules["identifier"]["value"] == terminals["NAME"]
    assert rules["number"]["value"] == terminals["NUMBER"]
    assert rules["comment"]["content"]["value"] == terminals["COMMENT"].replace("\n", r"\n")


def test_it_has_the_version_that_editors_want() -> None:
    assert language().abi_version == 15


def test_what_is_typed_leaves_the_declarations_before_it() -> None:
    chance = random.Random(5)
    found = 0
    for _ in range(300):
        text = chance.choice(library())
        cut = chance.randrange(len(text))
        whole = {spot for spot in spans(text) if spot[1] <= cut}
        assert whole <= declared(text[:cut]), text[:cut]
        found += len(whole)
    assert found > 500


def test_a_hole_leaves_most_declarations() -> None:
    """The declarations before a hole stay all, and of those behind it nearly all."""
    chance = random.Random(6)
    behind = lost = 0
    for _ in range(300):
        text = chance.choice(library())
        start = chance.randrange(len(text))
        end = min(len(text), start + chance.choice([1, 3, 10, 30]))
        found = declared(text[:start] + text[end:])
        places = spans(text)
        assert {spot for spot in places if spot[1] <= start} <= found
        after = {(a - end + start, b - end + start) for a, b in places if a >= end}
        behind += len(after)
        lost += len(after - found)
    assert behind > 500
    assert lost < 0.08 * behind


def test_an_edited_tree_is_that_of_the_new_text() -> None:
    """Texts are edited ten times, and the edits undone. Each tree grows out of the one before."""
    chance = random.Random(7)
    for _ in range(20):
        text = chance.choice(library())
        versions, tree = [text], parser().parse(text.encode())
        for _ in range(10):
            start = chance.randrange(len(text) + 1)
            end = min(len(text), start + chance.choice([0, 0, 1, 5]))
            piece = chance.choice(
                ["{", "}", '"', '"""', ":", "\n", "let x = ", " a", "as", "test "]
            )
            text = text[:start] + piece + text[end:]
            versions.append(text)
            tree = edited(tree, versions[-2], text)
        for old, new in zip(versions[::-1], versions[-2::-1]):
            tree = edited(tree, old, new)
        assert str(tree.root_node) == str(parsed(versions[0]))


def edited(tree: Any, old: str, new: str) -> Any:
    """The tree of a new text, by the tree of the old one and the place where they differ."""
    start = shared(old, new)
    same = shared(old[start:][::-1], new[start:][::-1])
    ends = len(old) - same, len(new) - same
    tree.edit(start, *ends, point(old, start), point(old, ends[0]), point(new, ends[1]))
    return parser().parse(new.encode(), tree)


def shared(one: str, other: str) -> int:
    """How long the beginning is that two texts share."""
    return next(
        (i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other))
    )


def point(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset), offset - text.rfind("\n", 0, offset) - 1


@cache
def library() -> list[str]:
    """The programs of the library and of papers, in ASCII: a character is a byte."""
    folders = (Path("programs"), Path("tests/test_programs/systems"))
    texts = [text for name, text in programs().items() if Path(name).parent in folders]
    return [text for text in texts if text.isascii()]


@cache
def spans(text: str) -> frozenset[tuple[int, int]]:
    """Where the declarations of a right text are."""
    return frozenset((decl.span.start, decl.span.end) for decl in declarations(text))


def declared(text: str) -> set[tuple[int, int]]:
    """Where the declarations of a text with mistakes are."""
    found, waiting = set(), [parsed(text)]
    while waiting:
        node = waiting.pop()
        if node.type.endswith("_declaration"):
            found.add((node.start_byte, node.end_byte))
        else:
            waiting.extend(node.children)
    return found


@pytest.mark.parametrize(
    "text", ["", "\n", "\ufeff", "\0", '"', '"""', 'f"{', "{" * 5000, "é" * 100]
)
def test_odd_texts_have_a_tree(text: str) -> None:
    root = parsed(text)
    assert root.type in ("source_file", "ERROR")
