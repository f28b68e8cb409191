"""What each way of improving brings to a real model on real data, as a Markdown table.

`python bench/real.py DATA [--task banking] [--way "knn(demos=6)"] [--out real.jsonl]`. `DATA` has
the folders banking77, restaurant8k, bbh and gsm8k as JSON lines (see `ROWS`). Intents of 10 kinds
need no data beside the project: they are in examples/real. The model is SmolLM2-135M-Instruct at
four bits (`lmc/smollm2`). Each result is written at once, so that a stopped run goes on.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import click

from lmc.optimizers.compilation.compare import Way, compare

REAL = Path(__file__).resolve().parents[1] / "examples" / "real"
HERE = Path(__file__).resolve().parent / "real"
EMBEDDER = 'embedder="embed/local"'
WAYS = (
    "bootstrap(demos=4, candidates=8)",
    f"knn(demos=6, {EMBEDDER})",
    "instructions",
    "lora(epochs=2)",
    f"knn(demos=6, {EMBEDDER}) >> lora(epochs=2)",
    "auto",
)
Rows = Iterator[Mapping[str, Any]]


def intents77(data: Path) -> Rows:
    """Six train rows, and some more, of each intent."""
    by_intent: dict[str, list[dict[str, Any]]] = {}
    for row in _shuffled(data / "banking77" / "train.jsonl"):
        row["intent"] = row["intent"].rstrip("?").lower()
        by_intent.setdefault(row["intent"], []).append(row)
    for place in range(9):
        yield from (rows[place] for _, rows in sorted(by_intent.items()))


def slots(data: Path) -> Rows:
    """Sentences of guests with five slots each, and what was asked for before."""
    for row in _shuffled(data / "restaurant8k" / "train.jsonl"):
        yield {**row, "asked": row["asked"] or "nothing"}


def boolean(data: Path) -> Rows:
    """Formulas, true or false."""
    for row in _shuffled(data / "bbh" / "boolean_expressions.jsonl"):
        yield {"question": row["question"], "answer": row["answer"] == "True"}


def sums(data: Path) -> Rows:
    """Word problems with their numbers."""
    for row in _shuffled(data / "gsm8k" / "train.jsonl"):
        number = row["answer"].rpartition("####")[2].strip().replace(",", "")
        yield {"question": row["question"], "answer": number}


ROWS: dict[str, Callable[[Path], Rows]] = {
    "intents77": intents77, "slots": slots, "boolean": boolean, "sums": sums,
}  # fmt: skip
MOST_ROWS = 700


def _shuffled(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    Random(path.stem).shuffle(rows)
    return rows


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--task", "tasks", multiple=True, type=click.Choice(["banking", *ROWS]))
@click.option("--way", "ways", multiple=True, help="Optimizer, as for `lmc compare`. Repeatable.")
@click.option("--out", default="real.jsonl", type=click.Path(path_type=Path), show_default=True)
def main(data: Path, tasks: tuple[str, ...], ways: tuple[str, ...], out: Path) -> None:
    """Improve each task in each way, and print the scores on the test rows."""
    known = {(r["task"], r["way"]) for r in _results(out)}
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks or ("banking", *ROWS):
            program = _prepared(task, data, Path(folder))
            for way in ways or WAYS:
                if (task, way) not in known:
                    for found in compare(program, [way], progress=_silent):
                        _write(out, task, way, found)
                    print(f"{task}: {way}", file=sys.stderr)
    print(_table(_results(out)))


def _silent(event: Any) -> None:
    pass


def _prepared(task: str, data: Path, folder: Path) -> Path:
    """A program beside its rows."""
    if task == "banking":
        shutil.copy(REAL / "banking.jsonl", folder)
        return Path(shutil.copy(REAL / "banking.lmp", folder))
    rows = [json.dumps(row) for _, row in zip(range(MOST_ROWS), ROWS[task](data))]
    (folder / f"{task}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return Path(shutil.copy(HERE / f"{task}.lmp", folder))


def _write(out: Path, task: str, way: str, found: Way) -> None:
    written = found.result is None
    figure = found.figure
    row = {
        "task": task, "way": "as written" if written else way, "mean": figure.mean,
        "low": figure.low, "high": figure.high, "rows": figure.rows, "calls": found.calls,
        "seconds": round(found.seconds),
        "kept": found.result.improved if found.result else True,
    }  # fmt: skip
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _results(out: Path) -> list[dict[str, Any]]:
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _table(results: list[dict[str, Any]]) -> str:
    lines = ["| task | way | test score [95 %] | calls | seconds |", "|---|---|---|---|---|"]
    unique = {(r["task"], r["way"]): r for r in results}
    for r in sorted(unique.values(), key=lambda r: r["task"]):
        score = f"{r['mean']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"
        score += "" if r["kept"] else " (nothing accepted)"
        lines.append(f"| {r['task']} | `{r['way']}` | {score} | {r['calls']:,} | {r['seconds']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
