"""The XML layout: every field between tags; for models trained on tags.

    system     <instruction>

               Reply with these fields, each between its tags:
               <answer>integer: the final integer, no units</answer>
    user       <problem>Ana has 3 bags of 4 apples and eats 2. How many are left?</problem>
    assistant  <answer>10</answer>

Only the tags of the fields mean anything: values are neither escaped nor read as XML. A bare result
stands between `<result>` tags; a plain string is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lmc.prompts.reading import read_fields
from lmc.prompts.spec import (
    BARE,
    CallSpec,
    Demo,
    FieldSpec,
    Prompt,
)
from lmc.prompts.turns import turns
from lmc.prompts.values import describe_type, render_value


class XmlLayout:
    """Tagged fields in a chat."""

    name = "xml"

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """Lay calls out as turns of a chat."""
        return turns(self, spec, demos)

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read each field between its tags; a last tag may be left open."""
        if spec.plain_text:
            return {BARE: text.strip()}
        parts = split_tagged(text, [f.name for f in spec.outputs])
        return read_fields(spec, parts, text, "<{}>")

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """Ask for no JSON."""
        return None

    def format_text(self, spec: CallSpec) -> str:
        """Ask for the outputs; empty for a plain string."""
        if spec.plain_text:
            return ""
        words = (describe_type(f.type) + (f": {f.note}" if f.note else "") for f in spec.outputs)
        lines = (f"<{f.name}>{w}</{f.name}>" for f, w in zip(spec.outputs, words))
        return "Reply with these fields, each between its tags:\n" + "\n".join(lines)

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Write the inputs that have a value, one after another."""
        return _tagged(spec.inputs, values)

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """Write the answer as the model is to write it."""
        return str(outputs[BARE]) if spec.plain_text else _tagged(spec.outputs, outputs)


def split_tagged(text: str, names: list[str]) -> dict[str, str]:
    """Find the text between each field's tags.

    It goes from the first opening tag to the last closing one before another field opens.
    """
    tags = re.compile(r"<[ \t]*+(" + "|".join(map(re.escape, names)) + r")[ \t]*+>", re.IGNORECASE)
    known = {name.lower(): name for name in names}
    found = list(tags.finditer(text))
    parts: dict[str, str] = {}
    for tag, following in zip(found, [*found[1:], None]):
        name = known[tag[1].lower()]
        inner = text[tag.end() : following.start() if following else len(text)]
        before, closed, _ = inner.rpartition(f"</{tag[1]}>")
        parts.setdefault(name, (before if closed else inner).strip())
    return parts


def _tagged(fields: Iterable[FieldSpec], values: Mapping[str, Any]) -> str:
    shown = ((f.name, render_value(f.type, values[f.name])) for f in fields if f.name in values)
    return "\n".join(f"<{name}>{text}</{name}>" for name, text in shown)
