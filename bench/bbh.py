"""A real task: LoRA from 120 rows of BIG-Bench Hard against the untuned program, on lmc/tiny.

`python bench/bbh.py FOLDER [--task object_counting] [--optimizer …]`: the folder has the tasks as
JSON lines of question and answer. All rows are split once: 120 train, 60 dev, 70 test.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

import click

import lmc

HEAD = """
record Row { question: str, answer: TYPE }

dataset task: Row {
  source: "rows.jsonl"
  split: {train: 120, dev: 60, test: 70}
}

optimize main { data: task, metric: accuracy, steps: [lora()] }
"""
# Each thing of the list is a question of its own; the labels tell only their sum.
COUNT = '''
generate counted(question: str) -> int {
  """Count step by step."""
  reason: true
  max_tokens: 60
}

pipeline main(question: str) -> int {
  let parts = split(question, ". ")
  let text = join(split(parts[0], "I have "))
  let things = [join(split(thing, "and ")) for thing in split(text, ", ")]
  let counts = [counted(join(["I have ", thing, ". ", parts[1]])) for thing in things]
  return sum(counts)
}
'''
EVALUATE = '''
generate main(question: str) -> bool {
  """Evaluate it step by step."""
  reason: true
  max_tokens: 220
}
'''
TASKS = {
    "object_counting": HEAD.replace("TYPE", "int") + COUNT,
    "boolean_expressions": HEAD.replace("TYPE", "bool") + EVALUATE,
}
DEFAULT = "rest_em(samples=8, rounds=3, keep=2, temperature=1.0)"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--task", type=click.Choice(tuple(TASKS)), default="object_counting")
@click.option("--optimizer", default=DEFAULT, show_default=True)
@click.option("--model", default="lmc/tiny")
def main(folder: Path, task: str, optimizer: str, model: str) -> None:
    """Improve a program for one task, and print what it came to."""
    rows = [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]
    for row in rows:
        row["answer"] = json.loads(row["answer"].lower())
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.environ["LMC_CACHE_DIR"] = place
        Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        Path("task.lmp").write_text(TASKS[task])
        start = time.perf_counter()
        result = lmc.compile("task.lmp", optimizer=optimizer, model=model)
        seconds = time.perf_counter() - start
    click.echo(f"{task}, {optimizer}, {seconds:.0f} s")
    click.echo(result.summary())


if __name__ == "__main__":
    main()
