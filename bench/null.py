"""How often a gain is claimed where there is none: labels that no prompt can know.

`python bench/null.py --runs 200`: labels are drawn at random, so all candidates are equally good;
each run improves, confirms and tests as `lmc compile` does. Counted are claims at the gate, and
claims that the test rows also call significant.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).parents[1]))

import lmc
from bench.landscapes import LABELS, PROGRAM, Landscape, reply, rows
from lmc.models.scripted import Scripted


def run(seed: int, optimizer: str) -> tuple[bool, bool]:
    """Whether the gate claimed a gain, and whether the test rows did too."""
    rng = Random(f"null/{seed}")
    data: Any = [{**row, "label": rng.choice(LABELS)} for row in rows(160, seed)]
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        Path("it.lmp").write_text(PROGRAM)
        backend = Scripted(reply(Landscape(seed)), name=f"null {seed}")
        result = lmc.compile(
            "it.lmp", data=data, metric="accuracy", optimizer=optimizer, backend=backend,
            cache=False, seed=seed,
        )  # fmt: skip
        os.chdir("/")
    significant = result.test is not None and result.test.difference.low > 0
    return result.improved, result.improved and significant


@click.command()
@click.option("--runs", default=200, show_default=True)
@click.option("--optimizer", default="bootstrap()", show_default=True)
def main(runs: int, optimizer: str) -> None:
    """Print the shares."""
    found = [run(seed, optimizer) for seed in range(runs)]
    gate, both = (sum(column) for column in zip(*found))
    click.echo(
        f"{optimizer}: {runs} null runs, {gate} claimed a gain at the gate ({gate / runs:.1%}),"
        f" {both} also on the test rows ({both / runs:.1%})"
    )


if __name__ == "__main__":
    main()
