"""What prompt look-up brings in the local engine: passes and processor time, with equal answers.

`python bench/lookup.py DATA [--rows 24] [--at-once 8] [--dtype bfloat16]`: the last sentence of
word problems of GSM8K, copies of them, and slots of restaurant8k, asked of lmc/smollm2 one by one
and in batches. DATA has the folders gsm8k and restaurant8k.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lmc.models.base import Request, Sampling
from lmc.models.engine.worker import Job
from lmc.models.packaged import SMOLLM2_NAME
from lmc.models.registry import open_backend
from lmc.models.transformers_local import Transformers

SLOTS = ("people", "date", "time", "first_name", "last_name")


def _object(**fields: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": fields, "required": list(fields),
        "additionalProperties": False,
    }  # fmt: skip


def tasks(data: Path, count: int, tokens: int) -> Iterator[tuple[str, list[Request]]]:
    """The requests of each task."""
    problems = _lines(data / "gsm8k" / "dev.jsonl", count)
    words = {"type": "string", "maxLength": 60}
    slot = {"anyOf": [words, {"type": "null"}]}
    quote = _object(quote={"type": "string", "maxLength": 200})
    yield (
        "quote the question",
        [
            _asked("Copy the last sentence of the text.", p["question"], quote, tokens)
            for p in problems
        ],
    )
    yield (
        "copy a text",
        [
            _asked("Repeat the text word by word.", p["question"][:240], None, tokens)
            for p in problems
        ],
    )
    yield (
        "slots",
        [
            _asked("Copy what the guest says about each slot.", r["text"],
                   _object(**dict.fromkeys(SLOTS, slot)), tokens)
            for r in _lines(data / "restaurant8k" / "train.jsonl", count)
        ],
    )  # fmt: skip


def _lines(path: Path, count: int) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()[:count]
    return [json.loads(line) for line in lines]


def _asked(task: str, text: str, schema: dict[str, Any] | None, tokens: int) -> Request:
    messages = ({"role": "system", "content": task}, {"role": "user", "content": text})
    return Request("m", messages, Sampling(temperature=0.0, max_tokens=tokens), schema=schema)


def run(engine: Any, batches: Sequence[Sequence[Request]]) -> tuple[list[str], int, float]:
    """The answers of all batches, the passes, and the processor seconds."""
    texts, steps, start = list[str](), 0, time.process_time()
    for batch in batches:
        jobs = [Job(request) for request in batch]
        for job in jobs:
            engine.admit(job)
        while not engine.idle:
            engine.step()
            steps += 1
        texts += [answer.text for job in jobs for answer in job.done.result()]
    return texts, steps, time.process_time() - start


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rows", default=24, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--at-once", "sizes", multiple=True, type=int, default=(1, 8), show_default=True)
@click.option("--tokens", default=80, show_default=True, help="At most, of an answer.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
def main(
    data: Path, rows: int, rounds: int, sizes: tuple[int, ...], tokens: int, dtype: str
) -> None:
    """Print the table."""
    backend, _ = open_backend(SMOLLM2_NAME, {"users": True})
    assert isinstance(backend, Transformers)
    engine: Any = Transformers.load(backend.source, dtype, lookup=True)
    click.echo("| task | at once | passes | with look-up | time with look-up | equal answers |")
    click.echo("|---|---|---|---|---|---|")
    for name, asked in tasks(data, rows, tokens):
        for size in sizes:
            batches = [asked[i : i + size] for i in range(0, rows, size)]
            ratios = []
            for _ in range(rounds):
                engine._lookup = False
                plain, before, without_s = run(engine, batches)
                engine._lookup = True
                guessed, after, with_s = run(engine, batches)
                ratios.append(with_s / without_s)
            same = sum(a == b for a, b in zip(plain, guessed))
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            click.echo(f"| {name} | {size} | {before} | {after} | {spread} | {same} of {rows} |")


if __name__ == "__main__":
    main()
