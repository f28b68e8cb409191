"""The type stubs that `lmc stubs` writes for Python callers of a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from keyword import iskeyword
from typing import TypeGuard

from lmc.ir.graph import Graph, Port, ProgramGraph
from lmc.ir.tool_graphs import own_tools, tool_graph
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    MediaType,
    NoneType,
    OneOfType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    has_media,
    is_messages,
    parts,
)
from lmc.values.names import (
    distinct_names,
    field_names,
    input_names,
    names_of_models,
    python_names,
    variant_names,
)
from lmc.written import CLASSES

HEAD = '''"""Types of {source}, written by `lmc stubs`; do not edit.

    from typing import TYPE_CHECKING, cast
    if TYPE_CHECKING:
        from {module} import Program
    program = cast("Program", lmc.load({source}))
"""
'''
# What the stubs use, by module. A program may have a type or a field of the same name.
IMPORTS = {
    "builtins": ("bool", "bytes", "dict", "float", "int", "list", "str", "tuple"),
    "collections.abc": ("Iterable", "Sequence"),
    "datetime": ("date", "datetime", "time"),
    "decimal": ("Decimal",),
    "enum": ("StrEnum",),
    "typing": ("Any", "Literal", "overload"),
    "lmc": ("LmcError", "Media", "Program", "RunReport", "Stream"),
    "pathlib": ("Path",),
    "pydantic": ("BaseModel",),
}
SELDOM = ("datetime", "decimal")  # imported only by stubs that need them
METHODS = ("acall", "traced", "atraced", "batch", "stream", "whole", "prompt")  # of a callable
# A field or a variant may have the name of a method of its base class.
MYPY, PYRIGHT = "  # type: ignore[assignment]", "  # pyright: ignore"
OF_ENUMS = {"name", "value", *dir(str)}
Named = RecordType | EnumType


def stub_text(
    program: ProgramGraph, source: str, module: str, members: Mapping[str, str] | None = None
) -> str:
    """The text of a `.pyi` file: a class for each record, enum and callable, and `Program`.

    `members` are the attributes of the program, by the names of its callables.
    """
    graphs = [program.graphs[name] for name in program.exports]
    graphs += [tool_graph(program.tools[name]) for name in own_tools(program)]
    return _Stubs(graphs, members or python_names(g.name for g in graphs)).text(source, module)


class _Stubs:
    """The stubs of some graphs.

    A class body hides the outer names that it assigns. A name that some body assigns is therefore
    written with `_` before it: no name of a program starts so.
    """

    def __init__(self, graphs: list[Graph], members: Mapping[str, str]) -> None:
        self.graphs, self.members = graphs, members
        found = _named_types(graphs)
        self.types = _one_of_each_family(found)
        self.media = any(map(has_media, _met(graphs)))
        results = _one_of_each_family(_named_types(graphs, results_only=True))
        self.partial = {k: type for k, type in results.items() if isinstance(type, RecordType)}
        own = [t.name for t in self.types.values()]
        unfinished = [f"{type.name}Partial" for type in self.partial.values()]
        names = distinct_names([*own, *unfinished], _no_class)
        self.classes = _with_all_levels(dict(zip(self.types, names)), found)
        self.unfinished = _with_all_levels(dict(zip(self.partial, names[len(own) :])), found)
        records = [t for t in self.types.values() if isinstance(t, RecordType)]
        self.inner = {*METHODS, *(n for t in records for n in field_names(t).values())}
        self.outer = {*names, "Program"}
        self.written: set[str] = set()  # classes of dates and the like that callers meet

    def text(self, source: str, module: str) -> str:
        """The whole file."""
        quoted = json.dumps(source, ensure_ascii=False)
        body = [self._class_of(key) for key in self.types]
        body += [self._unfinished(key) for key in self.partial]
        body += [self._callable(g) for g in self.graphs]
        body.append(self._program())
        classes = dict.fromkeys((*self.classes.values(), *self.unfinished.values()))
        aliases = [f"_{c}_type = {c}\n" for c in classes if c in self.inner]
        return "\n".join([HEAD.format(source=quoted, module=module), self._imports(), *body]) + (
            "\n" + "".join(aliases) if aliases else ""
        )

    def known(self, name: str) -> str:
        """How the stubs write a name that they import."""
        return f"_{name}" if name in self.inner or name in self.outer else name

    def _imports(self) -> str:
        lines = []
        for module, names in IMPORTS.items():
            written = [
                name if self.known(name) == name else f"{name} as {self.known(name)}"
                for name in names
                if name in self.written
                or (module not in SELDOM and (module != "builtins" or self.known(name) != name))
                if self.media or name not in ("Media", "Path", "Sequence")
            ]
            lines += [f"from {module} import {', '.join(written)}\n"] if written else []
        return "".join(lines)

    def annotation(self, type: Type, *, partial: bool = False, taken: bool = False) -> str:
        """A type as a Python annotation, without its refinements.

        With `partial`, its records are the unfinished ones of a stream. Where values are `taken`,
        media may be given in more ways, and turns as mappings.
        """
        match type:
            case MediaType():
                more = f" | {self.known('Path')} | {self.known('bytes')} | {self.known('str')}"
                return self.known("Media") + more * taken
            case ListType(item) if taken and is_messages(type):
                turn = f"{self.known('dict')}[{self.known('str')}, {self.known('Any')}]"
                return f"{self.known('Sequence')}[{self.annotation(item)} | {turn}]"
            case StrType():
                return self.known("str")
            case IntType():
                return self.known("int")
            case FloatType():
                return self.known("float")
            case BoolType():
                return self.known("bool")
            case WrittenType(kind):
                self.written.add(CLASSES[kind].__name__)
                return self.known(CLASSES[kind].__name__)
            case OneOfType():
                return self.known("str")
            case NoneType():
                return "None"
            case OptionalType(item):
                return f"{self.annotation(item, partial=partial, taken=taken)} | None"
            case ListType(item):
                inner = self.annotation(item, partial=partial, taken=taken)
                return f"{self.known('list')}[{inner}]"
            case DictType(item):
                inner = self.annotation(item, partial=partial, taken=taken)
                return f"{self.known('dict')}[{self.known('str')}, {inner}]"
            case LiteralType(values):
                return f"{self.known('Literal')}[{', '.join(map(repr, values))}]"
            case UnionType(options):
                shown = (self.annotation(o, partial=partial, taken=taken) for o in options)
                return " | ".join(shown)
            case EnumType() | RecordType():
                unfinished = partial and isinstance(type, RecordType)
                name = (self.unfinished if unfinished else self.classes)[repr(type)]
                return f"_{name}_type" if name in self.inner else name
            case _:
                return self.known("Any")

    def _class_of(self, key: str) -> str:
        type = self.types[key]
        body = self._enum(type) if isinstance(type, EnumType) else self._record(type)
        return f"class {self.classes[key]}{body}"

    def _enum(self, type: EnumType) -> str:
        lines = "".join(
            f"    {member} = {json.dumps(variant)}"
            f"{MYPY * hasattr(str, member)}{PYRIGHT * (member in OF_ENUMS)}\n"
            for variant, member in variant_names(type).items()
        )
        return f"({self.known('StrEnum')}):\n{lines}"

    def _record(self, type: RecordType) -> str:
        lines = "".join(map(self._field, type.fields, field_names(type).values()))
        return f"({self.known('BaseModel')}):\n{lines}"

    def _field(self, field: Field, name: str) -> str:
        hides = name in names_of_models() and not isinstance(field.type, JsonType)
        default = " = ..." if field.has_default else ""
        return f"    {name}: {self.annotation(field.type)}{default}{(MYPY + PYRIGHT) * hides}\n"

    def _unfinished(self, key: str) -> str:
        """The class of a record of which fields may not have come yet."""
        type = self.partial[key]
        lines = ""
        for field, name in zip(type.fields, field_names(type).values()):
            shown = self.annotation(OptionalType(_present(field.type)), partial=True)
            hides = name in names_of_models()
            lines += f"    {name}: {shown}{(MYPY + PYRIGHT) * hides}\n"
        return f"class {self.unfinished[key]}({self.known('BaseModel')}):\n{lines}"

    def _callable(self, graph: Graph) -> str:
        result = self.annotation(graph.result)
        part = self.annotation(graph.result, partial=True)
        shown = ", ".join(self._parameters(graph))
        text, any, dict = self.known("str"), self.known("Any"), self.known("dict")
        traced = f"{self.known('tuple')}[{result}, {self.known('RunReport')}]"
        messages = f"{self.known('list')}[{dict}[{text}, {any}]]"
        called = (
            f"class _{self.members[graph.name]}_call:\n"
            f"    def __call__({shown}) -> {result}: ...\n"
            f"    async def acall({shown}) -> {result}: ...\n"
            f"    def traced({shown}) -> {traced}: ...\n"
            f"    async def atraced({shown}) -> {traced}: ...\n"
            f"{self._batch(graph, result)}"
        )
        if graph.kind == "tool":  # no model writes its result
            return called
        return (
            f"{called}"
            f"    def stream({shown}) -> {self.known('Stream')}[{part}, {result}]: ...\n"
            f"    def whole(self, *fields: {text}) -> _{self.members[graph.name]}_call: ...\n"
            f"    def prompt({shown}) -> {messages}: ...\n"
        )

    def _batch(self, graph: Graph, result: str) -> str:
        """A row is a mapping, or the bare value of the only input. Errors come where asked for."""
        list, text, any, bool = map(self.known, ("list", "str", "Any", "bool"))
        row = f"{self.known('dict')}[{text}, {any}]"
        if len(graph.inputs) == 1:
            row = f"{self.annotation(graph.inputs[0].type, taken=True)} | {row}"
        rows = f"self, rows: {self.known('Iterable')}[{row}], *, return_exceptions"
        false, error = f"{self.known('Literal')}[False] = False", self.known("LmcError")
        overload = f"    @{self.known('overload')}\n"
        return (
            f"{overload}    def batch({rows}: {false}) -> {list}[{result}]: ...\n"
            f"{overload}    def batch({rows}: {bool}) -> {list}[{result} | {error}]: ...\n"
        )

    def _parameters(self, graph: Graph) -> Iterator[str]:
        names = input_names(graph.inputs)
        yield "_self" if "self" in names else "self"
        shown = [port for port in graph.inputs if not port.train]
        for place, port in enumerate(shown):
            if place == _positions(graph.inputs):
                yield "*"
            yield self._parameter(port, names[port.name])

    def _parameter(self, port: Port, name: str) -> str:
        taken = self.annotation(port.type, taken=True)
        return f"{name}: {taken}{' = ...' if port.has_default else ''}"

    def _program(self) -> str:
        lines = "".join(f"    {m}: _{m}_call\n" for m in self.members.values()) or "    ...\n"
        return f"class Program({self.known('Program')}):\n{lines}"


def _present(type: Type) -> Type:
    return type.item if isinstance(type, OptionalType) else type


def _named_types(graphs: Iterable[Graph], *, results_only: bool = False) -> dict[str, Named]:
    """The records and enums that callers meet. Two of different files may have one name."""
    found: dict[str, Named] = {}
    for type in _met(graphs, results_only=results_only):
        found |= {repr(t): t for t in parts(type) if isinstance(t, RecordType | EnumType)}
    return found


def _met(graphs: Iterable[Graph], *, results_only: bool = False) -> Iterator[Type]:
    """The types that callers meet."""
    for graph in graphs:
        if not results_only:
            yield from (p.type for p in graph.inputs)
        yield graph.result


def _is_recursive(type: Named) -> TypeGuard[RecordType]:
    return isinstance(type, RecordType) and bool(type.family)


def _one_of_each_family(found: Mapping[str, Named]) -> dict[str, Named]:
    """The types without the lower levels of recursive records, which have one class."""
    highest: dict[str, int] = {}
    for type in found.values():
        if _is_recursive(type):
            highest[type.family] = max(type.height, highest.get(type.family, 0))
    return {
        key: type
        for key, type in found.items()
        if not _is_recursive(type) or type.height == highest[type.family]
    }


def _with_all_levels(classes: Mapping[str, str], found: Mapping[str, Named]) -> dict[str, str]:
    """The classes also of the lower levels of recursive records."""
    recursive = {key: type.family for key, type in found.items() if _is_recursive(type)}
    families = {recursive[key]: name for key, name in classes.items() if key in recursive}
    lower = {key: families[family] for key, family in recursive.items() if family in families}
    return {**lower, **classes}


def _positions(ports: Sequence[Port]) -> int:
    """How many inputs a stub may take by position.

    Those after a hidden input have another position. Python takes none without a default by
    position after one that has a default.
    """
    first = next((i for i, p in enumerate(ports) if p.train), len(ports))
    defaults = [p.has_default for p in ports[:first]]
    return next((i for i in range(1, first) if defaults[i - 1] > defaults[i]), first)


def _no_class(name: str) -> bool:
    return iskeyword(name) or name == "Program"
