"""The JSON layout: inputs and outputs as JSON objects, the schema in prompt and request.

    system     <instruction>

               Reply with a JSON object of this schema and nothing else:
               {"type": "object", "properties": {"answer": {"type": "integer"}}, …}
    user       {"problem": "Ana has 3 bags of 4 apples and eats 2. How many are left?"}
    assistant  {"answer": 10}

A result that is not a record has the key `result`. A plain string is taken unchanged. Special
tokens inside values get a backslash after their first character.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from lmc.prompts.answer_grammars import object_grammar
from lmc.prompts.growth import Growth
from lmc.prompts.marks import marked, placed_below
from lmc.prompts.partial import OpenText, json_so_far, outputs_so_far
from lmc.prompts.reading import read_fields
from lmc.prompts.spec import (
    BARE,
    REASONING,
    CallSpec,
    Demo,
    FieldSpec,
    Prompt,
)
from lmc.prompts.turns import turns
from lmc.special_tokens import SPECIAL_TOKENS, escaped, unescaped
from lmc.types import Field, RecordType
from lmc.values.schema import fields_schema


class JsonLayout:
    """JSON objects in a chat, for models and backends that are good at JSON."""

    name = "json"

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """Lay calls out as turns of a chat."""
        return turns(self, spec, demos)

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read the only object with a known key. A bare value may also stand alone."""
        if spec.plain_text:
            return {BARE: unescaped(text.strip())}
        read: dict[str, Any] = unescaped(read_fields(spec, {}, text, '"{}"', wrapped=True))
        return read

    def so_far(self, spec: CallSpec, text: str, growth: Growth) -> dict[str, Any]:
        """The entries of the unfinished object."""
        if spec.plain_text:
            return outputs_so_far(spec, {BARE: OpenText(text, complete=False)}, growth)
        if isinstance(spec.result, RecordType):
            whole = growth
        else:  # the result has a key of its own
            whole = replace(growth, whole=frozenset((BARE, *path) for path in growth.whole))
        outputs = RecordType("answer", tuple(Field(f.name, f.type) for f in spec.outputs))
        found = json_so_far(outputs, text, whole)
        return found if isinstance(found, dict) else {}

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """The schema of the whole answer, for a backend that can constrain decoding."""
        if spec.plain_text:
            return None
        fields = {f.name: (f.type, f.note) for f in spec.outputs}
        optional = _left_out(spec)
        schema = fields_schema(fields, [name for name in fields if name not in optional])
        doc = spec.result.doc if isinstance(spec.result, RecordType) else ""
        return {"description": doc, **schema} if doc else schema

    def grammar(self, spec: CallSpec) -> str | None:
        """A JSON object of the schema, its keys in order."""
        return object_grammar(spec)

    def format_text(self, spec: CallSpec) -> str:
        """The request for the outputs; empty for a plain string."""
        if spec.plain_text:
            return ""
        schema = json.dumps(self.response_schema(spec), ensure_ascii=False)
        return f"Reply with a JSON object of this schema and nothing else:\n{schema}"

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Write the inputs as one JSON object."""
        shown = _object(spec.fields, self.safe(spec, values))
        return placed_below(shown) if spec.media_fields else shown

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """The answer in the form that the model should write."""
        safe = self.safe(spec, outputs)
        return str(safe[BARE]) if spec.plain_text else _object(spec.outputs, safe)

    def safe(self, spec: CallSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Disarm special tokens in values."""
        return marked(spec, dict(escaped(dict(values), SPECIAL_TOKENS)))


def _object(fields: Iterable[FieldSpec], values: Mapping[str, Any]) -> str:
    return json.dumps(
        {f.name: values[f.name] for f in fields if f.name in values}, ensure_ascii=False
    )


def _left_out(spec: CallSpec) -> set[str]:
    """The fields with a default, which an answer may leave out."""
    if not isinstance(spec.result, RecordType):
        return set()
    return {f.name for f in spec.result.fields if f.has_default and f.name != REASONING}
