"""The queries of the tree-sitter grammar, and the files that are made of them for other editors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from editors.generate import GENERATED, HELIX, SUMS, ZED, made, sums
from lmc.check.builtins import NAMES
from lmc.syntax import nodes, textmate
from tests.test_editor.grammar import (
    EDITORS,
    GRAMMAR,
    captures,
    declarations,
    parsed,
    programs,
    query,
    walk,
)

HIGHLIGHTS = GRAMMAR / "queries" / "highlights.scm"
INJECTIONS = GRAMMAR / "queries" / "injections.scm"
OUTLINE = EDITORS / "zed" / "languages" / "lmp" / "outline.scm"
SAMPLE = '''
# a note
from "lmc/judge" import judge, Verdict as Opinion
let LIMIT = 3
enum Mood { glad "the writer is pleased" as "C++" }
record Ticket { code: str(r"\\d{3}"), tags: list[Mood](unique) }
model small { name: "lmc/tiny" }
generate solve(train hint: str, mail: str) -> one_of(labels) {
  frozen """Say it."""
  keep: 4000 tokens
  template: { user: "{{ mail }}" }
}
pipeline main(mail: str) -> str {
  let found = solve(mail=mail)
  if len(found.code) > LIMIT and true { return Ticket(f"{found} {{x}}\\n") }
  return match found { glad => none, _ => found?.code }
}
'''
COLOURS = {
    "# a note": "comment",
    "from": "keyword.import",
    '"lmc/judge"': "string",
    "judge": "function",
    "Opinion": "type",
    "LIMIT": "constant",
    "enum": "keyword.type",
    "Mood": "type",
    "glad": "constant.variant",
    "as": "keyword.import",
    "code": "property",
    "str": "type.builtin",
    'r"\\d{3}"': "string.regexp",
    "unique": "keyword.modifier",
    "small": "module",
    "generate": "keyword.function",
    "solve": "function",
    "train": "keyword.modifier",
    "hint": "variable.parameter",
    "->": "operator",
    "labels": "variable.parameter",
    "frozen": "keyword.modifier",
    '"""Say it."""': "string.documentation",
    "keep": "property",
    "4000": "number",
    "tokens": "keyword",
    "template": "property",
    "let": "keyword",
    "found": "variable",
    "if": "keyword.conditional",
    "len": "function.builtin",
    ">": "operator",
    "and": "keyword.operator",
    "true": "boolean",
    "return": "keyword.return",
    "Ticket": "constructor",
    '"': "string",
    "{{": "string.escape",
    "\\n": "string.escape",
    "match": "keyword.conditional",
    "none": "constant.builtin",
    "_": "variable.builtin",
    "?.": "punctuation.delimiter",
}
_ALTERNATIVES = re.compile(r"#any-of\? @(\S+)([^)]*)\)")


def name_of(path: Path) -> str:
    return path.relative_to(EDITORS).as_posix()


def colours(text: str, path: Path = HIGHLIGHTS) -> dict[tuple[int, int], str]:
    """The colour of each captured part: where several patterns match, that of the last."""
    found = sorted(captures(path, parsed(text)), key=lambda capture: capture[0])
    return {(node.start_byte, node.end_byte): name for _, name, node in found}


@pytest.mark.parametrize("path", sorted(EDITORS.rglob("*.scm")), ids=name_of)
def test_queries_fit_the_grammar(path: Path) -> None:
    assert query(path).pattern_count > 0


def test_colours() -> None:
    raw = SAMPLE.encode()
    names: dict[str, set[str]] = {}
    for (start, end), name in colours(SAMPLE).items():
        names.setdefault(raw[start:end].decode(), set()).add(name)
    assert {part: name for part, name in COLOURS.items() if name not in names.get(part, ())} == {}


def test_a_value_of_a_text_has_the_colours_of_code() -> None:
    text = 'let x = f"a {b} {{c}}"'
    found = {text[start:end]: name for (start, end), name in colours(text).items()}
    assert found["b"] == "variable"
    assert found["{"] == found["}"] == "punctuation.special"
    assert found["a "] == "string"


def test_each_token_of_each_program_has_a_colour() -> None:
    inside = {"string", "raw_string", "long_string", "docstring", "regex", "interpolated_string"}
    for name, text in programs().items():
        coloured = colours(text)
        for node in walk(parsed(text)):
            if node.child_count or node.start_byte == node.end_byte:
                continue
            spot = (node.start_byte, node.end_byte)
            assert spot in coloured or node.parent.type in inside, (name, node)


def test_builtin_names_are_those_of_the_compiler() -> None:
    found = {
        name: re.findall(r'"(\w+)"', words)
        for name, words in _ALTERNATIVES.findall(HIGHLIGHTS.read_text("utf-8"))
    }
    assert found["function.builtin"] == sorted(name for name in NAMES if name.islower())
    assert found["type.builtin"] == list(textmate.TYPES)


def test_every_word_has_a_colour() -> None:
    types = json.loads((GRAMMAR / "src" / "node-types.json").read_text("utf-8"))
    words = {found["type"] for found in types if not found["named"] and found["type"].isalpha()}
    text = HIGHLIGHTS.read_text("utf-8").split("; --- words ---")[1]
    lists = re.findall(r"^\[(.*)\] @keyword", text, re.MULTILINE)
    listed = re.findall(r'"(\w+)"', " ".join(lists))
    assert sorted(listed) == sorted(words)


def test_templates_are_jinja_and_docstrings_are_not() -> None:
    text = (
        'generate a(x: str) -> str { """{{ x }}""" begin: "{{ b }}" template: "{{ c }}" }\n'
        'generate b(x: str) -> str { template: {user: """{{ d }}""", system: "{{ e }}"} }\n'
        'type C = str(r"f+") # g\n'
    )
    found = {}
    for pattern, name, node in captures(INJECTIONS, parsed(text)):
        if name == "injection.content":
            settings = query(INJECTIONS).pattern_settings(pattern)
            found[node.text.decode()] = settings["injection.language"]
    jinja = dict.fromkeys(("{{ c }}", "{{ d }}", "{{ e }}"), "jinja")
    assert found == jinja | {"f+": "regex", "# g": "comment"}


def test_the_outline_has_the_declarations() -> None:
    for name, text in programs().items():
        root = parsed(text)
        found = [node for _, kind, node in captures(OUTLINE, root) if kind == "item"]
        spots = {(node.start_byte, node.end_byte) for node in found if node.parent == root}
        outlined = [d for d in declarations(text) if not isinstance(d, nodes.Import)]
        assert len(spots) == len(outlined), name


@pytest.mark.parametrize("path", sorted(made()), ids=name_of)
def test_what_is_made_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == made()[path], "make grammars"


def test_names_of_other_editors_are_used() -> None:
    text = HIGHLIGHTS.read_text("utf-8")
    assert {name for name in HELIX | ZED if f"@{name}" not in text} == set()


def test_the_parser_is_that_of_the_grammar() -> None:
    assert SUMS.read_text("utf-8") == sums(), "make grammars"


def test_the_generator_makes_the_parser(tmp_path: Path) -> None:
    if shutil.which("tree-sitter") is None or shutil.which("node") is None:
        pytest.skip("no generator")
    for name in ("grammar.js", "tree-sitter.json"):
        shutil.copy(GRAMMAR / name, tmp_path)
    subprocess.run(["tree-sitter", "generate", "--no-parser"], cwd=tmp_path, check=True)
    for name in GENERATED[1:3]:
        assert (tmp_path / name).read_text("utf-8") == (GRAMMAR / name).read_text("utf-8"), name


def test_the_extension_for_zed_names_what_there_is() -> None:
    folder = EDITORS / "zed"
    extension = tomllib.loads((folder / "extension.toml").read_text("utf-8"))
    config = tomllib.loads((folder / "languages" / "lmp" / "config.toml").read_text("utf-8"))
    (grammar,) = extension["grammars"].values()
    assert (EDITORS.parent / grammar["path"]) == GRAMMAR
    assert config["grammar"] in extension["grammars"]
    assert extension["language_servers"]["lmc"]["languages"] == [config["name"]]
    cargo = tomllib.loads((folder / "Cargo.toml").read_text("utf-8"))
    assert cargo["package"]["version"] == extension["version"]


def test_the_configuration_of_helix_is_toml() -> None:
    text = (EDITORS / "helix" / "languages.toml").read_text("utf-8")
    config = tomllib.loads(text)
    assert config["language"][0]["name"] == config["grammar"][0]["name"] == "lmp"
    assert config["grammar"][0]["source"]["path"].endswith("editors/tree-sitter-lmp")
    page = (EDITORS.parent / "docs" / "howto" / "editors.md").read_text("utf-8")
    assert text.partition("\n\n")[2] in page


def test_make_zed_fills_in_the_clone(tmp_path: Path) -> None:
    for tool in ("make", "git"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    shutil.copy(EDITORS.parent / "Makefile", tmp_path)
    shutil.copytree(EDITORS / "zed", tmp_path / "editors" / "zed")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.example"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "a"], check=True)
    subprocess.run(["make", "--silent", "zed"], cwd=tmp_path, check=True)
    built = tomllib.loads((tmp_path / "build" / "zed" / "extension.toml").read_text("utf-8"))
    assert built["grammars"]["lmp"]["repository"] == f"file://{tmp_path}"
    assert re.fullmatch("[0-9a-f]{40}", built["grammars"]["lmp"]["rev"])
    assert (tmp_path / "build" / "zed" / "src" / "lib.rs").is_file()
