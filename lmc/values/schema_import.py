"""Read a JSON Schema as declarations of records, enums and types.

What the language cannot say is told in a note with its place in the schema, and the nearest wider
type stands there. References go to places of the same document only; nothing is fetched.
"""

from __future__ import annotations

import re
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
from lmc.values.schema_scalars import Notes, at, integer, lengths, named, number, optional, string

Schema = Mapping[str, Any]
MOST_DECLARED = 2000  # records and enums of one document
MOST_MERGED = 100  # schemas of one `allOf`
_SPAN = Span(Source("schema", ""), 0, 0)
_TAKEN = {*RESERVED, *PRIMITIVES, *BUILTIN_RECORDS, "list", "dict", "one_of"}
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
    return Imported(tuple(reader.decls.values()), tuple(dict.fromkeys(reader.notes)))


class _Importer:
    """Reads one document. `decls` are its declarations by name, each behind what it mentions."""

    def __init__(self, document: Schema) -> None:
        self.document = document
        self.decls: dict[str, n.Decl] = {}
        self.notes: Notes = []
        self.names: dict[str, str] = {}  # of declarations by the pointers of their schemas
        self.open: list[str] = []  # the pointers of the records that are being read

    def root(self, name: str) -> None:
        """Read the document, or all its definitions if it says nothing else."""
        keys = ("type", "properties", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "items")
        if any(key in self.document for key in keys):
            type = self.type(self.document, "#", name)
            if not (isinstance(type, n.NamedType) and type.name.name in self.decls):
                free = self.free(name)
                self.decls[free] = n.TypeDecl(_ident(free), type, span=_SPAN)
            return
        found = list(_definitions(self.document))
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
        for key in schema:
            if key not in _SILENT and not key.startswith("x-"):
                self.note(at(pointer, key), f"`{key}` cannot be said")
        if "$ref" in schema:
            return self.ref(schema, pointer, hint)
        if "allOf" in schema:
            if target := _only_ref(schema):
                return self.ref({**schema, "$ref": target}, pointer, hint)
            return self.type(self.merged(schema, pointer), pointer, hint)
        if "const" in schema:
            return self.choices([schema["const"]], pointer, hint, schema)
        if "enum" in schema:
            return self.choices(schema["enum"], pointer, hint, schema)
        if options := schema.get("anyOf", schema.get("oneOf")):
            return self.union(schema, options, pointer, hint)
        type = self.of_kind(schema, pointer, hint)
        return self.maybe(type, hint) if schema.get("nullable") is True else type

    def of_kind(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        kinds = schema.get("type", _implied(schema))
        kinds = list(map(str, kinds)) if isinstance(kinds, list) else [str(kinds)] * bool(kinds)
        left = [kind for kind in kinds if kind != "null"]
        if len(left) < len(kinds) and left:
            return self.maybe(self.of_kind({**schema, "type": left}, pointer, hint), hint)
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
        what = "no value but null" if not left else f"values of the types {', '.join(left)}"
        self.note(at(pointer, "type"), f"{what}: `json` stands for it")
        return named("json")

    def array(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        items = schema.get("prefixItems", schema.get("items", True))
        if isinstance(items, list):
            self.note(pointer, "its items have types of their own: `list[json]` stands for it")
            schema, items = {**schema, "minItems": len(items), "maxItems": len(items)}, True
        if schema.get("uniqueItems") is True:
            self.note(at(pointer, "uniqueItems"), "items that may not repeat cannot be said")
        bounds = tuple(lengths(schema, "Items", pointer, self.notes))
        item = self.type(items, at(pointer, "items"), singular(hint))
        return n.NamedType(_ident("list"), (item,), bounds, span=_SPAN)  # type: ignore[arg-type]

    def object(self, schema: Schema, pointer: str, hint: str) -> n.TypeExpr:
        if _has_properties(schema):
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
        left = [(i, o) for i, o in enumerate(options) if not _is_null(o)]
        if left and (labels := _labels([o for _, o in left])):
            type = self.enum(labels, pointer, hint, schema)
        elif _is_decimal([o for _, o in left]):
            if "pattern" not in left[1][1]:
                self.note(at(pointer, key), "a number or a string is a decimal here")
            type = number(left[0][1], pointer, self.notes, kind="decimal")
        else:
            type = self.options(left, shared, at(pointer, key), hint)
        return self.maybe(type, hint) if len(left) < len(options) else type

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
        distinct = list({repr(t): t for t in found}.values())
        if len(distinct) == 1:
            return distinct[0]
        if all(isinstance(t, n.LiteralTypeExpr) for t in distinct):
            return n.UnionTypeExpr(tuple(distinct), span=_SPAN)
        if distinct and all(self.is_record(t) for t in distinct):
            return self.alias(n.UnionTypeExpr(tuple(distinct), span=_SPAN), hint)
        self.note(pointer, "a value of several types: `json` stands for it")
        return named("json")

    def alias(self, type: n.TypeExpr, hint: str) -> n.TypeExpr:
        """A name for a union, so that it may stand anywhere."""
        name = self.free(hint)
        self.decls[name] = n.TypeDecl(_ident(name), type, span=_SPAN)
        return named(name)

    def maybe(self, type: n.TypeExpr, hint: str) -> n.TypeExpr:
        """`T?`; a union gets a name first, since `?` binds more closely than `|`."""
        return optional(self.alias(type, hint) if isinstance(type, n.UnionTypeExpr) else type)

    def is_record(self, type: n.TypeExpr) -> bool:
        return isinstance(type, n.NamedType) and isinstance(
            self.decls.get(type.name.name), n.RecordDecl
        )

    def choices(self, values: Any, pointer: str, hint: str, schema: Schema) -> n.TypeExpr:
        """The type of some constant values."""
        values = list(values) if isinstance(values, list) else []
        left = [v for v in values if v is not None]
        if len(left) < len(values) and left:
            return self.maybe(self.choices(left, pointer, hint, schema), hint)
        if left and all(isinstance(v, str) for v in left):
            if self.names.get(pointer) or pointer == "#":
                return self.enum([(v, "") for v in left], pointer, hint, schema)
            literals = [n.LiteralTypeExpr(v, span=_SPAN) for v in dict.fromkeys(left)]
            one = len(literals) == 1
            return literals[0] if one else n.UnionTypeExpr(tuple(literals), span=_SPAN)
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
        self.decls[name] = n.RecordDecl(_ident(name), _doc(schema), tuple(fields), span=_SPAN)
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
            type, value = self.maybe(type, f"{owner}{pascal(key)}"), n.NoneLit(span=_SPAN)
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
        found = _pointed(self.document, target) if isinstance(target, str) else None
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
        if target in self.open:
            self.note(pointer, f"`{target}` contains itself: `json` stands for it here")
            return named("json")
        known = self.names.get(target)
        if known in self.decls:
            return named(str(known))
        hint = pascal(_unescaped(target.rpartition("/")[2])) or "Record"
        if isinstance(schema, Mapping) and (_is_choice(schema) or _has_properties(schema)):
            self.names.setdefault(target, self.free(hint))
        if len(self.open) >= MOST_NESTED:
            raise LmcError.of("bad-schema", f"references nest more than {MOST_NESTED} times")
        own = isinstance(schema, Mapping) and not _has_properties(schema)
        if own:
            self.open.append(target)
        try:
            return self.type(schema, target, hint)
        finally:
            if own:
                self.open.pop()

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
                elif key in _LEAST_OR_MOST and _are_numbers(whole.get(key), value):
                    whole[key] = _LEAST_OR_MOST[key](whole[key], value)
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
            if isinstance(target, str) and target not in seen and target not in self.open:
                seen.add(target)
                found = _pointed(self.document, target)
                if found is None:
                    self.note(place, f"`{target}` is not in this document")
                else:
                    todo.append((target, found))
            yield place, {k: v for k, v in part.items() if k not in ("allOf", "$ref")}

    def note(self, pointer: str, text: str) -> None:
        self.notes.append((pointer, text))


# --- names ---


def pascal(text: str) -> str:
    """`line_item` as `LineItem`: a name for a declaration."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if not name[:1].isdigit() else f"N{name}"


def singular(hint: str) -> str:
    """The name of an item from that of its list."""
    if len(hint) > 3 and hint.endswith("ies"):
        return hint[:-3] + "y"
    return hint[:-1] if len(hint) > 2 and hint[-1] == "s" and hint[-2] != "s" else f"{hint}Item"


def free_names(texts: Sequence[str]) -> list[str]:
    """Names of fields or variants, all distinct, and no text of another one."""
    used = {text for text in texts if _NAME.fullmatch(text)}
    found = []
    for text in texts:
        name = text
        if not _NAME.fullmatch(text):
            base = name = _plain(text)
            number = 1
            while name in used or name in texts:
                number += 1
                name = f"{base}_{number}"
            used.add(name)
        found.append(name)
    return found


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _plain(text: str) -> str:
    word = re.sub(r"[^A-Za-z0-9_]+", "_", text.replace("+", "p").replace("#", "sharp")).strip("_")
    return word if word[:1].isalpha() else f"n{word}" if word else "value"


def _ident(name: str) -> n.Ident:
    return n.Ident(name, span=_SPAN)


def _string(text: str) -> n.String:
    return n.String(text, span=_SPAN)


def _doc(schema: Schema) -> n.Doc | None:
    told = schema.get("description")
    text = " ".join(told.split()) if isinstance(told, str) else ""
    return n.Doc(text, False, span=_SPAN) if text else None


# --- parts of schemas ---

_LEAST_OR_MOST = {
    **dict.fromkeys(("minimum", "minLength", "minItems", "exclusiveMinimum"), max),
    **dict.fromkeys(("maximum", "maxLength", "maxItems", "exclusiveMaximum"), min),
}


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _has_properties(schema: Schema) -> bool:
    return bool(schema.get("properties")) and isinstance(schema["properties"], Mapping)


def _implied(schema: Schema) -> str | None:
    """The type of a schema that does not say it."""
    if "properties" in schema or isinstance(schema.get("additionalProperties"), Mapping):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("pattern", "minLength", "maxLength", "format")):
        return "string"
    return "number" if any(key in schema for key in ("minimum", "maximum")) else None


def _only_ref(schema: Schema) -> str | None:
    """The reference of an `allOf` that has nothing else, as older schemas annotate one."""
    inner = schema["allOf"]
    others = set(schema) - {"allOf", "description", "title", "default"}
    if not others and isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], Mapping):
        target = inner[0].get("$ref") if len(inner[0]) == 1 else None
        return target if isinstance(target, str) else None
    return None


def _is_null(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    return schema.get("type") == "null" or schema.get("const", 0) is None


def _is_choice(schema: Schema) -> bool:
    values = schema.get("enum")
    texts = isinstance(values, list) and all(isinstance(v, str) for v in values)
    return bool(texts or _labels(schema.get("oneOf") or ()))


def _labels(options: Sequence[Any]) -> list[tuple[str, str]]:
    """The labels and notes of `oneOf: [{const, description}, …]`; empty for other options."""
    found = []
    for option in options:
        constant = option.get("const") if isinstance(option, Mapping) else None
        if not isinstance(constant, str):
            return []
        told = option.get("description", option.get("title", ""))
        found.append((constant, "" if told == constant else " ".join(str(told).split())))
    return found if len({label for label, _ in found}) == len(found) else []


def _is_decimal(options: Sequence[Any]) -> bool:
    """Whether options are those of a decimal: a number, or its digits as a string."""
    if len(options) != 2 or not all(isinstance(o, Mapping) for o in options):
        return False
    kinds = [o.get("type") for o in options]
    digits = str(options[1].get("pattern", r"\d"))
    only_digits = r"\d" in digits and not re.search("[a-ce-zA-Z]", digits)
    return kinds == ["number", "string"] and only_digits


def _definitions(document: Schema) -> Iterator[tuple[str, Any]]:
    for place in ("$defs", "definitions", "components/schemas"):
        found = _pointed(document, f"#/{place}")
        if isinstance(found, Mapping):
            yield from ((at(f"#/{place}", str(name)), part) for name, part in found.items())


def _pointed(document: Schema, target: str) -> Any:
    """What a reference of a document points to; None if it points elsewhere."""
    if target == "#":
        return document
    if not target.startswith("#/"):
        return None
    found: Any = document
    for step in target[2:].split("/"):
        key = _unescaped(step)
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def _unescaped(step: str) -> str:
    from urllib.parse import unquote

    return unquote(step).replace("~1", "/").replace("~0", "~")
