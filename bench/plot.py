"""Score against model calls, and regret on landscapes, drawn from what `bench/optimizers.py` wrote.

`python bench/plot.py OUT.svg RUNS.jsonl …` (`pip install matplotlib`). One panel a task; a point is
the mean of all runs of one optimizer and budget, with its standard error both ways. Regret is what
the best prompt of the landscape gets on the same rows, less what was got: 0 is perfect.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import click

Run = Mapping[str, Any]
Points = Sequence[tuple[float, float, float]]  # mean calls, mean value, its standard error

COLOURS = {
    "auto()": "#0b6e4f",
    "dspy random-search": "#c05621",
    "dspy mipro": "#6b46c1",
    "dspy gepa": "#2b6cb0",
    "dspy simba": "#97266d",
}


def read(files: Iterable[Path]) -> list[Run]:
    """The runs of some files."""
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def points(runs: Iterable[Run]) -> Points:
    """One point a budget, in order of calls; values in %."""
    by_budget: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_budget[run["budget"]].append(run)
    return [_point(by_budget[budget]) for budget in sorted(by_budget)]


def _point(runs: Sequence[Run]) -> tuple[float, float, float]:
    values = [100 * (run["best"] - run["score"] if "best" in run else run["score"]) for run in runs]
    spread = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return fmean(run["calls"] for run in runs), fmean(values), spread


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(out: Path, files: Sequence[Path]) -> None:
    """Draw all panels into one file; its ending says in which format."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"  # words stay words
    from matplotlib import pyplot

    runs = read(files)
    tasks = list(dict.fromkeys(run["task"] for run in runs))
    names = list(dict.fromkeys(run["name"] for run in runs))
    columns = min(3, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, panels = pyplot.subplots(
        lines, columns, figsize=(4.2 * columns, 3.2 * lines), squeeze=False, layout="constrained"
    )
    drawn = dict(zip(tasks, panels.flat))
    for panel in panels.flat[len(tasks) :]:
        panel.axis("off")
    for task, panel in drawn.items():
        of_task = [run for run in runs if run["task"] == task]
        for name in names:
            if found := points(run for run in of_task if run["name"] == name):
                calls, values, errors = zip(*found)
                panel.errorbar(
                    calls, values, errors, label=name, color=COLOURS.get(name), marker="o",
                    markersize=4, linewidth=2 if name == "auto()" else 1.2, capsize=2,
                )  # fmt: skip
        regret = any("best" in run for run in of_task)
        panel.set_title(task)
        panel.set_xscale("log")
        panel.set_xticks([50, 100, 200, 500, 1000, 2000], [50, 100, 200, 500, "1,000", "2,000"])
        panel.minorticks_off()
        panel.set_xlabel("model calls")
        panel.set_ylabel("regret, points" if regret else "right on held-out rows, %")
        panel.set_ylim(bottom=0, top=None if regret else 103)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    handles, labels = next(iter(drawn.values())).get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=min(len(names), 2 * columns),
        frameon=False,
    )  # fmt: skip
    figure.savefig(out)
    click.echo(f"wrote {out}")


if __name__ == "__main__":
    main()
