"""Random expressions: each is made for the type that is wanted.

It is a literal, a name in scope, a call, a form for every type, or one of the forms of its type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.test_soundness.forms import LIST, LIST_OF, SCALAR
from tests.test_soundness.kinds import (
    BOOL,
    DATE,
    DATETIME,
    DECIMAL,
    FLOAT,
    GIVEN_ONLY,
    INT,
    JSON,
    STR,
    TIME,
    Kind,
    Scope,
    TypeMaker,
)

Way = Callable[[], str]
_PART = re.compile(r"«([^»]+)»")
_NUMBERS = re.compile(r"(-?\d+)\.\.(-?\d+)")


@dataclass
class MadeCallable:
    """Something that can be called."""

    name: str
    params: dict[str, Kind]
    result: Kind
    weight: int  # calls of a model, roughly
    asks: bool = True


class ExpressionMaker(TypeMaker):
    """Makes expressions over what the program has declared so far."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.known: list[MadeCallable] = []
        self.stores: dict[str, tuple[str, str]] = {}
        self.constants: Scope = {}

    def expr(self, kind: Kind, scope: Scope, depth: int) -> str:
        """An expression of a type."""
        rng = self.rng
        ways: list[Way] = [lambda: self.plain(kind, scope, depth)]
        found = self.reachable(kind, scope)
        ways += [lambda: rng.choice(found)] * (4 if found else 0)
        if depth > 0:
            calls = [c for c in self.known if self.goes(c.result, kind)]
            ways += [lambda: self.call(rng.choice(calls), scope, depth)] * (4 if calls else 0)
            ways += self.made(kind, scope, depth)
            more = self.forms(kind, scope, depth - 1)
            ways += more * (1 if len(more) > 6 else 2)
        return rng.choice(ways)()

    def filled(self, pattern: str, scope: Scope, depth: int, same: Kind = JSON) -> str:
        """A pattern with an expression in each place (see `forms`)."""

        def fill(found: re.Match[str]) -> str:
            word = found[1]
            if numbers := _NUMBERS.fullmatch(word):
                return str(self.rng.randint(int(numbers[1]), int(numbers[2])))
            if "|" in word or word in "+-*/%":
                return self.rng.choice(word.split("|"))
            return self.expr(self.named(word, same), scope, depth)

        return _PART.sub(fill, pattern)

    def named(self, word: str, same: Kind) -> Kind:
        """The type that a word in a pattern names."""
        if word[0] in "[{":
            return ("list" if word[0] == "[" else "dict", self.named(word[1:-1], same))
        if word in ("same", "item"):
            return same if word == "same" else same[1]
        return self.kind(1) if word == "any" else (word,)

    # --- names and calls ---

    def plain(self, kind: Kind, scope: Scope, depth: int) -> str:
        """A value built from parts; a literal in the end."""
        if depth <= 0:
            return self.literal(kind, 1)
        match kind:
            case ("list", item):
                count = self.rng.randint(0, 2)
                return f"[{', '.join(self.expr(item, scope, depth - 1) for _ in range(count))}]"
            case ("rec", name):
                return self.built(name, lambda k: self.for_field(k, scope, depth - 1))
            case ("opt", item):
                return self.expr(item, scope, depth - 1)
            case ("union", name):
                return self.expr(self.rng.choice(self.unions[name]), scope, depth - 1)
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
                found += [f"{name}.{f}" for f in self.fields_of(have[1], kind)]
            if have[0] == "opt" and have[1][0] == "rec" and kind[0] == "opt":
                found += [f"{name}?.{f}" for f in self.fields_of(have[1][1], kind)]
        return found

    def fields_of(self, record: str, kind: Kind) -> list[str]:
        """The fields of a record that have the type."""
        shape = self.records[record]
        own = (n for n in shape.fields if not (shape.recursive and n == "parts"))
        return [name for name in own if self.goes(shape.fields[name], kind)]

    def call(self, it: MadeCallable, scope: Scope, depth: int) -> str:
        """A call, with arguments by position and by name."""
        given: list[str] = []
        for i, (name, kind) in enumerate(it.params.items()):
            value = self.expr(kind, scope, depth - 2)
            named = i > 0 and self.rng.random() < 0.5
            given.append(f"{name}={value}" if named or any("=" in g[:8] for g in given) else value)
        return f"{it.name}({', '.join(given)})"

    def own(self, kind: Kind, scope: Scope) -> str:
        """A name of exactly this type, or a literal."""
        found = [n for n, k in scope.items() if k == kind]
        return self.rng.choice(found) if found else self.literal(kind, 1)

    def simple(self, kind: Kind, scope: Scope) -> str:
        """Something without quotes: a name, or a number."""
        found = [f for f in self.reachable(kind, scope) if '"' not in f]
        return self.rng.choice(found) if found else self.rng.choice(["1", "true", "2.5"])

    # --- forms for every type ---

    def made(self, kind: Kind, scope: Scope, depth: int) -> list[Way]:
        """The forms that there are for every type."""
        rng = self.rng
        ways: list[Way] = [
            lambda: self.filled("(if «bool» then «same» else «same»)", scope, depth - 1, kind)
        ]
        plain = kind[0] not in ("opt", "json", "union", *(k[0] for k in GIVEN_ONLY))
        optional = {n: k for n, k in scope.items() if k[0] == "opt"}
        options = self.reachable(("opt", kind), optional) if plain else []
        options = [o for o in options if o in optional or "?." in o]
        if options:
            ways += [lambda: f"({rng.choice(options)} ?? {self.expr(kind, scope, depth - 1)})"] * 2
        matched = [n for n, k in scope.items() if k[0] in ("enum", "union", "lit", "opt")]
        if matched:
            ways += [lambda: self.match(rng.choice(matched), kind, scope, min(depth - 1, 1))]
        lists = self.reachable(("list", kind), scope) if plain else []
        if lists:
            ways += [lambda: f"(first({rng.choice(lists)}) ?? {self.literal(kind, 1)})"]
        return ways

    def match(self, name: str, kind: Kind, scope: Scope, depth: int) -> str:
        """A `match` over a name, or an `if` where it is only there or not."""
        have, e = scope[name], self.expr
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
                there = e(kind, rest | {name: have[1]}, depth)
                return f"(if {name} != none then {there} else {e(kind, rest, depth)})"
        if have[0] == "opt":
            arms.append(("none", JSON))
        text = ", ".join(
            f"{arm} => {e(kind, rest if arm == 'none' else rest | {name: k}, depth)}"
            for arm, k in arms
        )
        return f"(match {name} {{ {text} }})"

    # --- forms of one type ---

    def forms(self, kind: Kind, scope: Scope, depth: int) -> list[Way]:
        """The forms of one type."""
        ways = self.patterns(SCALAR.get(kind, ()), scope, depth)
        match kind:
            case ("str",):
                some, number = self.kind(1), self.simple(INT, scope)
                ways += [lambda: f'f"{{{self.simple(some, scope)}}} of {{{number}}} {{{{}}}}"']
            case ("bool",):
                ways += [lambda: self.compared(scope, depth)] * 2
            case ("messages",):
                ways += self.patterns(
                    ("(«messages» + [user(«str»)])", "(«messages» + [assistant(«str»)])"),
                    scope,
                    depth,
                )
                ways += [lambda: self.filled("[user(«str», «image»)]", scope, depth)]
            case ("opt", item):
                ways += self.optionals(item, scope, depth)
            case ("list", item):
                ways += self.lists(kind, item, scope, depth)
            case ("bounded", item, "unique"):
                ways += [lambda: self.filled("unique(«same»)", scope, depth, ("list", item))]
            case ("bounded", item, "..3") if depth > 0:
                ways += [lambda: self.filled("(«same»)[:3]", scope, depth, ("list", item))]
            case ("rec", name) if not self.records[name].recursive:
                shape = self.records[name]
                f = self.rng.choice([*shape.fields])
                if shape.fields[f][0] != "lit":
                    value = self.expr(shape.fields[f], scope, depth)
                    ways += [lambda: f"({self.own(kind, scope)} with {{{f}: {value}}})"] * 2
        return ways

    def patterns(
        self, patterns: Sequence[str], scope: Scope, depth: int, same: Kind = JSON
    ) -> list[Way]:
        """A way for each pattern."""
        return [lambda p=p: self.filled(p, scope, depth, same) for p in patterns]  # type: ignore[misc]

    def compared(self, scope: Scope, depth: int) -> str:
        """A comparison."""
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

    def optionals(self, item: Kind, scope: Scope, depth: int) -> list[Way]:
        """The forms that give a value or none."""
        rng = self.rng
        ways = self.patterns(("first(«[same]»)", "none"), scope, depth, item)
        if item in (INT, FLOAT, STR, DATE, DECIMAL):
            ways += self.patterns(("max(«[same]»)",), scope, depth, item)
        if item in (DATE, TIME, DATETIME, DECIMAL):
            ways += self.patterns((f"{item[0]}(upper(«str»))",), scope, depth)
        held = self.reachable(("dict", item), scope) if item != JSON else []
        if held:
            ways += [lambda: self.filled(f"{rng.choice(held)}[«str»]", scope, depth)] * 2
        asked = [c for c in self.known if c.asks]
        if item == FLOAT and asked:
            fn = rng.choice(["certainty", "logprob"])
            ways += [lambda: f"{fn}({self.call(rng.choice(asked), scope, depth)})"]
        stored = [n for n, (record, _) in self.stores.items() if ("rec", record) == item]
        return ways + self.patterns([f"{name}[«str»]" for name in stored], scope, depth)

    def lists(self, kind: Kind, item: Kind, scope: Scope, depth: int) -> list[Way]:
        """The forms that give a list."""
        rng = self.rng
        ways: list[Way] = [
            lambda: self.mapped(item, scope, depth),
            lambda: self.mapped(item, scope, depth),
            lambda: self.numbered(item, scope, depth),
            lambda: self.zipped(item, scope, depth),
            *self.patterns((*LIST, *LIST_OF.get(item, ())), scope, depth, kind),
        ]
        if item[0] not in ("opt", "json", "union"):
            ways += [lambda: self.filled("filter(«[same]»)", scope, depth, ("opt", item))]
        if item in (INT, STR, FLOAT, DATE, DECIMAL):
            falling = rng.choice(["true", "false"])
            ways += self.patterns((f"sort_by(«same», descending={falling})",), scope, depth, kind)
        if item[0] != "json":
            ways += [lambda: self.filled("values(«same»)", scope, depth, ("dict", item))]
        if item[0] != "rec":
            return ways
        stored = [name for name, (record, _) in self.stores.items() if record == item[1]]
        fields = [f for f, k in self.records[item[1]].fields.items() if k in (STR, INT, DATE)]
        by = ("sort_by(«same», .{0})", "unique(«same», .{0})")
        by += ("flatten([g.items for g in group_by(«same», .{0})])",)
        f = rng.choice(fields) if fields else ""
        some = [pattern.format(f) for pattern in by] if fields else []
        return ways + self.patterns([*stored, *some], scope, depth, kind)

    def mapped(self, item: Kind, scope: Scope, depth: int) -> str:
        """`[… for x in xs if …]`."""
        source, x = self.kind(1, plain=True), self.fresh("v")
        inner = scope | {x: source}
        keep = f" if {self.expr(BOOL, inner, depth)}" if self.rng.random() < 0.4 else ""
        over = self.expr(("list", source), scope, depth)
        return f"[{self.expr(item, inner, depth)} for {x} in {over}{keep}]"

    def numbered(self, item: Kind, scope: Scope, depth: int) -> str:
        """`[… for i, x in enumerate(xs)]`."""
        source, i, x = self.kind(1, plain=True), self.fresh("i"), self.fresh("v")
        value = self.expr(item, scope | {x: source, i: INT}, depth)
        return f"[{value} for {i}, {x} in enumerate({self.expr(('list', source), scope, depth)})]"

    def zipped(self, item: Kind, scope: Scope, depth: int) -> str:
        """`[… for x, y in zip(xs, ys)]`."""
        x, y = self.fresh("v"), self.fresh("v")
        a, b = self.kind(1, plain=True), self.kind(1, plain=True)
        value = self.expr(item, scope | {x: a, y: b}, depth)
        xs, ys = (self.expr(("list", k), scope, depth) for k in (a, b))
        return f"[{value} for {x}, {y} in zip({xs}, {ys})]"
