"""A model behind an OpenAI-compatible server on loopback, which counts what it is asked.

`python bench/serving.py tiny` serves lmc/tiny, `python bench/serving.py landscape SEED` a simulated
model, `python bench/serving.py model NAME MEMO [TEXTS]` any model of the local engine. The first
line on standard output is the URL; `GET /calls` says how many samples were asked for since the last
`GET /calls`.

Served by name, a model obeys JSON Schemas, and what it said stands in the file MEMO: an equal
request gets the same answer at no cost. Where chance decides, the n-th equal request of a run gets
the n-th answer of the runs before, so that runs with other budgets have the same luck. `GET /spent`
says what the requests since the last one cost, those from the file included, and begins a run;
with `?luck=NAME`, answers of chance are those of other runs of this name. TEXTS is the URL of
another server of the same weights, which writes what no schema binds: llama.cpp writes one long
text in a quarter of the time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.landscapes import Landscape, item_of
from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.openai_compatible import OpenAICompatible

MOST_TOKENS = 96  # of one answer, whoever asks
Answer = Callable[[dict[str, Any]], Awaitable[list[str]]]


_CURRENT = re.compile(
    r"\[\[(?: ## )?(?:current|basic_instruction|current_instruction)(?: ## )?\]\](.*?)(?=\[\[|\Z)",
    re.S,
)


def as_asked(prompt: str, text: str) -> str:
    """An instruction in the form that lmc, or one of DSPy's adapters, asks for."""
    if "JSON object in the following order of fields" in prompt:
        fields = re.findall(r"`(\w+)`", prompt.rpartition("order of fields:")[2])
        return json.dumps(dict.fromkeys(fields, text))
    if "Respond with the corresponding output fields" in prompt:
        fields = re.findall(r"\[\[ ## (\w+) ## \]\]", prompt.rpartition("Respond with")[2])
        return "\n\n".join(f"[[ ## {field} ## ]]\n{text}" for field in fields)
    return f"```\n{text}\n```" if "```" in prompt else text


def tiny() -> Answer:
    """The bundled model, on the local engine."""
    from lmc.models.registry import open_backend

    backend, name = open_backend("lmc/tiny", {})

    async def answer(payload: dict[str, Any]) -> list[str]:
        sampling = Sampling(
            temperature=payload.get("temperature"),
            max_tokens=min(int(payload.get("max_tokens") or 24), 24),
            seed=payload.get("seed"),
        )
        messages = tuple({k: m[k] for k in ("role", "content")} for m in payload["messages"])
        request = Request(name, messages, sampling, n=payload.get("n") or 1)
        return [answer.text for answer in await backend.generate(request)]

    return answer


class SharedClock:
    """Divides the time in which requests are answered among those that run at once."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last_s, self._share_s, self._running = now(), 0.0, 0
        self.busy_s = 0.0

    def enter(self) -> float:
        """What `leave` needs to say the share."""
        self._advance()
        self._running += 1
        return self._share_s

    def leave(self, entered: float) -> float:
        """The seconds that fall to a request."""
        self._advance()
        self._running -= 1
        return self._share_s - entered

    def _advance(self) -> None:
        now = self._now()
        if self._running:
            self._share_s += (now - self._last_s) / self._running
            self.busy_s += now - self._last_s
        self._last_s = now


class Memo:
    """A model by its name, with a file of what it has said."""

    def __init__(self, name: str, file: Path, texts: str = "") -> None:
        from lmc.models.registry import open_backend

        in_bfloat16()
        self._backend, self._name = open_backend(name, {})
        self._file, self._clock = file, SharedClock()
        self._texts = OpenAICompatible(texts, key_env=None) if texts else None
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self._known: dict[str, dict[str, Any]] = dict(map(json.loads, lines))
        self._luck = ""
        self._reset()

    def _reset(self) -> None:
        self._drawn: Counter[str] = Counter()
        self._spent = dict.fromkeys(("calls", "known", "tokens_in", "tokens_out", "seconds"), 0)
        self._first: dict[str, Any] | None = None
        self._busy_s = self._clock.busy_s

    def spent(self, luck: str | None = None) -> dict[str, Any]:
        """What was spent since the last time, and the first request since then."""
        self._luck = self._luck if luck is None else luck
        busy_s = self._clock.busy_s - self._busy_s
        found = {**self._spent, "busy": busy_s, "first": self._first}
        self._reset()
        return found

    async def answer(self, payload: dict[str, Any]) -> list[str]:
        """The texts of all samples. Raises: ModelFailure."""
        self._first = self._first or payload
        key, chance = key_of(payload)
        if chance:
            self._drawn[key] += 1
            key = f"{key}/{self._luck}/{self._drawn[key]}"
        said = self._known.get(key)
        if said is None:
            said = await self._asked(payload)
            if key not in self._known:
                self._known[key] = said
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([key, said]) + "\n")
        else:
            self._spent["known"] += len(said["texts"])
        self._spent["calls"] += len(said["texts"])
        for name in ("tokens_in", "tokens_out", "seconds"):
            self._spent[name] += said[name]
        return list(said["texts"])

    async def _asked(self, payload: dict[str, Any]) -> dict[str, Any]:
        entered = self._clock.enter()
        request = request_of(self._name, payload)
        try:
            if request.schema is None and self._texts:
                answers = await self._texts.generate(request)
            else:
                answers = await self._backend.generate(request)
        except ModelFailure as failure:
            if not failure.paid:
                raise
            answers = failure.paid
        finally:
            seconds = self._clock.leave(entered)
        return {
            "texts": [answer.text for answer in answers],
            "tokens_in": sum(answer.prompt_tokens for answer in answers),
            "tokens_out": sum(answer.completion_tokens for answer in answers),
            "seconds": round(seconds, 4),
        }


def in_bfloat16() -> None:
    """Let the engine load models in bfloat16, which is quicker where the processor has it."""
    import torch
    from transformers import AutoModelForCausalLM

    from lmc.models.engine import loading

    class Halved:
        @staticmethod
        def from_pretrained(source: str, *, dtype: Any, **more: Any) -> Any:
            return AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **more)

    loading.AutoModelForCausalLM = Halved


def key_of(payload: dict[str, Any]) -> tuple[str, bool]:
    """A key of all that decides an answer, and whether chance does too."""
    chance = float(payload.get("temperature") or 0) > 0 and payload.get("seed") is None
    told = {k: v for k, v in payload.items() if k not in ("model", "stream", "stream_options")}
    if not float(payload.get("temperature") or 0):
        told.pop("seed", None)
    text = json.dumps(told, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32], chance


def request_of(name: str, payload: dict[str, Any]) -> Request:
    """A request for the engine. Whoever asks gets the same limit of tokens."""
    limit = payload.get("max_tokens") or payload.get("max_completion_tokens") or MOST_TOKENS
    sampling = Sampling(
        temperature=payload.get("temperature"),
        top_p=payload.get("top_p"),
        max_tokens=min(int(limit), MOST_TOKENS),
        stop=tuple(payload.get("stop") or ()),
        seed=payload.get("seed"),
    )
    messages = tuple({k: m[k] for k in ("role", "content")} for m in payload["messages"])
    schema = (payload.get("response_format") or {}).get("json_schema", {}).get("schema")
    return Request(name, messages, sampling, schema=schema, n=payload.get("n") or 1)


def landscape(seed: int) -> Answer:
    """A simulated model: answers rows, and writes instructions whoever asks for one."""
    known = Landscape(seed)
    asked: dict[str, int] = {}

    async def answer(payload: dict[str, Any]) -> list[str]:
        system, *turns, last = payload["messages"] if len(payload["messages"]) > 1 else (
            {"content": ""}, *payload["messages"],
        )  # fmt: skip
        count = payload.get("n") or 1
        text = last["content"]
        if re.fullmatch(r"\[\[text\]\] item [\d-]+\s*", text):
            contents = [turn["content"] for turn in turns]
            pairs = zip(contents[::2], contents[1::2])
            shown = [(item_of(q), a.strip().split()[-1]) for q, a in pairs]
            warm = float(payload.get("temperature") or 0) > 0
            first = asked.get(text, 0) if warm else 0
            asked[text] = first + count
            return [
                known.answer(system["content"], shown, text.split("]] ")[1].strip(), first + i)
                for i in range(count)
            ]
        told = _CURRENT.search(text) or re.search(r"```(.*?)```", text, re.S)
        written = known.instruction(told[1] if told else "", text, 0)
        return [as_asked(text, written) for _ in range(count)]

    return answer


async def serve(answer: Answer, spent: Callable[[str | None], Any] = lambda _: {}) -> None:
    """Serve until killed."""
    calls = 0

    async def complete(request: web.Request) -> web.Response:
        nonlocal calls
        payload = await request.json()
        try:
            texts = await answer(payload)
        except ModelFailure as failure:
            error = {"message": str(failure), "type": failure.kind, "code": failure.kind}
            return web.json_response({"error": error}, status=400)
        calls += len(texts)
        choices = [
            {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
            for i, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "x", "object": "chat.completion", "created": 0, "model": payload["model"]}
        return web.json_response(body | {"choices": choices, "usage": usage})

    async def count(_: web.Request) -> web.Response:
        nonlocal calls
        seen, calls = calls, 0
        return web.json_response(seen)

    async def cost(request: web.Request) -> web.Response:
        return web.json_response(spent(request.query.get("luck")))

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/calls", count)
    app.router.add_get("/spent", cost)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind != "landscape":
        from lmc.tasks.loop import run_sync

        # The engine answers on lmc's own loop.
        if kind == "tiny":
            run_sync(serve(tiny()))
        else:
            memo = Memo(rest[0], Path(rest[1]), *rest[2:])
            run_sync(serve(memo.answer, memo.spent))
    else:
        asyncio.run(serve(landscape(int(rest[0]))))
