"""The types of the language as frozen values. `str(type)` is the form in source text."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import field, replace
from hashlib import blake2b

from lmc.frozen import frozen
from lmc.written import Kind

FEW_VALUES = 16  # of a literal that is written out wherever it stands


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
class WrittenType(Type):
    """`date`, `time`, `datetime`, `decimal`: JSON has no form for them, so a text holds the value.

    `lmc.written` says which text; the bounds are such texts, and inclusive: `decimal(0..)`.
    """

    kind: Kind
    low: str | None = None
    high: str | None = None

    def __str__(self) -> str:
        if self.low is None and self.high is None:
            return self.kind
        plain = self.kind == "decimal"
        ends = ("" if e is None else e if plain else f'"{e}"' for e in (self.low, self.high))
        return f"{self.kind}({'..'.join(ends)})"


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
    """The type without values, a subtype of every type: the item of `[]`.

    It is also what stands beyond the bound of a recursive record, which is then `within`.
    """

    within: str = field(default="", compare=False)

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
        several = len(alternatives(self.item)) > 1
        return f"({self.item})?" if several else f"{self.item}?"


@frozen
class MediaType(Type):
    """`image`, `audio`, `pdf`, or `media` for any of them. Models take them and give none."""

    kind: str

    def __str__(self) -> str:
        return self.kind


@frozen
class ListType(Type):
    """`list[T]`, `list[T](1..5)` (number of items), `list[T](unique)` (each item once)."""

    item: Type
    min_len: int | None = None
    max_len: int | None = None
    unique: bool = False

    def __str__(self) -> str:
        if self == MESSAGES:
            return "messages"
        bounded = (self.min_len, self.max_len) != (None, None)
        parts = [_range(self.min_len, self.max_len)] if bounded else []
        parts += ["unique"] * self.unique
        return f"list[{self.item}]" + (f"({', '.join(parts)})" if parts else "")


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

    digest: str = field(init=False, compare=False)  # of many values

    def __post_init__(self) -> None:
        digest = _digest(self.values) if len(self.values) > FEW_VALUES else ""
        object.__setattr__(self, "digest", digest)

    def __repr__(self) -> str:
        shown = f"{len(self.values)} values; {self.digest}" if self.digest else f"{self.values!r}"
        return f"LiteralType({shown})"

    def __str__(self) -> str:
        return " | ".join(f'"{v}"' for v in self.values)


@frozen
class OneOfType(Type):
    """`one_of(options)`: one of the strings in a parameter of the module, known when it runs.

    It stands only in the result of a model's call. Everywhere else such a value is a `str`.
    """

    options: str  # the name of the parameter

    def __str__(self) -> str:
        return f"one_of({self.options})"


@frozen
class EnumType(Type):
    """A declared enum; `notes` go into the schema that the model sees.

    `aliases` are the variants as the model sees and writes them: empty, or one for each.
    """

    name: str
    variants: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    doc: str = field(default="", compare=False)
    aliases: tuple[str, ...] = field(default=(), compare=False)
    digest: str = field(init=False, compare=False)  # equal where notes are equal too

    def __post_init__(self) -> None:
        digest = _digest(self.name, self.variants, self.notes, self.doc, self.aliases)
        object.__setattr__(self, "digest", digest)

    def __repr__(self) -> str:
        return f"EnumType({self.name}: {len(self.variants)} variants; {self.digest})"

    def __str__(self) -> str:
        return self.name


@frozen
class Field:
    """One field of a record. With `has_default`, it may be left out when the record is built.

    `alias` is its name as the model sees and writes it; empty where that is its own name.
    """

    name: str
    type: Type
    note: str = field(default="", compare=False)
    has_default: bool = False
    default: object = None  # a plain JSON value, valid only with has_default
    alias: str = field(default="", compare=False)


@frozen
class RecordType(Type):
    """A record. Equality is by name and fields, subtyping by structure.

    A record may mention others many times over, so what is asked of the whole is found once, from
    what its parts know: `key` is equal for equal records, `digest` for those with equal notes too.
    `size` counts the parts of the type written out in full, `depth` how far records nest, and
    `levels` how far types of any kind nest. With `aliased`, a model sees other names than programs.

    A recursive record is unrolled: one type for each level, all of one `family`. The lowest level
    has height 1, and nothing of the family in it. The highest has the declared bound as its height.
    """

    name: str = field(compare=False)
    fields: tuple[Field, ...] = field(compare=False)
    doc: str = field(default="", compare=False)
    family: str = field(default="", compare=False)  # empty: it is not recursive
    height: int = field(default=0, compare=False)
    bound: int = field(default=0, compare=False)
    key: str = field(init=False)
    digest: str = field(init=False, compare=False)
    size: int = field(init=False, compare=False)
    depth: int = field(init=False, compare=False)
    levels: int = field(init=False, compare=False)
    aliased: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = [(f.name, _written(f.type, "key"), f.has_default, f.default) for f in self.fields]
        told = [(_written(f.type, "digest"), f.note, f.alias) for f in self.fields]
        key = _digest(self.name, parts)
        found = {
            "key": key,
            "digest": _digest(key, told, self.doc, self.family, self.height, self.bound),
            "size": 1 + sum(expanded_size(f.type) for f in self.fields),
            "depth": 1 + max((nesting(f.type) for f in self.fields), default=0),
            "levels": 1 + max((levels(f.type) for f in self.fields), default=0),
            "aliased": any(bool(f.alias) or has_aliases(f.type) for f in self.fields),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        names = ", ".join(f.name for f in self.fields)
        return f"RecordType({self.name}: {names}; {self.digest})"

    def get(self, name: str) -> Field | None:
        """The field of that name."""
        return next((f for f in self.fields if f.name == name), None)

    def __str__(self) -> str:
        whole = self.height == self.bound
        return self.name if whole else f"{self.name}(depth: {self.height})"


@frozen
class UnionType(Type):
    """A union of types that are told apart: see `lmc.unions`."""

    options: tuple[Type, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))


def alternatives(type: Type) -> tuple[Type | str, ...]:
    """What a type written with `|` says one by one; for other types the type itself."""
    match type:
        case UnionType(options):
            return tuple(part for option in options for part in alternatives(option))
        case LiteralType(values):
            return values
    return (type,)


def expanded_size(type: Type) -> int:
    """How many parts a type has, where each record is written out wherever it stands."""
    match type:
        case RecordType():
            return type.size
        case OptionalType(item) | ListType(item) | DictType(item):
            return 1 + expanded_size(item)
        case UnionType(options):
            return 1 + sum(map(expanded_size, options))
    return 1


def written_size(type: Type) -> int:
    """How many parts a type has, where a recursive record is written once for each of its levels.

    Other records are written out wherever they stand.
    """
    seen: set[str] = set()

    def size(type: Type) -> int:
        match type:
            case RecordType(digest=digest):
                if not any(isinstance(p, RecordType) and p.family for p in parts(type)):
                    return type.size
                if digest in seen:
                    return 1
                seen.add(digest)
                return 1 + sum(size(field.type) for field in type.fields)
            case OptionalType(item) | ListType(item) | DictType(item):
                return 1 + size(item)
            case UnionType(options):
                return 1 + sum(map(size, options))
        return 1

    return size(type)


def nesting(type: Type) -> int:
    """How many records stand in one another at most."""
    match type:
        case RecordType():
            return type.depth
        case OptionalType(item) | ListType(item) | DictType(item):
            return nesting(item)
        case UnionType(options):
            return max(map(nesting, options))
    return 0


def levels(type: Type) -> int:
    """How many types stand in one another at most."""
    match type:
        case RecordType():
            return type.levels
        case OptionalType(item) | ListType(item) | DictType(item):
            return 1 + levels(item)
        case UnionType(options):
            return 1 + max(map(levels, options))
    return 1


def has_aliases(type: Type) -> bool:
    """Whether a model sees other names in values of a type than programs do."""
    match type:
        case RecordType():
            return type.aliased
        case EnumType():
            return bool(type.aliases)
        case OptionalType(item) | ListType(item) | DictType(item):
            return has_aliases(item)
        case UnionType(options):
            return any(map(has_aliases, options))
    return False


def parts(type: Type) -> Iterator[Type]:
    """The types that stand in a type, each record once, and the type itself last."""
    seen: set[str] = set()

    def walk(type: Type) -> Iterator[Type]:
        match type:
            case RecordType():
                if type.digest in seen:
                    return
                seen.add(type.digest)
                for field in type.fields:
                    yield from walk(field.type)
            case OptionalType(item) | ListType(item) | DictType(item):
                yield from walk(item)
            case UnionType(options):
                for option in options:
                    yield from walk(option)
        yield type

    return walk(type)


def rebuilt(type: Type, change: Callable[[Type], Type]) -> Type:
    """A type with each of its parts changed, the inner ones first. What does not change is kept."""
    known: dict[str, Type] = {}

    def inner(type: Type) -> Type:
        match type:
            case RecordType():
                if type.digest not in known:
                    fields = tuple(_with_type(f, inner(f.type)) for f in type.fields)
                    same = all(map(operator.is_, fields, type.fields))
                    known[type.digest] = change(type if same else replace(type, fields=fields))
                return known[type.digest]
            case OptionalType(item) | ListType(item) | DictType(item):
                made = inner(item)
                return change(type if made is item else replace(type, item=made))
            case UnionType(options):
                made_options = tuple(map(inner, options))
                same = all(map(operator.is_, made_options, options))
                return change(type if same else UnionType(made_options))
        return change(type)

    return inner(type)


def _with_type(field: Field, type: Type) -> Field:
    return field if type is field.type else replace(field, type=type)


def holds_labels(type: Type) -> bool:
    """Whether a type has labels that are known at run time. No record has them in a field."""
    match type:
        case OneOfType():
            return True
        case OptionalType(item) | ListType(item) | DictType(item):
            return holds_labels(item)
        case UnionType(options):
            return any(map(holds_labels, options))
    return False


def without_labels(type: Type) -> Type:
    """The type of a value outside of the call that gave it: `str` for `one_of(options)`."""
    return rebuilt(type, lambda part: STR if isinstance(part, OneOfType) else part)


def _written(type: Type, by: str) -> str:
    """A type in full, its records by their `key` or `digest`."""
    match type:
        case RecordType():
            return str(getattr(type, by))
        case EnumType(name, variants):
            return repr((name, variants)) if by == "key" else type.digest
        case OptionalType(item) | DictType(item):
            return f"{type.__class__.__name__}({_written(item, by)})"
        case ListType(item, low, high, unique):
            return f"list({_written(item, by)}, {low}, {high}{', unique' * unique})"
        case UnionType(options):
            return " | ".join(_written(option, by) for option in options)
    return repr(type)


def _digest(*parts: object) -> str:
    return blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


STR, INT, FLOAT, BOOL = StrType(), IntType(), FloatType(), BoolType()
JSON, NONE, NEVER, ERROR = JsonType(), NoneType(), NeverType(), ErrorType()
DATE, TIME, DATETIME = WrittenType("date"), WrittenType("time"), WrittenType("datetime")
DECIMAL = WrittenType("decimal")
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
MEDIA = MediaType("media")
ROLES = ("system", "user", "assistant", "tool")
TOOL_CALL = RecordType(
    "ToolCall",
    (
        Field("tool", STR),
        Field("arguments", JSON, "", True, {}),
        Field("id", STR, "which results of tools name in `call`", True, ""),
    ),
    "A call of a tool in a conversation.",
)
MESSAGE = RecordType(
    "Message",
    (
        Field("role", LiteralType(ROLES)),
        Field("content", STR, "", True, ""),
        Field("files", ListType(MEDIA), "", True, []),
        Field("tool", OptionalType(STR), "the tool that gave the result", True, None),
        Field("calls", ListType(TOOL_CALL), "the tools that the assistant calls", True, []),
        Field("call", OptionalType(STR), "the `id` of the call whose result it is", True, None),
    ),
    "One turn of a conversation.",
)
MESSAGES = ListType(MESSAGE)
# Words for types that a program may also declare itself.
SOFT_TYPES: dict[str, Type] = {
    **{kind: MediaType(kind) for kind in ("image", "audio", "pdf", "media")},
    "messages": MESSAGES,
}
MOST_LEVELS = 150  # of types in types
MOST_PARTS = 10_000  # of a type whose records are written out in full wherever they stand
MOST_BITS = 8192  # of a whole number
BUILTIN_RECORDS = {r.name: r for r in (VERDICT, SCORE, MESSAGE, TOOL_CALL)}


def has_media(type: Type) -> bool:
    """Whether values of the type hold images, audio or PDFs, at any depth."""
    return any(isinstance(part, MediaType) for part in parts(type))


def is_messages(type: Type) -> bool:
    """Whether the type is that of a conversation, or of one that may be missing."""
    inner = type.item if isinstance(type, OptionalType) else type
    return isinstance(inner, ListType) and inner.item == MESSAGE


def told_bounds(type: WrittenType) -> str:
    """A date and the like with its bounds, in words."""
    number = type.kind == "decimal"
    match type.low, type.high:
        case None, None:
            return type.kind
        case low, None:
            return f"{type.kind} {'of at least' if number else 'not before'} {low}"
        case None, high:
            return f"{type.kind} {'of at most' if number else 'not after'} {high}"
        case low, high:
            return f"{type.kind} from {low} to {high}"


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
