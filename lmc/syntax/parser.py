"""The parser: tokens to tree, by the grammar's tables. It goes on after a syntax error."""

from __future__ import annotations

from bisect import bisect_left

from lmc.diagnostics import Diagnostic, error
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.recovery import next_good_place, stand_in
from lmc.syntax.stack import Stack, TooDeep
from lmc.syntax.syntax_errors import describe, too_deep
from lmc.syntax.tokens import COMMENT, Token, declaration_kinds, tokens


def parse(source: Source) -> tuple[nodes.FileTree, list[Diagnostic]]:
    """Parse a text. Returns the declarations without errors, and the diagnostics of the others."""
    found = tokens(source)
    run = _Run(source, [token for token in found if token.kind != COMMENT])
    run.go()
    module = nodes.FileTree(
        source,
        run.good_decls(),
        tuple(_comment(source, token) for token in found if token.kind == COMMENT),
        frozenset(run.broken),
        span=Span(source, 0, len(source.text)),
    )
    return module, run.diagnostics


def _comment(source: Source, token: Token) -> nodes.Comment:
    line_start = source.text.rfind("\n", 0, token.start) + 1
    own_line = not source.text[line_start : token.start].strip()
    return nodes.Comment(token.text.rstrip(), own_line, span=Span(source, token.start, token.end))


class _Run:
    """One parse of one text, past its errors to its end."""

    def __init__(self, source: Source, found: list[Token]) -> None:
        self.source = source
        self.found = found
        builder = TreeBuilder(source)
        self.stack = Stack(builder)
        self.diagnostics: list[Diagnostic] = builder.diagnostics
        self.errors: list[int] = []  # offsets of errors in declarations that were read on
        self.broken: set[str] = set()
        self.declaration = 0  # index of the first token of the latest declaration

    def go(self) -> None:
        i = 0
        while i < len(self.found):
            try:
                i = self.step(i)
            except TooDeep:
                self.diagnostics.append(too_deep(self.source, self.found[i]))
                i = self.skip(i)

    def step(self, i: int) -> int:
        """Take the token at `i`, or report it. Returns the index of the next token."""
        token = self.found[i]
        if self.stack.feed(token):
            if token.kind in declaration_kinds() and self.stack.opens_declaration():
                self.declaration = i
            return i + 1
        self.stack.settle()
        self.diagnostics.append(describe(self.source, self.stack, self.found, i))
        meant = stand_in(token)
        if meant and self.stack.feed(meant):
            self.errors.append(token.start)
            return i + 1
        return self.skip(i)

    def skip(self, i: int) -> int:
        """Skip to the next good place after an error, and note the declarations that are lost."""
        place = next_good_place(self.source, self.stack, self.found, i)
        if place.height == (top := self.stack.top_level()):
            start = self.declaration if len(self.stack.values) > top else i
            self.broken |= _declared_names(self.found[start : place.index])
        else:
            self.errors.append(self.found[i].start)
        self.stack.cut(place.height)
        return place.index

    def good_decls(self) -> tuple[nodes.Decl, ...]:
        """The declarations without errors. Notes the names of the others."""
        errors = sorted(self.errors)
        index_at = {t.start: i for i, t in enumerate(self.found)} if errors else {}
        good = []
        for decl in self.stack.values[0]:
            if bisect_left(errors, decl.span.start) < bisect_left(errors, decl.span.end):
                start = index_at[decl.span.start]
                self.broken |= _declared_names(self.found[start : start + 2])
            else:
                good.append(decl)
                self.check_not_empty(decl)
        return tuple(good)

    def check_not_empty(self, decl: nodes.Decl) -> None:
        match decl:
            case nodes.RecordDecl(name, _, ()):
                message = "a record needs at least one field"
                self.diagnostics.append(error("empty-record", message, name.span))
            case nodes.EnumDecl(name, _, ()):
                message = "an enum needs at least one variant"
                self.diagnostics.append(error("empty-enum", message, name.span))


def _declared_names(found: list[Token]) -> set[str]:
    """The names that a broken declaration would have declared, from its tokens."""
    imports = found and found[0].kind == "FROM"
    return {t.text for t in (found if imports else found[1:2]) if t.text.isidentifier()}
