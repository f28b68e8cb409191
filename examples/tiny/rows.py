"""Rows for examples that run on the bundled model: `python -m examples.tiny.rows triage --n 9`.

Each row is one JSON line; no two have the same message. In `triage`, `tickets` and `shelves` the
names of desks, queues and shelves mean nothing by themselves; in `named` they are plain words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random

import click

from examples.tiny.arithmetic import draw_problem
from examples.tiny.messages import draw_letter
from examples.tiny.words import NOUNS

JsonRow = dict[str, object]

DESKS = {"billing": "heron", "delivery": "otter", "login": "lynx", "return": "badger"}
QUEUES = {"angry": "scarlet", "calm": "indigo", "worried": "jasmine"}
SHELVES = {"animal": "granite", "tool": "marble", "fruit": "cobalt"}


def triage(rng: Random) -> JsonRow:
    """Draw a customer's message, and the desk for its topic."""
    topic = rng.choice(tuple(DESKS))
    letter = draw_letter(rng, topic=topic)
    return {"message": letter.text, "desk": DESKS[topic]}


def tickets(rng: Random) -> JsonRow:
    """Draw a longer message, its desk by topic, its queue by mood, and the customer's name."""
    topic, mood = rng.choice(tuple(DESKS)), rng.choice(tuple(QUEUES))
    letter = draw_letter(rng, topic, mood, full=True)
    return {
        "message": letter.text,
        "desk": DESKS[topic],
        "queue": QUEUES[mood],
        "customer": letter.name,
    }


def named(rng: Random) -> JsonRow:
    """Draw a longer message with the plain names of its topic and its mood."""
    topic, mood = rng.choice(tuple(DESKS)), rng.choice(tuple(QUEUES))
    letter = draw_letter(rng, topic, mood, full=True)
    return {"message": letter.text, "desk": topic, "queue": mood}


def shelves(rng: Random) -> JsonRow:
    """Draw two or three nouns of one category, and the shelf for it."""
    category = rng.choice(tuple(SHELVES))
    words = rng.sample(NOUNS[category], rng.choice((2, 3)))
    return {"items": ", ".join(words), "shelf": SHELVES[category]}


def problems(rng: Random) -> JsonRow:
    """Draw a word problem and its answer."""
    text, _, answer = draw_problem(rng)
    return {"problem": text, "answer": answer}


def sums(rng: Random) -> JsonRow:
    """Draw a sum of two three-digit numbers with its steps; training had at most two digits."""
    a, b = rng.randrange(100, 500), rng.randrange(100, 500)
    parts = [(n // 100 * 100, n // 10 % 10 * 10, n % 10) for n in (a, b)]
    steps = [f"{x} + {y} = {x + y}" for x, y in zip(*parts)]
    first, second, third = (x + y for x, y in zip(*parts))
    steps += [f"{first} + {second} = {first + second}", f"{first + second} + {third} = {a + b}"]
    return {"problem": f"{a} + {b}", "steps": steps, "total": a + b}


def orders(rng: Random) -> JsonRow:
    """Draw a message with an order number, the customer's name, and the desk for its topic."""
    topic = rng.choice(tuple(DESKS))
    letter = draw_letter(rng, topic=topic, full=True)
    while not letter.name or not letter.order:
        letter = draw_letter(rng, topic=topic, full=True)
    return {
        "message": letter.text,
        "customer": letter.name,
        "order": int(letter.order),
        "desk": DESKS[topic],
    }


KINDS: dict[str, Callable[[Random], JsonRow]] = {
    "triage": triage,
    "tickets": tickets,
    "named": named,
    "shelves": shelves,
    "problems": problems,
    "sums": sums,
    "orders": orders,
}


def draw_rows(kind: str, count: int, seed: int) -> Iterator[JsonRow]:
    """Draw so many rows with different inputs, the same for the same seed."""
    rng = Random(f"rows/{kind}/{seed}")
    seen: set[object] = set()
    while len(seen) < count:
        row = KINDS[kind](rng)
        given = next(iter(row.values()))
        if given not in seen:
            seen.add(given)
            yield row


@click.command()
@click.argument("kind", type=click.Choice(tuple(KINDS)))
@click.option("--n", "count", default=400, help="Number of rows.")
@click.option("--seed", default=1, help="Seed of the rows.")
def main(kind: str, count: int, seed: int) -> None:
    """Print rows of a kind as JSON lines."""
    for row in draw_rows(kind, count, seed):
        click.echo(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
