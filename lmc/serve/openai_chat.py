"""The API of OpenAI for programs and models: `/v1/models`, `/v1/chat/completions`, embeddings.

`model` is a program (its main), `PROGRAM/TARGET`, or a model that is served by itself. How a
program is asked depends on its parameters: a conversation takes all messages, a single text the
last one, and other parameters are a JSON object in the last one.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from lmc.diagnostics import LmcError
from lmc.ir.graph import Graph
from lmc.models.embedding import decoded
from lmc.requests.usage import Usage
from lmc.serve.bodies import parsed, read_object
from lmc.serve.engine_chat import engine_chunks, engine_completion
from lmc.serve.engines import MOST_TEXTS, embed
from lmc.serve.events import EventResponse, Say, growing
from lmc.serve.gate import while_there
from lmc.serve.hosted import HostedProgram
from lmc.serve.openai_forms import (
    ChatRequest,
    Completion,
    EmbeddingRequest,
    message_text,
    read_form,
    require_known_settings,
    schema_asked,
)
from lmc.serve.problems import ClientLeft, internal, json_bytes, openai_error
from lmc.serve.runner import RunRequest, RunResult
from lmc.types import StrType, is_messages
from lmc.values import json_schema

if TYPE_CHECKING:
    from lmc.serve.state import ServerState

_STARTED = int(time.time())
_SAID_OF_SCHEMAS = ("title", "description", "$schema", "strict", "default")


# --- models ---


async def models(serving: ServerState, request: HttpRequest) -> Response:
    """All names that `model` may have."""
    names = [*program_models(serving), *serving.engines]
    return _json({"object": "list", "data": [_model_json(name) for name in names]})


async def model(serving: ServerState, request: HttpRequest) -> Response:
    """One of them."""
    name = request.path_params["name"]
    if name not in program_models(serving) and serving.engines.find(name) is None:
        raise serving.engines.require(name, list(program_models(serving)))
    return _json(_model_json(name))


def program_models(serving: ServerState) -> dict[str, tuple[HostedProgram, str]]:
    """The programs and their targets by the names that clients use."""
    found: dict[str, tuple[HostedProgram, str]] = {}
    for hosted in serving.programs:
        found[hosted.name] = hosted, hosted.main
        found |= {f"{hosted.name}/{target}": (hosted, target) for target in hosted.targets}
    return found


def _model_json(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "lmc"}


# --- chat ---


async def chat(serving: ServerState, request: HttpRequest) -> Any:
    """Answer a conversation by a program or a model."""
    asked = read_form(ChatRequest, await read_object(request))
    id = f"chatcmpl-{request.scope['lmc.id']}"
    completion = Completion(id, asked.model, int(time.time()))
    engine = serving.engines.find(asked.model)
    if engine is not None:
        if asked.stream:
            write = engine_chunks(serving, engine, asked, completion)
            return _stream(serving, asked, completion, write)
        work = engine_completion(serving, engine, asked, completion)
        return _json(await while_there(request.receive, work))
    runs = await _runs(serving, request, asked)
    if asked.stream:
        return _stream(serving, asked, completion, _program_chunks(serving, runs, completion))
    return _json(await while_there(request.receive, _answered(serving, runs, completion)))


async def _runs(serving: ServerState, request: HttpRequest, asked: ChatRequest) -> list[RunRequest]:
    """The runs that give the choices. Raises: LmcError."""
    known = program_models(serving)
    if asked.model not in known:
        raise serving.engines.require(asked.model, list(known))
    hosted, target = known[asked.model]
    graph = hosted.callee(target).graph
    require_known_settings(asked, asked.model)
    _require_format(graph, asked)
    inputs = chat_inputs(graph, asked.messages)
    id, owner = request.scope["lmc.id"], request.scope["lmc.owner"]
    first = await serving.runner.prepare(id, hosted, target, inputs, owner)
    return [
        RunRequest(id, hosted, first.callee, first.inputs, sample, owner)
        for sample in range(asked.n or 1)
    ]


def chat_inputs(graph: Graph, messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The inputs of a program in a conversation. Raises: LmcError[bad-request, bad-json]."""
    ports = [port for port in graph.inputs if not port.train]
    needed = [port for port in ports if not port.has_default]
    talk = next((port for port in ports if is_messages(port.type)), None)
    if talk is not None and all(port is talk for port in needed):
        return {talk.name: list(messages)}
    users = [message for message in messages if message.get("role") == "user"]
    if not users:
        raise LmcError.of("bad-request", "there is no message of the role `user`")
    text = message_text(users[-1])
    alone = needed if len(needed) == 1 else ports if len(ports) == 1 else []
    if len(alone) == 1 and isinstance(alone[0].type, StrType):
        return {alone[0].name: text}
    try:
        inputs = parsed(text.encode("utf-8", "replace"))
    except LmcError:
        inputs = None
    if not isinstance(inputs, dict):
        names = ", ".join(f"`{port.name}: {port.type}`" for port in ports) or "no inputs"
        message = f"the last message must be a JSON object with the inputs of `{graph.name}`"
        raise LmcError.of("bad-request", message, help=f"it takes {names}")
    return inputs


def _require_format(graph: Graph, asked: ChatRequest) -> None:
    """See that the result of a program is what the client wants.

    Raises: LmcError[unsupported-format].
    """
    schema, own = schema_asked(asked), json_schema(graph.result)
    if schema is None:
        return
    text = isinstance(graph.result, StrType)
    if not text and (schema == {"type": "object"} or _bare(schema) == _bare(own)):
        return
    message = f"`{graph.name}` gives a `{graph.result}`, whatever the client asks for"
    help = "leave `response_format` out, or give the schema of its result (see /openapi.json)"
    raise LmcError.of("unsupported-format", message, help=help)


def _bare(schema: Any) -> Any:
    """A schema without what is only said in it, and without an order where none counts."""
    match schema:
        case dict():
            kept = {k: _bare(v) for k, v in schema.items() if k not in _SAID_OF_SCHEMAS}
            if isinstance(names := kept.get("required"), list):
                kept["required"] = sorted(map(str, names))
            return kept
        case list():
            return [_bare(part) for part in schema]
    return schema


def result_text(value: Any) -> str:
    """The content of a message that has a result."""
    return value if isinstance(value, str) else json_bytes(value).decode()


async def _answered(
    serving: ServerState, runs: Sequence[RunRequest], completion: Completion
) -> dict[str, Any]:
    results: list[RunResult] = await _at_once(serving.runner.run(run) for run in runs)
    texts = [(result_text(result.value), "stop", None) for result in results]
    return completion.whole(texts, sum((result.usage for result in results), Usage()))


def _program_chunks(
    serving: ServerState, runs: Sequence[RunRequest], completion: Completion
) -> Callable[[Say], Awaitable[Usage]]:
    async def one(say: Say, index: int, run: RunRequest) -> Usage:
        said, usage = "", Usage()
        grows = isinstance(run.callee.graph.result, StrType)  # others may be taken back
        async with aclosing(growing(serving.runner, run)) as values:
            async for value in values:
                if isinstance(value, RunResult):
                    usage, text = value.usage, result_text(value.value)
                else:
                    text = value if grows else said
                if len(text) > len(said):
                    await say(completion.chunk(index, {"content": text[len(said) :]}))
                    said = text
        await say(completion.chunk(index, {}, "stop"))
        return usage

    async def write(say: Say) -> Usage:
        used = await _at_once(one(say, index, run) for index, run in enumerate(runs))
        return sum(used, Usage())

    return write


def _stream(
    serving: ServerState,
    asked: ChatRequest,
    completion: Completion,
    chunks: Callable[[Say], Awaitable[Usage]],
) -> EventResponse:
    async def write(say: Say) -> None:
        for index in range(asked.n or 1):
            await say(completion.chunk(index, {"role": "assistant", "content": ""}))
        try:
            usage = await chunks(say)
        except ClientLeft:
            raise
        except Exception as problem:
            failure = problem if isinstance(problem, LmcError) else internal(problem, completion.id)
            await say(b"data: %s\n\n" % json_bytes(openai_error(failure)))
            return
        if asked.stream_options and asked.stream_options.get("include_usage"):
            await say(completion.usage_chunk(usage))
        await say(b"data: [DONE]\n\n")

    return EventResponse(write, serving.options.ping_s)


async def _at_once(works: Any) -> list[Any]:
    """The results of all; the first failure stops the others, and is raised itself."""
    from lmc.tasks.together import first_failure

    tasks: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise first_failure(failures) from None
    return [task.result() for task in tasks]


# --- embeddings ---


async def embeddings(serving: ServerState, request: HttpRequest) -> Response:
    """The vectors of texts."""
    asked = read_form(EmbeddingRequest, await read_object(request))
    engine = serving.engines.find(asked.model)
    if engine is None or not engine.embeds:
        names = [n for n in serving.engines if (e := serving.engines.find(n)) and e.embeds]
        help = f"there are {', '.join(names) or 'none'}"
        raise LmcError.of("unknown-model", f"`{asked.model[:80]}` gives no vectors", help=help)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not 0 < len(texts) <= MOST_TEXTS:
        raise LmcError.of("bad-request", f"`input` must have 1 to {MOST_TEXTS} texts")
    work = serving.runner.ask(asked.model, lambda: embed(engine, texts))
    answers = await while_there(request.receive, work)
    plain = asked.encoding_format != "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": list(decoded(a.text)) if plain else _little_endian(a.text),
        }
        for index, a in enumerate(answers)
    ]
    tokens = sum(answer.prompt_tokens for answer in answers)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return _json({"object": "list", "data": data, "model": asked.model, "usage": usage})


def _little_endian(text: str) -> str:
    """The base64 of a vector, as clients expect it on any machine."""
    vector = decoded(text)
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type="application/json")


ENDPOINTS: list[tuple[Sequence[str], str, Callable[[Any, HttpRequest], Awaitable[Any]]]] = [
    (("/v1/models",), "GET", models),
    (("/v1/models/{name:path}",), "GET", model),
    (("/v1/chat/completions",), "POST", chat),
    (("/v1/embeddings",), "POST", embeddings),
]
