"""What endpoints share: the program that a path names, rows in a body, and JSON answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from lmc.diagnostics import LmcError
from lmc.serve.hosted import HostedProgram
from lmc.serve.problems import json_bytes

if TYPE_CHECKING:
    from lmc.serve.state import ServerState


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json_bytes(value), status, headers, "application/json")


def named_target(serving: ServerState, request: Request) -> tuple[HostedProgram, str]:
    """The program and the target that a path names. Raises: LmcError[unknown-program]."""
    hosted = serving.programs.find(request.path_params.get("program"))
    return hosted, request.path_params["target"]


def rows_of(body: dict[str, Any], most: int) -> list[Any]:
    """The rows in a body. Raises: LmcError[bad-request, too-many-rows]."""
    rows = body.get("rows")
    if not isinstance(rows, list) or body.keys() != {"rows"}:
        raise LmcError.of(
            "bad-request", 'the body must be `{"rows": […]}`, with the inputs of each'
        )
    if len(rows) > most:
        message = f"a batch has at most {most:,} rows, not {len(rows):,}"
        raise LmcError.of("too-many-rows", message, help="submit a job: `POST /jobs/…`")
    return rows
