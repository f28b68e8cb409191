"""Read a JSON Schema as declarations of records, enums and types.

What the language cannot say is told in a note with its place in the schema, and the nearest wider
type stands there. References go to places of the same document only; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmc.check.aliases import is_alias
from lmc.check.annotations import MOST_NESTED, PRIMITIVES
from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.source import Source, Span
from lmc.syntax import nodes as n
from lmc.syntax.literals import MOST_INT
from lmc.syntax.tokens import RESERVED
from lmc.types import BUILTIN_RECORDS
from lmc.values.schema_defaults import Unfit, default_expr
from lmc.values.schema_names import free_names, pascal, singular
from lmc.values.schema_parts import (
    LEAST_OR_MOST,
    are_numbers,
    definitions_of,
    has_properties,
    implied,
    is_choice,
    is_decimal,
    is_null,
    labels_of,
    only_ref,
    pointed,
    unescaped,
)
from lmc.values.schema_scalars import (
    Notes,
    Schema,
    at,
    integer,
    lengths,
    named,
    number,
    optional,
    string,
)
from lmc.values.schema_settled import Place, settled

DEPTH = 4  # of records that contain themselves: no schema says how deep they nest
MOST_DECLARED = 2000  # records and enums of one document
MOST_LEVELS = 150  # schemas in one another
MOST_MERGED = 100  # schemas of one `allOf`
_SPAN = Span(Source("schema", ""), 0, 0)
_TAKEN = {*RESERVED, *PRIMITIVES, *BUILTIN_RECORDS, "list", "dict", "one_of"}
_KINDS = frozenset(["string", "integer", "number", "boolean", "array", "object"])
# What says nothing about values, or is read together with something else.
_SILENT = frozenset(
    [
        *("$schema", "$id", "$defs", "definitions", "$comment", "$anchor", "title", "description"),
        *("default", "examples", "example", "deprecated", "readOnly", "writeOnly", "components"),
        *("type", "nullable", "enum", "const", "properties", "required", "additionalProperties"),
        *("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength"),
        *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        *("anyOf", "oneOf", "allOf", "$ref", "formatMinimum", "formatMaximum", "discriminator"),
        *("multipleOf", "$vocabulary", "externalDocs", "xml", "propertyOrdering", "openapi"),
        *("info", "paths"),
    ]
)


@frozen
class Imported:
    """The declarations of a schema, and what they do not say, each with its JSON pointer."""

    decls: tuple[n.Decl, ...]
    notes: tuple[tuple[str, str], ...]


def import_schema(schema: Any, name: str = "Imported") -> Imported:
    """The declarations of a JSON Schema (draft 4 to 2020-12, OpenAPI). `name` is that of its root.

    Raises: LmcError[bad-schema] if it is no schema.
    """
    if not isinstance(schema, Mapping):
        raise LmcError.of("bad-schema", "a JSON Schema is an object")
    reader = _Importer(schema)
    reader.root(str(schema.get("title") or name))
    decls, notes = settled(tuple(reader.decls.values()), reader.places)
    return Imported(decls, tuple(dict.fromkeys([*reader.notes, *notes])))


class _Importer:
    """Reads one document. `decls` are its declarations by name, each behind what it mentions."""

    def __init__(self, document: Schema) -> None:
        self.document = document
        self.decls: dict[str, n.Decl] = {}
        self.notes: Notes = []
        self.names: dict[str, str] = {}  # of declarations by the pointers of their schemas
        self.root_hint = ""
        self.level = 0  # of schemas in one another
        self.places: dict[tuple[str, str], Place] = {}
        self.open: list[str] = []  # the pointers of what is being read
        self.inlined: list[str] = []  # the targets in the `allOf`s that are being read
        self.records: set[str] = set()  # the pointers of the records among them
        self.deep: set[str] = set()  # the pointers of records that get a depth
        self.circled: set[str] = set()  # the pointers of what mentions itself

    def root(self, name: str) -> None:
        """Read the document, or all its definitions if it says nothing else."""
        keys = ("type", "properties", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "items")
        if any(key in self.document for key in keys):
            self.root_hint, self.open = name, ["#"]
            type = self.type(self.document, "#", name)
            if not (isinstance(type, n.NamedType) and type.name.name in self.decls):
                self.alias(type, self.names.get("#") or self.free(name), "#")
            return
        found = list(definitions_of(self.document))
        if not found:
            raise LmcError.of("bad-schema", "the schema says nothing about any value")
        for pointer, part in found:
            self.reference(pointer, part, pointer)

    # --- types ---

    def type(self, schema: Any, pointer: str, hint: str) -> n.TypeExpr:
        """The type of a schema. `hint` names the record that it may be."""
        if not isinstance(schema, Mapping):
            if schema is not True:
                self.note(pointer, "it is no schema that a value can have" if schema is False else
                          "it is no schema")  # fmt: skip
            return named("json")
        self.level += 1
        if self.level > MOST_LEVELS:
            raise LmcError.of("bad-schema", f"the schema nests more than {MOST_LEVELS} times")
        type = self.said(schema, pointer, hint)
        self.level -= 1
        return type

    def said(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        """The type that a schema says, by the first keyword that says one."""
        for key in schema:
            if key not in _SILENT and not key.startswith("x-"):
                self.note(at(pointer, key), f"`{key}` cannot be said")
        if "$ref" in schema:
            return self.ref(schema, pointer, hint)
        if "allOf" in schema:
            if target := only_ref(schema):
                return self.ref({**schema, "$ref": target}, pointer, hint)
            before = len(self.inlined)
            type = self.type(self.merged(schema, pointer), pointer, hint)
            del self.inlined[before:]
            return type
        if "const" in schema:
            return self.choices([schema["const"]], pointer, hint, schema)
        if "enum" in schema:
            return self.choices(schema["enum"], pointer, hint, schema)
        if options := schema.get("anyOf", schema.get("oneOf")):
            return self.union(schema, options, pointer, hint)
        type = self.of_kind(schema, pointer, hint)
        return optional(type) if schema.get("nullable") is True else type

    def of_kind(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        kinds = schema.get("type", implied(schema))
        kinds = list(map(str, kinds)) if isinstance(kinds, list) else [str(kinds)] * bool(kinds)
        left = [kind for kind in kinds if kind != "null"]
        if len(left) < len(kinds) and left:
            return optional(self.of_kind({**schema, "type": left}, pointer, hint))
        if set(left) == {"integer", "number"}:
            left = ["number"]
        match left:
            case ["string"]:
                return string(schema, pointer, self.notes)
            case ["integer"]:
                return integer(schema, pointer, self.notes)
            case ["number"]:
                return number(schema, pointer, self.notes)
            case ["boolean"]:
                return named("bool")
            case ["array"]:
                return self.array(schema, pointer, hint)
            case ["object"]:
                return self.object(schema, pointer, hint)
            case [] if not kinds:
                return named("json")
        if left and not set(left) <= _KINDS:
            unknown = ", ".join(sorted(set(left) - _KINDS))
            self.note(at(pointer, "type"), f"there is no type {unknown}: `json` stands for it")
            return named("json")
        if left:
            parts = [{**schema, "type": kind} for kind in dict.fromkeys(left)]
            types = [self.of_kind(part, pointer, hint) for part in parts]
            return self.united(types, at(pointer, "type"))
        self.note(at(pointer, "type"), "no value but null: `json` stands for it")
        return named("json")

    def array(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        items = schema.get("prefixItems", schema.get("items", True))
        if isinstance(items, list):
            self.note(pointer, "its items have types of their own: `list[json]` stands for it")
            schema, items = {**schema, "minItems": len(items), "maxItems": len(items)}, True
        refinements = lengths(schema, "Items", pointer, self.notes)
        if schema.get("uniqueItems") is True:
            refinements.append(n.UniqueRefinement(span=_SPAN))
        item = self.type(items, at(pointer, "items"), singular(hint))
        return n.NamedType(_ident("list"), (item,), tuple(refinements), span=_SPAN)  # type: ignore[arg-type]

    def object(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        if has_properties(schema):
            return self.record(schema, pointer, hint)
        others = schema.get("additionalProperties", True)
        if isinstance(others, Mapping):
            item = self.type(others, at(pointer, "additionalProperties"), singular(hint))
            return n.NamedType(_ident("dict"), (named("str"), item), span=_SPAN)
        if others is False:
            self.note(pointer, "an object without fields: `json` stands for it")
        return named("json")

    def union(self, schema: Schema, options: Any, pointer: str, hint: str) -> n.TypeExpr:
        if not isinstance(options, list):
            self.note(pointer, "`anyOf` and `oneOf` are lists of schemas")
            return named("json")
        key = "anyOf" if "anyOf" in schema else "oneOf"
        shared = {
            k: v for k, v in schema.items() if k not in (key, "description", "title", "default")
        }
        left = [(i, o) for i, o in enumerate(options) if not is_null(o)]
        if left and (labels := labels_of([o for _, o in left])):
            type = self.enum(labels, pointer, hint, schema)
        elif is_decimal([o for _, o in left]):
            if "pattern" not in left[1][1]:
                self.note(at(pointer, key), "a number or a string is a decimal here")
            type = number(left[0][1], pointer, self.notes, kind="decimal")
        else:
            type = self.options(left, shared, at(pointer, key), hint)
        return optional(type) if len(left) < len(options) else type

    def options(
        self, left: Sequence[tuple[int, Any]], shared: Schema, pointer: str, hint: str
    ) -> n.TypeExpr:
        """The union of some options: of records, or of strings."""
        found: list[n.TypeExpr] = []
        for i, option in left:
            whole = {**shared, **option} if isinstance(option, Mapping) else option
            name = hint if len(left) == 1 else f"{hint}{i + 1}"
            type = self.type(whole, at(pointer, str(i)), name)
            found += type.options if isinstance(type, n.UnionTypeExpr) else [type]
        return self.united(found, pointer)

    def united(self, options: Sequence[n.TypeExpr], pointer: str) -> n.TypeExpr:
        """The union of some types; a wider one of the same kind of value holds what it can."""
        absent = any(isinstance(o, n.OptionalTypeExpr) for o in options)
        flat = [o.item if isinstance(o, n.OptionalTypeExpr) else o for o in options]
        distinct = list({repr(t): t for t in flat}.values())
        if any(_is(t, "json") for t in distinct) and len(distinct) > 1:
            self.note(pointer, "a value of several types: `json` stands for it")
            return named("json")
        for wide, narrow in (("str", self.is_text), ("float", lambda t: _is_a(t, "float", "int"))):
            wider = next((t for t in distinct if _is(t, wide)), None)
            left = [t for t in distinct if t is wider or not narrow(t)]
            if wider is not None and len(left) < len(distinct):
                if wide == "str":
                    self.note(pointer, "a text of several forms: `str` stands for it")
                distinct = left
        whole = (
            n.UnionTypeExpr(tuple(distinct), span=_SPAN) if len(distinct) > 1
            else distinct[0] if distinct else named("json")
        )  # fmt: skip
        return optional(whole) if absent else whole

    def is_text(self, type: n.TypeExpr) -> bool:
        """Whether all values of a type are texts."""
        declared = isinstance(type, n.NamedType) and self.decls.get(type.name.name)
        texts = isinstance(type, n.LiteralTypeExpr) or isinstance(declared, n.EnumDecl)
        return texts or _is_a(type, "str", "date", "time", "datetime")

    def alias(self, type: n.TypeExpr, name: str, pointer: str) -> n.TypeExpr:
        """A name for a type."""
        self.decls[name] = n.TypeDecl(_ident(name), type, span=_SPAN)
        self.names[pointer] = name
        self.places[name, ""] = Place(pointer)
        return named(name)

    def choices(self, values: Any, pointer: str, hint: str, schema: Schema) -> n.TypeExpr:
        """The type of some constant values."""
        values = list(values) if isinstance(values, list) else []
        left = [v for v in values if v is not None]
        if len(left) < len(values) and left:
            return optional(self.choices(left, pointer, hint, schema))
        if left and all(isinstance(v, str) for v in left):
            if self.names.get(pointer) or pointer == "#":
                return self.enum([(v, "") for v in left], pointer, hint, schema)
            literals = [n.LiteralTypeExpr(v, span=_SPAN) for v in dict.fromkeys(left)]
            one = len(literals) == 1
            return literals[0] if one else n.UnionTypeExpr(tuple(literals), span=_SPAN)
        texts = [v for v in left if isinstance(v, str)]
        others = [v for v in left if not isinstance(v, str)]
        if texts and others:
            types = [self.choices(texts, f"{pointer}/enum", hint, schema)]
            return self.united([*types, self.constants(others, pointer)], pointer)
        return self.constants(left, pointer)

    def constants(self, values: Sequence[Any], pointer: str) -> n.TypeExpr:
        """The nearest type of constants that are no strings."""
        kinds = {bool: "bool", int: "int", float: "float"}
        found = {kinds.get(v.__class__, "json") for v in values} or {"json"}
        name = found.pop() if len(found) == 1 else "float" if found == {"int", "float"} else "json"
        distinct = len(set(map(repr, values)))
        small = name == "int" and max(map(abs, values)) <= MOST_INT
        if small and max(values) - min(values) + 1 == distinct:
            return named("int", n.RangeRefinement(min(values), max(values), span=_SPAN))
        if not (name == "bool" and distinct == 2):
            self.note(pointer, f"these values alone cannot be said: `{name}` stands for them")
        return named(name)

    # --- declarations ---

    def enum(
        self, labels: Sequence[tuple[str, str]], pointer: str, hint: str, schema: Schema
    ) -> n.TypeExpr:
        """A declared enum. A label that is no name gets one, and is its alias."""
        usable = [label for label, _ in labels if is_alias(label, "variant")]
        if len(usable) < len(labels):
            self.note(pointer, "a label that is empty or has line ends: `str` stands for it")
            return named("str")
        variants = []
        names = free_names([label for label, _ in labels])
        for (label, note), name in zip(labels, names):
            alias = None if name == label else _string(label)
            variants.append(
                n.VariantDecl(_ident(name), _string(note) if note else None, alias, span=_SPAN)
            )
        name = self.declare(pointer, schema, hint)
        doc = _doc(schema)
        self.decls[name] = n.EnumDecl(_ident(name), doc, tuple(variants), span=_SPAN)
        return named(name)

    def record(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        """A declared record."""
        if len(self.open) >= MOST_NESTED:
            message = f"the schema nests more than {MOST_NESTED} objects in one another"
            raise LmcError.of("bad-schema", message)
        name = self.declare(pointer, schema, hint)
        self.open.append(pointer)
        self.records.add(pointer)
        properties = schema["properties"]
        required = schema.get("required")
        needed = set(map(str, required)) if isinstance(required, list) else set()
        for other in sorted(needed - set(properties)):
            self.note(at(pointer, "required"), f"there is no property `{other}`")
        if schema.get("additionalProperties") not in (None, False):
            self.note(at(pointer, "additionalProperties"), "records have no other fields")
        fields = []
        for key, free in zip(properties, free_names([str(key) for key in properties])):
            place = at(at(pointer, "properties"), key)
            if field := self.field(str(key), free, properties[key], key in needed, place, name):
                fields.append(field)
        self.open.pop()
        if not fields:
            self.note(pointer, "no field is left: `json` stands for it")
            return named("json")
        depth = n.Depth(_ident("depth"), DEPTH, span=_SPAN) if pointer in self.deep else None
        doc = _doc(schema)
        self.decls[name] = n.RecordDecl(_ident(name), doc, tuple(fields), depth, span=_SPAN)
        self.places[name, ""] = Place(pointer)
        return named(name)

    def field(
        self, key: str, name: str, schema: Any, needed: bool, pointer: str, owner: str
    ) -> n.FieldDecl | None:
        if name != key and not is_alias(key, "field"):
            self.note(pointer, "no field can have this name, so that it is left out")
            return None
        type = self.type(schema, pointer, f"{owner}{pascal(key)}")
        told = schema.get("description") if isinstance(schema, Mapping) else None
        value = None
        if isinstance(schema, Mapping) and "default" in schema:
            try:
                value = default_expr(type, schema["default"], self.decls)
            except Unfit as problem:
                self.note(at(pointer, "default"), str(problem))
        if value is None and not needed and isinstance(type, n.LiteralTypeExpr):
            value = _string(type.value)  # the only value that it can have; it tells members apart
        if value is None and not needed:
            type, value = optional(type), n.NoneLit(span=_SPAN)
        self.places[owner, name] = Place(pointer, needed)
        note = _string(" ".join(str(told).split())) if told else None
        alias = None if name == key else _string(key)
        return n.FieldDecl(_ident(name), type, value, note, alias, span=_SPAN)

    def declare(self, pointer: str, schema: Schema, hint: str) -> str:
        """The name of a declaration, which nothing else has."""
        if pointer not in self.names:
            title = schema.get("title")
            self.names[pointer] = self.free(title if isinstance(title, str) and title else hint)
        if len(self.names) > MOST_DECLARED:
            message = f"the schema has more than {MOST_DECLARED:,} records and enums"
            raise LmcError.of("bad-schema", message)
        return self.names[pointer]

    def free(self, hint: str) -> str:
        taken = {*self.names.values(), *self.decls, *_TAKEN}
        name = first = pascal(hint) or "Record"
        number = 1
        while name in taken:
            number += 1
            name = f"{first}{number}"
        return name

    # --- references ---

    def ref(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        target = schema["$ref"]
        found = pointed(self.document, target) if isinstance(target, str) else None
        if found is None:
            self.note(pointer, f"`{target}` is not in this document: `json` stands for it")
            return named("json")
        others = {
            k: v
            for k, v in schema.items()
            if k not in ("$ref", "allOf", "description", "title", "default")
        }
        if any(key in others for key in ("properties", "required", "enum", "items")):
            return self.type({**others, "allOf": [{"$ref": target}]}, pointer, hint)
        return self.reference(str(target), found, pointer)

    def reference(self, target: str, schema: Any, pointer: str) -> n.TypeExpr:
        """What a reference stands for: a declaration for each place, made once."""
        hint = pascal(unescaped(target.rpartition("/")[2])) or "Record"
        if target in self.open:
            return self.circle(target, pointer, self.root_hint if target == "#" else hint)
        known = self.names.get(target)
        if known in self.decls:
            return named(str(known))
        if isinstance(schema, Mapping) and (is_choice(schema) or has_properties(schema)):
            self.names.setdefault(target, self.free(hint))
        if len(self.open) >= MOST_NESTED:
            raise LmcError.of("bad-schema", f"references nest more than {MOST_NESTED} times")
        inlined, self.inlined = self.inlined, []
        type = self.target(schema, target, hint)
        self.inlined = inlined
        return type

    def target(self, schema: Any, target: str, hint: str) -> n.TypeExpr:
        """The type of what a reference points to, with a name for what needs one."""
        if not isinstance(schema, Mapping) or has_properties(schema):
            return self.type(schema, target, hint)
        self.open.append(target)
        type = self.type(schema, target, hint)
        self.open.pop()
        known = isinstance(type, n.NamedType) and type.name.name == self.names.get(target)
        if target in self.circled and not known:
            return self.alias(type, self.names[target], target)
        union = isinstance(type, n.UnionTypeExpr)
        return self.alias(type, self.free(hint), target) if union else type

    def circle(self, target: str, pointer: str, hint: str) -> n.TypeExpr:
        """A mention of what is being read: some record of the circle gets a depth."""
        records = [p for p in self.open[self.open.index(target) :] if p in self.records]
        if not records:
            self.note(pointer, f"`{target}` contains itself: `json` stands for it here")
            return named("json")
        self.deep.add(records[0])
        self.circled.add(target)
        if target not in self.names:
            self.names[target] = self.free(hint)
        return named(self.names[target])

    def merged(self, schema: Schema, pointer: str) -> Schema:
        """The parts of an `allOf` as one schema. What two of them say otherwise is told."""
        whole: dict[str, Any] = {}
        for place, part in self.parts(schema, pointer):
            for key, value in part.items():
                if key == "properties" and isinstance(value, Mapping):
                    self.merge_properties(whole.setdefault(key, {}), value, place)
                elif key == "required" and isinstance(value, list):
                    whole[key] = list(dict.fromkeys([*whole.get(key, ()), *value]))
                elif key in ("title", "description", "$defs", "definitions", "default"):
                    whole.setdefault(key, value)
                elif key in LEAST_OR_MOST and are_numbers(whole.get(key), value):
                    whole[key] = LEAST_OR_MOST[key](whole[key], value)
                elif whole.setdefault(key, value) != value and key != "additionalProperties":
                    self.note(at(place, key), "another part of the `allOf` says otherwise")
        return whole

    def merge_properties(self, into: dict[str, Any], given: Schema, place: str) -> None:
        for name, schema in given.items():
            if into.setdefault(name, schema) != schema:
                into[name] = {"allOf": [into[name], schema]}

    def parts(self, schema: Schema, pointer: str) -> Iterator[tuple[str, Schema]]:
        """A schema itself and the parts of its `allOf`, with references followed."""
        todo: list[tuple[str, Any]] = [(pointer, schema)]
        seen: set[str] = set()
        found_here: list[str] = []
        count = 0
        while todo:
            place, part = todo.pop(0)
            count += 1
            if not isinstance(part, Mapping) or count > MOST_MERGED:
                if part is not True:
                    self.note(place, "this part of an `allOf` is left out")
                continue
            inner = part.get("allOf")
            if isinstance(inner, list):
                todo += [(at(at(place, "allOf"), str(i)), p) for i, p in enumerate(inner)]
            target = part.get("$ref")
            if isinstance(target, str) and target not in seen:
                seen.add(target)
                found = pointed(self.document, target)
                open_ = target in self.open and not self.is_named(pointer)
                if open_ or target in self.inlined:
                    self.note(place, f"`{target}` contains itself: its parts are left out here")
                elif found is None:
                    self.note(place, f"`{target}` is not in this document")
                else:
                    todo.append((target, found))
                    found_here.append(target)
            yield place, {k: v for k, v in part.items() if k not in ("allOf", "$ref")}
        self.inlined += found_here

    def is_named(self, pointer: str) -> bool:
        """Whether a schema has a name, so that it is read once."""
        return pointer in self.names or self.open[-1:] == [pointer]

    def note(self, pointer: str, text: str) -> None:
        self.notes.append((pointer, text))


# --- nodes ---


def _is(type: n.TypeExpr, name: str) -> bool:
    """Whether a type is a named one without bounds."""
    return _is_a(type, name) and not type.refinements  # type: ignore[attr-defined]


def _is_a(type: n.TypeExpr, *names: str) -> bool:
    return isinstance(type, n.NamedType) and type.name.name in names


def _ident(name: str) -> n.Ident:
    return n.Ident(name, span=_SPAN)


def _string(text: str) -> n.String:
    return n.String(text, span=_SPAN)


def _doc(schema: Schema) -> n.Doc | None:
    told = schema.get("description")
    text = " ".join(told.split()) if isinstance(told, str) else ""
    return n.Doc(text, False, span=_SPAN) if text else None
