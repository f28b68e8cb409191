"""A model behind an OpenAI-compatible server on loopback, which counts what it is asked.

`python bench/serving.py tiny` serves lmc/tiny, `python bench/serving.py landscape SEED` a simulated
model. The first line on standard output is the URL; `GET /calls` says how many samples were asked
for since the last `GET /calls`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.landscapes import Landscape, item_of
from lmc.models.base import Request, Sampling

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


async def serve(answer: Answer) -> None:
    """Serve until killed."""
    calls = 0

    async def complete(request: web.Request) -> web.Response:
        nonlocal calls
        payload = await request.json()
        texts = await answer(payload)
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

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", complete)
    app.router.add_get("/calls", count)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    print(f"http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "tiny":
        from lmc.tasks.loop import run_sync

        chosen = tiny()
        run_sync(serve(chosen))  # the engine answers on lmc's own loop
    else:
        asyncio.run(serve(landscape(int(rest[0]))))
