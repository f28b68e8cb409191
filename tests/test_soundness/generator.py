# ruff: noqa: E501 - lines of programs are long
"""Random well-typed programs, as text: all types and forms of the language, small bounds.

A type is a tuple, such as `("list", ("str",))`. An expression is made for the type that is wanted,
from literals, names in scope, calls, operators and built-ins.
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
SCALARS = (STR, INT, FLOAT, BOOL, DATE, DECIMAL)
REFINED: Mapping[str, tuple[Kind, tuple[str, ...]]] = {
    "int(0..5)": (INT, ("0", "3", "5")),
    "int(..9)": (INT, ("9", "-2")),
    "float(0..1)": (FLOAT, ("0.5", "1", "0")),
    "str(1..12)": (STR, ('"a"', '"plain words"')),
    'str(r"[a-c]{2}\\d")': (STR, ('"ab1"',)),
    "decimal(0..)": (DECIMAL, ('decimal("0.5")', 'decimal("7")')),
    'date("2020-01-01"..)': (DATE, ('date("2026-01-31")',)),
}
LITERALS: Mapping[Kind, tuple[str, ...]] = {
    STR: ('"a"', '""', '"two words"', r'"q\"\\"', '"[[result]] x"', '"{y}"', '"☃"', '"12"', '"none"'),
    INT: ("0", "1", "7", "-3", "40"),
    FLOAT: ("0.5", "2", "-1.25", "1e3"),
    BOOL: ("true", "false"),
    JSON: ("none", "{b: [1, none], a: 2}", '"s"', "[]", "0.5"),
    DATE: ('date("2026-01-31")', 'date("0001-01-01")'),
    TIME: ('time("14:30:00")',),
    DATETIME: ('datetime("2026-01-31T14:30:00")', 'datetime("2026-01-31T14:30:00+02:00")'),
    DECIMAL: ('decimal("12.50")', 'decimal("-3")', "decimal(4)"),
}  # fmt: skip
UNHASHED = ("rec", "list", "dict", "union", "json", "opt")


@dataclass
class RecordShape:
    """A record of the program: its fields, those with a default, and how deep it nests."""

    name: str
    fields: dict[str, Kind]
    defaults: set[str] = field(default_factory=set)
    recursive: bool = False


@dataclass
class MadeCallable:
    """Something that can be called."""

    name: str
    params: dict[str, Kind]
    result: Kind
    weight: int  # calls of a model, roughly
    asks: bool = True


class ProgramMaker:
    """Makes one program from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.decls: list[str] = []
        self.enums: dict[str, list[str]] = {}
        self.records: dict[str, RecordShape] = {}
        self.unions: dict[str, list[Kind]] = {}
        self.known: list[MadeCallable] = []
        self.stores: dict[str, tuple[str, str]] = {}
        self.constants: Scope = {}
        self.names = 0

    def make(self) -> str:
        """The text of the program. Its entry is `main`."""
        rng = self.rng
        self.declare_types()
        for _ in range(rng.randint(0, 2)):
            kind = self.kind(2)
            name = self.fresh("C")
            self.decls.append(f"let {name}: {self.src(kind)} = {self.literal(kind, 2)}")
            self.constants[name] = kind
        for _ in range(rng.randint(1, 3)):
            self.generate()
        for _ in range(rng.randint(0, 2)):
            rng.choice([self.tool, self.critique, self.labels])()
        if rng.random() < 0.15:
            self.store()
        for _ in range(rng.randint(0, 2)):
            rng.choice([self.vote, self.refine, self.route, self.search, self.agent])()
        if rng.random() < 0.5:
            self.pipeline(self.fresh("p"), 2)
        self.pipeline("main", 3)
        return "\n".join(self.decls) + "\n"

    def fresh(self, prefix: str) -> str:
        self.names += 1
        return f"{prefix}{self.names}"

    # --- types ---

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

    def declare_types(self) -> None:
        rng = self.rng
        if rng.random() < 0.6:
            name, variants = self.fresh("E"), ["red", "green", "not_red"][: rng.randint(2, 3)]
            alias = rng.random() < 0.4
            told = [
                f'{v} "note" as "{v.upper()}+"' if alias and i else v
                for i, v in enumerate(variants)
            ]
            self.decls.append(f"enum {name} {{ {', '.join(told)} }}")
            self.enums[name] = variants
        for _ in range(rng.randint(0, 2)):
            self.record()
        if rng.random() < 0.2:
            self.tree()
        if rng.random() < 0.35:
            self.union()

    def record(self, tag: str | None = None) -> str:
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
            if rng.random() < 0.2:
                text += ' "what it is"'
            if rng.random() < 0.15:
                text += f' as "@{name}"'
            shape.fields[name] = kind
            parts.append(text)
        self.decls.append(f"record {shape.name} {{ {', '.join(parts)} }}")
        self.records[shape.name] = shape
        return shape.name

    def tree(self) -> None:
        rng, name = self.rng, self.fresh("N")
        me = ("rec", name)
        children = rng.choice([("list", me), ("opt", me), ("bounded", me, "..2")])
        shape = RecordShape(
            name, {"label": rng.choice([STR, INT]), "parts": children}, recursive=True
        )
        fields = ", ".join(f"{n}: {self.src(k)}" for n, k in shape.fields.items())
        self.decls.append(f"record {name}(depth: {rng.randint(2, 3)}) {{ {fields} }}")
        self.records[name] = shape

    def union(self) -> None:
        rng, name = self.rng, self.fresh("U")
        members: list[Kind] = [("rec", self.record("x")), ("rec", self.record("y"))]
        extra = [INT, BOOL, STR, ("list", STR)]
        members = rng.choice(
            [members, [*members, rng.choice(extra)], [members[0], rng.choice(extra)]]
        )
        self.decls.append(f"type {name} = {' | '.join(map(self.src, members))}")
        self.unions[name] = members

    def kind(self, depth: int, *, plain: bool = False) -> Kind:
        """A random type. A plain one has no refinement."""
        rng, ways = self.rng, []
        ways += [lambda: rng.choice(SCALARS), lambda: rng.choice([STR, INT, BOOL])]
        ways += [lambda: rng.choice([TIME, DATETIME, JSON])]
        ways += [lambda: ("lit", "yes", "no", "not yes")]
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
            ways += [lambda: ("opt", self.no_opt(depth - 1, plain))]
            if not plain:
                bounds = rng.choice(["..3", "1..2", "unique", "..4, unique"])
                ways += [lambda: ("bounded", self.kind(depth - 1), bounds)]
        return rng.choice(ways)()

    def no_opt(self, depth: int, plain: bool) -> Kind:
        kind = self.kind(depth, plain=plain)
        return STR if kind[0] in ("opt", "json") else kind

    def base(self, kind: Kind) -> Kind:
        """The type without refinements at its top."""
        if kind[0] == "ref":
            return REFINED[kind[1]][0]
        return ("list", kind[1]) if kind[0] == "bounded" else kind

    def goes(self, have: Kind, want: Kind) -> bool:
        """Whether a value of one type may stand where another is wanted."""
        if have == want or want == JSON:
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

    # --- literals ---

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
                return self.items(
                    lambda: self.literal(item, depth - 1), rng.randint(0, 2 * (depth > 0))
                )
            case ("bounded", item, bounds):
                least = bounds.startswith("1")
                unique = "unique" in bounds
                return self.items(
                    lambda: self.literal(item, depth - 1),
                    1 if least or (unique and depth > 0) else 0,
                )
            case ("dict", item):
                return (
                    "{}"
                    if depth <= 0
                    else f"{{k: {self.literal(item, depth - 1)}, a: {self.literal(item, depth - 1)}}}"
                )
            case ("union", name):
                return self.literal(self.unions[name][0], depth)
            case ("rec", name):
                return self.built(name, lambda k: self.literal(k, depth - 1))
        return rng.choice(LITERALS[kind])

    def items(self, one: Callable[[], str], count: int) -> str:
        return f"[{', '.join(one() for _ in range(count))}]"

    def built(self, name: str, one: Callable[[Kind], str]) -> str:
        shape, rng = self.records[name], self.rng
        if shape.recursive:
            label = one(shape.fields["label"])
            return f"{name}({label}, {'none' if shape.fields['parts'][0] == 'opt' else '[]'})"
        given = [
            f"{n}={one(k)}"
            for n, k in shape.fields.items()
            if n not in shape.defaults or rng.random() < 0.5
        ]
        return f"{name}({', '.join(given)})"

    # --- expressions ---

    def expr(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression of a type."""
        rng = self.rng
        ways: list[Callable[[], str]] = [lambda: self.plain(kind, scope, depth)]
        found = self.reachable(kind, scope)
        ways += [lambda: rng.choice(found)] * (4 if found else 0)
        if depth > 0:
            calls = [c for c in self.known if self.goes(c.result, kind)]
            ways += [lambda: self.call(rng.choice(calls), scope, depth)] * (4 if calls else 0)
            ways += self.made(kind, scope, depth)
            more = self.forms(kind, scope, depth - 1)
            ways += more * (1 if len(more) > 6 else 2)
        return rng.choice(ways)()

    def plain(self, kind: Kind, scope: Scope, depth: int) -> str:
        """A value built from parts; a literal in the end."""
        rng = self.rng
        if depth <= 0:
            return self.literal(kind, 1)
        match kind:
            case ("list", item):
                return self.items(lambda: self.expr(item, scope, depth - 1), rng.randint(0, 2))
            case ("rec", name):
                return self.built(name, lambda k: self.for_field(k, scope, depth - 1))
            case ("opt", item):
                return self.expr(item, scope, depth - 1)
            case ("union", name):
                return self.expr(rng.choice(self.unions[name]), scope, depth - 1)
            case ("dict", item):
                return f'{{z: {self.expr(item, scope, depth - 1)}, "b c": {self.literal(item, 1)}}}'
        return self.literal(kind, 1)

    def for_field(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression for a field, whose refinements it need not meet."""
        unsure = kind[0] in ("ref", "bounded") and self.rng.random() < 0.3
        return self.expr(self.base(kind) if unsure else kind, scope, depth)

    def reachable(self, kind: Kind, scope: Scope) -> list[str]:
        """Names, and fields of names, that have the type."""
        found = []
        for name, have in {**self.constants, **scope}.items():
            if self.goes(have, kind):
                found.append(name)
            if have[0] == "rec":
                shape = self.records[have[1]]
                for f, k in shape.fields.items():
                    recursive = shape.recursive and f == "parts"
                    if not recursive and self.goes(k, kind):
                        found.append(f"{name}.{f}")
            if have[0] == "opt" and have[1][0] == "rec" and kind[0] == "opt":
                shape = self.records[have[1][1]]
                found += [
                    f"{name}?.{f}"
                    for f, k in shape.fields.items()
                    if f != "parts" and self.goes(k, kind)
                ]
        return found

    def call(self, it: MadeCallable, scope: Scope, depth: int) -> str:
        given = []
        for i, (name, kind) in enumerate(it.params.items()):
            value = self.expr(kind, scope, depth - 2)
            named = i > 0 and self.rng.random() < 0.5
            given.append(f"{name}={value}" if named or any("=" in g[:8] for g in given) else value)
        return f"{it.name}({', '.join(given)})"

    def made(self, kind: Kind, scope: Scope, depth: int) -> list[Callable[[], str]]:
        """The forms that there are for every type."""
        e, rng = self.expr, self.rng

        def branch() -> str:
            return f"if {e(BOOL, scope, depth - 1)} then {e(kind, scope, depth - 1)} else {e(kind, scope, depth - 1)}"

        def otherwise() -> str:
            return f"({rng.choice(options)} ?? {e(kind, scope, depth - 1)})"

        ways: list[Callable[[], str]] = [lambda: f"({branch()})"]
        plain = kind[0] not in ("opt", "json", "union")
        options = self.reachable(("opt", kind), {n: k for n, k in scope.items() if k[0] == "opt"})
        options = [o for o in options if plain and (scope.get(o, ("",))[0] == "opt" or "?." in o)]
        if options:
            ways += [otherwise] * 2
        matched = [n for n, k in scope.items() if k[0] in ("enum", "union", "lit", "opt")]
        if matched:
            ways += [lambda: self.match(rng.choice(matched), kind, scope, min(depth - 1, 1))]
        if plain:
            lists = self.reachable(("list", kind), scope)
            if lists:
                ways += [lambda: f"(first({rng.choice(lists)}) ?? {self.literal(kind, 1)})"]
                ways += [
                    lambda: f'(find({rng.choice(lists)}, "a b", 1)[0] ?? {self.literal(kind, 1)})'
                ] * 0
        return ways

    def match(self, name: str, kind: Kind, scope: Scope, depth: int) -> str:
        have, e = scope[name], self.expr
        arms = []
        rest = {n: k for n, k in scope.items() if n != name}
        inner = have[1] if have[0] == "opt" else have
        if have[0] == "opt" and inner[0] in ("enum", "lit"):
            inner = STR
        match inner:
            case ("enum", enum):
                arms = [(v, inner) for v in self.enums[enum]]
            case ("lit", *values):
                arms = [(f'"{v}"', inner) for v in values]
            case ("union", union):
                arms = [("list" if k[0] == "list" else self.src(k), k) for k in self.unions[union]]
            case ("rec", record):
                arms = [(record, inner)]
            case _:
                return f"(if {name} != none then {e(kind, rest | {name: have[1]}, depth)} else {e(kind, rest, depth)})"
        if have[0] == "opt":
            arms.append(("none", JSON))
        text = ", ".join(
            f"{arm} => {e(kind, rest if arm == 'none' else rest | {name: k}, depth)}"
            for arm, k in arms
        )
        return f"(match {name} {{ {text} }})"

    def forms(self, kind: Kind, scope: Scope, depth: int) -> list[Callable[[], str]]:
        """The forms of one type."""
        e, rng, some = self.expr, self.rng, self.kind
        ways: list[Callable[[], str]] = []
        match kind:
            case ("str",):
                ways = [
                    lambda: (
                        f'f"{{{self.reach(some(1), scope)}}} of {{{self.reach(INT, scope)}}} {{{{}}}}"'
                    ),
                    lambda: f"({e(STR, scope, depth)} + {e(STR, scope, depth)})",
                    lambda: f"str({e(some(1), scope, depth)})",
                    lambda: f"upper({e(STR, scope, depth)})",
                    lambda: f"lower(strip({e(STR, scope, depth)}))",
                    lambda: f'replace({e(STR, scope, depth)}, "a", {e(STR, scope, depth)})',
                    lambda: f'join({e(("list", STR), scope, depth)}, ", ")',
                    lambda: f"code({e(STR, scope, depth)})",
                    lambda: f"({e(STR, scope, depth)})[{rng.randint(-3, 2)}:{rng.randint(-2, 5)}]",
                    lambda: f"({e(STR, scope, depth)})[:{e(INT, scope, depth)}]",
                ]
            case ("int",):
                ways = [
                    lambda: f"({e(INT, scope, depth)} {rng.choice('+-*%')} {e(INT, scope, depth)})",
                    lambda: (
                        f"len({e(rng.choice([STR, ('list', some(1)), ('dict', INT)]), scope, depth)})"
                    ),
                    lambda: f"int({e(rng.choice([STR, FLOAT, BOOL, DECIMAL]), scope, depth)})",
                    lambda: f"round({e(rng.choice([FLOAT, DECIMAL]), scope, depth)})",
                    lambda: f"abs({e(INT, scope, depth)})",
                    lambda: f"-({e(INT, scope, depth)})",
                    lambda: f"sum({e(('list', INT), scope, depth)})",
                    lambda: f"max({e(INT, scope, depth)}, {e(INT, scope, depth)})",
                    lambda: f"count({e(('list', BOOL), scope, depth)})",
                    lambda: (
                        f"count({e(('list', STR), scope, depth)}, lower({e(STR, scope, depth)}))"
                    ),
                    lambda: f"({e(DATE, scope, depth)} - {e(DATE, scope, depth)})",
                    lambda: (
                        f"({e(rng.choice([DATE, DATETIME]), scope, depth)}).{rng.choice(['year', 'month', 'weekday'])}"
                    ),
                    lambda: f"({e(TIME, scope, depth)}).minute",
                    lambda: f"tune[{rng.randint(0, 3)}, 5]",
                ]
            case ("float",):
                ways = [
                    lambda: (
                        f"({e(FLOAT, scope, depth)} {rng.choice('+-*/')} {e(FLOAT, scope, depth)})"
                    ),
                    lambda: f"({e(INT, scope, depth)} / {e(INT, scope, depth)})",
                    lambda: f"float({e(rng.choice([STR, INT]), scope, depth)})",
                    lambda: f"round({e(FLOAT, scope, depth)}, {rng.randint(-1, 3)})",
                    lambda: f"sum({e(('list', FLOAT), scope, depth)})",
                    lambda: f"({e(DATETIME, scope, depth)} - {e(DATETIME, scope, depth)})",
                    lambda: f"min({e(FLOAT, scope, depth)}, {e(INT, scope, depth)})",
                    lambda: f"abs({e(FLOAT, scope, depth)})",
                ]
            case ("bool",):
                ways = [
                    lambda: self.compared(scope, depth),
                    lambda: self.compared(scope, depth),
                    lambda: (
                        f"({e(BOOL, scope, depth)} {rng.choice(['and', 'or'])} {e(BOOL, scope, depth)})"
                    ),
                    lambda: f"(not {e(BOOL, scope, 0)})",
                    lambda: f'matches({e(STR, scope, depth)}, r"(a|b)*\\w")',
                    lambda: f"(lower({e(STR, scope, depth)}) in {e(('list', STR), scope, depth)})",
                    lambda: f"({e(STR, scope, depth)} in {e(STR, scope, depth)})",
                    lambda: f"any({e(('list', BOOL), scope, depth)})",
                    lambda: f"all({e(('list', BOOL), scope, depth)})",
                ]
            case ("date",):
                ways = [
                    lambda: f"({e(DATE, scope, depth)} {rng.choice('+-')} {e(INT, scope, depth)})",
                    lambda: f"date({e(DATETIME, scope, depth)})",
                    lambda: f"({e(DATETIME, scope, depth)}).date",
                    lambda: f"(date(lower({e(STR, scope, depth)})) ?? {self.literal(DATE, 0)})",
                ]
            case ("time",):
                ways = [lambda: f"({e(DATETIME, scope, depth)}).time"]
            case ("datetime",):
                ways = [
                    lambda: f"({e(DATETIME, scope, depth)} + {e(INT, scope, depth)})",
                    lambda: f"({e(DATETIME, scope, depth)} - {e(FLOAT, scope, depth)})",
                ]
            case ("decimal",):
                ways = [
                    lambda: (
                        f"({e(DECIMAL, scope, depth)} {rng.choice('+-*/')} {e(rng.choice([DECIMAL, INT]), scope, depth)})"
                    ),
                    lambda: f"round({e(DECIMAL, scope, depth)}, {rng.randint(-2, 3)})",
                    lambda: f"abs({e(DECIMAL, scope, depth)})",
                    lambda: f"sum({e(('list', DECIMAL), scope, depth)})",
                    lambda: f"decimal({e(INT, scope, depth)})",
                    lambda: f"(decimal(strip({e(STR, scope, depth)})) ?? decimal(1))",
                ]
            case ("opt", item):
                ways = [
                    lambda: f"first({e(('list', item), scope, depth)})",
                    lambda: "none",
                ]
                if item in (INT, FLOAT, STR, DATE, DECIMAL):
                    ways += [lambda: f"max({e(('list', item), scope, depth)})"]
                if item in (DATE, TIME, DATETIME, DECIMAL):
                    ways += [lambda: f"{item[0]}(upper({e(STR, scope, depth)}))"]
                if item[0] != "json":
                    held = self.reachable(("dict", item), scope)
                    ways += [lambda: f"{rng.choice(held)}[{e(STR, scope, depth)}]"] * (
                        2 if held else 0
                    )
                if item == FLOAT and (asked := self.asked()):
                    fn = rng.choice(["certainty", "logprob"])
                    ways += [lambda: f"{fn}({self.call(rng.choice(asked), scope, depth)})"]
                if item[0] == "rec":
                    stored = [n for n, (r, key) in self.stores.items() if r == item[1]]
                    ways += [lambda: f"{rng.choice(stored)}[{e(STR, scope, depth)}]"] * len(stored)
            case ("list", item):
                ways = self.lists(kind, item, scope, depth)
            case ("bounded", item, "unique"):
                ways = [lambda: f"unique({e(('list', item), scope, depth)})"]
            case ("bounded", item, "..3") if depth > 0:
                if item == STR:
                    ways = [lambda: f"keys({e(('dict', INT), scope, depth)})[:3]"]
                ways += [lambda: f"({e(('list', item), scope, depth)})[:3]"]
            case ("rec", name) if not self.records[name].recursive:
                shape = self.records[name]
                f = rng.choice([*shape.fields])
                if shape.fields[f][0] != "lit":
                    ways = [
                        lambda: (
                            f"({self.own(kind, scope)} with {{{f}: {e(shape.fields[f], scope, depth)}}})"
                        )
                    ] * 2
            case ("dict", item):
                ways = []
        return ways

    def own(self, kind: Kind, scope: Scope) -> str:
        found = [n for n, k in scope.items() if k == kind]
        return self.rng.choice(found) if found else self.literal(kind, 1)

    def reach(self, kind: Kind, scope: Scope) -> str:
        """Something simple, without quotes: a name, or a number."""
        found = [f for f in self.reachable(kind, scope) if '"' not in f]
        return self.rng.choice(found) if found else self.rng.choice(["1", "true", "2.5"])

    def compared(self, scope: Scope, depth: int) -> str:
        rng, e = self.rng, self.expr
        kind = rng.choice([STR, INT, FLOAT, DATE, DECIMAL, TIME, DATETIME])
        sign = rng.choice(["==", "!=", "<", "<=", ">", ">="])
        if kind == STR:
            return f"(lower({e(kind, scope, depth)}) {sign} {e(kind, scope, depth)})"
        names = [n for n, k in scope.items() if k[0] in ("rec", "list", "dict", "enum", "union")]
        if names and rng.random() < 0.3:
            left = rng.choice(names)
            right = rng.choice([n for n in names if scope[n] == scope[left]])
            return f"({left} {rng.choice(['==', '!='])} {right})"
        return f"({e(kind, scope, depth)} {sign} {e(kind, scope, depth)})"

    def lists(self, kind: Kind, item: Kind, scope: Scope, depth: int) -> list[Callable[[], str]]:
        e, rng, some = self.expr, self.rng, self.kind

        def mapped() -> str:
            source, x = some(1, plain=True), self.fresh("v")
            inner = scope | {x: source}
            keep = f" if {e(BOOL, inner, depth)}" if rng.random() < 0.4 else ""
            return f"[{e(item, inner, depth)} for {x} in {e(('list', source), scope, depth)}{keep}]"

        def numbered() -> str:
            source, i, x = some(1, plain=True), self.fresh("i"), self.fresh("v")
            inner = scope | {x: source, i: INT}
            return f"[{e(item, inner, depth)} for {i}, {x} in enumerate({e(('list', source), scope, depth)})]"

        def zipped() -> str:
            (x, y) = self.fresh("v"), self.fresh("v")
            a, b = some(1, plain=True), some(1, plain=True)
            inner = scope | {x: a, y: b}
            return (
                f"[{e(item, inner, depth)} for {x}, {y} in"
                f" zip({e(('list', a), scope, depth)}, {e(('list', b), scope, depth)})]"
            )

        ways: list[Callable[[], str]] = [
            mapped, mapped, numbered, zipped,
            lambda: f"({e(kind, scope, depth)} + {e(kind, scope, depth)})",
            lambda: f"({e(kind, scope, depth)})[{rng.randint(-2, 1)}:{rng.randint(-1, 3)}]",
            lambda: f"({e(kind, scope, depth)})[{e(INT, scope, depth)}:]",
            lambda: f"flatten({e(('list', kind), scope, depth)})",
            lambda: f"unique({e(kind, scope, depth)})",
            lambda: f"filter({e(('list', ('opt', item)), scope, depth)})" if item[0] not in ("opt", "json", "union") else self.literal(kind, 1),
            lambda: f'find({e(kind, scope, depth)}, {e(STR, scope, depth)}, 2)',
            lambda: f"[{e(item, scope, depth)} for {rng.randint(1, 3)}]",
        ]  # fmt: skip
        if item == INT:
            ways += [lambda: f"range({rng.randint(0, 3)})", lambda: f"range({e(INT, scope, 0)}, 4)"]
        if item in (INT, STR, FLOAT, DATE, DECIMAL):
            ways += [
                lambda: (
                    f"sort_by({e(kind, scope, depth)}, descending={rng.choice(['true', 'false'])})"
                )
            ]
        if item == STR:
            ways += [
                lambda: f"split({e(STR, scope, depth)})",
                lambda: f"keys({e(('dict', some(0)), scope, depth)})",
            ]
        if item[0] != "json":
            ways += [lambda: f"values({e(('dict', item), scope, depth)})"]
        if item[0] == "rec":
            ways += [
                n_ for n, (r, _) in self.stores.items() if r == item[1] for n_ in [lambda n=n: n]
            ]
            shape = self.records[item[1]]
            fields = [f for f, k in shape.fields.items() if k in (STR, INT, DATE)]
            if fields:
                f = rng.choice(fields)
                ways += [
                    lambda: f"sort_by({e(kind, scope, depth)}, .{f})",
                    lambda: f"unique({e(kind, scope, depth)}, .{f})",
                    lambda: f"flatten([g.items for g in group_by({e(kind, scope, depth)}, .{f})])",
                ]
        return ways

    def asked(self) -> list[MadeCallable]:
        return [c for c in self.known if c.asks]

    # --- declarations ---

    def params(self, least: int = 1) -> dict[str, Kind]:
        rng = self.rng
        return {n: self.kind(2) for n in ("q", "given", "more")[: rng.randint(least, 3)]}

    def signature(self, name: str, params: Mapping[str, Kind], result: Kind | str) -> str:
        told = ", ".join(f"{n}: {self.src(k)}" for n, k in params.items())
        return f"{name}({told}) -> {result if isinstance(result, str) else self.src(result)}"

    def settings(self, result: Kind) -> str:
        rng = self.rng
        found = []
        if rng.random() < 0.6:
            found.append(f'layout: "{rng.choice(["chat", "json", "xml"])}"')
        if rng.random() < 0.25:
            found.append(f"temperature: {rng.choice(['0', '0.0', '0.7'])}")
        if rng.random() < 0.15:
            found.append("reason: true")
        if rng.random() < 0.3:
            found.append(f"repair: {rng.randint(0, 2)}")
        if result == INT and rng.random() < 0.3:
            found.append("require: out >= 0")
        if result[0] == "list" and rng.random() < 0.3:
            found.append("require: len(out) < 3")
        if rng.random() < 0.1:
            found.append('check: str(out) != "a"')
        if rng.random() < 0.1:
            found.append('role: "You are " + str(q)')
        return " ".join(found)

    def generate(
        self, params: dict[str, Kind] | None = None, result: Kind | None = None
    ) -> MadeCallable:
        name = self.fresh("m")
        params, result = params or self.params(), result or self.kind(2)
        signature = self.signature(name, params, result)
        self.decls.append(f'generate {signature} {{ """Do @{name}@.""" {self.settings(result)} }}')
        return self.add(MadeCallable(name, params, result, 1))

    def add(self, it: MadeCallable) -> MadeCallable:
        self.known.append(it)
        return it

    def labels(self) -> None:
        name = self.fresh("m")
        form, result = self.rng.choice(
            [
                ("one_of(options)", STR),
                ("list[one_of(options)](..2)", ("list", STR)),
                ("one_of(options)?", ("opt", STR)),
            ]
        )
        signature = self.signature(name, {"q": STR}, form).replace(")", ", options: list[str])", 1)
        self.decls.append(f'generate {signature} {{ """Do @{name}@.""" {self.settings(("",))} }}')
        labels = '["red", "green", "not red", "Red!"]'
        wrapper = self.fresh("p")
        self.decls.append(
            f"pipeline {self.signature(wrapper, {'q': STR}, result)} {{ return {name}(q, {labels}) }}"
        )
        self.add(MadeCallable(wrapper, {"q": STR}, result, 1))

    def tool(self) -> None:
        rng, name = self.rng, self.fresh("t")
        params, result = self.params(), self.kind(2)
        setting = rng.choice(["", "", "{ pure: true }", "{ cache: true }", "{ effect: true }"])
        self.decls.append(
            f'tool {self.signature(name, params, result)} from "none:{name}" {setting}'
        )
        if "effect" not in setting:
            self.add(MadeCallable(name, params, result, 0, asks=False))
        self.effect = name

    def critique(self) -> MadeCallable:
        rng, name = self.rng, self.fresh("c")
        result = rng.choice([("Verdict"), "bool", "int(1..5)", '"good" | "bad"'])
        base = rng.choice([c for c in self.known if c.asks])
        params = {"q": STR, "draft": base.result}
        self.decls.append(
            f'critique {self.signature(name, params, result)} {{ """Do @{name}@.""" subject: draft {self.settings(("",))} }}'
        )
        if result == "bool":
            self.add(MadeCallable(name, params, BOOL, 1))
        self.judged = (name, result, base)
        return base

    def pick(self) -> MadeCallable:
        return self.rng.choice([c for c in self.known if c.asks and c.weight < 12])

    def passed(self, it: MadeCallable) -> str:
        return ", ".join(f"{n}={n}" for n in it.params)

    def vote(self) -> None:
        rng, name = self.rng, self.fresh("w")
        it = rng.choice([c for c in self.known if c.asks and c.weight < 12])
        if it.result == JSON:
            return
        n = rng.choice(["2", "3", "tune[1, 3]"])
        by = rng.choice(
            ["", "", 'by: "certainty"', "min", "doc", "stop_early: false", "stop_early: true"]
        )
        if it.result[0] == "rec" and it.result[1] in self.records and rng.random() < 0.4:
            by = f"by: .{rng.choice([*self.records[it.result[1]].fields])}"
        result: Kind = it.result
        doc = ""
        if by == "min":
            by = "min_agree: 2"
            result = result if result[0] in ("opt", "json") else ("opt", result)
        if by == "doc":
            by, doc = "", f'"""Do @{name}@."""'
        self.decls.append(
            f"vote {self.signature(name, it.params, result)} {{ {doc} sample: {it.name}({self.passed(it)}) n: {n} {by} }}"
        )
        self.add(MadeCallable(name, it.params, result, 3 * it.weight + 1))

    def refine(self) -> None:
        rng, name = self.rng, self.fresh("f")
        it = self.critique()
        judge, gives, _ = self.judged
        until = {"bool": "check", "Verdict": "check.ok", "int(1..5)": "check > 3"}.get(
            gives, 'check == "good"'
        )
        stop = rng.choice(["", "", 'stop_early: "fixed_point"', 'stop_early: "no_gain"'])
        stop = "" if gives not in ("Verdict",) and "gain" in stop else stop
        params = {"q": STR} | {n: k for n, k in it.params.items() if n not in ("q", "draft")}
        first = self.call_with(it, params)
        self.decls.append(
            f'refine {self.signature(name, params, it.result)} {{ """Do @{name}@."""'
            f" draft: {first} check: {judge}({self.expr(STR, params, 0)}, draft) until: {until}"
            f" rounds: {rng.choice(['0', '1', '2', 'tune[1, 2]'])} {stop} }}"
        )
        self.add(MadeCallable(name, params, it.result, 8))

    def call_with(self, it: MadeCallable, scope: Scope) -> str:
        given = [f"{n}={self.expr(k, scope, 0)}" for n, k in it.params.items()]
        return f"{it.name}({', '.join(given)})"

    def route(self) -> None:
        rng, name = self.rng, self.fresh("o")
        it = self.pick()
        params = it.params
        both = f"{it.name}({self.passed(it)})"
        other = self.generate(dict(params), it.result)
        second = f"{other.name}({self.passed(other)})"
        if self.enums and rng.random() < 0.5:
            enum = rng.choice([*self.enums])
            chooser = self.generate(dict(params), ("enum", enum))
            to = ", ".join(f"{v}: {both if i else second}" for i, v in enumerate(self.enums[enum]))
            body = f"by: {chooser.name}({self.passed(chooser)}) to: {{{to}}}"
        else:
            by = rng.choice(['"certainty"', "float(len(str(out))) / 10"])
            body = f"to: [{both}, {second}] by: {by} threshold: {rng.choice(['0.5', 'tune[0.2, 0.9]'])}"
        self.decls.append(f"route {self.signature(name, params, it.result)} {{ {body} }}")
        self.add(MadeCallable(name, params, it.result, 2 + it.weight))

    def search(self) -> None:
        rng, name = self.rng, self.fresh("s")
        item = self.kind(1, plain=True)
        step = self.generate({"q": STR, "path": ("list", item)}, item)
        value = rng.choice(["float(len(path))", "judge", "len(str(path)) % 5"])
        if value == "judge":
            judge = self.generate({"q": STR, "path": ("list", item)}, FLOAT)
            value = f"{judge.name}(q, path)"
        method = rng.choice(['"beam"', '"best_first"', '"mcts"'])
        self.decls.append(
            f"search {self.signature(name, {'q': STR}, ('list', item))} {{ expand: {step.name}(q, path)"
            f" value: {value} until: len(path) >= {rng.randint(1, 2)} method: {method}"
            f" width: {rng.randint(1, 2)} keep: {rng.randint(1, 2)} depth: {rng.randint(1, 3)} rounds: 2 }}"
        )
        self.add(MadeCallable(name, {"q": STR}, ("list", item), 12))

    def agent(self) -> None:
        rng, name = self.rng, self.fresh("g")
        tools = rng.sample(self.known, min(len(self.known), rng.randint(1, 2)))
        params, result = self.params(), self.kind(1)
        self.decls.append(
            f'agent {self.signature(name, params, result)} {{ """Do @{name}@."""'
            f" tools: [{', '.join(t.name for t in tools)}] steps: {rng.randint(1, 3)} }}"
        )
        self.add(MadeCallable(name, params, result, 12))

    def store(self) -> None:
        rng, name = self.rng, self.fresh("k")
        shape = RecordShape(self.fresh("R"), {"key": STR, "text": self.kind(1)})
        fields = ", ".join(f"{n}: {self.src(k)}" for n, k in shape.fields.items())
        self.decls.append(f"record {shape.name} {{ {fields} }}")
        self.records[shape.name] = shape
        self.decls.append(
            f'store {name}: {shape.name} {{ key: .key keep: {rng.randint(1, 3)} path: "none.db" }}'
        )
        self.stores[name] = (shape.name, "key")

    def pipeline(self, name: str, depth: int) -> None:
        params, result = self.params(), self.kind(2)
        body = self.block(result, dict(params), depth, self.rng.randint(1, 4))
        self.decls.append(f"pipeline {self.signature(name, params, result)} {{ {body} }}")
        self.add(MadeCallable(name, params, result, 10))

    def block(self, result: Kind, scope: Scope, depth: int, count: int) -> str:
        """Statements that end with a return."""
        rng, parts = self.rng, []
        for _ in range(count):
            dice = rng.random()
            if dice < 0.1 and self.stores:
                store, (record, _) = rng.choice([*self.stores.items()])
                parts.append(
                    f"keep {self.built(record, lambda k: self.expr(k, scope, 1))} in {store}"
                )
            elif dice < 0.15:
                inner = self.block(result, dict(scope), depth - 1, 0)
                parts.append(f"if {self.expr(BOOL, scope, depth)} {{ {inner} }}")
            elif dice < 0.3:
                parts.append(self.loop(scope, depth))
            elif dice < 0.75 and self.known:
                it, name = rng.choice(self.known), self.fresh("x")
                parts.append(f"let {name} = {self.call(it, scope, depth)}")
                scope[name] = it.result
            else:
                kind, name = self.kind(2), self.fresh("x")
                parts.append(f"let {name}: {self.src(kind)} = {self.expr(kind, scope, depth)}")
                scope[name] = kind
        parts.append(f"return {self.expr(result, scope, depth)}")
        return " ".join(parts)

    def loop(self, scope: Scope, depth: int) -> str:
        kind, name, state = self.kind(1), self.fresh("x"), self.fresh("l")
        inner = scope | {state: kind}
        until = f" until {self.expr(BOOL, inner, 2)}" if self.rng.random() < 0.5 else ""
        text = (
            f"let {name} = loop {state}: {self.src(kind)} = {self.expr(kind, scope, 1)}"
            f" for {self.rng.randint(1, 3)}{until} {{ yield {self.expr(kind, inner, depth - 1)} }}"
        )
        scope[name] = kind
        return text
