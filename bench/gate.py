"""How often the gate lets chance pass, and how often true gains, against the rule before.

`python bench/gate.py`: half of dev chooses the best of some candidates, and the other half decides,
as in `lmc compile`. Scores are 0 and 1. One candidate has the gain, the others have none; under
"chance" none has any. The rule before was the exact sign test at 5 % on the held-out half alone.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

from lmc.frozen import frozen
from lmc.measure.statistics import gain_p_value, paired_p_value
from lmc.optimizers.candidates.evidence import allowed, for_rivals


@frozen
class Case:
    """Rows in each half of dev, candidates, the gain of one, and the share that gets worse."""

    rows: int
    rivals: int
    gain: float
    losses: float


CASES = [
    *(Case(rows, rivals, 0.0, losses) for rows in (20, 40, 100) for rivals in (1, 4, 16)
      for losses in (0.05, 0.2)),
    *(Case(40, rivals, gain, losses) for rivals in (1, 4, 16)
      for gain, losses in ((0.125, 0.05), (0.19, 0.05), (0.125, 0.1))),
]  # fmt: skip


def shares(case: Case, runs: int, seed: int = 0) -> tuple[float, float]:
    """The shares of runs that passed by the rule before, and by the gate."""
    import numpy

    rng = numpy.random.default_rng(seed)
    found = [_passes(case, rng) for _ in range(runs)]
    before, after = (sum(column) / runs for column in zip(*found))
    return before, after


def _passes(case: Case, rng: Any) -> tuple[bool, bool]:
    true = [case.gain, *[0.0] * (case.rivals - 1)]
    chosen = [_halves(case, gain, rng) for gain in true]
    best = max(range(case.rivals), key=lambda j: chosen[j][0] - chosen[j][1])
    wins, losses = chosen[best]
    if wins <= losses:
        return False, False  # it does not come to the gate
    first = for_rivals(_chance(wins, losses), case.rivals)
    held = _halves(case, true[best], rng)
    after = held[0] > held[1] and _chance(*held) <= allowed(first, case.rows, case.rows)
    return held[0] > held[1] and _exact(*held) <= 0.10, after


def _halves(case: Case, gain: float, rng: Any) -> tuple[int, int]:
    """How many rows get better and worse on one half of dev."""
    better, worse = case.losses + gain, case.losses
    drawn = rng.multinomial(case.rows, [better, worse, 1 - better - worse])
    return int(drawn[0]), int(drawn[1])


@cache
def _chance(wins: int, losses: int) -> float:
    return gain_p_value([0.0] * (wins + losses + 1), [1.0] * wins + [-1.0] * losses + [0.0])


@cache
def _exact(wins: int, losses: int) -> float:
    return paired_p_value([0.0] * (wins + losses + 1), [1.0] * wins + [-1.0] * losses + [0.0])


@click.command()
@click.option("--runs", default=4000, show_default=True)
def main(runs: int) -> None:
    """Print the shares."""
    click.echo("rows  candidates  gain   worse  before  now")
    for case in CASES:
        before, after = shares(case, runs)
        click.echo(
            f"{case.rows:>4}  {case.rivals:>10}  {case.gain:<5g}  {case.losses:<5g}"
            f"  {before:.3f}   {after:.3f}"
        )


if __name__ == "__main__":
    main()
