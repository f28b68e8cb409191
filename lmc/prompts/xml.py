"""The XML layout: every field between tags, for models trained on tags.

    system     <instruction>

               Reply with these fields, each between its tags:
               <answer>integer: the final integer, no units</answer>
    user       <problem>Ana has 3 bags of 4 apples and eats 2. How many are left?</problem>
    assistant  <answer>10</answer>

Only the tags of the fields count: values are not read as XML. A bare result stands between
`<result>` tags. A plain string is taken unchanged. Tags of fields and special tokens inside values
get a backslash after their first character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from lmc.prompts.answer_grammars import XML, marked_grammar
from lmc.prompts.describing import describe_type, told_doc
from lmc.prompts.field_names import quotes
from lmc.prompts.growth import Growth
from lmc.prompts.marks import marked
from lmc.prompts.partial import OpenText, outputs_so_far
from lmc.prompts.reading import once, read_fields
from lmc.prompts.spec import (
    BARE,
    CallSpec,
    Demo,
    FieldSpec,
    ParseFailure,
    Prompt,
)
from lmc.prompts.turns import turns
from lmc.prompts.values import render_value
from lmc.special_tokens import disarming, escaped, unescaped

_BEGUN_TAG = re.compile(r"<[^<>\n]{0,80}\Z")  # at the end of an unfinished text


class XmlLayout:
    """Tagged fields in a chat."""

    name = "xml"

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """Lay calls out as turns of a chat."""
        return turns(self, spec, demos)

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read each field between its tags. The last tag may be left open."""
        marks = _disarming(spec)
        if spec.plain_text:
            return {BARE: unescaped(text.strip(), marks)}
        names = [f.name for f in spec.outputs]
        parts = split_tagged(text, names)
        read = read_fields(spec, parts, text, "<{}>", outside=_outside(text, names))
        return dict(unescaped(read, marks))

    def so_far(self, spec: CallSpec, text: str, growth: Growth) -> dict[str, Any]:
        """The fields whose tags are there. The last one may go on."""
        growth = replace(growth, marks=_disarming(spec))
        if spec.plain_text:
            return outputs_so_far(spec, {BARE: OpenText(text, complete=False)}, growth)
        names, text = [f.name for f in spec.outputs], _BEGUN_TAG.sub("", text)
        parts = split_tagged(text, names)
        closed = len(list(_tags(tuple(names)).finditer(text))) // 2
        written = {
            name: OpenText(part, place < closed) for place, (name, part) in enumerate(parts.items())
        }
        return outputs_so_far(spec, written, growth)

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """The XML layout asks for tagged text, not for JSON."""
        return None

    def grammar(self, spec: CallSpec) -> str | None:
        """Tagged fields in order."""
        return marked_grammar(spec, XML)

    def format_text(self, spec: CallSpec) -> str:
        """The request for the outputs; empty for a plain string."""
        if spec.plain_text:
            return ""
        words = (describe_type(f.type) + (f": {f.note}" if f.note else "") for f in spec.outputs)
        lines = (f"<{f.name}>{w}</{f.name}>" for f, w in zip(spec.outputs, words))
        opening = f"Reply with these fields{told_doc(spec.result)}, each between its tags:\n"
        return opening + "\n".join(lines)

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Write the inputs that have a value, one after another."""
        return _tagged(spec.fields, self.safe(spec, values))

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """The answer in the form that the model should write."""
        safe = self.safe(spec, outputs)
        return str(safe[BARE]) if spec.plain_text else _tagged(spec.outputs, safe)

    def safe(self, spec: CallSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Disarm texts in values that would be read as tags or special tokens."""
        return marked(spec, dict(escaped(dict(values), _disarming(spec))))


@lru_cache(maxsize=256)
def _tags(names: tuple[str, ...]) -> re.Pattern[str]:
    one_of = "|".join(map(re.escape, names))
    return re.compile(rf"<(/?)[ \t]*+({one_of})[ \t]*+>", re.IGNORECASE)


def _disarming(spec: CallSpec) -> re.Pattern[str]:
    return _disarmed(tuple(dict.fromkeys(f.name for f in (*spec.inputs, *spec.outputs))))


@lru_cache(maxsize=256)
def _disarmed(names: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern for the tags of fields in values, which must be disarmed."""
    one_of = "|".join(map(re.escape, names))
    return disarming({"<": [rf"/?[ \t]*+(?i:{one_of})[ \t]*+>"] if names else []})


def split_tagged(text: str, names: list[str]) -> dict[str, str]:
    """Find the text between each field's tags. The last field may be left open.

    Raises: ParseFailure if a field occurs or is closed twice, or contains a tag of another one.
    """
    tags = list(_tags(tuple(names)).finditer(text))
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(tags):
        tag, following = tags[at], tags[at + 1] if at + 1 < len(tags) else None
        name = _name(tag[2], names)
        closed = (
            following is not None and following[1] == "/" and _name(following[2], names) == name
        )
        if tag[1] or not (closed or following is None):
            raise ParseFailure(_misplaced(tag, following, name, names))
        end = following.start() if following else len(text)
        parts.append((name, text[tag.end() : end].strip()))
        at += 2
    return once(parts, "<{}>")


def _outside(text: str, names: list[str]) -> str:
    """The text before, between and after the fields. Raises: ParseFailure if it quotes one."""
    tags = list(_tags(tuple(names)).finditer(text))
    starts = [0, *(tag.end() for tag in tags[1::2])]
    ends = [*(tag.start() for tag in tags[::2]), len(text)]
    pieces = [text[start:end] for start, end in zip(starts, ends)]
    if any(map(quotes, pieces[: len(tags[::2])])):
        raise ParseFailure("the tags are a quotation; give the answer itself")
    return "\n".join(pieces)


def _misplaced(
    tag: re.Match[str], following: re.Match[str] | None, name: str, names: list[str]
) -> str:
    if tag[1] or following is None:
        return f"</{name}> stands where <{name}> is not open"
    other = _name(following[2], names)
    again = "again " if other == name else ""
    return f"<{name}> is not closed before <{following[1]}{other}> stands {again}".rstrip()


def _name(said: str, names: list[str]) -> str:
    return said if said in names else next(n for n in names if n.lower() == said.lower())


def _tagged(fields: Iterable[FieldSpec], values: Mapping[str, Any]) -> str:
    shown = ((f.name, render_value(f.type, values[f.name])) for f in fields if f.name in values)
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in shown)
