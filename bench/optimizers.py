"""Held-out score against model calls: lmc's optimizers and DSPy's, on the same model and rows.

`python bench/optimizers.py --dspy /tmp/dspy/bin/python`: tasks for lmc/tiny, and landscapes, each
behind one loopback server that counts samples. Both sides get the same train and dev rows, prompts
in the same layout, and the same budget of calls; what they really used is printed. DSPy's
optimizers take no limit of calls: their options are set so that they come close to it. As they
prove nothing, lmc's gate is set to let pass what is seen to be better (`accept="better"`).
`--out` writes every run as a line of JSON; `bench/plot.py` draws score and regret from those.

`--real DATA` does it with a real model and real data, see `bench/real_peers.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import lmc  # noqa: E402
from bench import landscapes, real_peers  # noqa: E402
from examples.tiny.labels import ATTRIBUTES  # noqa: E402
from examples.tiny.words import draw_labels  # noqa: E402

# Attributes of which demonstrations can tell the model something: with eight at random it is above
# chance on most draws and not always right (`category`: lists of nouns; `topic` is near chance).
TASKS = ("category", "form", "feeling", "parity", "topic")
TRAIN, DEV, TEST = 40, 40, 100
PEERS = ("random-search", "mipro", "gepa", "simba")
PROGRAM = '''
record Row {{ text: str, label: str }}
generate main(text: str) -> str {{ """{instruction}""" max_tokens: 24 }}
dataset task: Row {{ source: "rows.jsonl", split: {{train: {train}, dev: {dev}, test: 2}} }}
optimize main {{ data: task, metric: accuracy }}
'''
INSTRUCTION = "Give the label of the text."


def tiny_task(name: str, seed: int) -> dict[str, Any]:
    """Rows of one attribute whose labels are words that lmc/tiny never saw as labels."""
    wanted = TRAIN + DEV + TEST
    *_, attribute = (a for a in ATTRIBUTES if a.name == name)  # of several the longest texts
    rng = Random(f"bench/{name}/{seed}")
    classes = rng.sample(attribute.classes, min(4, len(attribute.classes)))
    labels = dict(zip(classes, draw_labels(rng, len(classes), unseen=True)))
    drawn = ((c, attribute.draw(rng, c)) for c in rng.choices(classes, k=40 * wanted))
    rows = {text: {"text": text, "label": labels[chosen]} for chosen, text in drawn}
    return parts(list(rows.values())[:wanted])


def parts(rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """The rows of a task in their three parts."""
    split = {"train": rows[:TRAIN], "dev": rows[TRAIN : TRAIN + DEV], "test": rows[TRAIN + DEV :]}
    return {"instruction": INSTRUCTION, **split}


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """A server of a model; gives its URL."""
    command = [sys.executable, str(ROOT / "bench/serving.py"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def calls_of(url: str) -> int:
    """Samples that were asked for since the last time."""
    with urllib.request.urlopen(f"{url}/calls") as answer:
        return int(json.load(answer))


def with_lmc(url: str, task: dict[str, Any], optimizer: str, budget: int, seed: int) -> Any:
    """Held-out accuracy and calls of a compilation."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ |= {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "x"}
        text = PROGRAM.format(instruction=task["instruction"], train=TRAIN, dev=DEV)
        Path("task.lmp").write_text(text)
        some = [*task["train"], *task["dev"], *task["test"][:2]]
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
        calls_of(url)
        lmc.compile(
            "task.lmp", optimizer=optimizer, model="openai/bench", cache=False, seed=seed,
            budget={"calls": budget}, out="task.lmpc", accept="better",
        )  # fmt: skip
        calls = calls_of(url)
        program = lmc.load("task.lmpc", model="openai/bench", cache=False)
        found = lmc.evaluate(program, task["test"], "accuracy")
        os.chdir("/")
        return found.mean, calls


def with_dspy(
    python: str, url: str, task: dict[str, Any], name: str, budget: int, seed: int
) -> Any:
    """The same for one of DSPy's optimizers; None where it fails."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(task, file)
        file.flush()
        calls_of(url)
        command = [python, str(ROOT / "bench/dspy_side.py"), url, name, str(budget), str(seed)]
        done = subprocess.run([*command, file.name], capture_output=True, text=True)
        try:
            found = json.loads(done.stdout.strip().splitlines()[-1])
        except (IndexError, ValueError):
            click.echo(f"{name}: {done.stderr.strip().splitlines()[-1:]}", err=True)
            return None
        return found["score"], found["calls"]


@click.command()
@click.option("--dspy", help="A Python that has DSPy; without it lmc runs alone.")
@click.option("--tiny", "on_tiny", is_flag=True, help="The tasks of lmc/tiny.")
@click.option(
    "--real", type=click.Path(path_type=Path, exists=True), help="Data, see bench/real.py."
)
@click.option("--tasks", default="intents,time,formulas", show_default=True, help="With --real.")
@click.option("--url", help="With --real: a server that runs (`bench/serving.py model …`).")
@click.option("--draw", default="", help="With --real: another draw of the rows, by any name.")
@click.option("--landscapes", "count", default=0, help="So many simulated models.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--budgets", default="150,400,1000", show_default=True)
@click.option("--optimizers", default="auto()", show_default=True, help="Of lmc, `;` between.")
@click.option("--peers", default=",".join(PEERS), show_default=True)
@click.option("--out", type=click.Path(path_type=Path, resolve_path=True), help="JSON lines.")
def main(
    dspy: str | None,
    on_tiny: bool,
    real: Path | None,
    tasks: str,
    url: str | None,
    draw: str,
    count: int,
    seeds: int,
    budgets: str,
    optimizers: str,
    peers: str,
    out: Path | None,
) -> None:
    """Run all, and print a table for each task."""
    limits = [int(budget) for budget in budgets.split(",")]
    if real is not None:
        chosen = [name for name in optimizers.split(";") if name], peers.split(",") if dspy else []
        runs = real_peers.plan(tasks.split(","), *chosen, limits, seeds)
        rows, out = real_peers.drawn(real.resolve(), draw), out or Path("peers.jsonl").resolve()
        return on_real(rows, url, dspy, out, list(runs))
    found: dict[tuple[str, str, int], list[tuple[float, int]]] = defaultdict(list)

    def run(url: str, task: str, rows: dict[str, Any], seed: int, **more: Any) -> None:
        for budget in limits:
            results = {o: with_lmc(url, rows, o, budget, seed) for o in optimizers.split(";") if o}
            for name in peers.split(",") if dspy else ():
                results[f"dspy {name}"] = with_dspy(str(dspy), url, rows, name, budget, seed)
            for name, result in results.items():
                if result is not None:
                    found[task, name, budget].append(result)
                    line = {"task": task, "name": name, "budget": budget, "seed": seed}
                    line |= {"score": result[0], "calls": result[1], **more}
                    click.echo(json.dumps(line), err=True)
                    if out:
                        with out.open("a") as file:
                            file.write(json.dumps(line) + "\n")

    if on_tiny:
        with serving("tiny") as url:
            for seed in range(seeds):
                for task in TASKS:
                    run(url, task, tiny_task(task, seed), seed)
    for number in range(count):
        with serving("landscape", str(number)) as url:
            rows = parts(landscapes.rows(TRAIN + DEV + TEST, number))
            best = landscapes.Landscape(number).ceiling([row["text"] for row in rows["test"]])
            for seed in range(seeds):
                run(url, "landscapes", rows, seed, landscape=number, best=best)
    print_table(found, limits)


def on_real(
    tasks: Iterable[real_peers.Task],
    url: str | None,
    dspy: str | None,
    out: Path,
    runs: Sequence[Any],
) -> None:
    """Make the runs on the real model that are missing, and print the tables."""
    with ExitStack() as open_:
        if url is None:
            memo = str(out.with_suffix(".memo.jsonl"))
            url = open_.enter_context(serving("model", real_peers.MODEL, memo))
        side = open_.enter_context(real_peers.dspy_at(dspy)) if dspy else None
        try:
            real_peers.measure(tasks, real_peers.Sides(url, side), out, runs)
        finally:
            if side is not None:
                side.kill()
    click.echo(real_peers.table(real_peers.read(out)))


def print_table(found: Any, limits: Sequence[int]) -> None:
    """Mean accuracy with its standard error, and mean calls."""
    names = list(dict.fromkeys(name for _, name, _ in found))
    for task in dict.fromkeys(task for task, _, _ in found):
        click.echo(f"\n{task}")
        for name in names:
            cells = []
            for budget in limits:
                results = found.get((task, name, budget), [])
                if results:
                    scores = [100 * score for score, _ in results]
                    error = stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else 0.0
                    calls = fmean(calls for _, calls in results)
                    cells.append(f"{fmean(scores):5.1f} ± {error:3.1f} ({calls:5.0f} calls)")
            click.echo(f"  {name:20} {'   '.join(cells)}")


if __name__ == "__main__":
    main()
