"""A loopback server with a batch API: files, batches, their states, and faults that tests choose.

A batch is over after it was asked for `polls` times. `lost` requests, by their words, are left out
of it, `errors` are lines of the error file, and `ending` is its last status. `drop_reply`: the
batch is taken, but the connection ends before its id is told. What it costs shows in `answered`,
the words of the requests of all batches, and in the `payloads` of a chat, as asked at once.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import web

from lmc.models.base import ModelFailure, Request
from tests.loopback import Fault, Loopback, completion, last_user


class BatchServer(Loopback):
    def __init__(self, script: Any = "ok", **more: Any) -> None:
        super().__init__(script, **more)
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls, self.ending = 1, "completed"
        self.asked: Counter[str] = Counter()
        self.answered: list[str] = []
        self.sizes: list[int] = []
        self.lost: set[str] = set()
        self.errors: dict[str, dict[str, Any]] = {}
        self.problem = ""  # why a batch is refused
        self.drop_reply = self.has_no_api = False
        self.uploads_fail = 0
        self.cancelled: list[str] = []

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._listed)
        app.router.add_get("/v1/batches/{id}", self._state)
        app.router.add_post("/v1/batches/{id}/cancel", self._cancel)

    async def _upload(self, request: web.Request) -> web.Response:
        if self.has_no_api:
            raise web.HTTPNotFound
        if self.uploads_fail:
            self.uploads_fail -= 1
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "0"})
        form = await request.post()
        assert form["purpose"] == "batch"
        name = f"file-{len(self.files)}"
        self.files[name] = form["file"].file.read()
        return web.json_response({"id": name})

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        id = f"batch_{len(self.batches)}"
        self.batches[id] = {"id": id, "lines": lines, "metadata": asked["metadata"]}
        self.sizes.append(len(lines))
        self.answered += [last_user(line["body"]) for line in lines]
        if self.drop_reply:
            request.transport.close()
        return web.json_response({"id": id, "status": "validating"})

    async def _listed(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [*reversed(self.batches.values())]})

    async def _state(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if id not in self.batches:
            raise web.HTTPNotFound
        self.asked[id] += 1
        told: dict[str, Any] = {"id": id, "status": "in_progress"}
        if id in self.cancelled or self.asked[id] > self.polls:
            told["status"] = "cancelled" if id in self.cancelled else self.ending
            if self.problem:
                told["errors"] = {"data": [{"code": "token_limit", "message": self.problem}]}
            else:
                told |= self._results(id)
        return web.json_response(told)

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        return web.json_response({"id": request.match_info["id"], "status": "cancelling"})

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]])

    def _results(self, id: str) -> dict[str, str]:
        good, bad = [], []
        for line in reversed(self.batches[id]["lines"]):  # their order is the server's own
            words = last_user(line["body"])
            if words in self.lost:
                continue
            told = {"custom_id": line["custom_id"], "response": None, "error": None}
            if words in self.errors:
                bad.append(told | self.errors[words])
            else:
                reply = self.script(line["body"])
                status, body = 200, reply
                if isinstance(reply, Fault):
                    status, body = reply.status, {"error": {"message": reply.message}}
                elif not isinstance(reply, dict):
                    texts = [reply] if isinstance(reply, str) else list(reply)
                    body = completion(line["body"], texts)
                response = {"status_code": status, "request_id": "r", "body": body}
                (good if status == 200 else bad).append(told | {"response": response})
        named = {}
        for name, lines in (("output_file_id", good), ("error_file_id", bad)):
            if lines:
                named[name] = f"{id}-{name}"
                text = "\n".join(map(json.dumps, lines))
                self.files[named[name]] = text.encode()
        return named


def ask_for(text, **more):
    return Request("", ({"role": "user", "content": text},), **more)


async def ask(pool, *texts, **more):
    """What each request gets: the text of its answer, or the kind of its failure."""
    asked = (pool.ask("m", ask_for(text, **more)) for text in texts)
    found = await asyncio.gather(*asked, return_exceptions=True)
    for problem in found:
        if isinstance(problem, BaseException) and not isinstance(problem, ModelFailure):
            raise problem
    return [one.kind if isinstance(one, ModelFailure) else one[0].text for one in found]
