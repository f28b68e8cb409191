"""JSON Schemas in the subset that OpenAI and others enforce to the letter (`strict: true`).

There every property is required, objects have no others, and some keywords do not exist. What the
subset cannot say, lmc validates in the answer, as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Source: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
_KEPT = (
    *("type", "description", "enum", "const", "properties", "items", "anyOf", "$ref", "$defs"),
    *("minimum", "maximum", "minItems", "maxItems", "pattern", "format"),
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")


class _NotStrict(Exception):
    """A part of a schema that the subset cannot say."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema in the subset; None if a part of it, such as a free object, is not in there."""
    if "anyOf" in schema or "$ref" in schema or schema.get("type") != "object":
        return None  # the root must be an object
    try:
        return _strict(schema)
    except _NotStrict:
        return None


def _strict(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or not set(schema) & {"type", "anyOf", "$ref", "enum"}:
        raise _NotStrict
    found = {key: schema[key] for key in _KEPT if key in schema}
    if found.get("format") not in (None, *_FORMATS):
        del found["format"]
    if "$ref" in found:
        return {"$ref": found["$ref"]} | (
            {"$defs": _each(found["$defs"])} if "$defs" in found else {}
        )
    if "anyOf" in found:
        found["anyOf"] = [_strict(option) for option in found["anyOf"]]
    if "items" in found:
        found["items"] = _strict(found["items"])
    elif found.get("type") == "array":
        raise _NotStrict
    if found.get("type") == "object":
        if schema.get("additionalProperties") is not False or not schema.get("properties"):
            raise _NotStrict
        found["properties"] = _each(schema["properties"])
        found |= {"required": list(found["properties"]), "additionalProperties": False}
    if "$defs" in found:
        found["$defs"] = _each(found["$defs"])
    return found


def _each(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _strict(schema) for name, schema in schemas.items()}
