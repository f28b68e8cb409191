"""What each way of improving brings to a real model on real data, as a Markdown table.

`python bench/real.py DATA [--task banking] [--way "knn(demos=6)"] [--out real.jsonl]`. `DATA` has
the folders banking77, restaurant8k, bbh and gsm8k as JSON lines (see `ROWS`). Intents of 10 kinds
need no data beside the project: they are in examples/real. The model is SmolLM2-135M-Instruct at
four bits (`lmc/smollm2`). Each way runs in a process with a response cache of its own, so that none
profits from another. Its result is written at once, and a stopped run goes on.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import click

from lmc.files import cache_folder
from lmc.optimizers.compilation.compare import Way, compare

REAL = Path(__file__).resolve().parents[1] / "examples" / "real"
HERE = Path(__file__).resolve().parent / "real"
EMBEDDER = 'embedder="embed/local"'
BOOTSTRAP = "bootstrap(demos=4, candidates=6)"
LORA = "lora(epochs=3)"


def _knn(pool: int) -> str:
    return f"knn(demos=6, pool={pool}, {EMBEDDER})"


def _ways(pool: int, *more: str) -> tuple[str, ...]:
    return (
        BOOTSTRAP,
        _knn(pool),
        "instructions(demos=0, trials=10)",
        LORA,
        f"{LORA} >> {_knn(pool)}",
        *more,
    )


WAYS = {
    "banking": _ways(120, f"{_knn(120)} >> distill(epochs=3)"),
    "intents77": (_knn(462), "lora(epochs=2)", f"lora(epochs=2) >> {_knn(462)}"),
    "slots": _ways(120),
    "boolean": _ways(64),
    "sums": _ways(64),
}
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
@click.option("--task", "tasks", multiple=True, type=click.Choice(list(WAYS)))
@click.option("--way", "ways", multiple=True, help="Optimizer, as for `lmc compare`. Repeatable.")
@click.option("--out", default="real.jsonl", type=click.Path(path_type=Path), show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--calls", type=int, help="A budget of calls, in place of that of the program.")
@click.option("--only", hidden=True, help="Improve this program in one way, in this process.")
def main(
    data: Path, tasks: tuple[str, ...], ways: tuple[str, ...], out: Path, dtype: str,
    calls: int | None, only: str | None,
) -> None:  # fmt: skip
    """Improve each task in each way, and print the scores on the test rows."""
    if only is not None:
        _one(tasks[0], Path(only), ways[0], out)
        return
    known = {(r["task"], r["way"]) for r in _results(out)}
    with tempfile.TemporaryDirectory() as folder:
        for task in tasks or WAYS:
            program = _prepared(task, data, Path(folder))
            _set(program, "temperature: 0.0 }", f'temperature: 0.0, dtype: "{dtype}" }}')
            if calls is not None:
                _set(program, r"budget: {calls: \d+}", f"budget: {{calls: {calls}}}")
            for way in ways or WAYS[task]:
                if (task, way) not in known:
                    _apart(program, ["--task", task, "--way", way, "--out", str(out)], data)
                    print(f"{task}: {way}", file=sys.stderr)
    print(_table(_results(out)))


def _set(program: Path, pattern: str, text: str) -> None:
    """Write something else into a program. It must be there."""
    changed, found = re.subn(pattern, lambda _: text, program.read_text(encoding="utf-8"), count=1)
    assert found, pattern
    program.write_text(changed, encoding="utf-8")


def _apart(program: Path, arguments: list[str], data: Path) -> None:
    """One way in a process of its own, with an empty cache but for converted models."""
    with tempfile.TemporaryDirectory() as cache:
        if (known := cache_folder() / "gguf").is_dir():
            Path(cache, "gguf").symlink_to(known)
        command = [sys.executable, __file__, str(data), *arguments, "--only", str(program)]
        subprocess.run(command, env={**os.environ, "LMC_CACHE_DIR": cache}, check=True)


def _one(task: str, program: Path, way: str, out: Path) -> None:
    for found in compare(program, [way], progress=_silent):
        _write(out, task, way, found)


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
        "cpu_s": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime),
        "kept": found.result.improved if found.result else True,
    }  # fmt: skip
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _results(out: Path) -> list[dict[str, Any]]:
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| task | way | test score [95 %] | calls | seconds | processor seconds |",
        "|---|---|---|---|---|---|",
    ]
    unique = {(r["task"], r["way"]): r for r in results}
    for r in sorted(unique.values(), key=lambda r: r["task"]):
        score = f"{r['mean']:.2f} [{r['low']:.2f}, {r['high']:.2f}]"
        score += "" if r["kept"] else " (nothing accepted)"
        cost = f"{r['calls']:,} | {r['seconds']} | {r['cpu_s']}"
        lines.append(f"| {r['task']} | `{r['way']}` | {score} | {cost} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
