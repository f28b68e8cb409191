"""Measure the model on unseen instances: `python -m examples.tiny.evaluate`.

Exact match of the answer text, greedy decoding, by family and number of demonstrations. With
`--card` the table goes into README.md beside this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import click

from examples.tiny.arithmetic import arithmetic
from examples.tiny.families import FAMILIES
from examples.tiny.labels import ATTRIBUTES, UNSEEN_ATTRIBUTES, arbitrary
from examples.tiny.logic import PUZZLES, logic
from examples.tiny.task import Instance, Task, draw_instance
from lmc.frozen import frozen
from lmc.tiny import MODEL_DIR

SHOTS = (0, 2, 4, 8)
CARD = Path(__file__).parent / "README.md"
MARKS = "<!-- {}: begin -->", "<!-- {}: end -->"

_BY_NAME = {
    name: tuple(a for a in ATTRIBUTES if a.name == name) for name in ("topic", "category", "form")
}
MEASURED: dict[str, Callable[[Random], Task]] = {
    "arbitrary labels, all kinds": lambda r: arbitrary(r, unseen_words=True),
    "arbitrary labels, topic of a message": lambda r: arbitrary(r, True, _BY_NAME["topic"]),
    "arbitrary labels, category of a noun": lambda r: arbitrary(r, True, _BY_NAME["category"]),
    "arbitrary labels, form of a sentence": lambda r: arbitrary(r, True, _BY_NAME["form"]),
    "arbitrary labels, categories never labelled": lambda r: arbitrary(r, True, UNSEEN_ATTRIBUTES),
    "named labels": FAMILIES["named"],
    "two-digit sums with steps": lambda r: arithmetic(r, (1, 0, 0, 0, 0), "steps"),
    "arithmetic with steps": lambda r: arithmetic(r, form="steps"),
    "arithmetic with reasoning": lambda r: arithmetic(r, form="reasoning"),
    "arithmetic, answer alone": lambda r: arithmetic(r, form="answer"),
    **{
        f"{make.__name__}, with reasoning": partial(logic, make=make, form="reasoning")
        for make in PUZZLES
    },
    **{
        f"{make.__name__}, answer alone": partial(logic, make=make, form="answer")
        for make in PUZZLES
    },
    "words and lists": FAMILIES["strings"],
    "look-up in a passage": FAMILIES["lookup"],
    "facts from a message": FAMILIES["extraction"],
    "checking a draft": FAMILIES["checking"],
    "revising a draft": FAMILIES["revising"],
}


@frozen
class Cell:
    """How many of so many instances are right."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """The share that is right, 0 to 1."""
        return self.right / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson."""
        z, n = 1.96, self.total
        middle = (self.share + z * z / (2 * n)) / (1 + z * z / n)
        half = (
            z * math.sqrt(self.share * (1 - self.share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        )
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.share:.0f} ({100 * low:.0f}–{100 * high:.0f})"


class Writer:
    """The model, writing answers greedily or by sampling, many prompts at a time."""

    def __init__(self, path: Path = MODEL_DIR) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(str(path), local_files_only=True)
        self.model = AutoModelForCausalLM.from_pretrained(str(path), local_files_only=True).eval()

    def answers(
        self,
        instances: Sequence[Instance],
        batch: int = 32,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str]:
        """Write one answer for each instance, in order."""
        prompts = [self._prompt(i) for i in instances]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        written: dict[int, str] = {}
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            texts = self._write([prompts[i] for i in chosen], temperature, seed + start)
            written.update(zip(chosen, texts))
        return [written[i] for i in range(len(prompts))]

    def _prompt(self, instance: Instance) -> str:
        text: str = self.tokenizer.apply_chat_template(
            instance.messages(), tokenize=False, add_generation_prompt=True
        )
        return text

    def _write(self, prompts: list[str], temperature: float, seed: int) -> list[str]:
        import torch

        torch.manual_seed(seed)
        given = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                max_new_tokens=160,
                **sampling,
            )
        new = out[:, given["input_ids"].shape[1] :]
        return [t.strip() for t in self.tokenizer.batch_decode(new, skip_special_tokens=True)]


def draw_unseen(
    seed: int, make: Callable[[Random], Task], demos: int, count: int
) -> list[Instance]:
    """Draw instances whose question was never trained on, the same at every call."""
    rng = Random(f"evaluation/{seed}/{demos}")
    found: list[Instance] = []
    while len(found) < count:
        instance = draw_instance(rng, make(rng), demos, unseen=True)
        if instance:
            found.append(instance)
    return found


def measure(writer: Writer, instances: Sequence[Instance]) -> Cell:
    """Count exact matches over the instances."""
    written = writer.answers(instances)
    return Cell(sum(w == i.answer().strip() for w, i in zip(written, instances)), len(instances))


def table(writer: Writer, seed: int, count: int, names: Sequence[str]) -> list[str]:
    """Measure the rows of the table, as Markdown; the first two are its head."""
    lines = [
        "| family | " + " | ".join(f"{k} demos" for k in SHOTS) + " |",
        "|---" * (len(SHOTS) + 1) + "|",
    ]
    for name in names:
        cells = [measure(writer, draw_unseen(seed, MEASURED[name], k, count)) for k in SHOTS]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
        click.echo(lines[-1])
    return lines


def write_card(lines: list[str], seed: int, count: int, part: str = "figures") -> None:
    """Put a table between two marks of the model card."""
    text = CARD.read_text(encoding="utf-8")
    begin, end = (mark.format(part) for mark in MARKS)
    head, rest = text.split(begin)
    _, tail = rest.split(end)
    note = (
        f"Exact match in %, {count} unseen instances a cell (seed {seed}); "
        "the 95 % interval of Wilson in brackets."
    )
    body = "\n".join([begin, note, "", *lines, end])
    CARD.write_text(head + body + tail, encoding="utf-8")


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=MODEL_DIR)
@click.option("--seed", default=1, help="Seed of the instances.")
@click.option("--count", default=200, help="Instances a cell.")
@click.option("--only", multiple=True, type=click.Choice(tuple(MEASURED)), help="These families.")
@click.option("--card", is_flag=True, help="Write the table into README.md.")
def main(model: Path, seed: int, count: int, only: tuple[str, ...], card: bool) -> None:
    """Measure the model on unseen instances."""
    lines = table(Writer(model), seed, count, only or tuple(MEASURED))
    if card:
        write_card(lines, seed, count)


if __name__ == "__main__":
    main()
