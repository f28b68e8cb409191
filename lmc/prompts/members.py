"""Read the value of a union from model text: first of which member it is, then the value.

A JSON value tells its member by its kind, and an object by its tag or its fields. Other text is
what one member can read; text that two can read is refused. If the union takes any text, all that
is no JSON value is text. What tells of two members is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmc.prompts.describing import describe_type
from lmc.prompts.object_texts import (
    around,
    holds_object,
    json_values,
    labelled,
    refuse_again,
    refuse_quoted,
    unfenced,
    unreadable,
)
from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import NotJson, read_json
from lmc.prompts.words import plain_words, shown
from lmc.types import RecordType, StrType, Type, UnionType, WrittenType
from lmc.unions import Members, choices, is_written, kind_of, kind_of_value

Read = Callable[[Type, str], Any]
Fit = Callable[[Type, Any], Any]


def holds_texts(type: Type) -> bool:
    """Whether a type is a union with a member that is text."""
    return isinstance(type, UnionType) and any(kind_of(o) == "text" for o in type.options)


# --- JSON values ---


def fit_member(union: UnionType, value: Any, read: Read, fit: Fit) -> Any:
    """Fit a JSON value to the member that it is meant as. Raises: ParseFailure."""
    kind = kind_of_value(value)
    option = _of_kind(union, kind)
    match value:
        case dict() if option is not None:
            return _fit_object(union, value, fit)
        case str() if isinstance(option, StrType):
            return fit(option, value)
        case str():
            return _read_plain(union, value, read)
        case int() | float() if option is None:  # also true and false
            if (exact := _of_kind(union, "a decimal")) is not None and not isinstance(value, bool):
                return fit(exact, value)
            text = _of_kind(union, "text")
            return fit(text, value) if isinstance(text, StrType) else value
    return value if option is None else fit(option, value)


def _takes_text(union: UnionType) -> bool:
    return any(isinstance(option, StrType) for option in union.options)


def _of_kind(union: UnionType, kind: str | None) -> Type | None:
    return next((o for o in union.options if kind is not None and kind_of(o) == kind), None)


def _objects(union: UnionType) -> list[Type]:
    return [option for option in union.options if kind_of(option) == "an object"]


def _records(union: UnionType) -> list[RecordType]:
    return [option for option in union.options if isinstance(option, RecordType)]


def _fit_object(union: UnionType, value: Mapping[str, Any], fit: Fit) -> Any:
    records = _records(union)
    if not records:
        return fit(_objects(union)[0], value)
    wrapped = _wrapped(records, value)
    if wrapped is not None:
        record, inner = wrapped
        return _with_tags(record, fit(record, inner))
    record = _record_of(union, value)
    _refuse_other_name(records, record, value)
    return fit(record, value)


def _wrapped(
    records: Sequence[RecordType], value: Mapping[str, Any]
) -> tuple[RecordType, Mapping[str, Any]] | None:
    """The record of an object `{"Refund": {…}}`, in which a name says what the inner one is."""
    if len(value) != 1 or any(_field_words(record) & _words(value) for record in records):
        return None
    ((name, inner),) = value.items()
    named = [record for record in records if plain_words(record.name) == plain_words(name)]
    return (named[0], inner) if len(named) == 1 and isinstance(inner, dict) else None


def _with_tags(record: RecordType, fitted: Any) -> Any:
    """The fields of a record that its name told, with those that can have one text only."""
    only = {f.name: texts[0] for f in record.fields if len(texts := choices(f.type) or ()) == 1}
    return {**only, **fitted} if isinstance(fitted, dict) else fitted


def _record_of(union: UnionType, value: Mapping[str, Any]) -> RecordType:
    """The record that an object is meant as. Raises: ParseFailure."""
    found = Members(union).find(_as_declared(_records(union), value))
    if isinstance(found, str):
        raise ParseFailure(f"the object {found}")
    record = union.options[found]
    assert isinstance(record, RecordType)
    return record


def _as_declared(records: Sequence[RecordType], value: Mapping[str, Any]) -> dict[str, Any]:
    """An object with keys and tags as the records write them, regardless of case and spaces."""
    names: dict[str, set[str]] = {}
    texts: dict[str, dict[str, str]] = {}
    for field in (field for record in records for field in record.fields):
        names.setdefault(plain_words(field.name), set()).add(field.name)
        own = {plain_words(text): text for text in choices(field.type) or ()}
        texts.setdefault(field.name, {}).update(own)
    declared: dict[str, Any] = {}
    for key, item in value.items():
        alike = names.get(plain_words(key), set())
        name = key if key in alike or len(alike) != 1 else next(iter(alike))
        text = texts.get(name, {}).get(plain_words(item)) if isinstance(item, str) else None
        declared.setdefault(name, item if text is None else text)
    return declared


def _refuse_other_name(
    records: Sequence[RecordType], found: RecordType, value: Mapping[str, Any]
) -> None:
    """Refuse an object with the fields of one record that says the name of another one."""
    known = {words for record in records for words in _field_words(record)}
    said = [v for k, v in value.items() if plain_words(k) not in known and isinstance(v, str)]
    others = {plain_words(record.name) for record in records if record is not found}
    for word in said:
        if plain_words(word) in others - {plain_words(found.name)}:
            raise ParseFailure(f"it says {shown(word)}, but has the fields of `{found.name}`")


def _field_words(record: RecordType) -> set[str]:
    return {plain_words(field.name) for field in record.fields}


def _words(value: Mapping[str, Any]) -> set[str]:
    return {plain_words(key) for key in value}


# --- text ---


def read_member(union: UnionType, text: str, read: Read, fit: Fit) -> Any:
    """Read a value of a union from text. Raises: ParseFailure."""
    plain = unfenced(text)
    try:
        value = read_json(plain)
    except NotJson:
        pass
    else:
        if isinstance(value, str) or _of_kind(union, kind_of_value(value)) is not None:
            return fit_member(union, value, read, fit)
    if _objects(union) and holds_object(text):
        return _read_object(union, text, fit)
    return _read_plain(union, text, read)


def _read_object(union: UnionType, text: str, fit: Fit) -> Any:
    values = [found for found in json_values(text, "{") if isinstance(found[0], dict)]
    lists = _of_kind(union, "a list") is not None and unfenced(text)[:1] == "["
    if lists and not isinstance(json_values(text)[0][0] if json_values(text) else None, dict):
        return fit(union, _only_list(union, text))
    if len(values) > 1:
        raise ParseFailure(
            f"there are {len(values)} JSON objects, and which one counts is not said"
        )
    if not values:
        raise unreadable(union, text, values)
    if _takes_text(union) and unfenced(text)[:1] != "{":
        raise ParseFailure("text has an object in it; give the object alone, or text in quotes")
    value, start, _ = values[0]
    names = [field.name for record in _records(union) for field in record.fields]
    refuse_again(names, value, around(text, values))
    refuse_quoted(text[:start])
    return _fit_object(union, value, fit)


def _only_list(union: UnionType, text: str) -> list[Any]:
    lists = [value for value, _, _ in json_values(text, "[") if isinstance(value, list)]
    if len(lists) != 1:
        raise unreadable(union, text, [])
    return lists[0]


def _read_plain(union: UnionType, text: str, read: Read) -> Any:
    """Read text that is no JSON value."""
    labels = _read_labels(union, text, read)
    if labels is not None:
        return labels
    free = next((option for option in union.options if isinstance(option, StrType)), None)
    if (written := _written(union, text)) is not None:
        return read(written, text)
    if free is not None and not (_of_kind(union, "a list") and unfenced(text)[:1] == "["):
        return read(free, _literal(text))
    found: list[tuple[Type, Any]] = []
    failures = []
    for option in union.options:
        if kind_of(option) != "an object" and option is not free:
            try:
                found.append((option, read(option, text)))
            except ParseFailure as problem:
                failures.append(str(problem))
    if len(found) == 1:
        return found[0][1]
    if found:
        kinds = " and ".join(str(kind_of(option)) for option, _ in found)
        raise ParseFailure(f"{shown(text)} may be {kinds}; give one value only")
    wanted = describe_type(union)
    raise ParseFailure("; or ".join(failures) or f"expected {wanted}, but got {shown(text)}")


def _written(union: UnionType, text: str) -> Type | None:
    """The date and the like whose form a text has exactly."""
    forms = (option for option in union.options if isinstance(option, WrittenType))
    return next((form for form in forms if is_written(form, text.strip())), None)


def _literal(text: str) -> str:
    """The text as it is meant: Python's `'…'` and `“…”` around all of it are quotes."""
    stripped = text.strip()
    pairs = {"'": "'", "“": "”"}
    whole = len(stripped) > 1 and pairs.get(stripped[0]) == stripped[-1]
    return stripped[1:-1] if whole and stripped[-1] not in stripped[1:-1] else stripped


def _read_labels(union: UnionType, text: str, read: Read) -> Any:
    """Read the `name: value` lines of a record. None if there are none."""
    records = _records(union)
    names = list(dict.fromkeys(field.name for record in records for field in record.fields))
    parts = labelled(names, text)
    if not parts or (_takes_text(union) and not text.strip().startswith(tuple(parts))):
        return None
    record = _record_of(union, parts)
    unknown = [name for name in parts if record.get(name) is None]
    if unknown:
        raise ParseFailure(f"`{record.name}` has no field `{unknown[0]}`")
    fields = {field.name: field.type for field in record.fields}
    return {name: _inside(name, read, fields[name], part) for name, part in parts.items()}


def _inside(name: str, read: Read, type: Type, text: str) -> Any:
    try:
        return read(type, text)
    except ParseFailure as problem:
        raise problem.within(name) from None
