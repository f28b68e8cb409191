"""Which layout a model does best, by task, as a Markdown table.

`python bench/layouts.py [--model lmc/tiny --model lmc/smollm2] [--rows 32]`. A label is asked for
on the messages of examples/real, a number and a record on bookings that are written here. A cell
has the right answers, how many could not be read where there are some, and the seconds. The first
line of a model has what `layout: "auto"` chooses, by rows of its own.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import click

import lmc
from lmc.requests.pool import ModelPool
from lmc.runtime.fitting import fit_layout
from lmc.tasks.loop import run_sync

REAL = Path(__file__).resolve().parents[1] / "examples" / "real"
LAYOUTS = ("chat", "json", "xml")
NAMES = ("Ann", "Boris", "Chen", "Dora", "Emil", "Fatima", "Greta", "Hugo")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORMS = (
    "This is {name}. A table for {guests} on {Day}, please.",
    "Could we come on {Day}? We are {guests}, the name is {name}.",
    "{name} here, I would like to book for {guests} people next {Day}.",
    "We are a group of {guests} and want to eat with you on {Day}. Regards, {name}",
)
TASKS = {
    "label": ("topic", 'Topic { """Which topic does the customer\'s message have?"""'),
    "number": ("guests", 'int { """For how many guests is the booking?"""'),
    "record": ("booking", 'Booking { """Fill in the booking from the message."""'),
}
PROGRAM = """
enum Topic {{
  payment "prices, bills, cards and receipts"
  delivery "where a parcel is, and how it comes"
  returns "something is broken, wrong or not wanted"
  account "login, password, profile and newsletter"
}}
enum Day {{ {days} }}
record Booking {{ name: str, day: Day, guests: int }}
model asked {{ name: "{model}" }}
default {{ model: asked, layout: "{layout}", temperature: 0.0, repair: 0 }}
generate main(message: str) -> {task}
  max_tokens: 64
}}
"""


def bookings(count: int) -> Iterator[Mapping[str, Any]]:
    """Messages of guests, with what each says."""
    rng = Random("bookings")
    for number in range(count):
        booking = {
            "name": rng.choice(NAMES),
            "day": rng.choice(DAYS),
            "guests": rng.randint(2, 14),
        }
        text = FORMS[number % len(FORMS)].format(Day=booking["day"].capitalize(), **booking)
        yield {"message": text, "booking": booking, "guests": booking["guests"]}


def rows_of(task: str, count: int) -> list[Mapping[str, Any]]:
    """The rows of a task."""
    if task != "label":
        return list(bookings(count))
    lines = (REAL / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def measured(program: Path, rows: list[Mapping[str, Any]], wanted: str) -> tuple[int, int]:
    """How many rows are right, and for how many no answer can be read."""
    with lmc.load(program, cache=False) as loaded:
        inputs = [{"message": row["message"]} for row in rows]
        answers = loaded.main.batch(inputs, return_exceptions=True)
    unread = sum(isinstance(answer, Exception) for answer in answers)
    return sum(_plain(a) == row[wanted] for a, row in zip(answers, rows)), unread


def _plain(answer: Any) -> Any:
    if isinstance(answer, Exception):
        return None
    if hasattr(answer, "guests"):
        return {"name": answer.name, "day": str(answer.day), "guests": answer.guests}
    return answer if isinstance(answer, int) else str(answer)


def chosen(model: str) -> str:
    """What `layout: "auto"` chooses for a model, and how long that takes."""
    start_s, pool = time.perf_counter(), ModelPool()

    async def fit() -> None:
        await fit_layout(pool, model)
        await pool.close()

    run_sync(fit())
    return f"{pool.layouts[model]}, {time.perf_counter() - start_s:.0f} s"


@click.command()
@click.option("--model", "models", multiple=True, default=("lmc/tiny", "lmc/smollm2"))
@click.option("--rows", "count", default=32)
def main(models: tuple[str, ...], count: int) -> None:
    """Measure every layout on every task with every model."""
    print(f"| right of {count}, seconds | " + " | ".join(LAYOUTS) + " |")
    print("|---" * (len(LAYOUTS) + 1) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for model, (name, (wanted, task)) in product(models, TASKS.items()):
            if name == next(iter(TASKS)):
                print(f"| {model}: auto chooses | {chosen(model)} | | |", flush=True)
            rows, cells = rows_of(name, count), []
            for layout in LAYOUTS:
                days = ", ".join(DAYS)
                text = PROGRAM.format(model=model, layout=layout, task=task, days=days)
                program = Path(folder) / f"{name}_{layout}.lmp"
                program.write_text(text, encoding="utf-8")
                start_s = time.perf_counter()
                right, unread = measured(program, rows, wanted)
                took_s = time.perf_counter() - start_s
                cells.append(f"{right}{f' ({unread} unread)' if unread else ''}, {took_s:.0f} s")
            print(f"| {model}: {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
