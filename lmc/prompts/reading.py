"""Answers whose fields are marked, by whatever marks, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmc.prompts.spec import BARE, CallSpec, FieldSpec, ParseFailure
from lmc.prompts.values import parse_value
from lmc.types import Field, RecordType


def read_fields(spec: CallSpec, parts: Mapping[str, str], text: str, mark: str) -> dict[str, Any]:
    """Read the outputs from the text after each mark; `mark` is a mark with `{}` for the name.

    A model that writes no mark at all may give a JSON object, `name: value` lines, or, where one
    field is asked for, its value alone. Raises: ParseFailure.
    """
    if spec.bare:
        return {BARE: parse_value(spec.result, parts.get(BARE, text))}
    if not set(parts) - set(spec.thoughts):
        return _read_unmarked(spec, text, mark)
    _require(spec, spec.needed, parts, mark)
    return {f.name: parse_value(f.type, parts[f.name]) for f in spec.outputs if f.name in parts}


def read_object(spec: CallSpec, text: str) -> dict[str, Any]:
    """Read the outputs from a JSON object or `name: value` lines; empty where there is none."""
    fields = tuple(Field(f.name, f.type) for f in spec.outputs)
    try:
        return dict(parse_value(RecordType("answer", fields), text))
    except ParseFailure:
        return {}


def _read_unmarked(spec: CallSpec, text: str, mark: str) -> dict[str, Any]:
    found, needed = read_object(spec, text), spec.needed
    if len(needed) == 1 and needed[0].name not in found:
        return {needed[0].name: parse_value(needed[0].type, text)}
    _require(spec, needed if found else spec.outputs, found, mark)
    return found


def _require(
    spec: CallSpec, needed: Sequence[FieldSpec], found: Mapping[str, Any], mark: str
) -> None:
    for field in needed:
        if field.name not in found:
            wanted = ", ".join(mark.format(f.name) for f in spec.outputs)
            raise ParseFailure(f"{mark.format(field.name)} is missing; reply with {wanted}")
