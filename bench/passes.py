"""What the passes save: programs of the library on the local engine, before and after all passes.

`python bench/passes.py [--rows 96] [--rounds 3]`. Both run the same word problems on lmc/tiny under
one seed, without a cache, in turns; their results have to be equal. Prompt tokens sent are those of
all requests; tokens read are those that the engine computed, the rest came from a shared prefix.
Tokens written are those of all answers; of these, samples that begin alike share what is computed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.tiny.rows import problems
from lmc.models.base import Answer, Request
from lmc.models.transformers_local import Transformers
from lmc.passes.pipeline import run_passes
from lmc.program.options import LoadOptions
from lmc.program.program import Program, check_file, lower_checked
from lmc.tiny import MODEL_DIR

LIBRARY = Path(__file__).resolve().parents[1] / "programs"
PROGRAMS = (
    "weighted_consistency", "self_consistency", "universal_self_consistency", "step_intersection",
    "best_of_n", "tournament", "debate", "self_contrast", "self_refine",
)  # fmt: skip
# Programs as people write them, calling what the library has.
WRITTEN = {
    "vote of nine": """
from "lmc/chain_of_thought" import answer
vote voted(question: str) -> str { sample: answer(question) n: 9 normalize: true }
pipeline main(question: str) -> str { return voted(question) }
""",
    "vote of refines": """
from "lmc/self_refine" import refine_answer
vote voted(question: str) -> str { sample: refine_answer(question) n: 9 normalize: true }
pipeline main(question: str) -> str { return voted(question) }
""",
    "refine then report": """
from "lmc/self_refine" import refine_answer
pipeline checked(question: str) -> str { return refine_answer(strip(question)) }
pipeline sure(question: str) -> bool { return len(checked(question)) > 0 }
pipeline main(question: str) -> str {
  return if sure(question) then checked(question) else join([checked(question), "?"])
}
""",
    "vote compared": """
from "lmc/chain_of_thought" import answer
vote voted(question: str) -> str { sample: answer(question) n: 5 normalize: true }
pipeline shown(question: str) -> str { return join(["Answer: ", voted(question)]) }
pipeline main(question: str) -> list[str] {
  return [shown(question), voted(question), answer(question)]
}
""",
}


@dataclass
class Run:
    """What one run over all rows came to."""

    results: list[Any]
    seconds: float
    calls: int
    sent: int
    read: int
    written: int
    computed: int


class Counted(Transformers):
    """The local engine; counts what it is asked, and the prompt tokens that it computes."""

    calls = sent = read = written = computed = 0

    async def generate(self, request: Request) -> Sequence[Answer]:
        """Answer, and count; what was cancelled counts as a call."""
        Counted.calls += request.n
        answers = await super().generate(request)
        Counted.sent += sum(answer.prompt_tokens for answer in answers)
        Counted.written += sum(answer.completion_tokens for answer in answers)
        return answers

    @staticmethod
    def load(source: str) -> Any:
        """Load the engine, and hear what its model is given."""
        engine = Transformers.load(source)

        def count(module: Any, args: Any, kwargs: Any) -> None:
            ids = kwargs.get("input_ids", args[0] if args else None)
            if ids is not None and ids.shape[-1] > 1:
                Counted.read += ids.numel()
            elif ids is not None:  # one at a time is what it writes
                Counted.computed += ids.numel()

        engine._lora.model.register_forward_pre_hook(count, with_kwargs=True)
        return engine


def run(program: Program, rows: Sequence[dict[str, str]]) -> Run:
    """All rows once."""
    before = counts()
    start = time.perf_counter()
    results = program.main.batch(rows)
    seconds = time.perf_counter() - start
    return Run([*map(str, results)], seconds, *(b - a for a, b in zip(before, counts())))


def counts() -> tuple[int, ...]:
    """Of the engine, until now."""
    return Counted.calls, Counted.sent, Counted.read, Counted.written, Counted.computed


@click.command()
@click.option("--rows", "count", default=96, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--only", help="Of these programs only, with commas.")
def main(count: int, rounds: int, only: str | None) -> None:
    """Print the table."""
    rng = Random("passes")
    rows = [{"question": str(problems(rng)["problem"])} for _ in range(count)]
    backend = Counted(str(MODEL_DIR))
    click.echo(
        "| program | equal | calls | prompt tokens sent | prompt tokens read | tokens written"
        " | tokens computed | time (least to most) |"
    )
    click.echo("|---|---|---|---|---|---|---|---|")
    files = {name: LIBRARY / f"{name}.lmp" for name in PROGRAMS}
    for name, text in WRITTEN.items():
        files[name] = Path(f"{name.replace(' ', '_')}.lmp")
        files[name].write_text("default { seed: 7 }\n" + text)
    for name, file in files.items():
        if only is None or name in only.split(","):
            graph = lower_checked(check_file(file), passes=False)
            pair = [
                Program(made, LoadOptions(backend=backend, cache=False))
                for made in (graph, run_passes(graph))
            ]
            run(pair[0], rows[:2])  # warm
            runs = [[run(program, rows) for program in pair] for _ in range(rounds)]
            click.echo(line(name, runs))


def line(name: str, runs: list[list[Run]]) -> str:
    """One row of the table: what is left of each figure after the passes."""
    before, after = runs[0]
    equal = sum(a == b for a, b in zip(before.results, after.results))
    shares = sorted(after.seconds / before.seconds for before, after in runs)
    return (
        f"| {name} | {equal} of {len(before.results)}"
        f" | {before.calls} → {after.calls} | {before.sent:,} → {after.sent:,}"
        f" | {before.read:,} → {after.read:,} | {before.written:,} → {after.written:,}"
        f" | {before.computed:,} → {after.computed:,}"
        f" | {100 * (median(shares) - 1):+.0f} % ({100 * (shares[0] - 1):+.0f} to"
        f" {100 * (shares[-1] - 1):+.0f}) |"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        main(standalone_mode=False)
