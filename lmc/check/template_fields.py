"""Checks record fields in prompt templates, such as `x.field`, if the type is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lmc.check.access import field_type, has_fields
from lmc.check.scope import Env
from lmc.check.subtyping import required
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import ERROR, ListType, RecordType, Type
from lmc.unions import members

Types = Mapping[str, Type]
Locate = Callable[[str], Span]


def check_fields(env: Env, tree: Any, types: Types, place: Locate) -> None:
    """Report fields that the records of a template's parameters do not have.

    `types` are the types of the parameters. `place` finds a field's name in the text. A name that
    the template sets itself has no known type, except for the variable of a loop over a list.
    """
    from jinja2 import nodes as jinja

    own = {str(n.name) for n in tree.find_all(jinja.Name) if n.ctx != "load"}
    known = {name: type for name, type in types.items() if name not in own}
    _Fields(env, place).visit(tree, known)


class _Fields:
    def __init__(self, env: Env, place: Locate) -> None:
        self.env, self.place = env, place

    def visit(self, node: Any, types: Types) -> None:
        """Check every expression inside a node. `types` are the names in scope."""
        from jinja2 import nodes as jinja

        match node:
            case jinja.For(target=jinja.Name(name=name)):
                item = self.type_of(node.iter, types)
                inner = {**types, name: item.item} if isinstance(item, ListType) else types
                for part, seen in _parts(node, types, inner):
                    self.visit(part, seen)
            case jinja.Getattr() | jinja.Getitem():
                self.type_of(node, types)
                if isinstance(node, jinja.Getitem):
                    self.visit(node.arg, types)
            case _:
                for part in node.iter_child_nodes():
                    self.visit(part, types)

    def type_of(self, node: Any, types: Types) -> Type:
        """The type of a name, a field or an item. ERROR if it is unknown."""
        from jinja2 import nodes as jinja

        match node:
            case jinja.Name(name=name):
                return required(types.get(name, ERROR))
            case jinja.Getattr(attr=str(name)) | jinja.Getitem(arg=jinja.Const(value=str(name))):
                whole = self.type_of(node.node, types)
                if has_fields(whole):
                    return self.field(whole, name)
            case jinja.Getitem():
                whole = self.type_of(node.node, types)
                if isinstance(whole, ListType) and not isinstance(node.arg, jinja.Slice):
                    return required(whole.item)
            case _:
                self.visit(node, types)
        return ERROR

    def field(self, whole: Type, name: str) -> Type:
        """The type of a field of a record. In a union, one record has it if any does."""
        records = [part for part in members(whole) if isinstance(part, RecordType)]
        having = [record for record in records if record.get(name)]
        if len(having) < len(records) and having:
            return ERROR if len(having) > 1 else self.field(having[0], name)
        ident = nodes.Ident(name, span=self.place(name))
        return required(field_type(self.env, whole, ident))


def _parts(loop: Any, outer: Types, inner: Types) -> Iterator[tuple[Any, Types]]:
    yield loop.iter, outer
    if loop.test is not None:
        yield loop.test, inner
    yield from ((part, inner) for part in loop.body)
    yield from ((part, outer) for part in loop.else_)
