"""The chat layout: every field after a mark `[[name]]`, demonstrations as earlier turns.

    system     <instruction>

               Reply with these fields, each after its mark:
               [[steps]] JSON list of 1 to 12 strings: one arithmetic step per item
               [[answer]] integer: the final integer, no units
    user       [[problem]] Ana has 3 bags of 4 apples and eats 2. How many are left?
    assistant  [[steps]] ["3 * 4 = 12", "12 - 2 = 10"]
               [[answer]] 10

A result that is not a record has no mark, and a plain string is taken unchanged. Marks and special
tokens inside values get a backslash after their first character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from lmc.prompts import turns
from lmc.prompts.answer_grammars import CHAT, marked_grammar
from lmc.prompts.describing import describe_type, told_doc
from lmc.prompts.growth import Growth
from lmc.prompts.marks import marked
from lmc.prompts.partial import OpenText, outputs_so_far
from lmc.prompts.reading import once, read_fields
from lmc.prompts.spec import BARE, CallSpec, Demo, FieldSpec, Prompt
from lmc.prompts.values import render_value
from lmc.special_tokens import disarming, escaped, unescaped

# The last line of an unfinished text, if it may become a mark.
_BEGUN_MARK = re.compile(r"(?:^|\n)[ \t*#-]*+(?:\[\[?[^\[\]\n]{0,80}\]?)?\Z")


class ChatLayout:
    """Marked fields in a chat. This is the default, for models of every size."""

    name = "chat"

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """Lay calls out as turns of a chat."""
        return turns.turns(self, spec, demos)

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read each field from its mark to the next known one. A bare result is the whole text."""
        marks = _disarming(spec)
        if spec.plain_text:
            return {BARE: unescaped(text.strip(), marks)}
        names = [f.name for f in spec.outputs]
        parts = split_marked(text, names)
        first = _marks(tuple(names)).search(text)
        outside = text[: first.start()] if first else ""
        read = read_fields(spec, parts, text, "[[{}]]", outside=outside)
        return dict(unescaped(read, marks))

    def so_far(self, spec: CallSpec, text: str, growth: Growth) -> dict[str, Any]:
        """The fields whose marks are there. The last one may go on."""
        growth = replace(growth, marks=_disarming(spec))
        if spec.bare:
            return outputs_so_far(spec, {BARE: OpenText(text, complete=False)}, growth)
        parts = split_marked(_BEGUN_MARK.sub("", text), [f.name for f in spec.outputs])
        last = next(reversed(parts), None)
        written = {name: OpenText(part, name != last) for name, part in parts.items()}
        return outputs_so_far(spec, written, growth)

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """The chat layout asks for marked text, not for JSON."""
        return None

    def grammar(self, spec: CallSpec) -> str | None:
        """Marked fields, or a bare value alone."""
        return marked_grammar(spec, CHAT)

    def format_text(self, spec: CallSpec) -> str:
        """The request for the outputs; empty for a plain string."""
        return format_text(spec)

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Write the inputs that have a value, each after its mark."""
        return fields_text(spec.fields, self.safe(spec, values))

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """The answer in the form that the model should write."""
        return answer_text(spec, self.safe(spec, outputs))

    def safe(self, spec: CallSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Disarm texts in values that would be read as marks or special tokens."""
        return marked(spec, dict(escaped(dict(values), _disarming(spec))))


def system_text(spec: CallSpec) -> str:
    """The instruction, then the format of the reply, then the requirements."""
    return turns.system_text(ChatLayout(), spec)


def format_text(spec: CallSpec) -> str:
    """The request for the outputs; empty for a plain string."""
    if spec.plain_text:
        return ""
    if spec.bare:
        return f"Reply with {describe_type(spec.result)} only."
    marks = "\n".join(
        f"[[{f.name}]] {describe_type(f.type)}{': ' + f.note if f.note else ''}"
        for f in spec.outputs
    )
    return f"Reply with these fields{told_doc(spec.result)}, each after its mark:\n" + marks


def fields_text(fields: Iterable[FieldSpec], values: Mapping[str, Any]) -> str:
    """A `[[name]] value` line for each field with a value."""
    return "\n".join(
        f"[[{f.name}]] {render_value(f.type, values[f.name])}" for f in fields if f.name in values
    )


def answer_text(spec: CallSpec, outputs: Mapping[str, Any]) -> str:
    """The answer in the form that the model should write."""
    if spec.bare:
        return render_value(spec.result, outputs[BARE])
    return fields_text(spec.outputs, outputs)


@lru_cache(maxsize=256)
def _marks(names: tuple[str, ...]) -> re.Pattern[str]:
    one_of = "|".join(map(re.escape, names))
    # A colon or stars right after the mark belong to it: `**[[answer]]:** 10`.
    return re.compile(
        rf"^[ \t*#-]*+\[\[[ \t]*+({one_of})[ \t]*+\]\][:*]*+", re.MULTILINE | re.IGNORECASE
    )


def _disarming(spec: CallSpec) -> re.Pattern[str]:
    return _disarmed(tuple(dict.fromkeys(f.name for f in (*spec.inputs, *spec.outputs))))


@lru_cache(maxsize=256)
def _disarmed(names: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern for the marks of fields in values, which must be disarmed."""
    one_of = "|".join(map(re.escape, names))
    return disarming({r"\[": [rf"\[[ \t]*+(?i:{one_of})[ \t]*+\]\]"] if names else []})


def split_marked(text: str, names: list[str]) -> dict[str, str]:
    """Find the text after each known mark at the start of a line.

    Raises: ParseFailure if a mark occurs twice.
    """
    found = list(_marks(tuple(names)).finditer(text))
    ends = [*(mark.start() for mark in found[1:]), len(text)]
    parts = ((_name(m[1], names), text[m.end() : end].strip()) for m, end in zip(found, ends))
    return once(parts, "[[{}]]")


def _name(said: str, names: list[str]) -> str:
    return said if said in names else next(n for n in names if n.lower() == said.lower())
