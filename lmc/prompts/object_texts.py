"""Objects in model text: JSON in prose, `name: value` lines, and what speaks against an object."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lmc.prompts.describing import describe_type
from lmc.prompts.field_names import named_field, quotes
from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import NotJson, find_json, read_json, why_unreadable
from lmc.prompts.words import plain_words, shown
from lmc.types import Type

_OBJECT = re.compile(r"\{\s*(?:[\"'“]?[\w ]{1,60}+[\"'”]?\s*:|\Z)")  # probably meant as JSON
_ENTRY = re.compile(r"[ \t]*+(?:[-*•+][ \t]++)?([^:=\n]{1,80}?)[ \t]*+[:=][ \t]*+(\S[^\n]*)")


def json_values(text: str, openers: str = "{[") -> list[tuple[Any, int, int]]:
    """The JSON values of a text with their places: the whole text, else those in its prose."""
    start = len(text) - len(text.lstrip())
    try:
        return [(read_json(text), start, len(text.rstrip()))]
    except NotJson:
        return list(find_json(text, openers))


def holds_object(text: str) -> bool:
    """Whether a text contains something meant as a JSON object, complete or not."""
    return _OBJECT.search(text) is not None


def unfenced(text: str) -> str:
    """The contents of the only ``` fence, else the whole text."""
    parts = text.split("```")
    if len(parts) != 3 or text.strip()[:1] in ("[", "{"):
        return text.strip().strip("`").strip()
    language, newline, rest = parts[1].partition("\n")
    return (rest if newline and re.fullmatch(r"\s*\w*\s*", language[:40]) else parts[1]).strip()


def unreadable(type: Type, text: str, values: Sequence[tuple[Any, int, int]]) -> ParseFailure:
    """Why a text that was meant as an object cannot be read."""
    expected = f"expected {describe_type(type)}, but found"
    if not values:
        why = why_unreadable(unfenced(text))
        return ParseFailure(f"{expected} no JSON object that can be read ({why}) in {shown(text)}")
    keys = ", ".join(f"`{k[:40]}`" for k in list(values[-1][0])[:6]) or "no key"
    return ParseFailure(f"{expected} a JSON object with {keys}")


def around(text: str, values: Sequence[tuple[Any, int, int]]) -> str:
    """The text around JSON values."""
    starts = [0, *(end for _, _, end in values)]
    ends = [*(start for _, start, _ in values), len(text)]
    return "\n".join(text[start:end] for start, end in zip(starts, ends))


def refuse_again(names: Sequence[str], value: Mapping[str, Any], around: str) -> None:
    """Refuse an object beside another one that cannot be read, or beside one of its fields."""
    if holds_object(around):
        raise ParseFailure("beside the JSON object is another one that cannot be read")
    keys = {plain_words(k) for k in value}
    name = named_field([name for name in names if plain_words(name) in keys], around)
    if name:
        raise ParseFailure("it is given twice: in the JSON object and outside of it", name)


def refuse_quoted(before: str) -> None:
    """Refuse an object that the text before it quotes: "the draft has {…}"."""
    if quotes(before):
        raise ParseFailure("the JSON object is a quotation; give the answer itself")


def labelled(fields: Sequence[str], text: str) -> dict[str, str]:
    """`name: value` lines, for a model that leaves out the braces. Raises: ParseFailure."""
    names = "|".join(map(re.escape, fields))
    if not names:
        return {}
    label = re.compile(
        rf"^[ \t*#-]*+([\"'`]?)({names})[\"'`]?[*]*[ \t]*+[:=]", re.MULTILINE | re.IGNORECASE
    )
    found = list(label.finditer(text))
    ends = [*(m.start() for m in found[1:]), len(text)]
    parts: dict[str, str] = {}
    for m, end in zip(found, ends):
        name = m[2] if m[2] in fields else next(f for f in fields if f.lower() == m[2].lower())
        if name in parts:
            raise ParseFailure("it is given twice", name)
        parts[name] = _of_label(text[m.end() : end].strip(" \t\r\n,*"), name, quoted=m[1] == '"')
    return parts


def _of_label(text: str, name: str, *, quoted: bool) -> str:
    """The value after a label. Labels in quotes are those of JSON without its braces."""
    if not (quoted and text.startswith('"')):
        return text
    try:
        return str(read_json(text))
    except NotJson:
        raise ParseFailure(f"{shown(text)} is no whole JSON string", name) from None


def entry_lines(text: str) -> dict[str, str] | None:
    """The lines `key: value` of a text by key; None unless all its lines, two at least, are such.

    The first may only announce the others. Raises: ParseFailure for a key that is there twice.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 2 and lines[0].rstrip().endswith(":"):
        lines = lines[1:]
    found = [_ENTRY.fullmatch(line) for line in lines]
    if len(lines) < 2 or None in found:
        return None
    parts: dict[str, str] = {}
    for entry in found:
        key = entry[1].strip(" \t\"'`*") if entry else ""
        if key in parts:
            raise ParseFailure(f"the key {shown(key)} is there twice")
        parts[key] = entry[2].strip(" \t,*") if entry else ""
    return parts
