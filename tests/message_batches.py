"""A loopback server with Anthropic's Message Batches, and the command of vLLM's offline form.

A batch is over after it was asked for `polls` times. `outcomes` are results by the words of a
request, in the place of an answer. `answered` are the words of the requests of all batches.

As a program: `python -m tests.message_batches -i FILE -o FILE --model NAME` does what the source of
`vllm run-batch` does with a file. What it is to do beside that, it reads in the folder `HERE`.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.loopback import Loopback, completion, last_user, text_of

IS_REQUEST = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def said_by_claude(payload: dict[str, Any]) -> dict[str, Any]:
    words = text_of(payload["messages"][-1])
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": payload["model"],
        "content": [{"type": "text", "text": f"re: {words}"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }  # fmt: skip


class MessageBatchServer(Loopback):
    def __init__(self) -> None:
        super().__init__(said_by_claude)
        self.batches: dict[str, dict[str, Any]] = {}
        self.polls = 1
        self.asked: Counter[str] = Counter()
        self.answered: list[str] = []
        self.sizes: list[int] = []
        self.params: list[dict[str, Any]] = []
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.betas: list[str | None] = []
        self.batch_keys: list[str | None] = []
        self.drop_reply = self.refuses = False
        self.cancelled: list[str] = []

    def routes(self, app: web.Application) -> None:
        path = "/v1/messages/batches"
        app.router.add_post(path, self._create)
        app.router.add_get(path, self._listed)
        app.router.add_get(path + "/{id}", self._state)
        app.router.add_post(path + "/{id}/cancel", self._cancel)
        app.router.add_get(path + "/{id}/results", self._results)

    async def _create(self, request: web.Request) -> web.Response:
        if self.refuses:
            raise web.HTTPServiceUnavailable
        asked = (await request.json())["requests"]
        assert request.headers["anthropic-version"] == "2023-06-01"
        self.batch_keys.append(request.headers.get("x-api-key"))
        self.betas.append(request.headers.get("anthropic-beta"))
        ids = [one["custom_id"] for one in asked]
        assert all(map(IS_REQUEST.fullmatch, ids)) and len(set(ids)) == len(ids)
        id = f"msgbatch_{len(self.batches)}"
        made = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.batches[id] = {"id": id, "requests": asked, "created_at": made}
        self.sizes.append(len(asked))
        self.params += [one["params"] for one in asked]
        self.answered += [last_user(one["params"]) for one in asked]
        if self.drop_reply:
            request.transport.close()
        return web.json_response(self._told(id))

    def _told(self, id: str) -> dict[str, Any]:
        batch = self.batches[id]
        over = id in self.cancelled or self.asked[id] > self.polls
        count = len(batch["requests"])
        counts = {"processing": 0 if over else count, "succeeded": count if over else 0}
        return {
            "id": id, "type": "message_batch", "created_at": batch["created_at"],
            "processing_status": "ended" if over else "in_progress", "archived_at": None,
            "request_counts": {**counts, "errored": 0, "canceled": 0, "expired": 0},
            "results_url": "http://elsewhere.invalid/results" if over else None,
        }  # fmt: skip

    async def _listed(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [self._told(id) for id in reversed(self.batches)]})

    async def _state(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if id not in self.batches:
            raise web.HTTPNotFound
        self.asked[id] += 1
        return web.json_response(self._told(id))

    async def _cancel(self, request: web.Request) -> web.Response:
        self.cancelled.append(request.match_info["id"])
        return web.json_response(self._told(request.match_info["id"]))

    async def _results(self, request: web.Request) -> web.Response:
        id, lines = request.match_info["id"], []
        for one in reversed(self.batches[id]["requests"]):
            words = last_user(one["params"])
            usual = {"type": "succeeded", "message": self.script(one["params"])}
            result = self.outcomes.get(words, usual)
            lines.append(json.dumps({"custom_id": one["custom_id"], "result": result}))
        return web.Response(text="\n".join(lines))


def run_batch(source: Path, answers: Path, model: str, here: Path) -> int:
    """Answer a file. In `here`, `die` says after how many lines it ends, `wait` that it waits."""
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    with (here / "runs").open("a") as runs:
        runs.write(json.dumps([last_user(line["body"]) for line in lines]) + "\n")
    while (here / "wait").exists():
        time.sleep(0.02)
    most = int((here / "die").read_text()) if (here / "die").exists() else len(lines)
    with answers.open("w") as out:
        for line in lines[:most]:
            assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
            told: dict[str, Any] = {"id": "vllm-1", "custom_id": line["custom_id"], "error": None}
            response = {"status_code": 200, "request_id": "vllm-batch-1", "body": None}
            words = last_user(line["body"])
            if line["body"]["model"] != model or words == "bad":
                error = {"message": f"The model does not do {words}", "code": 400}
                told["error"], response["status_code"] = {"error": error}, 400
            else:
                response["body"] = completion(line["body"], [f"re: {words}"])
            out.write(json.dumps({**told, "response": response}) + "\n")
    if most < len(lines):
        print("CUDA out of memory", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    source, answers = Path(given["-i"]), Path(given["-o"])
    raise SystemExit(run_batch(source, answers, given["--model"], Path(os.environ["HERE"])))
