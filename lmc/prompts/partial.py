"""The part of a value that an unfinished answer has given so far.

Texts grow, and so do lists, dicts and the fields of records. Everything else, such as a number or a
label, is there when it is complete: half of it would be a wrong value. So is each item of a set,
which may turn out to be there already. A record of a union grows once it can be of one member only.
A value that has not begun is `ABSENT`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from lmc.canonical import distinct
from lmc.frozen import frozen
from lmc.prompts.growth import ABSENT, Growth
from lmc.prompts.spec import CallSpec, ParseFailure
from lmc.prompts.values import parse_value
from lmc.special_tokens import plain_so_far, unescaped
from lmc.types import DictType, ListType, OptionalType, RecordType, StrType, Type, UnionType
from lmc.unions import kind_of, may_begin
from lmc.values import InvalidValue, validate

_STRING = re.compile(r'"(?:\\.|[^"\\])*+"?')
_LAST_WORD = re.compile(r"[-+\w.]+\Z")  # a number or a word, which may go on


@frozen
class OpenText:
    """The text of an output, and whether it is complete."""

    text: str
    complete: bool


def outputs_so_far(
    spec: CallSpec, written: Mapping[str, OpenText], growth: Growth
) -> dict[str, Any]:
    """The outputs that have begun, from their texts."""
    found, fields = {}, isinstance(spec.result, RecordType)
    for field in spec.outputs:
        if field.name in written:
            own = growth.of(field.name) if fields else growth
            found[field.name] = value_so_far(field.type, written[field.name], own)
    return {name: value for name, value in found.items() if _is_there(value)}


def value_so_far(type: Type, written: OpenText, growth: Growth) -> Any:
    """The JSON value that a text has given so far, else ABSENT."""
    if written.complete:
        try:
            return unescaped(parse_value(type, written.text), growth.marks)
        except ParseFailure:
            return ABSENT
    if not growth.may:
        return ABSENT
    text = written.text.strip()
    if isinstance(type, OptionalType):
        if any(word.startswith(text.lower()) for word in ("none", "null")):
            return ABSENT
        type = type.item
    match type:
        case StrType(pattern=None):
            return plain_so_far(text)
        case RecordType() | ListType() | DictType():
            return json_so_far(type, text, growth)
        case UnionType() if text.lstrip()[:1] == "{":
            return json_so_far(type, text, growth)
    return ABSENT


def json_so_far(type: Type, text: str, growth: Growth) -> Any:
    """The value of the first object or list in an unfinished text, else ABSENT."""
    from pydantic_core import from_json

    begin = re.search(r"[\[{]", text)
    if begin is None:
        return ABSENT
    text = text[begin.start() :]
    try:
        sure = from_json(_LAST_WORD.sub("", text), allow_partial=True)
        maybe = from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return ABSENT
    return _grown(type, _Begun(sure, maybe, _open_levels(text)), growth)


@frozen
class _Begun:
    """A value of an unfinished text.

    `sure` lacks the last text and the last word, which may go on. Of the objects and lists, the
    outermost `open` ones at the end of the text are not closed.
    """

    sure: Any
    maybe: Any
    open: int

    def at(self, key: Any, *, last: bool) -> _Begun:
        """An entry of the object or list; the last one may be open."""
        try:
            sure = self.sure[key]
        except (LookupError, TypeError):
            sure = ABSENT
        return _Begun(sure, self.maybe[key], max(0, self.open - 1) if last else 0)


def _grown(type: Type, begun: _Begun, growth: Growth) -> Any:
    maybe = begun.maybe
    type = type.item if isinstance(type, OptionalType) and maybe is not None else type
    if not growth.may:
        return _settled(type, begun, growth)
    match type, maybe:
        case StrType(pattern=None), str():
            same = begun.sure == maybe
            return unescaped(maybe, growth.marks) if same else plain_so_far(maybe)
        case RecordType(fields=fields), dict():
            return _entries({f.name: f.type for f in fields}, begun, growth)
        case DictType(item), dict():
            return _entries(dict.fromkeys(maybe, item), begun, growth)
        case UnionType(options), dict():
            return _member(options, begun, growth)
        case ListType(item), list():
            last = len(maybe) - 1
            items = (begun.at(at, last=at == last) for at in range(len(maybe)))
            read = _settled if type.unique else _grown
            there = takewhile(_is_there, (read(item, i, growth) for i in items))
            return distinct(there) if type.unique else list(there)
    return _settled(type, begun, growth)


def _member(options: Sequence[Type], begun: _Begun, growth: Growth) -> Any:
    """An object of a union: all of it, or as far as it has come if it can be of one member only."""
    if _is_there(whole := _settled(UnionType(tuple(options)), begun, growth)):
        return whole
    objects = [o for o in options if kind_of(o) == "an object"]
    grown = [value for o in objects if _is_there(value := _grown(o, begun, growth))]
    known = [v for v in grown if sum(may_begin(o, v) for o in objects) == 1]
    likely = [o for o in objects if may_begin(o, begun.maybe)]
    return known[0] if len(likely) == 1 and len(known) == 1 else ABSENT


def _entries(types: Mapping[str, Type], begun: _Begun, growth: Growth) -> dict[str, Any]:
    last = next(reversed(begun.maybe), None)
    found = {
        name: _grown(type, begun.at(name, last=name == last), growth.of(name))
        for name, type in types.items()
        if name in begun.maybe
    }
    return {name: value for name, value in found.items() if _is_there(value)}


def _open_levels(text: str) -> int:
    """How many objects and lists are open at the end of a text."""
    outside = _STRING.sub("", text)
    opened = outside.count("{") + outside.count("[")
    return max(0, opened - outside.count("}") - outside.count("]"))


def _is_there(value: Any) -> bool:
    return value is not ABSENT


def _settled(type: Type, begun: _Begun, growth: Growth) -> Any:
    """A complete value, else ABSENT."""
    if begun.sure is ABSENT or begun.open:
        return ABSENT
    try:
        return unescaped(validate(type, begun.sure), growth.marks)
    except InvalidValue:
        return ABSENT
