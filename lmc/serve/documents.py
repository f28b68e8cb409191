"""The page that shows the API and tries it, and the pages of problems. They ask no other host."""

from __future__ import annotations

import json
import re
import secrets
from functools import lru_cache
from importlib import resources
from typing import Any

from jinja2 import Environment, Template, select_autoescape
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from lmc.diagnostics import LmcError
from lmc.explanations import explanations

_SLUG = re.compile(r"[a-z0-9-]{1,60}\Z")


def docs_page(document: dict[str, Any], root: str) -> Response:
    """The page of an OpenAPI document. Its one script is its own."""
    nonce = secrets.token_urlsafe(16)
    page = _template("docs.html.jinja").render(
        document=document, nonce=nonce, root=root, operations=list(_operations(document)),
        pretty=lambda value: json.dumps(value, indent=2, ensure_ascii=False),
    )  # fmt: skip
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(page, headers={"content-security-policy": policy})


def problem_page(slug: str) -> Response:
    """What a slug means. Raises: LmcError[unknown-path]."""
    text = explanations().get(slug) if _SLUG.match(slug) else None
    if text is None:
        raise LmcError.of("unknown-path", "no problem has this name")
    return PlainTextResponse(f"{slug}\n{'=' * len(slug)}\n\n{text}\n")


def _operations(document: dict[str, Any]) -> Any:
    schemas = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            schema = body["schema"] if body else None
            yield {
                "path": path,
                "method": method.upper(),
                "id": re.sub(r"\W+", "-", f"{method}{path}").strip("-"),
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "schema": _resolved(schema, schemas),
                "example": example(schema, schemas) if schema else None,
                "result": _resolved(_result_schema(operation), schemas),
                "tries": path.startswith("/run/"),
            }


def _result_schema(operation: dict[str, Any]) -> Any:
    responses = operation.get("responses", {})
    found = responses.get("200") or responses.get("202") or {}
    return found.get("content", {}).get("application/json", {}).get("schema")


def _resolved(schema: Any, schemas: dict[str, Any]) -> Any:
    """A schema with the first of its references written out."""
    to = schema.get("$ref", "").rpartition("/")[2] if isinstance(schema, dict) else ""
    return schemas.get(to, schema)


def example(schema: Any, schemas: dict[str, Any], depth: int = 0) -> Any:
    """A value that shows the form of a schema."""
    schema = _resolved(schema, schemas)
    if not isinstance(schema, dict) or depth > 6:
        return None
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("anyOf"):
        return example(schema["anyOf"][0], schemas, depth + 1)
    match schema.get("type"):
        case "object":
            parts = schema.get("properties", {})
            needed = schema.get("required", ())
            return {k: example(s, schemas, depth + 1) for k, s in parts.items() if k in needed}
        case "array":
            return [example(schema.get("items", {}), schemas, depth + 1)]
        case "string":
            return "…"
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
    return None


@lru_cache
def _template(name: str) -> Template:
    text = (resources.files("lmc.serve") / name).read_text("utf-8")
    return Environment(autoescape=select_autoescape(default=True)).from_string(text)
