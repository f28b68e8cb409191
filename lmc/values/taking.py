"""Take in values with media and conversations, as people write them, by their type.

Media become the short form of `lmc.media`, with their bytes kept by hash. A turn of a conversation
may have the form of OpenAI's API: `content` as a list of parts, and `tool_calls`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lmc.media.content import MediaProblem, is_media_json
from lmc.media.given import VALUES_ONLY, Access, taken
from lmc.types import (
    MESSAGE,
    DictType,
    ListType,
    MediaType,
    OptionalType,
    RecordType,
    Type,
    UnionType,
    has_media,
)
from lmc.unions import Members
from lmc.values.by_type import once_by_type
from lmc.values.problems import InvalidValue, Problem
from lmc.values.validation import validate

holds_media = once_by_type(has_media)  # True where anything has to be taken in

# Of a turn in OpenAI's form: what has no meaning here.
_DROPPED = (
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "name",
)
_CALLS, _CALL = "tool_calls", "tool_call_id"  # of that form
_ROLES = {"developer": "system", "function": "tool"}
_TEXTS = ("text", "input_text", "output_text", "refusal")


def taken_in(type: Type, value: Any, access: Access = VALUES_ONLY) -> Any:
    """The value with its media as JSON, not validated yet.

    Raises: InvalidValue for media that are of another kind, too large, or may not be read.
    """
    return _Taking(access).value(type, value, "") if holds_media(type) else value


class _Taking:
    """Walks through a value by its type. What does not have the type is left to the validator."""

    def __init__(self, access: Access) -> None:
        self.access = access

    def value(self, type: Type, value: Any, path: str) -> Any:
        if value is None or not holds_media(type):
            return value
        match type:
            case MediaType(kind):
                return self._media(kind, value, path)
            case OptionalType(item):
                return self.value(item, value, path)
            case ListType(item) if item == MESSAGE and isinstance(value, list):
                return self._turns(value, path)
            case ListType(item) if isinstance(value, list):
                return [self.value(item, v, f"{path}[{i}]") for i, v in enumerate(value)]
            case DictType(item) if isinstance(value, dict):
                return {k: self.value(item, v, f"{path}[{k}]") for k, v in value.items()}
            case RecordType() if isinstance(value, dict):
                return self._record(type, value, path)
            case UnionType():
                return self._option(type, value, path)
        return value

    def _media(self, kind: str, value: Any, path: str) -> Any:
        try:
            return taken(value, kind, self.access).to_json()
        except MediaProblem as problem:
            raise InvalidValue(Problem(path, str(problem))) from None

    def _record(self, type: RecordType, value: Mapping[str, Any], path: str) -> dict[str, Any]:
        types = {field.name: field.type for field in type.fields}
        dot = f"{path}." if path else ""
        return {
            key: self.value(types[key], part, f"{dot}{key}") if key in types else part
            for key, part in value.items()
        }

    def _option(self, union: UnionType, value: Any, path: str) -> Any:
        """As the member that the value is meant as; if none, the value is left as it is.

        A text is of the first member that takes it: it may name a file.
        """
        if isinstance(value, dict) and not is_media_json(value):
            place = Members(union).find(value)
            return (
                value if isinstance(place, str) else self.value(union.options[place], value, path)
            )
        for option in union.options:
            try:
                return validate(option, self.value(option, value, path))
            except InvalidValue:
                continue
        return value

    def _turns(self, turns: list[Any], path: str) -> list[Any]:
        names: dict[str, str] = {}  # of tools, by the ids of their calls
        return [self._turn(turn, names, f"{path}[{i}]") for i, turn in enumerate(turns)]

    def _turn(self, turn: Any, names: dict[str, str], path: str) -> Any:
        if not isinstance(turn, dict):
            return turn
        role, content = turn.get("role"), turn.get("content")
        taken = (*_DROPPED, _CALLS, _CALL, "role", "content")
        rest = {k: v for k, v in turn.items() if k not in taken}
        texts, files = self._parts(content, path)
        calls = turn.get(_CALLS)
        if isinstance(calls, list) and not rest.get("calls"):
            rest["calls"] = [_called(call, names) for call in calls if isinstance(call, dict)]
        made = {"role": _ROLES.get(str(role), role), "content": "\n".join(texts), **rest}
        if not isinstance(content, str | list | None):
            made["content"] = content  # which the validator refuses
        if made["role"] == "tool":
            made["call"] = made.get("call") or turn.get(_CALL)
            made["tool"] = made.get("tool") or turn.get("name") or names.get(str(made["call"]))
        given = self.value(ListType(MediaType("media")), turn.get("files") or [], f"{path}.files")
        return {**made, "files": [*given, *files] if isinstance(given, list) else given}

    def _parts(self, content: Any, path: str) -> tuple[list[str], list[Any]]:
        """The texts and the media in the content of a turn."""
        if not isinstance(content, list):
            return [content] if isinstance(content, str) and content else [], []
        texts, files = [], []
        for i, part in enumerate(content):
            place = f"{path}.content[{i}]"
            kind = part.get("type") if isinstance(part, dict) else None
            if kind in _TEXTS:
                texts.append(str(part.get("text") or part.get("refusal") or ""))
            else:
                files.append(self._media(*_media_part(kind, part, place), place))
        return texts, files


def _media_part(kind: Any, part: Any, place: str) -> tuple[str, Any]:
    """The kind of media in a part of OpenAI's form, and what it holds. Raises: InvalidValue."""
    inner = part.get(kind) if isinstance(part, dict) and isinstance(kind, str) else None
    inner = inner if isinstance(inner, dict) else {"url": inner}
    match kind:
        case "image_url":
            return "image", inner.get("url")
        case "input_audio":
            return "audio", f"data:;base64,{inner.get('data')}"
        case "file" if "file_data" in inner:
            return "media", inner["file_data"]
    shown = json.dumps(kind)[:40]
    raise InvalidValue(Problem(place, f"is a part of the unknown type {shown}"))


def _called(call: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A call of a tool in OpenAI's form. Arguments that are no JSON stay a text."""
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    name, id = str(function.get("name") or "tool"), str(call.get("id") or "")
    names[id] = name
    given = function.get("arguments") or {}
    try:
        arguments = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):
        arguments = given
    return {"tool": name, "arguments": arguments, "id": id}
