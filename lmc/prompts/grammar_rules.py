"""Rules of a grammar for the values of types, in the Lark form that llguidance reads.

A name in capitals is a terminal, which one regular expression matches; other names are rules. Text
is what a field holds outside of JSON: a plain string, a label or a number.
Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lmc.patterns import decodable
from lmc.types import (
    BoolType,
    DictType,
    EnumType,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    NeverType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.unions import choices, needed_fields
from lmc.written import Kind

Member = tuple[str, Type, bool]  # name, type, and whether it may be left out

_SPACE = r"\s\x1c-\x1f"  # what `str.strip` removes
_TRIMMED = rf"/(?s:[^{_SPACE}](.*[^{_SPACE}])?)?/"
_ANY = "/(?s:.*)/"
_JSON_CHAR = (
    r'[^"\\\x00-\x1f]|\\["\\\/bfnrt]'
    r"|\\u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2})"  # no half of a pair
)
# The digits are bounded so that every number can be read, and a fraction has an end.
_INT = "/-?(?:0|[1-9][0-9]{0,199})/"
_FLOAT = r"/-?(?:0|[1-9][0-9]{0,199})(?:\.[0-9]{1,25})?(?:[eE][+-]?[0-9]{1,2})?/"
_YEAR = r"(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"(?:{_YEAR}-(?:02-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01]))|{_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
_FORMS: Mapping[Kind, str] = {
    "date": f"/{_DATE}/",
    "time": f"/{_TIME}/",
    "datetime": rf"/{_DATE}T{_TIME}(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?/",
    "decimal": r"/-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{1,99})?/",
}
_NO_JSON = r"/(?s:[^\s\x1c-\x1f`{\[].*)/ & ~/(?s:.*```.*)/"
_MOST_CHARS = 2000  # of a text whose length is enforced; counting costs a state per character


class Rules:
    """The rules of one grammar. `excluded` is a regular expression that no text may contain."""

    def __init__(self, excluded: str = "", *, in_json: bool = False) -> None:
        self._bodies: dict[str, str] = {}  # by name
        self._names: dict[str, str] = {}  # by body
        self._values: dict[Type, str] = {}  # the names of values as JSON
        self._excluded = f" & ~/(?s:.*(?:{excluded}).*)/" if excluded else ""
        self._string = self._excluded if in_json else ""

    def rule(self, body: str) -> str:
        """The name of a rule with this body."""
        return self._named(body, "r")

    def terminal(self, body: str) -> str:
        """The name of a terminal with this body."""
        return self._named(body, "T")

    def grammar(self, start: str) -> str:
        """The whole text, which begins with the rule `start`."""
        lines = (f"{name}: {body}" for name, body in self._bodies.items())
        return "\n".join([f"start: {start}", *lines, ""])

    def alone(self, type: Type) -> str:
        """The whole text of a value without a mark, which may begin with a space.

        Many models have other tokens for words after a space, and say those at the start too.
        """
        space = self.terminal('" "')
        return self.grammar(f"{space}? ({' | '.join(self.text(type))})")

    def text(self, type: Type) -> tuple[str, ...]:
        """The names for a value as a field holds it: one for each form that it may have."""
        match type:
            case StrType():
                return (self.terminal(self._written(type)),)
            case WrittenType(kind):
                return (self.terminal(_FORMS[kind]),)
            case EnumType(variants=names) | LiteralType(values=names):
                return (self.terminal(" | ".join(map(literal, names))),)
            case OptionalType(StrType(None, None, None) as item):
                return self.text(item)
            case OptionalType(item):
                return (*self.text(item), self.terminal(literal("null")))
            case UnionType(options):  # texts have quotes, to be told from other members
                return tuple(dict.fromkeys(map(self._option, options, needed_fields(type))))
            case JsonType():
                plain = self.terminal(_NO_JSON + self._excluded)
                return (self._json_list(type, None, None), self._json_dict(type), plain)
            case _:
                return (self.json(type),)

    def json(self, type: Type) -> str:
        """The name for a value as JSON, with a space after each comma and colon."""
        if type not in self._values:
            self._values[type] = self._json(type)
        return self._values[type]

    def members(self, members: Sequence[Member]) -> str:
        """The name for a JSON object with these members in this order."""
        tail = head = ""
        for name, type, optional in reversed(members):
            one = f"{literal(json.dumps(name, ensure_ascii=False) + ': ')} {self.json(type)}"
            later = f"{literal(', ')} {one}"
            begun = f"{one} {tail}"
            head = self._either(begun, head) if optional else begun
            tail = self.rule(f"({later})? {tail}" if optional else f"{later} {tail}")
        return self.rule(f'"{{" {head} "}}"')

    def _named(self, body: str, kind: str) -> str:
        if body not in self._names:
            name = self._names[body] = f"{kind}{len(self._bodies)}"
            self._bodies[name] = body
        return self._names[body]

    def _either(self, *bodies: str) -> str:
        return self.rule(" | ".join(body or '""' for body in bodies))

    def _written(self, type: StrType) -> str:
        """A plain string, in the bounds of its type. Space around it would not be read."""
        refined = type != StrType()
        return " & ".join([_TRIMMED if refined else _ANY, *_refinements(type)]) + self._excluded

    def _json(self, type: Type) -> str:
        match type:
            case StrType():
                return self._json_string(type)
            case IntType(None, None):
                return self.terminal(_INT)
            case FloatType(None, None):
                return self.terminal(_FLOAT)
            case IntType(low, high):
                return self._bounded("integer", low, high)
            case FloatType(low, high):
                return self._bounded("number", low, high)
            case BoolType():
                return self.terminal('"true" | "false"')
            case WrittenType(kind):
                return self._json_written(kind)
            case EnumType(variants=names) | LiteralType(values=names):
                quoted = (literal(json.dumps(name, ensure_ascii=False)) for name in names)
                return self.terminal(" | ".join(quoted))
            case OptionalType(item):
                return self._either(self.json(item), literal("null"))
            case ListType(item, low, high, unique):
                return self._json_list(item, low, _most(item, high) if unique else high)
            case DictType(NeverType()):
                return self.rule('"{}"')
            case DictType(item):
                return self._json_dict(item)
            case RecordType(fields=fields):
                return self.members([(f.name, f.type, f.has_default) for f in fields])
            case UnionType(options):
                return self._either(*map(self._option, options, needed_fields(type)))
            case JsonType():
                return self._any_json()
            case _:
                return self.rule('"null"')

    def _option(self, type: Type, needed: Collection[str]) -> str:
        """The name for a member of a union, which needs its tags even if they have a default."""
        if not isinstance(type, RecordType):
            return self.json(type)
        return self.members([(f.name, f.type, f.name not in needed) for f in type.fields])

    def _json_string(self, type: StrType) -> str:
        if type.pattern is not None and decodable(type.pattern):
            schema: dict[str, Any] = {"type": "string", "pattern": f"^(?:{type.pattern})$"}
            bounds = {"minLength": type.min_len, "maxLength": type.max_len}
            schema |= {k: v for k, v in bounds.items() if v is not None}
            return self.rule(f"%json {json.dumps(schema)}")
        return self.terminal(rf'/"(?:{_JSON_CHAR}){_count(type)}"/' + self._string)

    def _json_written(self, kind: Kind) -> str:
        """A date and the like in quotes; a decimal may stand without."""
        quote, form = literal('"'), self.terminal(_FORMS[kind])
        quoted = f"{quote} {form} {quote}"
        return self.rule(f"{quoted} | {form}" if kind == "decimal" else quoted)

    def _bounded(self, kind: str, low: float | None, high: float | None) -> str:
        bounds = {"minimum": low, "maximum": high}
        given = {k: v for k, v in bounds.items() if v is not None}
        return self.rule(f"%json {json.dumps({'type': kind, **given})}")

    def _json_list(self, item: Type, low: int | None, high: int | None) -> str:
        if isinstance(item, NeverType) or high == 0:
            return self.rule('"[]"')
        least, one = low or 0, self.json(item)
        most = "" if high is None else high - 1
        more = f"({literal(', ')} {one}){{{max(least - 1, 0)},{most}}}"
        items = f'"[" {one} {more} "]"'
        return self.rule(items if least else f'{items} | "[]"')

    def _json_dict(self, item: Type) -> str:
        one = f"{self.json(StrType())} {literal(': ')} {self.json(item)}"
        return self.rule(f'"{{" ({one} ({literal(", ")} {one})*)? "}}"')

    def _any_json(self) -> str:
        name = self._values[JsonType()] = f"r{len(self._bodies)}"
        self._bodies[name] = ""  # it stands in itself
        flat = [self.json(type) for type in (StrType(), FloatType(), BoolType())]
        nested = [self._json_list(JsonType(), None, None), self._json_dict(JsonType())]
        self._bodies[name] = " | ".join([*flat, literal("null"), *nested])
        return name


def _most(item: Type, high: int | None) -> int | None:
    """How many items a list can have that are all different."""
    texts = choices(item)
    return high if texts is None else min(len(texts), len(texts) if high is None else high)


def literal(text: str) -> str:
    """A text as it stands in a grammar."""
    return json.dumps(text, ensure_ascii=False)


def _refinements(type: StrType) -> list[str]:
    count = _count(type)
    parts = [] if count == "*" else [f"/(?s:.){count}/"]
    if type.pattern is None or not decodable(type.pattern):
        return parts
    return [*parts, f"/(?:{_in_slashes(type.pattern)})/"]


def _count(type: StrType) -> str:
    low, high = type.min_len or 0, type.max_len
    if high is not None and high <= _MOST_CHARS:
        return f"{{{low},{high}}}"
    return f"{{{low},}}" if 0 < low <= _MOST_CHARS else "*"


def _in_slashes(pattern: str) -> str:
    """A regular expression between slashes, where a slash and a line end need a backslash."""
    escaped, parts = False, []
    for char in pattern:
        parts.append({"/": "/" if escaped else r"\/", "\n": r"\n"}.get(char, char))
        escaped = char == "\\" and not escaped
    return "".join(parts)
