"""Widen what the checker refuses of declarations that were read from a JSON Schema.

Unions whose members cannot be told apart become `json`, defaults outside of their type are left
out, and records that would have no values get a `json`. So what is written can be used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from lmc.check.checker import check_program
from lmc.diagnostics import Diagnostic, LmcError
from lmc.frozen import frozen
from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.parser import parse
from lmc.syntax.unparse import print_tree
from lmc.values.schema_scalars import Notes, named, optional

_SPAN = Span(Source("schema", ""), 0, 0)
_MOST_ROUNDS = 100
Decls = tuple[n.Decl, ...]


@frozen
class Place:
    """Where a declaration or a field is in the schema, and whether values must have the field."""

    pointer: str
    needed: bool = True


Places = Mapping[tuple[str, str], Place]  # by the names of declaration and field; "" for no field


def settled(decls: Decls, places: Places) -> tuple[Decls, Notes]:
    """Declarations that can be used, and notes on what was widened.

    Raises: LmcError[bad-schema] if it cannot be mended.
    """
    notes: Notes = []
    for _ in range(_MOST_ROUNDS):
        text = print_tree(n.FileTree(_SPAN.source, decls, span=_SPAN))
        source = Source("imported", text)
        errors = [d for d in check_program(source)[1] if d.severity == "error"]
        if not errors:
            return decls, [*notes, *_depths(decls, places)]
        read = parse(source)[0].decls
        mended = tuple(_Mending(decl, errors, places, notes).decl() for decl in read)
        if mended == read:
            break
        decls = mended
    message = f"the schema cannot be written as declarations: {errors[0].message}"
    raise LmcError.of("bad-schema", message)


def _depths(decls: Decls, places: Places) -> Notes:
    return [
        (
            places[decl.name.name, ""].pointer,
            f"it contains itself: at most {decl.depth.bound} may stand in one another",
        )
        for decl in decls
        if isinstance(decl, n.RecordDecl) and decl.depth
    ]


class _Mending:
    """Mends one declaration by what was found in it."""

    def __init__(
        self, decl: n.Decl, errors: Sequence[Diagnostic], places: Places, notes: Notes
    ) -> None:
        self.given, self.places, self.notes = decl, places, notes
        self.errors = [e for e in errors if e.span is not None and _holds(decl.span, e.span)]
        self.spans = [e.span for e in self.errors if e.span is not None]
        self.endless = {
            e.span.text for e in errors if e.code == "endless-type" and e.span is not None
        }

    def decl(self) -> n.Decl:
        match self.given:
            case n.RecordDecl() as record if self.errors:
                return self.record(record)
            case n.TypeDecl(name=name, type=type) if self.errors:
                place = self.places[name.name, ""].pointer
                return replace(self.given, type=self.type(type, place, self.spans))
        return self.given

    def record(self, record: n.RecordDecl) -> n.RecordDecl:
        name = record.name.name
        codes = {e.code for e in self.errors if e.span in (record.name.span, _depth_span(record))}
        fields = tuple(self.field(name, field) for field in record.fields)
        if name in self.endless:
            fields = tuple(self.ending(name, field) for field in fields)
        depth = record.depth
        if depth is not None and "type-too-large" in codes:
            depth = replace(depth, bound=int(depth.bound) // 2)
        if "bad-depth" in codes or (depth is not None and not depth.bound):
            depth = None
        return replace(record, fields=fields, depth=depth)

    def field(self, owner: str, field: n.FieldDecl) -> n.FieldDecl:
        place = self.places[owner, field.name.name]
        within = [s for s in self.spans if _holds(field.type.span, s)]
        field = replace(field, type=self.type(field.type, place.pointer, within))
        if field.default is None or not any(_holds(field.default.span, s) for s in self.spans):
            return field
        self.notes.append((f"{place.pointer}/default", "the default is left out: it does not fit"))
        if place.needed:
            return replace(field, default=None)
        return replace(field, type=optional(field.type), default=n.NoneLit(span=_SPAN))

    def ending(self, owner: str, field: n.FieldDecl) -> n.FieldDecl:
        """A field of a record without values; `json`, if it is why there are none."""
        may_end = isinstance(field.type, n.OptionalTypeExpr) or (
            isinstance(field.type, n.NamedType)
            and (field.type.name.name in ("dict", "json") or _may_be_empty(field.type))
        )
        if may_end or not self.mentions(field.type):
            return field
        place = self.places[owner, field.name.name].pointer
        self.notes.append((place, "each value would need another in it: `json` stands for it"))
        return replace(field, type=named("json"))

    def mentions(self, type: n.SyntaxNode) -> bool:
        """Whether a type names a record or an alias of the schema."""
        own = isinstance(type, n.NamedType) and (type.name.name, "") in self.places
        return own or any(map(self.mentions, n.children(type)))

    def type(self, type: n.TypeExpr, pointer: str, spans: Collection[Span]) -> n.TypeExpr:
        """A type in which what was found wrong is `json`."""
        if not spans:
            return type
        parts = [part for part in n.children(type) if isinstance(part, n.TypeExpr)]
        own = [s for s in spans if not any(_holds(part.span, s) for part in parts)]
        if own:
            told = "a value of several types" if isinstance(type, n.UnionTypeExpr) else "it nests"
            self.notes.append((pointer, f"{told}: `json` stands for it"))
            return named("json")

        def inner(part: n.TypeExpr) -> n.TypeExpr:
            return self.type(part, pointer, [s for s in spans if _holds(part.span, s)])

        match type:
            case n.OptionalTypeExpr(item):
                return optional(inner(item))
            case n.UnionTypeExpr(options):
                return replace(type, options=tuple(map(inner, options)))
            case n.NamedType(args=args):
                return replace(type, args=tuple(map(inner, args)))
        return type


def _holds(outer: Span, inner: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _depth_span(record: n.RecordDecl) -> Span | None:
    return record.depth.span if record.depth else None


def _may_be_empty(type: n.NamedType) -> bool:
    bounds: Iterable[n.RangeRefinement] = (
        r for r in type.refinements if isinstance(r, n.RangeRefinement)
    )
    return type.name.name == "list" and not any(bound.low for bound in bounds)
