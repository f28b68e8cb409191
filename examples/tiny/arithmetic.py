"""Arithmetic in words and in figures, with steps, with reasoning, or with the answer alone."""

from __future__ import annotations

from random import Random

from examples.tiny.task import Task, call, instruct
from examples.tiny.words import CONTAINERS, COUNTED, NAMES, THINGS
from lmc.prompts.spec import REASONING, CallSpec, Demo
from lmc.types import INT, STR, Field, IntType, ListType, RecordType, Type

Problem = tuple[str, list[str], int]  # text, steps, answer

_PHRASES = (
    "Solve the problem.",
    "Solve the grade-school word problem.",
    "Compute the answer.",
    "Work out the result.",
    "Answer the question. Think step by step first.",
    "Solve the problem. Show each arithmetic step.",
    "What is the result?",
    "Do the sum.",
    "Calculate.",
    "Answer the question.",
)
_SUMS = (
    "What is {a} plus {b}?",
    "{a} + {b}",
    "Add {a} and {b}.",
    "What is {a} + {b}?",
    "What do {a} and {b} make?",
)
_DIFFERENCES = ("What is {a} minus {b}?", "{a} - {b}", "Take {b} from {a}.", "What is {a} - {b}?")
_PRODUCTS = ("What is {a} times {b}?", "{a} * {b}", "Multiply {a} by {b}.", "What is {a} * {b}?")
_MORE = ("{n} buys {k} more", "{n} gets {k} more", "{m} brings {k} more", "{n} finds {k} more")
_LESS = ("{n} loses {k}", "{n} gives {k} to {m}", "{n} sells {k}", "{n} throws {k} away")
_ASKS = (
    "How many {t} are left?",
    "How many {t} does {n} have now?",
    "How many are there now?",
    "How many {t} are there in the end?",
)


def addition(rng: Random) -> Problem:
    """Ask for the sum of two numbers of one or two digits."""
    a, b = rng.randrange(1, 100), rng.randrange(1, 100)
    return rng.choice(_SUMS).format(a=a, b=b), add_steps(a, b), a + b


def subtraction(rng: Random) -> Problem:
    """Ask for a difference that is not negative."""
    b, a = sorted((rng.randrange(1, 100), rng.randrange(1, 100)))
    return rng.choice(_DIFFERENCES).format(a=a, b=b), [f"{a} - {b} = {a - b}"], a - b


def product(rng: Random) -> Problem:
    """Ask for the small times table."""
    a, b = rng.randrange(2, 11), rng.randrange(2, 11)
    return rng.choice(_PRODUCTS).format(a=a, b=b), [f"{a} * {b} = {a * b}"], a * b


def story(rng: Random) -> Problem:
    """Tell of one person, one kind of thing, one to three changes of its number."""
    name, other = rng.sample(NAMES, 2)
    things = rng.choice(COUNTED)
    words, steps, total = _start(rng, name, things)
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        change = rng.randrange(1, 20)
        less = rng.random() < 0.5 and change <= total
        total, before = total - change if less else total + change, total
        words.append(rng.choice(_LESS if less else _MORE).format(n=name, m=other, k=change))
        steps.append(f"{before} {'-' if less else '+'} {change} = {total}")
    text = ". ".join(words) + ". " + rng.choice(_ASKS).format(t=things, n=name)
    return text, steps, total


def purchase(rng: Random) -> Problem:
    """Tell of so many things at so much, and perhaps the change."""
    count, price, name = rng.randrange(2, 10), rng.randrange(2, 11), rng.choice(NAMES)
    cost, thing = count * price, rng.choice(THINGS)
    text, steps = (
        f"{name} buys {count} {thing}s at {price} euros each.",
        [f"{count} * {price} = {cost}"],
    )
    if rng.random() < 0.5:
        return f"{text} How much does {name} pay?", steps, cost
    paid = cost + rng.randrange(1, 30)
    steps.append(f"{paid} - {cost} = {paid - cost}")
    return f"{text} {name} pays with {paid} euros. How much comes back?", steps, paid - cost


def add_steps(a: int, b: int) -> list[str]:
    """Add ones, then tens, then both; one step where a number has one digit."""
    if a < 10 or b < 10:
        return [f"{a} + {b} = {a + b}"]
    ones, tens = a % 10 + b % 10, a // 10 * 10 + b // 10 * 10
    return [
        f"{a % 10} + {b % 10} = {ones}",
        f"{a // 10 * 10} + {b // 10 * 10} = {tens}",
        f"{tens} + {ones} = {a + b}",
    ]


PROBLEMS = (addition, subtraction, product, story, purchase)
WEIGHTS = (4, 1, 1, 3, 1)


def draw_problem(rng: Random) -> Problem:
    """Draw a problem of any kind."""
    return rng.choices(PROBLEMS, WEIGHTS)[0](rng)


def arithmetic(rng: Random, kinds: tuple[int, ...] = WEIGHTS, form: str = "") -> Task:
    """Make a task over one or all kinds of problem; `form` is steps, reasoning or answer."""
    form = form or rng.choices(("steps", "reasoning", "answer"), (5, 3, 2))[0]
    field = rng.choice(("problem", "question", "text", "task", "exercise"))
    instruction, _ = instruct(rng, _PHRASES, 0.15)
    spec = call(instruction, {field: STR}, _result(rng, form), reason=form == "reasoning")
    make = rng.choices(PROBLEMS, kinds)[0] if rng.random() < 0.3 else None

    def draw(rng: Random) -> Demo:
        text, steps, answer = (make or rng.choices(PROBLEMS, kinds)[0])(rng)
        return Demo({field: text}, solution(spec, steps, answer))

    return Task("arithmetic", spec, draw, kind=form)


def solution(spec: CallSpec, steps: list[str], answer: int) -> dict[str, object]:
    """Lay out the outputs of a call that gives steps, reasoning, or the answer alone."""
    by_name: dict[str, object] = {REASONING: ". ".join(steps) + ".", "steps": steps}
    value = str(answer) if isinstance(spec.outputs[-1].type, type(STR)) else answer
    return {f.name: by_name.get(f.name, value) for f in spec.outputs}


def solution_record(rng: Random) -> RecordType:
    """Declare steps and an answer, in one of the ways a program may declare it."""
    items = rng.choice((ListType(STR), ListType(STR, 1, 12), ListType(STR, 1, 6)))
    notes = rng.choice((("", ""), ("one arithmetic step per item", "the final integer, no units")))
    name = rng.choice(("answer", "answer", "answer", "total", "value"))
    return RecordType("Solution", (Field("steps", items, notes[0]), Field(name, INT, notes[1])))


def _result(rng: Random, form: str) -> Type:
    if form == "steps":
        return solution_record(rng)
    if form == "answer" and rng.random() < 0.3:
        return RecordType("Answer", (Field(rng.choice(("answer", "total", "value")), INT),))
    return rng.choice((INT, INT, IntType(0, 1000), STR))


def _start(rng: Random, name: str, things: str) -> tuple[list[str], list[str], int]:
    if rng.random() < 0.6:
        count = rng.randrange(2, 50)
        return [f"{name} has {count} {things}"], [], count
    groups, each = rng.randrange(2, 10), rng.randrange(2, 10)
    words = f"{name} has {groups} {rng.choice(CONTAINERS)} of {each} {things}"
    return [words], [f"{groups} * {each} = {groups * each}"], groups * each
