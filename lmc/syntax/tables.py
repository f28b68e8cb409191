"""The grammar's LALR tables: compiled by lark from `lmp.lark`, kept beside this file as JSON.

Compiling takes half a second, reading the JSON a few milliseconds. If the JSON does not match the
grammar, the tables are compiled in memory. To write the JSON anew, run this module as a script.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmc.frozen import frozen

if TYPE_CHECKING:
    from lark import Lark

_PACKAGE = Path(__file__).parents[1]  # importlib.resources would cost as much as the parser
NONE = -1  # in `Production.picks`: an optional part that is absent


@frozen
class Production:
    """One production: how many values to pop, and the builder's method that makes the new value.

    `name` is None if the rule only passes on its child or its list of children. `picks` are the
    positions of the children that the method gets. `splices` are those of them that are lists.
    """

    origin: str
    size: int
    name: str | None
    picks: tuple[int, ...]
    splices: frozenset[int]


@frozen
class Tables:
    """The data of the scanner and the parser.

    `rows[state]` maps a symbol to the next state, or to `~rule` if that rule is to be reduced.
    `symbols[state]` is the symbol that leads into a state.
    """

    terminals: tuple[tuple[str, str], ...]
    words: dict[str, str]
    signs: dict[str, str]
    rows: tuple[dict[str, int], ...]
    symbols: tuple[str, ...]
    rules: tuple[Production, ...]


def grammar_text() -> str:
    """Read the grammar as written."""
    return (_PACKAGE / "grammars" / "lmp.lark").read_text("utf-8")


@cache
def tables() -> Tables:
    """Load the tables of the grammar, from the JSON if it is up to date."""
    grammar = grammar_text()
    stored = _PACKAGE / "syntax" / "tables.json"
    data = json.loads(stored.read_text("utf-8")) if stored.is_file() else {}
    if data.get("grammar") != _digest(grammar):
        data = compile_grammar(grammar)
    rows = [dict(zip(row[::2], row[1::2])) for row in data["rows"]]
    return Tables(
        terminals=tuple(map(tuple, data["terminals"])),
        words=data["words"],
        signs=data["signs"],
        rows=tuple(rows[i] for i in data["states"]),
        symbols=tuple(data["symbols"]),
        rules=tuple(
            Production(o, n, name, tuple(p), frozenset(s)) for o, n, name, p, s in data["rules"]
        ),
    )


def compile_grammar(grammar: str) -> dict[str, Any]:
    """Compile a grammar into a JSON-ready object. Raises: GrammarError if it has conflicts."""
    from lark import Lark
    from lark.lexer import Lexer

    class NoLexer(Lexer):
        def __init__(self, conf: object) -> None: ...

        def lex(self, *_: object) -> Any: ...

    return {
        "grammar": _digest(grammar),
        **_terminals(lark := Lark(grammar, parser="lalr", strict=True, lexer=NoLexer)),
        **_states(lark),
        "rules": [_rule(rule) for rule in lark.rules],
    }


def _digest(grammar: str) -> str:
    return f"{zlib.crc32(grammar.encode()):08x}"  # hashlib takes longer to import than to check


def _terminals(lark: Lark) -> dict[str, Any]:
    fixed = {t.pattern.value: t.name for t in lark.terminals if t.pattern.type == "str"}
    patterns = [t for t in lark.terminals if t.pattern.type == "re"]
    patterns.sort(key=lambda t: (-t.priority, t.name == "NAME", t.name))
    return {
        "terminals": [[t.name, t.pattern.to_regexp()] for t in patterns],
        "words": {text: fixed[text] for text in sorted(fixed) if text.isalpha()},
        "signs": {text: fixed[text] for text in sorted(fixed) if not text.isalpha()},
    }


def _states(lark: Lark) -> dict[str, Any]:
    # lark numbers its states in the order of sets. That order differs between runs, so renumber.
    table: Any = lark.parser.parser._parse_table
    rules = {rule: ~i for i, rule in enumerate(lark.rules)}
    start, end = table.start_states["start"], table.end_states["start"]
    order, symbols = {start: 0}, ["$START"]
    for state in (queue := [start]):
        for symbol, (action, target) in sorted(table.states[state].items()):
            if str(action) == "Shift" and target not in order:
                order[target] = len(order)
                symbols.append(str(symbol))
                queue.append(target)
    rows: dict[str, int] = {}
    states = []
    for state in queue:
        row: list[str | int] = []
        for symbol, (action, target) in sorted(table.states[state].items()):
            row += [str(symbol), order[target] if str(action) == "Shift" else rules[target]]
        states.append(rows.setdefault(json.dumps(row), len(rows)))
    assert end in order
    return {"rows": [json.loads(row) for row in rows], "states": states, "symbols": symbols}


def _rule(rule: Any) -> list[Any]:
    origin, symbols = str(rule.origin.name), rule.expansion
    absent = _absent_parts(rule.options.empty_indices, len(symbols))
    picks: list[int] = []
    for i, symbol in enumerate(symbols):
        picks += [NONE] * absent[i]
        if not (symbol.is_term and symbol.filter_out):
            picks.append(i)
    picks += [NONE] * absent[-1]
    passes = origin.startswith("_") or (rule.options.expand1 and not rule.alias)
    splices = [i for i in picks if i >= 0 and not symbols[i].is_term and symbols[i].name[0] == "_"]
    return [origin, len(symbols), None if passes else str(rule.alias or origin), picks, splices]


def _absent_parts(empty: tuple[bool, ...], size: int) -> list[int]:
    """The number of absent optional parts before each symbol, and at the end."""
    if not empty:
        return [0] * (size + 1)
    return [len(run) for run in "".join("x" if e else " " for e in empty).split(" ")]


if __name__ == "__main__":
    text = json.dumps(compile_grammar(grammar_text()), ensure_ascii=False, separators=(",", ":"))
    Path(__file__).with_name("tables.json").write_text(text + "\n", "utf-8")
