"""Parts of JSON Schemas: what some of their keywords say, and where references point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lmc.values.schema_scalars import Schema, at

LEAST_OR_MOST = {
    **dict.fromkeys(("minimum", "minLength", "minItems", "exclusiveMinimum"), max),
    **dict.fromkeys(("maximum", "maxLength", "maxItems", "exclusiveMaximum"), min),
}


def are_numbers(*values: Any) -> bool:
    """Whether all values are numbers."""
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def has_properties(schema: Schema) -> bool:
    """Whether a schema names fields."""
    return bool(schema.get("properties")) and isinstance(schema["properties"], Mapping)


def implied(schema: Schema) -> str | None:
    """The type of a schema that does not say it."""
    if "properties" in schema or isinstance(schema.get("additionalProperties"), Mapping):
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(key in schema for key in ("pattern", "minLength", "maxLength", "format")):
        return "string"
    return "number" if any(key in schema for key in ("minimum", "maximum")) else None


def only_ref(schema: Schema) -> str | None:
    """The reference of an `allOf` that has nothing else, as older schemas annotate one."""
    inner = schema["allOf"]
    others = set(schema) - {"allOf", "description", "title", "default"}
    if not others and isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], Mapping):
        target = inner[0].get("$ref") if len(inner[0]) == 1 else None
        return target if isinstance(target, str) else None
    return None


def is_null(schema: Any) -> bool:
    """Whether null is the only value of a schema."""
    if not isinstance(schema, Mapping):
        return False
    return schema.get("type") == "null" or schema.get("const", 0) is None


def is_choice(schema: Schema) -> bool:
    """Whether a schema is a choice of texts."""
    values = schema.get("enum")
    texts = isinstance(values, list) and all(isinstance(v, str) for v in values)
    return bool(texts or labels_of(schema.get("oneOf") or ()))


def labels_of(options: Sequence[Any]) -> list[tuple[str, str]]:
    """The labels and notes of `oneOf: [{const, description}, …]`; empty for other options."""
    found = []
    for option in options:
        constant = option.get("const") if isinstance(option, Mapping) else None
        if not isinstance(constant, str):
            return []
        told = option.get("description", option.get("title", ""))
        found.append((constant, "" if told == constant else " ".join(str(told).split())))
    return found if len({label for label, _ in found}) == len(found) else []


def is_decimal(options: Sequence[Any]) -> bool:
    """Whether options are those of a decimal: a number, or its digits as a string."""
    if len(options) != 2 or not all(isinstance(o, Mapping) for o in options):
        return False
    kinds = [o.get("type") for o in options]
    digits = str(options[1].get("pattern", r"\d"))
    only_digits = r"\d" in digits and not re.search("[a-ce-zA-Z]", digits)
    return kinds == ["number", "string"] and only_digits


def definitions_of(document: Schema) -> Iterator[tuple[str, Any]]:
    """The schemas that a document defines, with their pointers."""
    for place in ("$defs", "definitions", "components/schemas"):
        found = pointed(document, f"#/{place}")
        if isinstance(found, Mapping):
            yield from ((at(f"#/{place}", str(name)), part) for name, part in found.items())


def pointed(document: Schema, target: str) -> Any:
    """What a reference of a document points to; None if it points elsewhere."""
    if target == "#":
        return document
    if not target.startswith("#/"):
        return None
    found: Any = document
    for step in target[2:].split("/"):
        key = unescaped(step)
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def unescaped(step: str) -> str:
    """The key that a step of a pointer stands for."""
    from urllib.parse import unquote

    return unquote(step).replace("~1", "/").replace("~0", "~")
