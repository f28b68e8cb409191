"""JSON Schema in and out: what the language can say comes back, and all else is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from lmc.check import check_program
from lmc.diagnostics import LmcError, render
from lmc.source import Source
from lmc.types import (
    BOOL,
    DATE,
    DATETIME,
    DECIMAL,
    FLOAT,
    INT,
    JSON,
    STR,
    TIME,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
    rebuilt,
)
from lmc.values.aliases import seen_type
from lmc.values.schema import exported_schema
from lmc.values.schema_import import import_schema
from lmc.values.schema_text import program_text


def imported(schema: Any, name: str = "Root") -> tuple[dict[str, Type], list[str], str]:
    """The types of a schema by name, the notes, and the program."""
    found = import_schema(schema, name)
    text = program_text(found, "a test")
    program, diagnostics = check_program(Source("imported.lmp", text))
    assert program is not None, render(diagnostics) + "\n" + text
    return program.named_types, [f"{p}: {note}" for p, note in found.notes], text


def field_of(schema: Any) -> tuple[Type, list[str]]:
    """The type of a required property with a schema."""
    types, notes, _ = imported({"type": "object", "properties": {"x": schema}, "required": ["x"]})
    root = types["Root"]
    assert isinstance(root, RecordType)
    (field,) = root.fields
    return field.type, notes


@pytest.mark.parametrize(
    ("schema", "type"),
    [
        ({"type": "string"}, STR),
        ({"type": "string", "minLength": 1, "maxLength": 9}, StrType(1, 9)),
        ({"type": "string", "pattern": r"^\d{4}$"}, StrType(None, None, r"\d{4}")),
        ({"type": "string", "pattern": "ab"}, StrType(None, None, r"[\s\S]*(?:ab)[\s\S]*")),
        ({"pattern": "^a|b$"}, StrType(None, None, "^a|b$")),
        ({"type": "string", "format": "date"}, DATE),
        ({"type": "string", "format": "time"}, TIME),
        ({"type": "string", "format": "date-time"}, DATETIME),
        ({"format": "date", "formatMinimum": "2026-01-01"}, WrittenType("date", "2026-01-01")),
        ({"type": "integer", "minimum": 1, "maximum": 5}, IntType(1, 5)),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}, IntType(1, 9)),
        ({"type": "integer", "minimum": 0.5}, IntType(1, None)),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, IntType(4, None)),
        ({"type": "number", "minimum": -1.5}, FloatType(-1.5, None)),
        ({"type": ["integer", "number"]}, FLOAT),
        ({"type": "boolean"}, BOOL),
        ({"type": ["string", "null"]}, OptionalType(STR)),
        ({"type": "string", "nullable": True}, OptionalType(STR)),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, OptionalType(INT)),
        ({"type": "array", "items": {"type": "string"}, "minItems": 1}, ListType(STR, 1, None)),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, DictType(INT)),
        ({"enum": ["a b", "c"]}, LiteralType(("a b", "c"))),
        ({"enum": ["a", None]}, OptionalType(LiteralType(("a",)))),
        ({"enum": [1, 2, 3]}, IntType(1, 3)),
        ({"enum": [True, False]}, BOOL),
        ({"const": "x"}, LiteralType(("x",))),
        ({"anyOf": [{"const": "a"}, {"enum": ["b", "c"]}]}, LiteralType(("a", "b", "c"))),
        ({"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^\d+$"}]}, DECIMAL),
        ({"items": {"type": "integer"}, "uniqueItems": True}, ListType(INT, unique=True)),
        ({"type": ["string", "integer"]}, UnionType((STR, INT))),
        ({"type": ["string", "boolean", "null"]}, OptionalType(UnionType((STR, BOOL)))),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, FLOAT),
        ({"anyOf": [{"type": "string"}, {"type": "array"}]}, UnionType((STR, ListType(JSON)))),
        ({"anyOf": [{"type": "integer"}, {"type": ["null", "string"]}]},
         OptionalType(UnionType((INT, STR)))),
        ({"enum": [1, "a"]}, UnionType((LiteralType(("a",)), IntType(1, 1)))),
        ({"anyOf": [{"format": "date"}, {"format": "time"}]}, UnionType((DATE, TIME))),
        ({"items": {"type": ["string", "integer"]}}, ListType(UnionType((STR, INT)))),
        ({"oneOf": [{"const": "C++"}, {"const": "py"}]}, EnumType("RootX", ("Cpp", "py"))),
        ({}, JSON),
        (True, JSON),
        ({"type": "object"}, JSON),
        ({"allOf": [{"type": "integer"}, {"minimum": 2}, {"minimum": 5}]}, IntType(5, None)),
    ],
)  # fmt: skip
def test_what_the_language_says(schema: Any, type: Type) -> None:
    found, notes = field_of(schema)
    assert found == type
    assert notes == []


@pytest.mark.parametrize(
    ("schema", "type", "note"),
    [
        ({"type": "string", "format": "email"}, STR, "#/properties/x/format: the format `email`"),
        ({"type": "string", "pattern": "(?=a)b"}, STR, "#/properties/x/pattern: the pattern"),
        ({"type": "number", "exclusiveMinimum": 0}, FloatType(0, None), "exclusiveMinimum"),
        ({"type": "integer", "multipleOf": 5}, INT, "x/multipleOf"),
        ({"type": "integer", "minimum": 5, "maximum": 1}, INT, "x: its bounds leave no value"),
        ({"prefixItems": [{}, {"type": "integer"}]}, ListType(JSON, 2, 2), "types of their own"),
        ({"enum": [1, 5]}, INT, "these values alone"),
        ({"enum": [1, "a", True]}, JSON, "`json` stands for them"),
        ({"const": None}, JSON, "`json` stands for them"),
        ({"type": ["string", "thing"]}, JSON, "no type thing"),
        ({"type": "null"}, JSON, "no value but null"),
        ({"not": {"type": "string"}}, JSON, "#/properties/x/not: `not` cannot be said"),
        ({"if": {}, "then": {}, "type": "string"}, STR, "x/if: `if` cannot be said"),
        ({"$ref": "other.json#/a"}, JSON, "`other.json#/a` is not in this document"),
        ({"$ref": "#/nowhere"}, JSON, "`#/nowhere` is not in this document"),
        (False, JSON, "no schema that a value can have"),
        ({"anyOf": [{"items": {"type": "integer"}}, {"type": "array"}]}, JSON, "several types"),
        ({"anyOf": [{"type": "string"}, {}]}, JSON, "a value of several types"),
        ({"anyOf": [{"format": "date"}, {"type": "string"}]}, STR, "a text of several forms"),
        ({"type": "integer", "minimum": 5, "default": 1}, IntType(5), "x/default"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, STR, "says otherwise"),
        ({"type": "object", "additionalProperties": False}, JSON, "an object without fields"),
        ({"type": "string", "enum": [""], "title": "t"}, LiteralType(("",)), ""),
    ],
)  # fmt: skip
def test_what_it_does_not_say_is_told(schema: Any, type: Type, note: str) -> None:
    found, notes = field_of(schema)
    assert found == type
    assert any(note in told for told in notes) or not note


ORDER = {
    "title": "order form",
    "description": "An order.",
    "type": "object",
    "$defs": {
        "address": {
            "type": "object",
            "properties": {"street": {"type": "string"}, "zip code": {"type": "string"}},
            "required": ["street", "zip code"],
        },
        "Colour": {"enum": ["red", "dark-blue"]},
        "tree": {
            "type": "object",
            "properties": {
                "label": {"type": "string"},
                "kids": {"items": {"$ref": "#/$defs/tree"}},
            },
        },
        "base": {"properties": {"id": {"type": "integer"}}, "required": ["id"]},
    },
    "allOf": [{"$ref": "#/$defs/base"}],
    "properties": {
        "@type": {"const": "order", "default": "order"},
        "ship": {"$ref": "#/$defs/address", "description": "where\nto"},
        "bill": {"allOf": [{"$ref": "#/$defs/address"}]},
        "colour": {"$ref": "#/$defs/Colour", "default": "dark-blue"},
        "tree": {"$ref": "#/$defs/tree"},
        "due": {"type": "string", "format": "date", "default": "2026-01-31"},
        "price": {"anyOf": [{"type": "number"}, {"type": "string"}], "default": "1.50"},
        "n": {"type": "integer", "default": -3},
        "tags": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
        "wrong": {"type": "integer", "default": "x"},
        "a-b": {"type": "string"},
        "a_b": {"type": "string"},
        "": {"type": "string"},
        "x<y": {"type": "string"},
    },
    "required": ["ship", "ghost"],
}


def test_a_schema_of_the_kind_that_people_have() -> None:
    types, notes, text = imported(ORDER)
    order = types["OrderForm"]
    assert isinstance(order, RecordType)
    names = {f.name: (f.alias, str(f.type), f.has_default, f.default) for f in order.fields}
    assert names == {
        "type": ("@type", '"order"', True, "order"),
        "ship": ("", "Address", False, None),
        "bill": ("", "Address?", True, None),
        "colour": ("", "Colour", True, "dark_blue"),
        "tree": ("", "Tree?", True, None),
        "due": ("", "date", True, "2026-01-31"),
        "price": ("", "decimal", True, "1.5"),
        "n": ("", "int", True, -3),
        "tags": ("", "list[str]", True, ["a"]),
        "wrong": ("", "int?", True, None),
        "a_b_2": ("a-b", "str?", True, None),
        "a_b": ("", "str?", True, None),
        "id": ("", "int", False, None),
    }
    assert order.doc == "An order."
    assert order.get("ship").note == "where to"  # type: ignore[union-attr]
    told = {note.partition(": ")[0] for note in notes}
    assert told == {
        "#/$defs/tree",
        "#/properties/price/anyOf",
        "#/properties/wrong/default",
        "#/properties/",
        "#/properties/x<y",
        "#/required",
    }
    assert all(note in text for note in notes)


def test_a_union_of_records() -> None:
    options = [
        {"type": "object", "title": title, "properties": {"kind": {"const": title}}}
        for title in ("Card", "Cash")
    ]
    types, notes, text = imported({"properties": {"pay": {"anyOf": [*options, {"type": "null"}]}}})
    pay = types["Root"].fields[0].type  # type: ignore[attr-defined]
    assert isinstance(pay, OptionalType) and isinstance(pay.item, UnionType)
    assert "pay: (Card | Cash)? = none" in text
    assert notes == []


def test_a_union_that_is_defined_has_one_name() -> None:
    pay = {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    ref = {"$ref": "#/$defs/pay"}
    document = {"$defs": {"pay": pay}, "properties": {"a": ref, "b": {"items": ref}}}
    text = imported(document)[2]
    assert text.count("type Pay = int | str") == 1
    assert "a: Pay? = none" in text and "b: list[Pay]? = none" in text


def test_records_that_cannot_be_told_apart_are_json() -> None:
    options = [
        {"type": "object", "title": title, "properties": {"a": {"type": kind}}}
        for title, kind in (("One", "string"), ("Two", "integer"))
    ]
    _, notes, text = imported({"properties": {"pay": {"anyOf": options}, "n": {}}})
    assert "pay: json = none" in text
    assert notes == ["#/properties/pay: a value of several types: `json` stands for it"]


# --- schemas that contain themselves ---

NODE = {"properties": {"label": {"type": "string"}, "kids": {"items": {"$ref": "#"}}}}
EXPR = {
    "$defs": {
        "expr": {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/add"}]},
        "add": {
            "properties": {"left": {"$ref": "#/$defs/expr"}, "right": {"$ref": "#/$defs/expr"}},
            "required": ["left", "right"],
        },
    },
}
HOUSE = {
    "$defs": {
        "house": {"properties": {"rooms": {"items": {"$ref": "#/$defs/room"}}}},
        "room": {"properties": {"n": {"type": "integer"}, "of": {"$ref": "#/$defs/house"}}},
    },
    "$ref": "#/$defs/room",
}


@pytest.mark.parametrize(
    ("schema", "parts", "note"),
    [
        (NODE, ["record Root(depth: 4) {", "kids: list[Root]? = none"], "#: it contains itself"),
        (
            {"$defs": EXPR["$defs"], "$ref": "#/$defs/expr"},
            ["record Add(depth: 4) {", "left: Expr", "type Expr = float | Add"],
            "#/$defs/add: it contains itself: at most 4",
        ),
        (HOUSE, ["record House", "of: House? = none", "(depth: 4)"], "it contains itself"),
        (
            {"properties": {"a": {"$ref": "#"}, "n": {}}, "required": ["a"]},
            ["record Root {", "a: json"],
            "#/properties/a: each value would need another in it",
        ),
        (
            {"properties": {"kids": {"type": "array", "items": {"$ref": "#"}, "minItems": 1}},
             "required": ["kids"]},
            ["kids: json"],
            "each value would need another",
        ),
        (
            {"$defs": {"t": {"items": {"$ref": "#/$defs/t"}}},
             "properties": {"a": {"$ref": "#/$defs/t"}}},
            ["a: list[json]? = none"],
            "contains itself: `json`",
        ),
        (
            {"$defs": {"base": {"properties": {"kids": {"items": {"$ref": "#/$defs/kid"}}}},
                       "kid": {"allOf": [{"$ref": "#/$defs/base"}, {"properties": {"n": {}}}]}},
             "$ref": "#/$defs/base"},
            ["record Kid(depth: 4) {", "kids: list[Kid]? = none", "n: json = none"],
            "it contains itself",
        ),
    ],
)  # fmt: skip
def test_schemas_that_contain_themselves(schema: Any, parts: list[str], note: str) -> None:
    _, notes, text = imported(schema)
    assert [part for part in parts if part not in text] == [], text
    assert any(note in told for told in notes), notes


def test_definitions_alone() -> None:
    document = {
        "components": {
            "schemas": {"a": {"type": "object", "properties": {"n": {"type": "integer"}}}}
        }
    }
    assert set(imported(document)[0]) == {"A"}


STRANGE: list[Any] = [
    *([], 5, None, {}, {"$schema": "x"}, {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"anyOf": 5}),
    *({"type": 5}, {"properties": 5}, {"properties": {"a": 5}}, {"enum": 5}, {"$ref": 5}),
    *({"required": 5, "properties": {"a": {}}}, {"type": "array", "items": 5}),
    {"properties": {"a": {"pattern": "(" * 5000}}},
    {"properties": {"a": {"minimum": float("nan"), "type": "number"}}},
    {"properties": {"a": {"type": "string", "minLength": 10**30}}},
    {"properties": {"": {}}},
    {"properties": {"a": {"minLength": 9, "maxLength": 1}}},
    {"properties": {"a": {"items": {}, "minItems": 9, "maxItems": 1}}},
    {"properties": {"a": {"items": {}, "minItems": -1, "maxItems": "x"}}},
    {"properties": {"a": {"enum": ["x\ny", "\u0000", "a" * 5000]}}},
    {"properties": {"a" * 5000: {}}},
    {"oneOf": [{"const": "a"}, {"const": "a"}]},
    {"title": "str", "properties": {"a": {"title": "Verdict", "properties": {"b": {}}}}},
    {"properties": {"a": {"const": 10**40}, "b": {"maximum": 1e400}, "c": {"minimum": 10**30}}},
]


@pytest.mark.parametrize("schema", STRANGE)
def test_strange_schemas_are_refused_or_read(schema: Any) -> None:
    try:
        found = import_schema(schema, "Root")
    except LmcError as refused:
        code = refused.code
    else:
        code = ""
        text = program_text(found, "a test")
        program, diagnostics = check_program(Source("imported.lmp", text))
        assert program is not None, render(diagnostics) + "\n" + text
    assert code in ("", "bad-schema")


def test_deep_schemas_are_refused() -> None:
    schema: Any = {"type": "string"}
    for _ in range(200):
        schema = {"properties": {"a": schema}}
    with pytest.raises(LmcError, match="nests more than"):
        import_schema(schema)
    schema = {"type": "string"}
    for _ in range(300):
        schema = {"items": schema}
    with pytest.raises(LmcError, match="nests more than"):
        import_schema(schema)
    chain = {f"d{i}": {"items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(200)}
    with pytest.raises(LmcError, match="nest more than"):
        import_schema({"$defs": chain, "$ref": "#/$defs/d0"})


def test_a_reference_chain_without_end_is_told() -> None:
    document = {
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
        "$ref": "#/$defs/a",
    }
    assert "contains itself" in imported(document)[1][0]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "a", "#"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "enum", "const", "anyOf", "allOf", "$ref", "required",
             "default", "minimum", "maxLength", "additionalProperties", "title", "description", "a"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(JSONS)
def test_any_json_is_read_or_refused(schema: Any) -> None:
    test_strange_schemas_are_refused_or_read(schema)


_REFS = st.sampled_from([{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}, {"$ref": "#"}])
_PARTS = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "number", "minimum": 1}, {"const": "x"},
     {"format": "date"}, {"enum": ["u", "v"]}, {"enum": [1, "y", None]}, {"type": "boolean"}, {},
     {"oneOf": [{"const": "p"}, {"const": "C++"}]}]
)  # fmt: skip


def _with_parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    unique = st.fixed_dictionaries({"items": inner}, optional={"uniqueItems": st.just(True)})
    fields = st.dictionaries(st.sampled_from(["k", "m", "@t"]), inner, min_size=1, max_size=3)
    needed = st.lists(st.sampled_from(["k", "m", "@t"]), max_size=2, unique=True)
    default = st.fixed_dictionaries({"default": st.sampled_from([1, "x", None, [], {"k": "x"}])})
    return st.one_of(
        unique,
        st.builds(lambda i: {"items": i, "minItems": 1}, inner),
        st.builds(lambda f, r: {"properties": f, "required": r}, fields, needed),
        st.builds(lambda o: {"anyOf": o}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda o: {"allOf": o}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda a, b: {**a, **b}, inner, default),
        st.builds(lambda i: {"additionalProperties": i, "type": "object"}, inner),
    )


_SCHEMAS = st.recursive(_PARTS | _REFS, _with_parts, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(_SCHEMAS, _SCHEMAS, _SCHEMAS)
def test_any_schema_becomes_a_program(root: Any, a: Any, b: Any) -> None:
    found = import_schema({**root, "$defs": {"a": a, "b": b}}, "Root")
    text = program_text(found, "a test")
    program, diagnostics = check_program(Source("imported.lmp", text))
    assert program is not None, render(diagnostics) + "\n" + text


# --- there and back ---

NAMES = st.sampled_from(["a", "b2", "class", "Long_name", "type"])
ALIASES = st.sampled_from(["", "@x", "C++", "two words", "ü"])
SCALARS = st.sampled_from(
    [STR, INT, FLOAT, BOOL, JSON, DATE, TIME, DATETIME, DECIMAL, StrType(1, 5), IntType(0, 9),
     FloatType(-1.5, 2.0), StrType(None, None, r"\d+-[a-z]*"), LiteralType(("x", "y z")),
     WrittenType("date", "2026-01-01"), WrittenType("decimal", "0", "9.5")]
)  # fmt: skip


def _distinct(fields: list[Field]) -> tuple[Field, ...]:
    by_name = {f.name: f for f in fields}
    by_alias = {f.alias or f.name: f for f in by_name.values()}
    return tuple(by_alias.values())


def _larger(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[Type]:
    fields = st.builds(Field, NAMES, inner, st.sampled_from(["", "a note"]), alias=ALIASES)
    record = st.lists(fields, min_size=1, max_size=3).map(_distinct)
    return st.one_of(
        inner.filter(lambda t: not isinstance(t, OptionalType) and t != JSON).map(OptionalType),
        st.builds(ListType, inner, st.none() | st.just(1), st.none() | st.just(4)),
        inner.map(DictType),
        st.builds(ListType, inner, unique=st.just(True)),
        st.sampled_from([UnionType((STR, INT)), UnionType((ListType(STR), BOOL, DictType(INT)))]),
        st.builds(
            RecordType, st.sampled_from(["Item", "Thing"]), record, st.sampled_from(["", "Doc."])
        ),
        st.just(EnumType("Colour", ("red", "blue"), ("warm", ""), "Its colour.", ("Red!", "blue"))),
    )


TYPES = st.recursive(SCALARS, _larger, max_leaves=6)


def shape(type: Type) -> str:
    """A type as models see it, without the names of its declarations."""

    def unnamed(part: Type) -> Type:
        match part:
            case RecordType():
                return RecordType("R", part.fields, part.doc)
            case EnumType():
                return EnumType("E", part.variants, part.notes, part.doc)
        return part

    def written(part: Type) -> str:
        match part:
            case RecordType():
                inner = [(f.name, written(f.type), f.note) for f in part.fields]
                return f"record {inner} {part.doc}"
            case EnumType():
                return f"enum {part.variants} {part.notes} {part.doc}"
            case UnionType(options):
                return f"union({', '.join(map(written, options))})"
            case OptionalType(item) | DictType(item):
                return f"{part.__class__.__name__}({written(item)})"
            case ListType(item, low, high):
                return f"list({written(item)}, {low}, {high}, {part.unique})"
        return repr(part)

    return written(rebuilt(seen_type(type), unnamed))


@settings(max_examples=150, deadline=None)
@given(TYPES)
def test_what_is_exported_is_imported_again(type: Type) -> None:
    whole = RecordType("Whole", (Field("x", type), Field("n", INT)))
    schema = exported_schema({"Whole": whole}, "Whole")
    Draft202012Validator.check_schema(schema)
    types, notes, text = imported(json.loads(json.dumps(schema)))
    assert notes == []
    assert shape(types["Whole"]) == shape(whole), text
