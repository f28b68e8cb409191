"""The endpoints that run programs, in processes of their own, and tell what happens as events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request

from lmc.diagnostics import LmcError
from lmc.redaction import redact
from lmc.serve.bodies import read_object
from lmc.serve.events import EventResponse, Say, event
from lmc.serve.replies import json_response
from lmc.studio.comparing import compare_results
from lmc.studio.requests import maybe_text, object_of, text_of
from lmc.studio.state import StudioState
from lmc.studio.told import diagnostics_json
from lmc.studio.workplace import ARTIFACT, PROGRAM, RESULTS

PING_S = 10.0
WORKER = "lmc.studio.worker"
Teller = Callable[[str, Any], Awaitable[None]]


async def try_run(studio: StudioState, request: Request) -> Any:
    """Run a program on inputs, and tell it while it happens. Who leaves stops it."""
    body = await read_object(request)
    asked = {"target": text_of(body, "target", 500), "inputs": object_of(body, "inputs")}
    return _worked(studio, {"do": "run", **_program(studio, body), **asked})


async def run_tests(studio: StudioState, request: Request) -> Any:
    """Run the tests of a program, and tell each result as it is known. Who leaves stops them."""
    return _worked(studio, {"do": "test", **_program(studio, await read_object(request))})


async def compare(studio: StudioState, request: Request) -> Any:
    """Compare two programs or artifacts on rows, or two files of results."""
    body = await read_object(request)
    kinds = (PROGRAM, ARTIFACT, RESULTS)
    first, second = (studio.place.there(body.get(side), *kinds) for side in ("first", "second"))
    if body.get("first") == body.get("second"):
        raise LmcError.of("bad-request", "name two different files")
    measured = [path.name.endswith((".lmp", ".lmpc")) for path in (first, second)]
    if not any(measured):
        found = await asyncio.to_thread(compare_results, first, second)

        async def told(tell: Teller) -> None:
            await tell("compared", found)

        return _events(studio, told)
    if not all(measured):
        message = "compare two programs or artifacts, or two files of results"
        raise LmcError.of("bad-request", message)
    limit = body.get("limit")
    task = {
        "do": "compare",
        "path": str(first),
        "other": str(second),
        "data": _data(studio, body),
        "metric": maybe_text(body, "metric"),
        "part": maybe_text(body, "part"),
        "limit": limit if isinstance(limit, int) and limit > 0 else None,
        "options": _load_options(studio, body),
    }
    return _worked(studio, task)


async def compile_start(studio: StudioState, request: Request) -> Any:
    """Start a compilation, or go on with one."""
    body = await read_object(request)
    if "resume" not in body:
        body["data"] = _data(studio, body)
    return json_response(studio.compilations.start(body).to_json(), 201)


async def compile_stop(studio: StudioState, request: Request) -> Any:
    """Stop a compilation."""
    name = text_of(await read_object(request), "name", 200)
    return json_response(studio.compilations.cancel(name).to_json())


async def compile_watch(studio: StudioState, request: Request) -> Any:
    """The events of a compilation. Who leaves does not stop it."""
    name = request.query_params.get("name", "")
    studio.compilations.find(name)
    return _events(studio, lambda tell: studio.compilations.watch(name, tell))


ENDPOINTS = [
    ("/api/try", "POST", try_run),
    ("/api/test", "POST", run_tests),
    ("/api/compare", "POST", compare),
    ("/api/compile", "POST", compile_start),
    ("/api/compile/stop", "POST", compile_stop),
    ("/api/compile/events", "GET", compile_watch),
]


def _program(studio: StudioState, body: dict[str, Any]) -> dict[str, Any]:
    """The program of a task: a text in place of its file, or an artifact."""
    path = studio.place.place(body.get("file"), PROGRAM, ARTIFACT)
    text = text_of(body, "text") if path.suffix == ".lmp" else None
    return {"path": str(path), "text": text, "options": _load_options(studio, body)}


def _data(studio: StudioState, body: dict[str, Any]) -> str | None:
    """Rows: a dataset of the program, or a file of the folder. Raises: LmcError."""
    given = maybe_text(body, "data")
    if given is None or given.isidentifier():
        return given
    return str(studio.place.there(given, "rows"))


def _load_options(studio: StudioState, body: dict[str, Any]) -> dict[str, Any]:
    options = dict(studio.options.load)
    if model := maybe_text(body, "model", 500):
        options["model"] = model
    if body.get("cache") is False:
        options["cache"] = False
    return options


def _worked(studio: StudioState, task: dict[str, Any]) -> EventResponse:
    """The events of a task in a process, which ends when the client leaves."""

    async def work(tell: Teller) -> None:
        async with studio.processes.started([WORKER], task) as process:
            async for line in process.lines():
                await tell(str(line["event"]), line["data"])
            said = redact(process.said)[-8000:]
            await tell("end", {"code": process.code, "said": said})

    return _events(studio, work)


def _events(studio: StudioState, work: Callable[[Teller], Awaitable[None]]) -> EventResponse:
    """The events of some work, which ends with the studio."""

    async def write(say: Say) -> None:
        async def tell(name: str, data: Any) -> None:
            await say(event(name, data))

        try:
            await _until(studio.closing, work(tell))
        except LmcError as failure:
            await tell("failed", diagnostics_json(failure.diagnostics))
        except ValueError as problem:  # a line of a process is longer than a line may be
            await tell("failed", {"errors": [{"slug": "too-large", "message": str(problem)}]})

    return EventResponse(write, PING_S)


async def _until(closing: asyncio.Event, work: Awaitable[None]) -> None:
    """Do some work until something closes, which cancels it."""
    task, end = asyncio.ensure_future(work), asyncio.ensure_future(closing.wait())
    try:
        await asyncio.wait((task, end), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for one in (task, end):
            one.cancel()
        await asyncio.wait((task, end))
