"""The local engine beside transformers' own ways and llama.cpp: the same requests in one run.

`python bench/engine.py --model lmc/smollm2 --llamacpp PYTHON`, or without options for lmc/tiny.
PYTHON is the interpreter of an environment with `pip install xllamacpp`; llama.cpp reads the GGUF
file as it is, lmc and transformers its weights in `--dtype`. The ways take turns, after a round
that warms up. Figures are medians over the rounds with the least and the most. On a busy machine,
read the processor time, which counts all threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click
import torch
from engine_peers import Answers, LlamaCpp, Plain, Way, continuous_batching
from engine_tasks import TASKS
from rich.console import Console
from rich.table import Table
from transformers.utils.logging import disable_progress_bar

from lmc.models.base import Request
from lmc.models.packaged import SMOLLM2, SMOLLM2_NAME, packaged_file
from lmc.models.registry import open_backend

TINY = "lmc/tiny"


@dataclass
class Measured:
    """A way to answer, with what each round took."""

    run: Way
    other_cpu_s: Callable[[], float] = lambda: 0.0  # of another process
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    answers: Answers = ([], 0)

    def round(self, *, kept: bool) -> None:
        """Answer all requests once."""
        wall, cpu = time.perf_counter(), time.process_time() + self.other_cpu_s()
        self.answers = self.run()
        if kept:
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() + self.other_cpu_s() - cpu)


def lmc_engine(backend: Any, asked: Sequence[Request], loop: asyncio.AbstractEventLoop) -> Answers:
    """All requests at once."""

    async def ask() -> Answers:
        found = await asyncio.gather(*map(backend.generate, asked))
        answers = [answer for some in found for answer in some]
        return [a.text for a in answers], sum(a.completion_tokens for a in answers)

    return loop.run_until_complete(ask())


def table(title: str, asked: Sequence[Request], ways: dict[str, Measured]) -> Table:
    """One row for each way."""
    columns = ("way", "requests/s", "least to most", "tokens/s", "CPU s")
    compared = ("lmc is faster by", "by CPU time", "answers as lmc's")
    made = Table(*columns, *compared, title=title)
    ours = ways["lmc"]
    for name, way in ways.items():
        wall, cpu = statistics.median(way.wall_s), statistics.median(way.cpu_s)
        same = sum(a == b for a, b in zip(way.answers[0], ours.answers[0]))
        greedy = not asked[0].sampling.temperature
        made.add_row(
            name,
            f"{len(asked) / wall:.2f}",
            f"{len(asked) / max(way.wall_s):.2f} to {len(asked) / min(way.wall_s):.2f}",
            f"{way.answers[1] / wall:.0f}",
            f"{cpu:.2f}",
            f"{wall / statistics.median(ours.wall_s):.2f}",
            f"{cpu / statistics.median(ours.cpu_s):.2f}",
            f"{same} of {len(ours.answers[0])}" if greedy else "(drawn)",
        )
    return made


def first_token(backend: Any, plain: Plain, loop: asyncio.AbstractEventLoop, rounds: int) -> str:
    """The time of one token behind a prompt that shares nothing with others."""
    request = TASKS["labels"]()[0]
    once = replace(request.sampling, max_tokens=1)
    ways = {
        "lmc": lambda asked: lmc_engine(backend, asked, loop),
        "generate": plain.generate,
    }
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(4 * rounds + 1):
        system, *others = request.messages
        system = system | {"content": f"{turn * 7919} is the number of this. {system['content']}"}
        asked = [replace(request, messages=(system, *others), sampling=once, schema=None)]
        for name, run in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            run(asked)
            if turn:
                spent = time.perf_counter() - wall, time.process_time() - cpu
                measured[name].append(spent)
    said = []
    for name, some in measured.items():
        wall, cpu = (1000 * statistics.median(part) for part in zip(*some))
        said.append(f"{name} {wall:.0f} ms ({cpu:.0f} ms of CPU)")
    return "First token of a single request: " + ", ".join(said)


@click.command()
@click.option("--model", default=TINY, help="lmc/tiny, lmc/smollm2, gguf/<file>, hf/<folder>.")
@click.option("--task", "tasks", multiple=True, type=click.Choice([*TASKS]))
@click.option("--requests", default=64, help="The first so many of a task.")
@click.option("--rounds", default=3)
@click.option("--threads", default=0, help="For all ways; else 1 for lmc/tiny and all cores.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--llamacpp", default="", help="The interpreter of an environment with xllamacpp.")
@click.option("--continuous/--no-continuous", default=True, help="With transformers' scheduler.")
def main(
    model: str,
    tasks: tuple[str, ...],
    requests: int,
    rounds: int,
    threads: int,
    dtype: str,
    llamacpp: str,
    continuous: bool,
) -> None:
    """Compare ways of answering many requests with a model here."""
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    disable_progress_bar()
    threads = threads or (1 if model == TINY else len(os.sched_getaffinity(0)))
    torch.set_num_threads(threads)
    backend, _ = open_backend(model, {"dtype": dtype})
    loop, plain = asyncio.new_event_loop(), Plain(backend.source, dtype)
    file = str(packaged_file(SMOLLM2)) if model == SMOLLM2_NAME else model.removeprefix("gguf/")
    server = LlamaCpp(llamacpp, file, threads) if llamacpp else None
    console = Console(width=120)
    for task in tasks or (("sums",) if model == TINY else ("labels", "samples")):
        asked = TASKS[task]()[:requests]
        ways = {
            "lmc": Measured(lambda asked=asked: lmc_engine(backend, asked, loop)),
            "transformers generate": Measured(lambda asked=asked: plain.generate(asked)),
        }
        if continuous and (way := continuous_batching(backend.source, dtype, asked)):
            ways["transformers continuous batching"] = Measured(way)
        if server is not None:
            run = lambda asked=asked: server.ask(asked)  # noqa: E731
            ways["llama.cpp server"] = Measured(run, server.cpu_s)
        for turn in range(rounds + 1):
            for way in ways.values():
                way.round(kept=turn > 0)
        console.print(table(f"{model}, {dtype}, {task}: {TASKS[task].__doc__}", asked, ways))
    console.print(first_token(backend, plain, loop, rounds))
    if server is not None:
        server.close()


if __name__ == "__main__":
    main()
