"""Types of random programs, and constants of them.

A type is a tuple, such as `("list", ("str",))`. Media and conversations are inputs only, since no
model gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Kind = tuple[Any, ...]
Scope = dict[str, Kind]

STR, INT, FLOAT, BOOL, JSON = ("str",), ("int",), ("float",), ("bool",), ("json",)
DATE, TIME, DATETIME, DECIMAL = ("date",), ("time",), ("datetime",), ("decimal",)
IMAGE, MESSAGES = ("image",), ("messages",)
SCALARS = (STR, INT, FLOAT, BOOL, DATE, DECIMAL)
GIVEN_ONLY = (IMAGE, MESSAGES)
REFINED: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "int(0..5)": (INT, ("0", "3", "5")),
    "int(..9)": (INT, ("9", "-2")),
    "float(0..1)": (FLOAT, ("0.5", "1", "0")),
    "str(1..12)": (STR, ('"a"', '"plain words"')),
    'str(r"[a-c]{2}\\d")': (STR, ('"ab1"',)),
    "decimal(0..)": (DECIMAL, ('decimal("0.5")', 'decimal("7")')),
    'date("2020-01-01"..)': (DATE, ('date("2026-01-31")',)),
}
PIXEL = "iVBORw0KGgoAAAANSUhEUg=="
LITERALS: Mapping[Kind, tuple[str, ...]] = {
    STR: (
        '"a"', '""', '"two words"', r'"q\"\\"', '"[[result]] x"', '"{y}"', '"☃"', '"12"', '"none"',
    ),
    INT: ("0", "1", "7", "-3", "40"),
    FLOAT: ("0.5", "2", "-1.25", "1e3"),
    BOOL: ("true", "false"),
    JSON: ("none", "{b: [1, none], a: 2}", '"s"', "[]", "0.5"),
    DATE: ('date("2026-01-31")', 'date("0001-01-01")'),
    TIME: ('time("14:30:00")',),
    DATETIME: ('datetime("2026-01-31T14:30:00")', 'datetime("2026-01-31T14:30:00+02:00")'),
    DECIMAL: ('decimal("12.50")', 'decimal("-3")', "decimal(4)"),
    IMAGE: (f'image("data:image/png;base64,{PIXEL}")',),
    MESSAGES: ("[]", '[user("a")]', '[user("[[q]] x"), assistant("b"), user("")]'),
}  # fmt: skip
BOUNDS = ("..3", "1..2", "unique", "..4, unique")


@dataclass
class RecordShape:
    """A record of the program: its fields, those with a default, and whether it holds itself."""

    name: str
    fields: dict[str, Kind]
    defaults: set[str] = field(default_factory=set)
    recursive: bool = False


class TypeMaker:
    """Makes the types of one program from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.decls: list[str] = []
        self.enums: dict[str, list[str]] = {}
        self.records: dict[str, RecordShape] = {}
        self.unions: dict[str, list[Kind]] = {}
        self.names = 0

    def fresh(self, prefix: str) -> str:
        """A name that nothing has."""
        self.names += 1
        return f"{prefix}{self.names}"

    def src(self, kind: Kind) -> str:
        """A type as it is written."""
        match kind:
            case ("list", item):
                return f"list[{self.src(item)}]"
            case ("bounded", item, bounds):
                return f"list[{self.src(item)}]({bounds})"
            case ("opt", item):
                inner = self.src(item)
                return f"({inner})?" if item[0] in ("lit", "union") else f"{inner}?"
            case ("dict", item):
                return f"dict[str, {self.src(item)}]"
            case ("lit", *values):
                return " | ".join(f'"{v}"' for v in values)
            case ("enum" | "rec" | "union" | "ref", name):
                return str(name)
        return str(kind[0])

    # --- declarations ---

    def declare_types(self) -> None:
        """Some enums, records, recursive records and unions."""
        rng = self.rng
        if rng.random() < 0.6:
            self.enum()
        for _ in range(rng.randint(0, 2)):
            self.record()
        if rng.random() < 0.2:
            self.tree()
        if rng.random() < 0.35:
            self.union()

    def enum(self) -> None:
        """An enum, whose variants may have other labels."""
        rng, name = self.rng, self.fresh("E")
        variants = ["red", "green", "not_red"][: rng.randint(2, 3)]
        alias = rng.random() < 0.4
        told = [
            f'{v} "note" as "{v.upper()}+"' if alias and i else v for i, v in enumerate(variants)
        ]
        self.decls.append(f"enum {name} {{ {', '.join(told)} }}")
        self.enums[name] = variants

    def record(self, tag: str | None = None) -> str:
        """A record. With a tag, it has a field that tells it from others."""
        rng, shape = self.rng, RecordShape(self.fresh("R"), {})
        parts = []
        if tag is not None:
            shape.fields["kind"] = ("lit", tag)
            default = rng.random() < 0.5
            shape.defaults |= {"kind"} if default else set()
            parts.append(f'kind: "{tag}"' + (f' = "{tag}"' if default else ""))
        for name in ("a", "b", "name", "type", "score")[: rng.randint(1, 4)]:
            kind = self.kind(2)
            text = f"{name}: {self.src(kind)}"
            if rng.random() < 0.25:
                shape.defaults.add(name)
                text += f" = {self.literal(kind, 1)}"
            text += ' "what it is"' if rng.random() < 0.2 else ""
            text += f' as "@{name}"' if rng.random() < 0.15 else ""
            shape.fields[name] = kind
            parts.append(text)
        self.decls.append(f"record {shape.name} {{ {', '.join(parts)} }}")
        self.records[shape.name] = shape
        return shape.name

    def tree(self) -> None:
        """A record that holds itself."""
        rng, name = self.rng, self.fresh("N")
        me = ("rec", name)
        parts = rng.choice([("list", me), ("opt", me), ("bounded", me, "..2")])
        fields = {"label": rng.choice([STR, INT]), "parts": parts}
        told = ", ".join(f"{n}: {self.src(k)}" for n, k in fields.items())
        self.decls.append(f"record {name}(depth: {rng.randint(2, 3)}) {{ {told} }}")
        self.records[name] = RecordShape(name, fields, recursive=True)

    def union(self) -> None:
        """A union of records, or of a record and something else."""
        rng, name = self.rng, self.fresh("U")
        members: list[Kind] = [("rec", self.record("x")), ("rec", self.record("y"))]
        extra = [INT, BOOL, STR, ("list", STR)]
        members = rng.choice(
            [members, [*members, rng.choice(extra)], [members[0], rng.choice(extra)]]
        )
        self.decls.append(f"type {name} = {' | '.join(map(self.src, members))}")
        self.unions[name] = members

    # --- choosing ---

    def kind(self, depth: int, *, plain: bool = False) -> Kind:
        """A random type. A plain one has no refinement."""
        rng = self.rng
        ways: list[Callable[[], Kind]] = [
            lambda: rng.choice(SCALARS),
            lambda: rng.choice([STR, INT, BOOL]),
            lambda: rng.choice([TIME, DATETIME, JSON]),
            lambda: ("lit", "yes", "no", "not yes"),
        ]
        if not plain:
            ways += [lambda: ("ref", rng.choice([*REFINED]))]
        if self.enums:
            ways += [lambda: ("enum", rng.choice([*self.enums]))]
        if self.records:
            ways += [lambda: ("rec", rng.choice([*self.records]))] * 2
        if self.unions:
            ways += [lambda: ("union", rng.choice([*self.unions]))] * 2
        if depth > 0:
            ways += [lambda: ("list", self.kind(depth - 1, plain=plain))] * 2
            ways += [lambda: ("dict", self.kind(depth - 1, plain=plain))]
            ways += [lambda: ("opt", self.not_optional(depth - 1, plain=plain))]
            if not plain:
                ways += [lambda: ("bounded", self.kind(depth - 1), rng.choice(BOUNDS))]
        return rng.choice(ways)()

    def not_optional(self, depth: int, *, plain: bool) -> Kind:
        """A type whose values are never none."""
        kind = self.kind(depth, plain=plain)
        return STR if kind[0] in ("opt", "json") else kind

    def base(self, kind: Kind) -> Kind:
        """The type without refinements at its top."""
        if kind[0] == "ref":
            return REFINED[kind[1]][0]
        return ("list", kind[1]) if kind[0] == "bounded" else kind

    def goes(self, have: Kind, want: Kind) -> bool:
        """Whether a value of one type may stand where another is wanted."""
        if have == want:
            return True
        if have in GIVEN_ONLY or want in GIVEN_ONLY:
            return False
        if want == JSON:
            return True
        if want[0] == "opt":
            return self.goes(have[1] if have[0] == "opt" else have, want[1])
        if want[0] == "union":
            return any(self.goes(have, member) for member in self.unions[want[1]])
        if have[0] in ("ref", "bounded"):
            return self.goes(self.base(have), want)
        if have[0] == "lit":
            return want == STR or (want[0] == "lit" and set(have[1:]) <= set(want[1:]))
        if have[0] == want[0] and have[0] in ("list", "dict"):
            return self.goes(have[1], want[1])
        return have == INT and want == FLOAT

    # --- constants ---

    def literal(self, kind: Kind, depth: int) -> str:
        """A constant of a type."""
        rng = self.rng
        match kind:
            case ("ref", name):
                return rng.choice(REFINED[name][1])
            case ("lit", *values):
                return f'"{rng.choice(values)}"'
            case ("enum", name):
                return f"{name}.{rng.choice(self.enums[name])}"
            case ("opt", item):
                return "none" if depth <= 0 or rng.random() < 0.4 else self.literal(item, depth - 1)
            case ("list", item):
                return self.items(item, rng.randint(0, 2 * (depth > 0)), depth)
            case ("bounded", item, bounds):
                some = bounds.startswith("1") or ("unique" in bounds and depth > 0)
                return self.items(item, int(some), depth)
            case ("dict", item):
                a, k = (self.literal(item, depth - 1) for _ in range(2))
                return "{}" if depth <= 0 else f"{{k: {k}, a: {a}}}"
            case ("union", name):
                return self.literal(self.unions[name][0], depth)
            case ("rec", name):
                return self.built(name, lambda k: self.literal(k, depth - 1))
        return rng.choice(LITERALS[kind])

    def items(self, item: Kind, count: int, depth: int) -> str:
        """A list of constants."""
        return f"[{', '.join(self.literal(item, depth - 1) for _ in range(count))}]"

    def built(self, name: str, one: Callable[[Kind], str]) -> str:
        """A record with a value for each field, some by default."""
        shape, rng = self.records[name], self.rng
        if shape.recursive:
            empty = "none" if shape.fields["parts"][0] == "opt" else "[]"
            return f"{name}({one(shape.fields['label'])}, {empty})"
        given = [
            f"{n}={one(k)}"
            for n, k in shape.fields.items()
            if n not in shape.defaults or rng.random() < 0.5
        ]
        return f"{name}({', '.join(given)})"
