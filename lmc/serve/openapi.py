"""The OpenAPI 3.1 document of a server, made from the types of its programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lmc.ir.graph import Graph, Port
from lmc.serve.hosted import HostedProgram, Programs
from lmc.serve.openai_forms import MOST_CHOICES
from lmc.serve.options import ServeOptions
from lmc.values import json_schema
from lmc.values.schema import fields_schema
from lmc.version import __version__

Schema = dict[str, Any]
_PROBLEM_REF = {"$ref": "#/components/responses/Problem"}
_COUNT = {"type": "integer", "minimum": 0}

USAGE: Schema = {
    "type": "object",
    "description": "What the run used. A call is one sample of one request to a model.",
    "properties": {
        "calls": _COUNT,
        "cached_calls": _COUNT,
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "cost_usd": {"type": "number", "minimum": 0},
    },
    "required": ["calls", "cached_calls", "prompt_tokens", "completion_tokens", "cost_usd"],
    "additionalProperties": False,
}
PROBLEM: Schema = {
    "type": "object",
    "description": "What went wrong (RFC 9457), with the slug that `lmc explain` knows.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "slug": {"type": "string"},
        "help": {"type": "string"},
        "place": {
            "type": "object",
            "properties": {"file": {"type": "string"}, "line": _COUNT, "column": _COUNT},
        },
        "errors": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["type", "title", "status", "detail", "instance", "slug"],
}
JOB: Schema = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"type": "string", "enum": ["waiting", "running", "done", "cancelled"]},
        "program": {"type": "string"},
        "target": {"type": "string"},
        "created": {"type": "string", "format": "date-time"},
        **dict.fromkeys(("rows", "succeeded", "failed", "cancelled"), _COUNT),
    },
    "required": ["id", "state", "program", "target", "created", "rows", "succeeded", "failed"],
}


def inputs_schema(graph: Graph) -> Schema:
    """The JSON Schema of the inputs of a module or pipeline."""
    ports = [port for port in graph.inputs if not port.train]
    needed = [port.name for port in ports if not port.has_default]
    schema = fields_schema({port.name: (port.type, port.note) for port in ports}, needed)
    for port in ports:
        if port.has_default:
            schema["properties"][port.name] = _with_default(schema["properties"][port.name], port)
    return schema


def _with_default(schema: Schema, port: Port) -> Schema:
    return {**schema, "default": port.default}


def document(programs: Programs, options: ServeOptions) -> Schema:
    """The document for all programs of a server, and what they share."""
    schemas: dict[str, Schema] = {"Usage": USAGE, "Problem": PROBLEM, "Job": JOB}
    paths: dict[str, Any] = {}
    alone = programs.only is not None
    for hosted in programs:
        for target, graph in hosted.targets.items():
            paths |= _paths_of(hosted, target, graph, schemas, options, alone=alone)
    if options.jobs:
        paths |= _JOB_PATHS
    paths |= _SHARED_PATHS
    found: Schema = {
        "openapi": "3.1.0",
        "info": {
            "title": ", ".join(hosted.name for hosted in programs) or "lmc",
            "version": __version__,
            "description": "Programs in lmc, served over HTTP.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "responses": {"Problem": _problem_response()}},
    }
    if options.keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _paths_of(
    hosted: HostedProgram,
    target: str,
    graph: Graph,
    schemas: dict[str, Schema],
    options: ServeOptions,
    *,
    alone: bool,
) -> dict[str, Any]:
    name = target if alone else f"{hosted.name}/{target}"
    prefix = f"{hosted.name}.{target}"
    inputs = _placed(f"{prefix}.inputs", inputs_schema(graph), schemas)
    result = _placed(f"{prefix}.result", json_schema(graph.result), schemas)
    rows = _object({"rows": {"type": "array", "items": inputs, "maxItems": options.batch_rows}})
    usage, problem = _ref("Usage"), _ref("Problem")
    either = {"anyOf": [_object({"result": result}), _object({"error": problem})]}
    whole = _object({"result": result, "usage": usage})
    all_rows = _object({"results": {"type": "array", "items": either}, "usage": usage})
    doc = graph.doc.strip()
    about = {"tags": [hosted.name], "description": doc}
    found: dict[str, Any] = {
        f"/run/{name}": {
            "post": {
                **about,
                "operationId": f"run.{prefix}",
                "summary": f"Run the {_kind(graph)} `{target}`",
                "parameters": [_EVENTS, *([_IDEMPOTENCY] if options.jobs else [])],
                "requestBody": _json_body(inputs),
                "responses": {**_answers(whole), "default": _PROBLEM_REF},
            }
        },
        f"/batch/{name}": {
            "post": {
                **about,
                "operationId": f"batch.{prefix}",
                "summary": f"Run `{target}` on rows",
                "requestBody": _json_body(rows),
                "responses": {"200": _json_answer(all_rows), "default": _PROBLEM_REF},
            }
        },
    }
    if options.jobs:
        found[f"/jobs/{name}"] = {
            "post": {
                **about,
                "operationId": f"job.{prefix}",
                "summary": f"Accept rows for `{target}`, which run in the background",
                "parameters": [_IDEMPOTENCY],
                "requestBody": _json_body(rows),
                "responses": {"202": _json_answer(_ref("Job")), "default": _PROBLEM_REF},
            }
        }
    return found


def _kind(graph: Graph) -> str:
    return graph.kind if graph.kind == "pipeline" else "module"


def _placed(name: str, schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """A reference to a schema among the components. Its own definitions move there too."""
    own: Mapping[str, Schema] = schema.pop("$defs", {})
    places = {f"#/$defs/{key}": f"{name}.{_word(key)}" for key in own}
    schemas[name] = _moved(schema, places)
    for key, part in own.items():
        schemas[places[f"#/$defs/{key}"]] = _moved(part, places)
    return _ref(name)


def _moved(part: Any, places: Mapping[str, str]) -> Any:
    match part:
        case {"$ref": str(to), **rest} if to in places:
            return {"$ref": f"#/components/schemas/{places[to]}", **_moved(rest, places)}
        case dict():
            data = ("default", "enum", "const", "examples")
            return {k: v if k in data else _moved(v, places) for k, v in part.items()}
        case list():
            return [_moved(one, places) for one in part]
    return part


def _word(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in text)


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _json_body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _json_answer(schema: Schema, about: str = "The answer") -> Schema:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _answers(schema: Schema) -> Schema:
    answer = _json_answer(schema, "The result, or with `Accept: text/event-stream` its events")
    answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return {"200": answer}


def _problem_response() -> Schema:
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {"description": "What went wrong", "content": content}


def _parameter(where: str, name: str, about: str, schema: Schema) -> Schema:
    needed = {"required": True} if where == "path" else {}
    return {"in": where, "name": name, "description": about, "schema": schema, **needed}


def _shared(summary: str, ok: Schema, parameters: Iterable[Schema] = ()) -> Schema:
    found: Schema = {"summary": summary, "tags": ["server"], "responses": {"200": ok}}
    found["responses"]["default"] = _PROBLEM_REF
    if listed := list(parameters):
        found["parameters"] = listed
    return found


_EVENTS = _parameter(
    "query", "events", "Of event streams: changes, or each time the whole value so far",
    {"type": "string", "enum": ["delta", "partial"], "default": "delta"},
)  # fmt: skip
_IDEMPOTENCY = _parameter(
    "header", "Idempotency-Key", "The same key and request are accepted once",
    {"type": "string", "minLength": 1, "maxLength": 255},
)  # fmt: skip
_ID = _parameter("path", "id", "Of the job", {"type": "string"})
_PAGE = _object({"results": {"type": "array"}, "next": {"type": ["integer", "null"]}})
_JOB_PATHS = {
    "/jobs/{id}": {
        "get": _shared("How far a job is", _json_answer(_ref("Job")), [_ID]),
        "delete": _shared("Cancel the rest of a job", _json_answer(_ref("Job")), [_ID]),
    },
    "/jobs/{id}/results": {
        "get": _shared(
            "The answers of a job's rows, in order",
            _json_answer(_PAGE),
            [
                _ID,
                _parameter("query", "start", "The first row", _COUNT),
                _parameter("query", "limit", "Rows at most", {**_COUNT, "maximum": 1000}),
            ],
        )
    },
}
_ANY = _json_answer({"type": "object"})
_TEXT = {"description": "Text", "content": {"text/plain": {"schema": {"type": "string"}}}}
_WORD = {"type": "string"}
_OPENAI_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": _WORD,
                "type": _WORD,
                "param": {"type": ["string", "null"]},
                "code": _WORD,
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}


def _openai(summary: str, request: Schema | None = None, *, streams: bool = False) -> Schema:
    """An endpoint of OpenAI's API, whose failures have a form of their own."""
    found = _shared(summary, _answers({"type": "object"})["200"] if streams else _ANY)
    found["responses"]["default"] = _json_answer(_OPENAI_ERROR, "What went wrong")
    return {**found, "requestBody": _json_body(request)} if request else found


_CHAT = {
    "type": "object",
    "properties": {
        "model": {**_WORD, "description": "A program, `PROGRAM/TARGET`, or an engine"},
        "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_CHOICES},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {"type": ["object", "null"]},
        "response_format": {"type": ["object", "null"]},
    },
    "required": ["model", "messages"],
}
_VECTORS = {
    "type": "object",
    "properties": {
        "model": _WORD,
        "input": {"anyOf": [_WORD, {"type": "array", "items": _WORD}]},
        "encoding_format": {"type": ["string", "null"]},
    },
    "required": ["model", "input"],
}
_SHARED_PATHS = {
    "/health/live": {"get": _shared("Whether the process answers", _ANY)},
    "/health/ready": {"get": _shared("Whether new requests are taken", _ANY)},
    "/metrics": {"get": _shared("Figures for Prometheus", _TEXT)},
    "/v1/models": {"get": _openai("Programs and models, as OpenAI lists them")},
    "/v1/chat/completions": {
        "post": _openai("A chat completion by a program or model", _CHAT, streams=True)
    },
    "/v1/embeddings": {"post": _openai("Vectors of texts", _VECTORS)},
}
