"""The endpoints of a studio: files, writing, browsing. What runs programs is in `run_routes`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.routing import Router

from lmc.diagnostics import LmcError
from lmc.serve.bodies import read_object
from lmc.serve.gate import AsgiApp
from lmc.serve.replies import json_response
from lmc.serve.routing import KnownRoute, bound, with_problems
from lmc.studio import row_files, run_routes, writing
from lmc.studio.pages import page_part, report_page
from lmc.studio.requests import count_of, maybe_text, object_of, place_of, text_of
from lmc.studio.state import StudioState
from lmc.syntax.highlighting import DECLARATIONS, STATEMENTS, TYPES
from lmc.version import __version__

Endpoint = Callable[[StudioState, Request], Awaitable[Any]]


def router(studio: StudioState) -> AsgiApp:
    """The application behind the gate. All but the page itself wants the token."""
    closed: list[tuple[str, str, Endpoint]] = [
        ("/api/start", "GET", start),
        ("/api/files", "GET", files),
        ("/api/open", "POST", open_file),
        ("/api/save", "POST", save),
        ("/api/create", "POST", create),
        ("/api/check", "POST", check),
        ("/api/fixes", "POST", fixes),
        ("/api/format", "POST", format_text),
        ("/api/complete", "POST", complete),
        ("/api/hover", "POST", hover),
        ("/api/preview", "POST", preview),
        ("/api/graph", "POST", graph),
        ("/api/explain", "GET", explain),
        ("/api/jobs", "GET", jobs),
        ("/api/rows", "GET", rows),
        ("/api/run", "GET", stored_run),
        ("/api/compilations", "GET", compilations),
        ("/api/compilation", "GET", compilation),
        ("/api/report", "POST", ticket),
        ("/api/row-file", "POST", row_file),
        ("/api/row-file/save", "POST", save_rows),
        *run_routes.ENDPOINTS,
    ]
    open_ones: list[tuple[str, str, Endpoint]] = [
        ("/", "GET", page),
        ("/page/{part}", "GET", page),
        ("/report/{ticket}", "GET", report),
    ]
    routes = [KnownRoute(p, _closed(studio, e), methods=[m]) for p, m, e in closed]
    routes += [KnownRoute(p, bound(partial(e, studio)), methods=[m]) for p, m, e in open_ones]
    return with_problems(Router(routes, redirect_slashes=False))


def _closed(studio: StudioState, endpoint: Endpoint) -> AsgiApp:
    async def answer(request: Request) -> Any:
        studio.access.require(request)
        return await endpoint(studio, request)

    return bound(answer)


# --- the page ---


async def page(studio: StudioState, request: Request) -> Any:
    """A part of the page. It holds nothing of the folder, so everybody may read it."""
    return page_part(request.path_params.get("part", "index.html"))


async def report(studio: StudioState, request: Request) -> Any:
    """The report that a ticket is for."""
    from lmc.report.page import report_page as write_report

    name = studio.access.redeem(request.path_params["ticket"])
    folder = studio.browsing.folder(name)
    return report_page(await asyncio.to_thread(write_report, folder))


async def ticket(studio: StudioState, request: Request) -> Any:
    """An address that shows the report of a run once."""
    name = text_of(await read_object(request), "name", 200)
    studio.browsing.folder(name)
    return json_response({"address": f"report/{studio.access.ticket(name)}"})


async def start(studio: StudioState, request: Request) -> Any:
    """What the page has to know first."""
    return json_response(
        {
            "version": __version__,
            "folder": studio.place.root.name,
            "first": studio.options.first,
            "model": studio.options.load.get("model"),
            "words": {
                "declarations": DECLARATIONS, "statements": STATEMENTS, "types": TYPES,
            },
        }
    )  # fmt: skip


# --- files ---


async def files(studio: StudioState, request: Request) -> Any:
    """The files of the folder."""
    found = await asyncio.to_thread(studio.place.files)
    return json_response({"files": [one.to_json() for one in found]})


async def open_file(studio: StudioState, request: Request) -> Any:
    """The text of a program."""
    found = studio.place.read(text_of(await read_object(request), "file", 1000))
    text = found.text.replace("\r\n", "\n")
    return json_response({"text": text, "digest": found.digest})


async def save(studio: StudioState, request: Request) -> Any:
    """Write a program that nobody else has changed."""
    body = await read_object(request)
    name, known = text_of(body, "file", 1000), text_of(body, "digest", 100)
    return json_response({"digest": studio.place.save(name, text_of(body, "text"), known)})


async def create(studio: StudioState, request: Request) -> Any:
    """Write a new program."""
    body = await read_object(request)
    digest = studio.place.create(text_of(body, "file", 1000), text_of(body, "text"))
    return json_response({"digest": digest}, 201)


# --- writing ---


async def _ask(studio: StudioState, body: dict[str, Any], way: Callable[..., Any]) -> Any:
    path = studio.place.place(body.get("file"), "program")
    return json_response(await studio.writing.ask(path, text_of(body, "text"), way))


async def check(studio: StudioState, request: Request) -> Any:
    """What is wrong with a text, and what it can run."""
    return await _ask(studio, await read_object(request), writing.check)


async def fixes(studio: StudioState, request: Request) -> Any:
    """How to mend what is wrong at a place."""
    body = await read_object(request)
    return await _ask(studio, body, writing.fixes(*place_of(body)))


async def format_text(studio: StudioState, request: Request) -> Any:
    """The edits that format a text."""
    return await _ask(studio, await read_object(request), writing.formatted)


async def complete(studio: StudioState, request: Request) -> Any:
    """What may be written at a place."""
    body = await read_object(request)
    return await _ask(studio, body, writing.completions(*place_of(body)))


async def hover(studio: StudioState, request: Request) -> Any:
    """What is known of what stands at a place."""
    body = await read_object(request)
    return await _ask(studio, body, writing.hovers(*place_of(body)))


async def preview(studio: StudioState, request: Request) -> Any:
    """The prompts as they would be sent."""
    body = await read_object(request)
    inputs = object_of(body, "inputs") if body.get("inputs") is not None else None
    return await _ask(studio, body, writing.previews(maybe_text(body, "target"), inputs))


async def graph(studio: StudioState, request: Request) -> Any:
    """The graph of a text or an artifact."""
    body = await read_object(request)
    target = maybe_text(body, "target")
    shown = object_of(body, "shown") if "shown" in body else None
    if str(body.get("file", "")).endswith(".lmpc"):
        path = studio.place.there(body.get("file"), "artifact")
        return json_response(await asyncio.to_thread(_of_artifact, path, target, shown))
    return await _ask(studio, body, writing.graphs(target, shown))


def _of_artifact(path: Path, target: str | None, shown: dict[str, Any] | None) -> dict[str, Any]:
    from lmc.program.artifact import Artifact

    graph = Artifact.read(path).graph
    return {**writing.picture(graph, target, shown), "targets": writing.targets(graph)}


async def explain(studio: StudioState, request: Request) -> Any:
    """What a slug means."""
    from lmc.explanations import explanations

    text = explanations().get(request.query_params.get("slug", ""))
    if text is None:
        raise LmcError.of("unknown-path", "no problem has this name")
    return json_response({"text": text})


# --- browsing ---


async def jobs(studio: StudioState, request: Request) -> Any:
    """The jobs of the trace store."""
    return json_response(await asyncio.to_thread(studio.browsing.jobs))


async def rows(studio: StudioState, request: Request) -> Any:
    """A page of the runs of a job."""
    asked = dict(request.query_params)
    return json_response(await asyncio.to_thread(studio.browsing.rows, asked))


async def stored_run(studio: StudioState, request: Request) -> Any:
    """One run of the trace store with its calls."""
    id = request.query_params.get("id", "")
    return json_response(await asyncio.to_thread(studio.browsing.run, id))


async def compilations(studio: StudioState, request: Request) -> Any:
    """The runs of compilations, and those that this studio started."""
    found = await asyncio.to_thread(studio.browsing.compilations)
    return json_response({**found, "started": studio.compilations.to_json()})


async def compilation(studio: StudioState, request: Request) -> Any:
    """One run of a compilation."""
    name = request.query_params.get("name", "")
    return json_response(await asyncio.to_thread(studio.browsing.compilation, name))


# --- rows ---


async def row_file(studio: StudioState, request: Request) -> Any:
    """A page of a file of rows."""
    body = await read_object(request)
    first = count_of(body, "first", 0, 1_000_000_000)
    count = count_of(body, "count", row_files.PAGE, 500)
    name = text_of(body, "file", 1000)
    found = await asyncio.to_thread(row_files.page_of_rows, studio.place, name, first, count)
    return json_response(found)


async def save_rows(studio: StudioState, request: Request) -> Any:
    """Write edited rows into a new file."""
    body = await read_object(request)
    name, new = text_of(body, "file", 1000), text_of(body, "as", 1000)
    edits = object_of(body, "edits")
    made = await asyncio.to_thread(row_files.save_rows, studio.place, name, new, edits)
    return json_response(made, 201)


__all__: Sequence[str] = ["router"]
