"""The endpoints of accepted jobs, and runs that are accepted once for their key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from lmc.diagnostics import LmcError
from lmc.serve.bodies import read_object
from lmc.serve.gate import while_there
from lmc.serve.jobs import MOST_KEY, Jobs
from lmc.serve.journal import CANCELLED, FAILED, OK, AcceptedJob, RowAnswer
from lmc.serve.problems import MEDIA_TYPE, json_bytes
from lmc.serve.replies import json_response, named_target, rows_of

if TYPE_CHECKING:
    from lmc.serve.state import ServerState

MOST_PAGE = 1000  # rows of a job in one answer


async def run_once(
    serving: ServerState, request: Request, target: tuple[str, str], inputs: Any, key: str
) -> Response:
    """A run that is accepted once for its key, and goes on if the client leaves."""
    jobs, owner = _jobs(serving), request.scope["lmc.owner"]
    id = request.scope["lmc.id"]
    job, new = await jobs.submit(id, owner, _checked_key(key), target, [inputs])
    answer: RowAnswer = await while_there(request.receive, jobs.finished(job.id, owner))
    headers = {"idempotency-replayed": "false" if new else "true"}
    if answer.state == OK:
        return json_response(answer.answer, 200, headers)
    if answer.state == CANCELLED:
        raise LmcError.of("unknown-job", "the run with this key was cancelled")
    return Response(json_bytes(answer.answer), answer.answer["status"], headers, MEDIA_TYPE)


async def job_submit(serving: ServerState, request: Request) -> Response:
    """Accept rows, which run in the background."""
    hosted, target = named_target(serving, request)
    jobs, key = _jobs(serving), request.headers.get("idempotency-key")
    rows = rows_of(await read_object(request), serving.options.job_rows)
    id, owner = request.scope["lmc.id"], request.scope["lmc.owner"]
    checked = None if key is None else _checked_key(key)
    job, new = await jobs.submit(id, owner, checked, (hosted.name, target), rows)
    place = f"{request.scope.get('root_path', '')}/jobs/{job.id}"
    headers = {"location": place, "idempotency-replayed": "false" if new else "true"}
    return json_response(_job_json(job), 202, headers)


async def job_state(serving: ServerState, request: Request) -> Response:
    """How far a job is."""
    owner = request.scope["lmc.owner"]
    return json_response(_job_json(await _jobs(serving).job(request.path_params["id"], owner)))


async def job_cancel(serving: ServerState, request: Request) -> Response:
    """Take the rows of a job back that have no answer."""
    id, owner = request.path_params["id"], request.scope["lmc.owner"]
    return json_response(_job_json(await _jobs(serving).cancel(id, owner)))


async def job_results(serving: ServerState, request: Request) -> Response:
    """The answers of a job's rows in order. Those without one are `waiting` or `cancelled`."""
    jobs, id = _jobs(serving), request.path_params["id"]
    job = await jobs.job(id, request.scope["lmc.owner"])
    start, most = _number(request, "start", 0), min(_number(request, "limit", 100), MOST_PAGE)
    answers = await jobs.answers(id, start, max(1, most))
    after = start + len(answers)
    body = {"results": [_answer_json(a) for a in answers], "next": after}
    if after >= job.rows:
        body["next"] = None
    return json_response(body)


def _answer_json(answer: RowAnswer) -> dict[str, Any]:
    match answer.state:
        case "ok":
            return {"row": answer.number, **answer.answer}
        case "failed":
            return {"row": answer.number, "error": answer.answer}
    return {"row": answer.number, answer.state: True}  # waiting or cancelled


def _job_json(job: AcceptedJob) -> dict[str, Any]:
    counts = job.counts
    return {
        "id": job.id,
        "state": job.state,
        "program": job.program,
        "target": job.target,
        "created": datetime.fromtimestamp(job.created, UTC).isoformat(timespec="seconds"),
        "rows": job.rows,
        "succeeded": counts.get(OK, 0),
        "failed": counts.get(FAILED, 0),
        "cancelled": counts.get(CANCELLED, 0),
    }


def _jobs(serving: ServerState) -> Jobs:
    if serving.jobs is None:
        message = "this server keeps no jobs"
        raise LmcError.of("not-supported", message, help="start it with `--jobs FILE`")
    return serving.jobs


def _checked_key(key: str) -> str:
    if not 0 < len(key) <= MOST_KEY or not key.isprintable():
        message = f"an `Idempotency-Key` has 1 to {MOST_KEY} printable characters"
        raise LmcError.of("bad-header", message)
    return key


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise LmcError.of("bad-request", f"`{name}` must be a whole number from 0 up")
    return int(text)
