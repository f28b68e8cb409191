"""Tokens -> tree, by the grammar's tables."""

from __future__ import annotations

from typing import Any

from lmc.diagnostics import Diagnostic, error
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.tables import NONE, Rule, tables
from lmc.syntax.tokens import COMMENT, END, Token, other_kinds, tokens


def parse(source: Source) -> tuple[nodes.Module, list[Diagnostic]]:
    """Parse a text: the declarations that could be read, and what is wrong with the others."""
    found = tokens(source)
    parser = Parser(source)
    diagnostics: list[Diagnostic] = []
    decls: tuple[nodes.Decl, ...] = ()
    for token in found:
        if token.kind != COMMENT and not parser.feed(token):
            span = Span(source, token.start, token.end)
            diagnostics.append(
                error("unexpected-token", f"`{token.text}` is not expected here", span)
            )
            break
    else:
        decls = parser.values[0]
    module = nodes.Module(
        source,
        decls,
        tuple(_comment(source, token) for token in found if token.kind == COMMENT),
        span=Span(source, 0, len(source.text)),
    )
    return module, diagnostics + parser.builder.diagnostics


def _comment(source: Source, token: Token) -> nodes.Comment:
    line_start = source.text.rfind("\n", 0, token.start) + 1
    own_line = not source.text[line_start : token.start].strip()
    return nodes.Comment(token.text.rstrip(), own_line, span=Span(source, token.start, token.end))


class Parser:
    """The stacks of one parse: states, their values, and where each value starts."""

    def __init__(self, source: Source) -> None:
        known = tables()
        self.source = source
        self.builder = TreeBuilder(source)
        self.rows = known.rows
        self.rules = [
            (rule, rule.name and getattr(self.builder, rule.name)) for rule in known.rules
        ]
        self.states = [0]
        self.values: list[Any] = []
        self.starts: list[int] = []
        self.end = 0

    def feed(self, token: Token) -> bool:
        """Take one token; False where it is not expected."""
        kind = self.kind_of(token)
        states, rows = self.states, self.rows
        while (action := rows[states[-1]].get(kind)) is not None:
            if action >= 0:
                states.append(action)
                self.values.append(token)
                self.starts.append(token.start)
                self.end = token.end
                return True
            rule, build = self.rules[~action]
            self.reduce(rule, build)
            if kind == END and rule.origin == "start":
                return True
        return False

    def kind_of(self, token: Token) -> str:
        """Decide what a token is in this place: a word may be key, keyword or name."""
        row = self.rows[self.states[-1]]
        kinds = [kind for kind in (token.kind, *other_kinds(token)) if kind in row]
        if len(kinds) > 1:
            kinds = [kind for kind in kinds if self.accepts(kind)]
        return kinds[0] if kinds else token.kind

    def accepts(self, kind: str) -> bool:
        """Whether a token of this kind may come next: the tables alone promise too much."""
        states = self.states.copy()
        while (action := self.rows[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            rule, _ = self.rules[~action]
            del states[len(states) - rule.size :]
            if kind == END and rule.origin == "start":
                return True
            states.append(self.rows[states[-1]][rule.origin])
        return False

    def reduce(self, rule: Rule, build: Any) -> None:
        """Put the value of a rule in place of the values of its parts."""
        states, values, starts, size = self.states, self.values, self.starts, rule.size
        if size == 1 and build is None and not rule.origin.startswith("_"):
            states[-1] = self.rows[states[-2]][rule.origin]
            return
        base = len(values) - size
        children: list[Any] = []
        for position in rule.picks:
            value: Any = None if position == NONE else values[base + position]
            if position not in rule.splices:
                children.append(value)
            elif children:
                children.extend(value)
            else:
                children = value  # a list that grows by one: taken over, not copied
        start = starts[base] if size else self.end
        del states[len(states) - size :], values[base:], starts[base:]
        states.append(self.rows[states[-1]][rule.origin])
        starts.append(start)
        if build is None:
            values.append(children if rule.origin.startswith("_") else children[0])
        else:
            values.append(build(Span(self.source, start, self.end), *children))
