"""What a small real model makes of the twelve programs of `examples/first`, one question each.

`python bench/first.py [--model lmc/smollm2 --dtype bfloat16] [--only NAMES] [--limit 300]`. The
model is loaded once, and nothing is cached.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

import lmc
from lmc.models.base import Backend
from lmc.models.registry import open_backend

FIRST = Path(__file__).resolve().parents[1] / "examples" / "first"
RED = FIRST / "red.png"
ASKED: dict[str, dict[str, Any]] = {
    "labels": {"message": "How do I say thank you in Turkish?"},
    "triage": {
        "mail": "Hello, I bought a lamp on 2026-01-02, order 123456. It is broken and I want to "
        "send it back.",
        "today": "2026-03-01",
    },
    "chat": {"question": "What is the capital of France?", "today": "2026-03-01"},
    "report": {
        "document": "The library opens at nine. Books are lent for four weeks. A late book costs "
        "one euro a week.",
        "question": "What does a late book cost?",
    },
    "judge": {
        "question": "Why is the sky blue?",
        "answer": "Air scatters blue light more than red light.",
    },
    "sql": {"question": "How many orders are there?"},
    "rag": {"question": "How long may I borrow a book?"},
    "invoice": {
        "text": "Invoice A-17 of 2026-01-31, Lamp Ltd. 2 lamps at 10.00 each. Net 20.00, VAT "
        "19 %, total 23.80 EUR. Due 2026-02-28."
    },
    "debate": {"motion": "The library opens on Sundays."},
    "coder": {"task": "Write a function add(a, b) that gives the sum of two numbers."},
    "helper": {"request": "What is 12 * 7?", "today": "2026-03-01"},
    "photo": {"photos": [RED], "question": "Which colour is this?"},
}


def ask(name: str, backend: Backend, limit: float) -> str:
    """One line for each program: seconds, calls, tokens, and what came."""
    program = lmc.load(FIRST / f"{name}.lmp", backend=backend, cache=False, stores="memory")
    begun = time.monotonic()
    try:
        found = asyncio.run(asyncio.wait_for(program.main.acall(**ASKED[name]), limit))
        came = json.dumps(found, default=str, ensure_ascii=False)
    except TimeoutError:
        came = f"no answer within {limit:.0f} seconds"
    except lmc.LmcError as error:
        came = f"error: {error}"
    seconds, used = time.monotonic() - begun, program.pool.usage
    program.close()
    return f"{name:8} {seconds:6.1f} s {used.calls:3} calls {used.tokens:6} tokens  {came}"


@click.command()
@click.option("--model", default="lmc/smollm2", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="bfloat16")
@click.option("--limit", default=300.0, show_default=True, help="Seconds for each program.")
@click.option("--only", help="Of these programs only, with commas.")
def main(model: str, dtype: str, limit: float, only: str | None) -> None:
    """Ask each program once, and print what came."""
    backend, _ = open_backend(model, {"users": True, "dtype": dtype})
    for name in ASKED if only is None else only.split(","):
        click.echo(ask(name, backend, limit))


if __name__ == "__main__":
    main()
