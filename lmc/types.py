"""The types of the language as frozen values. `str(type)` is the form in source text."""

from __future__ import annotations

from dataclasses import field

from lmc.frozen import frozen


@frozen
class Type:
    """Base of all types. `str(type)` is the source form."""


@frozen
class StrType(Type):
    r"""`str`, `str(1..200)` (length in characters), `str(r"\d+")` (full match)."""

    min_len: int | None = None
    max_len: int | None = None
    pattern: str | None = None

    def __str__(self) -> str:
        parts = (
            [_range(self.min_len, self.max_len)]
            if (self.min_len, self.max_len) != (None, None)
            else []
        )
        if self.pattern is not None:
            parts.append('r"' + self.pattern.replace('"', '\\"') + '"')
        return "str" + (f"({', '.join(parts)})" if parts else "")


@frozen
class IntType(Type):
    """`int`, `int(0..10)`; bounds are inclusive."""

    low: int | None = None
    high: int | None = None

    def __str__(self) -> str:
        return "int" + _parens(self.low, self.high)


@frozen
class FloatType(Type):
    """`float`, `float(0..1)`; bounds are inclusive."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return "float" + _parens(self.low, self.high)


@frozen
class BoolType(Type):
    """`bool`."""

    def __str__(self) -> str:
        return "bool"


@frozen
class JsonType(Type):
    """`json`: any JSON value."""

    def __str__(self) -> str:
        return "json"


@frozen
class NoneType(Type):
    """The type of `none`."""

    def __str__(self) -> str:
        return "none"


@frozen
class NeverType(Type):
    """The item type of `[]`: a subtype of every type."""

    def __str__(self) -> str:
        return "never"


@frozen
class ErrorType(Type):
    """The type of an expression with a reported error. It fits all types, to avoid more errors."""

    def __str__(self) -> str:
        return "?"


@frozen
class OptionalType(Type):
    """`T?`."""

    item: Type

    def __str__(self) -> str:
        return f"{self.item}?"


@frozen
class ListType(Type):
    """`list[T]`, `list[T](1..5)` (number of items)."""

    item: Type
    min_len: int | None = None
    max_len: int | None = None

    def __str__(self) -> str:
        return f"list[{self.item}]" + _parens(self.min_len, self.max_len)


@frozen
class DictType(Type):
    """`dict[str, T]`."""

    item: Type

    def __str__(self) -> str:
        return f"dict[str, {self.item}]"


@frozen
class LiteralType(Type):
    """`"yes" | "no"`."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return " | ".join(f'"{v}"' for v in self.values)


@frozen
class EnumType(Type):
    """A declared enum; `notes` go into the schema that the model sees."""

    name: str
    variants: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    doc: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name


@frozen
class Field:
    """One field of a record. With `has_default`, it may be left out when the record is built."""

    name: str
    type: Type
    note: str = field(default="", compare=False)
    has_default: bool = False
    default: object = None  # a plain JSON value, valid only with has_default


@frozen
class RecordType(Type):
    """A record. Equality is by name and fields, subtyping by structure."""

    name: str
    fields: tuple[Field, ...]
    doc: str = field(default="", compare=False)

    def get(self, name: str) -> Field | None:
        """The field of that name."""
        return next((f for f in self.fields if f.name == name), None)

    def __str__(self) -> str:
        return self.name


@frozen
class UnionType(Type):
    """A union of records and other types. It can be checked, but not run yet."""

    options: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


STR, INT, FLOAT, BOOL = StrType(), IntType(), FloatType(), BoolType()
JSON, NONE, NEVER, ERROR = JsonType(), NoneType(), NeverType(), ErrorType()
UNIT_FLOAT = FloatType(0.0, 1.0)
VERDICT = RecordType(
    "Verdict",
    (
        Field("ok", BOOL),
        Field("score", UNIT_FLOAT),
        Field("feedback", STR),
    ),
)
SCORE = RecordType("Score", (Field("value", FLOAT), Field("feedback", STR, "", True, "")))
BUILTIN_RECORDS = {r.name: r for r in (VERDICT, SCORE)}


def score_type(type: Type) -> Type | None:
    """The type of a record's field `score`, or None if there is no such field."""
    score = type.get("score") if isinstance(type, RecordType) else None
    return score.type if score else None


def greatest_score(type: Type) -> float | None:
    """The upper bound of a record's field `score`. None without one, or if it may be negative."""
    bounds = score_type(type)
    if not isinstance(bounds, IntType | FloatType) or bounds.low is None or bounds.low < 0:
        return None
    return bounds.high


def _range(low: float | None, high: float | None) -> str:
    return f"{'' if low is None else _number(low)}..{'' if high is None else _number(high)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _parens(low: float | None, high: float | None) -> str:
    return f"({_range(low, high)})" if (low, high) != (None, None) else ""
