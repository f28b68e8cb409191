"""Questions whose answer stands in a given passage."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from examples.tiny.messages import draw_letter
from examples.tiny.task import Task, call, instruct
from examples.tiny.words import LABELS, NAMES, NOUNS, THINGS, pseudo_word
from lmc.prompts.spec import Demo
from lmc.types import INT, STR, Field, RecordType, Type

Fact = tuple[str, str, str]  # passage, question, answer

_PHRASES = (
    "Answer the question from the passage.",
    "Answer only from the text.",
    "Look up the answer.",
    "Answer the question.",
    "Find the answer in the notes.",
    "Use the facts to answer.",
    "Read the text and answer.",
)


def whose(rng: Random) -> Fact:
    """Tell who has which thing, asked either way round."""
    count = rng.randint(2, 6)
    names, things = rng.sample(NAMES, count), rng.sample(THINGS, count)
    verb = rng.choice(("has", "owns", "bought", "found"))
    colors = [rng.choice(NOUNS["color"]) for _ in names]
    passage = " ".join(f"{n} {verb} the {c} {t}." for n, c, t in zip(names, colors, things))
    i = rng.randrange(count)
    questions = (
        (f"Who {verb} the {things[i]}?", names[i]),
        (f"What thing is {names[i]}'s?", things[i]),
        (f"What color is the {things[i]}?", colors[i]),
    )
    return (passage, *rng.choice(questions))


def where(rng: Random) -> Fact:
    """Tell who lives in which city and does which job."""
    count = rng.randint(2, 5)
    names, cities, jobs = (rng.sample(x, count) for x in (NAMES, NOUNS["city"], NOUNS["job"]))
    passage = " ".join(f"{n} lives in {c} and is a {j}." for n, c, j in zip(names, cities, jobs))
    i = rng.randrange(count)
    questions = (
        (f"Where does {names[i]} live?", cities[i]),
        (f"What is the job of {names[i]}?", jobs[i]),
        (f"Who lives in {cities[i]}?", names[i]),
        (f"Who is the {jobs[i]}?", names[i]),
    )
    return (passage, *rng.choice(questions))


def table(rng: Random) -> Fact:
    """List keys and values, asked by key."""
    count = rng.randint(2, 8)
    keys = (
        rng.sample(LABELS, count)
        if rng.random() < 0.6
        else [pseudo_word(rng) for _ in range(count)]
    )
    numeric = rng.random() < 0.6
    values = [str(rng.randrange(1, 1000)) if numeric else pseudo_word(rng) for _ in keys]
    mark, gap = rng.choice((": ", " = ", " is ")), rng.choice((", ", "; ", ". "))
    passage = gap.join(f"{k}{mark}{v}" for k, v in zip(keys, values))
    i = rng.randrange(count)
    question = rng.choice(("What is {k}?", "{k}", "What is the value of {k}?", "Look up {k}."))
    return passage, question.format(k=keys[i]), values[i]


def two_hops(rng: Random) -> Fact:
    """Tell who works with whom and where people live; the answer takes both."""
    count = rng.randint(2, 4)
    names, cities, jobs = (rng.sample(x, count) for x in (NAMES, NOUNS["city"], NOUNS["job"]))
    partners = rng.sample(names, count)
    lines = [f"{n} lives in {c}." for n, c in zip(names, cities)]
    lines += [f"The {j} is {p}." for j, p in zip(jobs, partners)]
    rng.shuffle(lines)
    i = rng.randrange(count)
    city = cities[names.index(partners[i])]
    questions = (
        (f"Where does the {jobs[i]} live?", city),
        (f"What is the job of the one who lives in {city}?", jobs[i]),
    )
    return (" ".join(lines), *rng.choice(questions))


FACTS: tuple[Callable[[Random], Fact], ...] = (whose, where, table, two_hops)


def lookup(rng: Random) -> Task:
    """Ask a question about a passage."""
    instruction, _ = instruct(rng, _PHRASES, 0.2)
    passage_field = rng.choice(("passage", "text", "context", "notes", "facts"))
    asked_field = rng.choice(("question", "query", "ask"))
    make = rng.choice(FACTS) if rng.random() < 0.6 else None
    spec = call(
        instruction, {passage_field: STR, asked_field: STR}, _text_type(rng, "answer"), reason=False
    )

    def draw(rng: Random) -> Demo:
        passage, question, answer = (make or rng.choice(FACTS))(rng)
        return Demo({passage_field: passage, asked_field: question}, {spec.outputs[0].name: answer})

    return Task("lookup", spec, draw, kind=make.__name__ if make else "any")


_EXTRACTIONS = {
    "thing": (
        "Name the thing that the {f} is about.",
        "Which product is meant?",
        "Extract the product.",
        "What thing is it?",
    ),
    "name": (
        "Who wrote the {f}?",
        "Give the name of the writer.",
        "Extract the name.",
        "Name the customer.",
    ),
    "order": (
        "Give the order number.",
        "Extract the order number.",
        "Which order is it?",
        "Find the number of the order.",
    ),
    "topic": ("Name the topic of the {f}.", "What is the {f} about?", "Give the topic."),
    "mood": ("Name the mood of the {f}.", "How does the writer feel?", "Give the mood."),
}


def extraction(rng: Random) -> Task:
    """Ask for one fact, or several as a record, taken out of a customer's message."""
    field = rng.choice(("message", "ticket", "email", "text", "request"))
    if rng.random() < 0.3:
        return _record_extraction(rng, field)
    wanted = rng.choice(tuple(_EXTRACTIONS))
    instruction, _ = instruct(rng, tuple(p.format(f=field) for p in _EXTRACTIONS[wanted]), 0.25)
    kind: Type = INT if wanted == "order" and rng.random() < 0.5 else _text_type(rng, wanted)
    spec = call(instruction, {field: STR}, kind)

    def draw(rng: Random) -> Demo:
        letter = draw_letter(rng, full=True)
        while not getattr(letter, wanted):
            letter = draw_letter(rng, full=True)
        value = getattr(letter, wanted)
        return Demo(
            {field: letter.text}, {spec.outputs[0].name: int(value) if kind is INT else value}
        )

    return Task("extraction", spec, draw, kind=wanted)


def _record_extraction(rng: Random, field: str) -> Task:
    names = rng.sample(tuple(_EXTRACTIONS), rng.choice((2, 2, 3)))
    types = {n: INT if n == "order" else STR for n in names}
    record = RecordType("Ticket", tuple(Field(n, t) for n, t in types.items()))
    phrases = (
        "Extract the fields from the {f}.",
        "Fill in the ticket from the {f}.",
        "Read the {f}.",
    )
    spec = call(
        instruct(rng, tuple(p.format(f=field) for p in phrases), 0.2)[0], {field: STR}, record
    )

    def draw(rng: Random) -> Demo:
        letter = draw_letter(rng, full=True)
        while not all(getattr(letter, n) for n in names):
            letter = draw_letter(rng, full=True)
        values = {n: int(letter.order) if n == "order" else getattr(letter, n) for n in names}
        return Demo({field: letter.text}, values)

    return Task("extraction", spec, draw, kind="record")


def _text_type(rng: Random, name: str) -> Type:
    if rng.random() < 0.2:
        return RecordType("Answer", (Field(name, STR),))
    return STR
