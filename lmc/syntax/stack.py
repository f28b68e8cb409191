"""The LALR stack: shifts tokens, reduces by the grammar's rules, knows which tokens may follow."""

from __future__ import annotations

from typing import Any

from lmc.source import Span
from lmc.syntax import nodes
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.tables import NONE, Production, tables
from lmc.syntax.tokens import END, RESERVED, Token, other_kinds, starts_line

MAX_DEPTH = 100  # nodes within nodes: later stages walk the tree recursively

# Tokens that may close or follow a complete part, in the order in which `settle` tries them.
CLOSERS = ("RPAR", "RSQB", "RBRACE", END, "LBRACE", "THEN", "ELSE", "FOR", "IN", "FAT_ARROW",
           "RANGE", "FROM", "EQUAL", "FSTRING_END")  # fmt: skip


CHAINED = ("if_", "if_expr")


class TooDeep(Exception):
    """Raised when nodes nest deeper than `MAX_DEPTH`."""


class Stack:
    """The parser's states and values. For each value, also its start offset and nesting depth."""

    def __init__(self, builder: TreeBuilder) -> None:
        known = tables()
        self.source = builder.source
        self.rows = known.rows
        self.symbols = known.symbols
        self.rules = [(rule, rule.name and getattr(builder, rule.name)) for rule in known.rules]
        self.states = [0]
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.depths: list[int] = []
        self.end = 0

    def feed(self, token: Token) -> bool:
        """Take one token. Returns False if it is not expected. Raises: TooDeep."""
        kind = self.kind_of(token)
        states, rows = self.states, self.rows
        while (action := rows[states[-1]].get(kind)) is not None:
            if action >= 0:
                states.append(action)
                self.values.append(token)
                self.starts.append(token.start)
                self.depths.append(0)
                self.end = token.end
                return True
            rule, build = self.rules[~action]
            self._reduce(rule, build)
            if rule.origin == "start":
                return True
        return False

    def kind_of(self, token: Token) -> str:
        """The kind of a token at this place: a word may be a key, a keyword or a name."""
        row, kind = self.rows[self.states[-1]], token.kind
        others = other_kinds(kind, token.text)
        if not others or (kind not in row and starts_line(self.source, token)):
            return kind
        kinds = [k for k in (kind, *others) if k in row]
        if kinds == ["NAME"] and token.text in RESERVED and "atom" in row:
            return kind
        if len(kinds) > 1:
            kinds = [k for k in kinds if self.accepts(k)]
        return kinds[0] if kinds else kind

    def accepts(self, kind: str) -> bool:
        """Whether a token of this kind may come next.

        The row of the state alone is not enough: after a reduction, the next state may refuse it.
        """
        if self.rows[self.states[-1]].get(kind, -1) >= 0:
            return True
        states = self.states.copy()
        while (action := self.rows[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            rule, _ = self.rules[~action]
            if rule.origin == "start":
                return True
            del states[len(states) - rule.size :]
            states.append(self.rows[states[-1]][rule.origin])
        return False

    def expected(self) -> list[str]:
        """The kinds of token that may come next."""
        return [k for k in self.rows[self.states[-1]] if k.isupper() and self.accepts(k)]

    def settle(self) -> None:
        """Reduce all complete parts, as if a token that closes or follows them came next."""
        for kind in CLOSERS:
            if self.accepts(kind):
                while (action := self.rows[self.states[-1]][kind]) < 0:
                    rule, build = self.rules[~action]
                    if rule.origin == "start":
                        return
                    self._reduce(rule, build)
                return

    def cut(self, height: int) -> None:
        """Keep the first `height` values and drop the rest."""
        del self.states[height + 1 :], self.values[height:], self.starts[height:]
        del self.depths[height:]

    def symbol(self, height: int) -> str:
        """The symbol at a height (from 1; 0 is the start)."""
        return self.symbols[self.states[height]]

    def top_level(self) -> int:
        """The height of the stack between two declarations."""
        return int(len(self.states) > 1 and self.symbol(1).startswith("__start"))

    def opens_declaration(self) -> bool:
        """Whether the latest token is the first of a declaration."""
        return len(self.values) == self.top_level() + 1

    def _reduce(self, rule: Production, build: Any) -> None:
        states, values = self.states, self.values
        size, passes_on = rule.size, build is None
        if size == 1 and passes_on and rule.origin[0] != "_":
            states[-1] = self.rows[states[-2]][rule.origin]
            return
        base = len(values) - size
        children = _children(rule, values, base)
        start = self.starts[base] if size else self.end
        depth = max(self.depths[base:], default=0)
        if rule.name == "binary":  # chains are walked link by link: the left side does not nest
            depth = max(self.depths[base] - 1, self.depths[-1])
        elif rule.name in CHAINED and isinstance(
            children[-1], nodes.If | nodes.IfExpr
        ):  # `else if`
            depth = max(*self.depths[base:-1], self.depths[-1] - 1)
        del states[len(states) - size :], values[base:], self.starts[base:], self.depths[base:]
        states.append(self.rows[states[-1]][rule.origin])
        self.starts.append(start)
        self.depths.append(depth if passes_on else depth + 1)
        if not passes_on:
            values.append(build(Span(self.source, start, self.end), *children))
        else:
            values.append(children if rule.origin[0] == "_" else children[0])
        if depth > MAX_DEPTH:
            raise TooDeep


def _children(rule: Production, values: list[Any], base: int) -> list[Any]:
    children: list[Any] = []
    for position in rule.picks:
        value: Any = None if position == NONE else values[base + position]
        if position not in rule.splices:
            children.append(value)
        elif children:
            children.extend(value)
        else:
            children = value  # a list that grows by one: taken over, not copied
    return children
