"""Colours for editors and code hosts: a TextMate grammar, made of the language's own tokens.

`python -m lmc.syntax.textmate FILE` writes it. A test says when the file is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lmc.syntax.tables import tables
from lmc.syntax.tokens import declaration_kinds

SCOPE = "source.lmp"
CONSTANTS = ("true", "false", "none")
OPERATORS = ("and", "or", "not", "in")
TYPES = (
    *("str", "int", "float", "bool", "json", "list", "dict", "date", "time", "datetime"),
    *("decimal", "one_of", "image", "audio", "pdf", "media", "messages"),
    *("Verdict", "Score", "Message"),
)
_ESCAPE = {
    "match": r"\\(?:u\{[0-9A-Fa-f]{1,6}\}|u[0-9A-Fa-f]{4}|.)",
    "name": "constant.character.escape.lmp",
}
_JINJA = {
    "begin": r"\{\{|\{%|\{#",
    "end": r"\}\}|%\}|#\}",
    "name": "meta.embedded.jinja.lmp variable.other.lmp",
}


def grammar() -> dict[str, Any]:
    """The grammar as JSON."""
    words = tables().words
    declaring = sorted(word for word, kind in words.items() if kind in declaration_kinds())
    others = sorted(set(words) - set(declaring) - {*CONSTANTS, *OPERATORS, "tokens", "unique"})
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "lmp",
        "scopeName": SCOPE,
        "fileTypes": ["lmp"],
        "patterns": [{"include": "#code"}],
        "repository": {
            "code": {"patterns": [{"include": f"#{part}"} for part in _PARTS]},
            "comment": {"match": r"#.*$", "name": "comment.line.number-sign.lmp"},
            "long": _long(),
            "interpolated": {"patterns": [_interpolated('"""'), _interpolated('"')]},
            "pattern": _pattern(),
            "text": _text(),
            "declaration": _declaration(declaring),
            "setting": _setting(),
            "frozen": {"match": r'\bfrozen(?=[ \t]*r?")', "name": "storage.modifier.lmp"},
            "unique": {"match": r"\bunique(?=\s*[,)])", "name": "storage.modifier.lmp"},
            "word": {"match": _any_of(others), "name": "keyword.control.lmp"},
            "operatorWord": {"match": _any_of(OPERATORS), "name": "keyword.operator.word.lmp"},
            "constant": {"match": _any_of(CONSTANTS), "name": "constant.language.lmp"},
            "type": {"match": _any_of(TYPES), "name": "support.type.lmp"},
            "call": {"match": r"\b[A-Za-z]\w*(?=\()", "name": "entity.name.function.lmp"},
            "number": _number(),
            "operator": {
                "match": r"->|=>|\?\?|\?\.|\.\.|[-+*/%<>=!]=?|[|?]",
                "name": "keyword.operator.lmp",
            },
            "braces": {
                "begin": r"\{",
                "end": r"\}",
                "patterns": [{"include": "#code"}],
            },
            "name": {"match": r"\b[A-Za-z]\w*\b", "name": "variable.other.lmp"},
        },
    }


# In the order in which they are tried.
_PARTS = (
    "comment", "interpolated", "long", "pattern", "text", "declaration", "setting", "frozen",
    "unique", "word", "operatorWord", "constant", "type", "call", "number", "operator", "braces",
    "name",
)  # fmt: skip


def _any_of(words: tuple[str, ...] | list[str]) -> str:
    return rf"\b(?:{'|'.join(words)})\b"


def _declaration(words: list[str]) -> dict[str, Any]:
    """A word that declares something, with the name that follows."""
    return {
        "match": rf"\b({'|'.join(words)})\b(?=[ \t]+[A-Za-z\"{{])(?:[ \t]+([A-Za-z]\w*))?",
        "captures": {
            "1": {"name": "keyword.declaration.lmp"},
            "2": {"name": "entity.name.type.lmp"},
        },
    }


def _setting() -> dict[str, Any]:
    return {
        "match": r"\b([A-Za-z]\w*)[ \t]*(:)",
        "captures": {
            "1": {"name": "variable.parameter.lmp"},
            "2": {"name": "punctuation.separator.lmp"},
        },
    }


def _number() -> dict[str, Any]:
    return {
        "match": r"\b(\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?)\b(?:[ \t]+(tokens)\b)?",
        "captures": {
            "1": {"name": "constant.numeric.lmp"},
            "2": {"name": "keyword.other.unit.lmp"},
        },
    }


def _text() -> dict[str, Any]:
    return {
        "begin": '"',
        "end": r'"|$',
        "name": "string.quoted.double.lmp",
        "patterns": [_JINJA, _ESCAPE],
    }


def _long() -> dict[str, Any]:
    return {
        "begin": '"""',
        "end": '"""',
        "name": "string.quoted.triple.lmp",
        "patterns": [_JINJA],
    }


def _pattern() -> dict[str, Any]:
    return {
        "begin": r'\br"',
        "end": r'"|$',
        "name": "string.regexp.lmp",
        "patterns": [{"match": r"\\.", "name": "constant.character.escape.regexp.lmp"}],
    }


def _interpolated(quotes: str) -> dict[str, Any]:
    """An f-string with the values in it, which are code."""
    long = len(quotes) == 3
    value = {
        "begin": r"\{",
        "end": r"\}" if long else r"\}|$",
        "beginCaptures": {"0": {"name": "punctuation.section.embedded.begin.lmp"}},
        "endCaptures": {"0": {"name": "punctuation.section.embedded.end.lmp"}},
        "name": "meta.embedded.lmp",
        "patterns": [{"include": "#code"}],
    }
    doubled = {"match": r"\{\{|\}\}", "name": "constant.character.escape.lmp"}
    return {
        "begin": rf"\bf{quotes}",
        "end": quotes if long else rf"{quotes}|$",
        "name": f"string.interpolated.{'triple' if long else 'double'}.lmp",
        "patterns": [doubled, *([] if long else [_ESCAPE]), value],
    }


def text() -> str:
    """The grammar as a file has it."""
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), "utf-8")
