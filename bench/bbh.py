"""A real task: LoRA from 120 rows of BIG-Bench Hard against the untuned program, on lmc/tiny.

`python bench/bbh.py FOLDER [--task object_counting] [--optimizer …]`: the folder has the tasks as
JSON lines of question and answer. All rows are split once: 120 train, 60 dev, the rest tests.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click

import lmc

TASKS = {
    "object_counting": ("int", "Count step by step."),
    "boolean_expressions": ("bool", "Evaluate it step by step."),
}
PROGRAM = '''
record Row {{ question: str, answer: {type} }}

generate main(question: str) -> {type} {{
  """{instruction}"""
  reason: true
  max_tokens: 220
}}

dataset task: Row {{
  source: "rows.jsonl"
  split: {{train: 120, dev: 60, test: {test}}}
}}

optimize main {{ data: task, metric: accuracy, steps: [lora()] }}
'''
DEFAULT = "rest_em(samples=8, rounds=2, keep=2, temperature=0.9)"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--task", type=click.Choice(tuple(TASKS)), default="object_counting")
@click.option("--optimizer", default=DEFAULT, show_default=True)
@click.option("--model", default="lmc/tiny")
def main(folder: Path, task: str, optimizer: str, model: str) -> None:
    """Improve a program for one task, and print what it came to."""
    kind, instruction = TASKS[task]
    rows = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
    for row in rows:
        row["answer"] = int(row["answer"]) if kind == "int" else row["answer"] == "True"
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ["LMC_CACHE_DIR"] = place
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = PROGRAM.format(type=kind, instruction=instruction, test=len(rows) - 180)
        Path("task.lmp").write_text(text)
        start = time.perf_counter()
        result = lmc.compile("task.lmp", optimizer=optimizer, model=model)
        seconds = time.perf_counter() - start
    click.echo(f"{task}, {optimizer}, {seconds:.0f} s")
    click.echo(result.summary())


if __name__ == "__main__":
    main()
