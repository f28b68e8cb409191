"""Servers for the tests: a program on a scripted model, behind a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

import lmc
from lmc.models.base import Request
from lmc.models.scripted import Scripted, prompt_text
from lmc.serve.application import ServeApp, app
from lmc.serve.server import Listening, RunningServer

PROGRAM = '''
enum Queue { angry, calm }
record Ticket { desk: str, queue: Queue, tags: list[str] = [] }

generate answer(question: str) -> str {
  """Answer the question."""
}
generate sort(message: str, most: int(1..9) = 3) -> Ticket {
  """Sort the message."""
}
generate talk(history: messages) -> str {
  """Go on with the conversation."""
}
generate look(picture: image) -> str {
  """What is in the picture?"""
}
generate count(words: list[str], weight: float = 0.5) -> int {
  """How many?"""
}
pipeline main(question: str) -> str {
  """Answers in capitals."""
  return answer(question)
}
'''
JSON = {"content-type": "application/json"}
TICKET = "[[desk]] login\n[[queue]] calm\n[[tags]]\n- a\n- b"


async def respond(request: Request) -> str:
    """The words of the last message; `slow` takes a second, `wrong` is no answer."""
    text = prompt_text(request)
    if "slow" in text:
        await asyncio.sleep(1)
    if "Sort the message" in request.messages[0]["content"]:
        return "nothing" if "wrong" in text else TICKET
    if "How many" in request.messages[0]["content"]:
        return "3"
    return f"you said {text.rpartition('[[question]] ')[2]}"


def loaded(tmp_path: Path, script: Any = respond, text: str = PROGRAM) -> lmc.Program:
    path = tmp_path / "desk.lmp"
    path.write_text(text)
    return lmc.load(path, backend=Scripted(script), cache=False)


@contextmanager
def running(serving: ServeApp, **listening: Any) -> Iterator[httpx.Client]:
    """A client of a server on a port of its own."""
    with (
        RunningServer(serving, Listening(port=0, grace_s=5, **listening)) as server,
        httpx.Client(base_url=server.url, timeout=20) as client,
    ):
        yield client


@contextmanager
def served(tmp_path: Path, script: Any = respond, **options: Any) -> Iterator[httpx.Client]:
    with loaded(tmp_path, script) as program, running(app({"desk": program}, **options)) as client:
        yield client


def events(text: str) -> list[tuple[str, str]]:
    """The events of a stream, by name and data."""
    found = []
    for part in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in part.split("\n") if not line.startswith(":"))
        if fields:
            found.append((fields.get("event", ""), fields["data"]))
    return found
