"""The routes of the server, and the endpoints for runs, batches, jobs, health and documents."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Router

from lmc.diagnostics import LmcError
from lmc.requests.usage import Usage
from lmc.serve import metrics, openai_chat
from lmc.serve.bodies import read_object
from lmc.serve.documents import docs_page, problem_page
from lmc.serve.events import EventResponse, run_events
from lmc.serve.gate import AsgiApp, while_there
from lmc.serve.hosted import HostedProgram
from lmc.serve.job_routes import job_cancel, job_results, job_state, job_submit, run_once
from lmc.serve.problems import internal, problem_json
from lmc.serve.replies import json_response, named_target, rows_of
from lmc.serve.routing import KnownRoute, bound, with_problems
from lmc.serve.runner import RunResult, usage_json

if TYPE_CHECKING:
    from lmc.serve.state import ServerState

Endpoint = Callable[["ServerState", Request], Awaitable[Any]]


def router(serving: ServerState) -> AsgiApp:
    """The application behind the gate."""
    named = ("/run/{target}", "/run/{program}/{target}")
    batch = ("/batch/{target}", "/batch/{program}/{target}")
    jobs = ("/jobs/{target}", "/jobs/{program}/{target}")
    table: list[tuple[Sequence[str], str, Endpoint]] = [
        (("/health/live",), "GET", live),
        (("/health/ready",), "GET", ready),
        (("/metrics",), "GET", figures),
        (("/",), "GET", start_page),
        (("/docs",), "GET", docs),
        (("/openapi.json",), "GET", openapi),
        (("/problems/{slug}",), "GET", problem),
        (named, "POST", run),
        (batch, "POST", run_batch),
        (("/jobs/{id}/results",), "GET", job_results),
        (("/jobs/{id}",), "GET", job_state),
        (("/jobs/{id}",), "DELETE", job_cancel),
        (jobs, "POST", job_submit),
        *openai_chat.ENDPOINTS,
    ]
    routes = [
        KnownRoute(path, bound(partial(endpoint, serving)), methods=[method])
        for paths, method, endpoint in table
        for path in paths
    ]
    if find_spec("mcp") is not None:
        routes.append(KnownRoute("/mcp", bound(partial(mcp, serving)), methods=["POST"]))
    inner: AsgiApp = with_problems(Router(routes, redirect_slashes=False))
    origins = list(serving.options.origins)
    if not origins:
        return inner
    return CORSMiddleware(
        inner,
        allow_origins=origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "x-api-key"],
        expose_headers=["x-request-id", "location", "retry-after"],
    )


# --- runs ---


async def run(serving: ServerState, request: Request) -> Any:
    """Run a module or pipeline on the inputs in the body."""
    hosted, target = named_target(serving, request)
    inputs = await read_object(request)
    whole = _wants_whole(request)
    id, owner, runner = request.scope["lmc.id"], request.scope["lmc.owner"], serving.runner
    if (key := request.headers.get("idempotency-key")) is not None:
        return await run_once(serving, request, (hosted.name, target), inputs, key)
    prepared = await runner.prepare(id, hosted, target, inputs, owner)
    if _wants_events(request):
        root = request.scope.get("root_path", "")
        return EventResponse(
            run_events(runner, prepared, root, whole=whole), serving.options.ping_s
        )
    result: RunResult = await while_there(request.receive, runner.run(prepared))
    return json_response(result.as_json())


async def run_batch(serving: ServerState, request: Request) -> Response:
    """Run all rows of the body. A row that fails has a problem in the place of its result."""
    hosted, target = named_target(serving, request)
    rows = rows_of(await read_object(request), serving.options.batch_rows)
    return json_response(
        await while_there(request.receive, _all(serving, request, hosted, target, rows))
    )


async def _all(
    serving: ServerState, request: Request, hosted: HostedProgram, target: str, rows: list[Any]
) -> dict[str, Any]:
    hosted.callee(target)  # a wrong name fails the request, not each row
    id, owner, runner = request.scope["lmc.id"], request.scope["lmc.owner"], serving.runner
    places = asyncio.Semaphore(max(1, serving.options.runs // 2))
    used: list[Usage] = []

    async def one(number: int, row: Any) -> dict[str, Any]:
        own = f"{id}.{number}"
        async with places:
            try:
                prepared = await runner.prepare(own, hosted, target, row, owner)
                result = await runner.run(prepared)
            except LmcError as failure:
                return {"error": problem_json(failure, own, request.scope.get("root_path", ""))}
            except Exception as bug:
                return {"error": problem_json(internal(bug, own), own)}
        used.append(result.usage)
        return {"result": result.value}

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, row)) for number, row in enumerate(rows)]
    results = [task.result() for task in tasks]
    return {"results": results, "usage": usage_json(sum(used, Usage()))}


def _wants_events(request: Request) -> bool:
    """Whether the client takes events, and does not say `q=0` of them."""
    for part in request.headers.get("accept", "").lower().split(","):
        kind, *options = (word.replace(" ", "") for word in part.split(";"))
        if kind == "text/event-stream":
            return not any(re.fullmatch(r"q=0(\.0*)?", option) for option in options)
    return False


def _wants_whole(request: Request) -> bool:
    """Whether each event is to have the whole value so far. Raises: LmcError[bad-request]."""
    wanted = request.query_params.get("events", "delta")
    if wanted not in ("delta", "partial"):
        raise LmcError.of("bad-request", "`events` must be `delta` or `partial`")
    return wanted == "partial"


async def mcp(serving: ServerState, request: Request) -> Any:
    """The tools over MCP. Streams that a client opens with GET are not needed for them."""
    return await serving.mcp()


# --- health, figures and documents ---


async def live(serving: ServerState, request: Request) -> Response:
    """Whether the process answers."""
    return json_response({"status": "live"})


async def ready(serving: ServerState, request: Request) -> Response:
    """Whether new requests are taken."""
    admission = serving.runner.admission
    full = admission.waiting >= serving.options.queue and admission.running >= admission.most
    state = "draining" if serving.draining else "full" if full else "ready"
    body = {"status": state, "running": admission.running, "waiting": admission.waiting}
    return json_response(body, 200 if state == "ready" else 503)


async def figures(serving: ServerState, request: Request) -> Response:
    """The figures for Prometheus."""
    admission, known = serving.runner.admission, serving.metrics
    known.running.set(admission.running)
    known.waiting.set(admission.waiting)
    return Response(known.text(), headers={"content-type": metrics.CONTENT_TYPE})


async def start_page(serving: ServerState, request: Request) -> Response:
    """Lead to the documents."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs", 307)


async def openapi(serving: ServerState, request: Request) -> Response:
    """The OpenAPI document."""
    root = request.scope.get("root_path", "")
    return json_response({**serving.document, "servers": [{"url": root or "/"}]})


async def docs(serving: ServerState, request: Request) -> Response:
    """The page that shows the API and tries it."""
    return docs_page(serving.document, request.scope.get("root_path", ""))


async def problem(serving: ServerState, request: Request) -> Response:
    """What `lmc explain` says of a slug."""
    return problem_page(request.path_params["slug"])
