"""Media in prompts: a mark in the text stands for each, and the backend sends the bytes there.

Texts in values cannot forge a mark (`lmc.special_tokens`), and a backend knows only those of the
media that a call really shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lmc.media.content import Media, is_media_json, mark_pattern
from lmc.prompts.spec import CallSpec, FieldSpec, Message
from lmc.types import (
    DictType,
    ListType,
    MediaType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
    has_media,
)


def marked(spec: CallSpec, values: dict[str, Any]) -> dict[str, Any]:
    """Values with marks in the place of media."""
    if not spec.media_fields:
        return values
    found = {f.name: _marked(f.type, values[f.name]) for f in _given(spec, values)}
    return values | found


def shown_media(spec: CallSpec, values: Mapping[str, Any]) -> Iterator[Media]:
    """The media in values."""
    for field in _given(spec, values):
        yield from _media(field.type, values[field.name])


def used_media(messages: Iterable[Message], known: Mapping[str, Media]) -> tuple[Media, ...]:
    """The media whose marks stand in messages, each once."""
    texts = (message["content"] for message in messages)
    marks = (mark for text in texts for mark in mark_pattern().findall(text))
    return tuple(known[mark] for mark in dict.fromkeys(marks) if mark in known)


def placed_below(text: str) -> str:
    """A text whose marks stand below it, with a number in their place; JSON stays in one piece."""
    marks = list(dict.fromkeys(mark_pattern().findall(text)))
    for number, mark in enumerate(marks, start=1):
        text = text.replace(mark, f"(file {number}, below)")
    below = (f"file {number}: {mark}" for number, mark in enumerate(marks, start=1))
    return "\n".join([text, *below])


def _given(spec: CallSpec, values: Mapping[str, Any]) -> Iterator[FieldSpec]:
    return (field for field in spec.media_fields if field.name in values)


def _marked(type: Type, value: Any) -> Any:
    if not has_media(type):
        return value
    match type:
        case MediaType() if is_media_json(value):
            return Media.from_json(value).mark
        case OptionalType(item):
            return _marked(item, value)
        case ListType(item) if isinstance(value, list):
            return [_marked(item, part) for part in value]
        case DictType(item) if isinstance(value, dict):
            return {key: _marked(item, part) for key, part in value.items()}
        case RecordType(fields=fields) if isinstance(value, dict):
            types = {field.name: field.type for field in fields}
            return {k: _marked(types[k], v) if k in types else v for k, v in value.items()}
        case UnionType():
            return _any_marked(value)
    return value


def _any_marked(value: Any) -> Any:
    """A value of a union, whose parts say by their form what they are."""
    if is_media_json(value):
        return Media.from_json(value).mark
    if isinstance(value, dict):
        return {key: _any_marked(part) for key, part in value.items()}
    return [_any_marked(part) for part in value] if isinstance(value, list) else value


def _media(type: Type, value: Any) -> Iterator[Media]:
    if not has_media(type):
        return
    match type:
        case MediaType() if is_media_json(value):
            yield Media.from_json(value)
        case OptionalType(item):
            yield from _media(item, value)
        case ListType(item) if isinstance(value, list):
            for part in value:
                yield from _media(item, part)
        case DictType(item) if isinstance(value, dict):
            for part in value.values():
                yield from _media(item, part)
        case RecordType(fields=fields) if isinstance(value, dict):
            for field in fields:
                yield from _media(field.type, value.get(field.name))
        case UnionType():
            yield from _any_media(value)


def _any_media(value: Any) -> Iterator[Media]:
    if is_media_json(value):
        yield Media.from_json(value)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _any_media(part)
