"""Racing against running every candidate on every row, on landscapes: same winner, fewer runs.

`python bench/racing.py`: candidates are random prompts of a landscape; the winner of a full
evaluation is the candidate with the best mean on all rows (of equals any). Also what the winner is
really worth, against the best of all candidates (regret).
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from random import Random
from statistics import fmean
from types import SimpleNamespace
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.landscapes import WORDS, Landscape, label_of, words_of
from lmc.measure.evaluate import RowResult
from lmc.optimizers.candidates.racing import Candidate, race
from lmc.optimizers.candidates.trials import Allowance, Trials
from lmc.requests.usage import Usage
from lmc.runtime.parameters import ModuleParameters, Parameters

SIZES = ((8, 60), (16, 60), (16, 120), (24, 200), (32, 300))


class Simulated(Trials):
    """Trials on a landscape; counts its runs."""

    def __init__(self, landscape: Landscape) -> None:
        self.landscape, self.count = landscape, 0
        spent = Allowance(lambda: Usage(calls=self.count), 1)
        super().__init__(self._score_rows, spent, lambda event: None)

    async def _score_rows(
        self, stage: str, parameters: Parameters, rows: Any, mode: Any, progress: Any
    ) -> Any:
        system = parameters.modules["main"].instruction or ""
        results = []
        for row in rows:
            self.count += 1
            said = self.landscape.answer(system, [], row.id, 0)
            results.append(RowResult(row.id, float(said == label_of(row.id)), usage=Usage(calls=1)))
        return SimpleNamespace(results=tuple(results))


def candidates(rng: Random, count: int) -> list[Candidate]:
    """Random prompts."""
    prompts = {" ".join(sorted(rng.sample(WORDS, rng.randint(0, 6)))) for _ in range(20 * count)}
    chosen = rng.sample(sorted(prompts), count)
    return [
        Candidate(f"{i}", Parameters({"main": ModuleParameters(instruction=f"Do it. {words}")}))
        for i, words in enumerate(chosen)
    ]


async def one(seed: int, count: int, size: int) -> tuple[bool, float, float, float]:
    """Whether the winner is the same, the share of runs, and the regret of race and full run."""
    landscape, rng = Landscape(seed), Random(f"racing/{seed}")
    rows: Any = [SimpleNamespace(id=f"item {seed}-{i}") for i in range(size)]
    texts = [row.id for row in rows]
    entrants = candidates(rng, count)
    everything = Simulated(landscape)
    scores = await everything.scores("all", [c.parameters for c in entrants], rows)
    means = [fmean(by_row.values()) for by_row in scores]
    trials = Simulated(landscape)
    best, _ = await race(entrants[0], entrants[1:], rows, trials)
    winner = int(best.candidate.name)
    true = [
        landscape.accuracy(words_of(str(c.parameters.modules["main"].instruction)), 0, texts)
        for c in entrants
    ]
    same = means[winner] == max(means)
    chosen = means.index(max(means))
    return same, trials.count / everything.count, max(true) - true[winner], max(true) - true[chosen]


@click.command()
@click.option("--landscapes", default=200, show_default=True)
def main(landscapes: int) -> None:
    """Print a table over sizes."""
    click.echo("candidates  rows  same winner  runs against all  regret of race  of full run")
    for count, size in SIZES:
        found = [asyncio.run(one(seed, count, size)) for seed in range(landscapes)]
        same, share, mine, full = (fmean(column) for column in zip(*found))
        click.echo(
            f"{count:10}  {size:4}  {100 * same:9.1f} %  {100 * share:14.1f} %"
            f"  {100 * mine:11.2f} pt  {100 * full:8.2f} pt"
        )


if __name__ == "__main__":
    main()
