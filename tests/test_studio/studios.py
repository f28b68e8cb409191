"""Studios for the tests: a folder with a program and rows, behind a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from lmc.serve.server import Listening, RunningServer
from lmc.studio.application import StudioApp
from lmc.studio.state import StudioOptions

TOKEN = "t" * 32
PROGRAM = '''record Answer { words: str, loud: bool }

generate ask(question: str) -> str {
  """Answer the question."""
}

pipeline main(question: str, loud: bool = true) -> Answer {
  return Answer(words=upper(question), loud=loud)
}

pipeline twice(question: str) -> str {
  let first = ask(question)
  let last = loop text = first for 3 until text == "" { yield ask(text) }
  return last
}

dataset rows: Row { source: "rows.jsonl" }

record Row { question: str, words: str }

test "it is loud" { assert main("a").words == "A" }
'''
ROWS = [{"question": f"is it {n}?", "words": f"IS IT {n}?"} for n in range(7)]


def folder(tmp_path: Path) -> Path:
    """A folder to work in, with what must stay out of reach beside it."""
    (tmp_path / "secret.lmp").write_text(PROGRAM)
    work = tmp_path / "work"
    work.mkdir()
    (work / "desk.lmp").write_text(PROGRAM)
    (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (work / "cells.csv").write_text("id,text\n1,one\n007,two\n")
    (work / "notes.txt").write_text("not for the page")
    return work


@contextmanager
def opened(work: Path, token: str = TOKEN, **load: Any) -> Iterator[tuple[StudioApp, httpx.Client]]:
    """A studio, and a client that knows its token."""
    studio = StudioApp(work, StudioOptions(load), token)
    headers = {"authorization": f"Bearer {token}"}
    with (
        RunningServer(studio, Listening(port=0, grace_s=1)) as server,
        httpx.Client(base_url=server.url, timeout=30, headers=headers) as client,
    ):
        yield studio, client
