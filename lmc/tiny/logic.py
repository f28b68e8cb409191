"""Small puzzles with steps: truth values, counting, exchanges, days, and orders of people."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

from lmc.check.types import BOOL, INT, STR, Field, ListType, RecordType, Type
from lmc.prompts.spec import REASONING, Demo
from lmc.tiny.task import Task, call, instruct
from lmc.tiny.words import DAYS, NAMES, NOUNS, THINGS

Puzzle = tuple[str, list[str], str]  # text, steps, answer

_NUMBERS = ("a", "two", "three", "four", "five", "six")
_COUNTABLE = ("animal", "fruit", "tool", "clothing", "vehicle", "furniture", "instrument")
_PLURALS = {"mouse": "mice", "wolf": "wolves", "sheep": "sheep", "goose": "geese", "deer": "deer"}
_PHRASES = (
    "Answer the question.",
    "Work it out step by step.",
    "Solve the puzzle.",
    "Think, then answer.",
    "Give the answer.",
    "Show each step, then the answer.",
)
_FIELDS = ("question", "puzzle", "text", "input", "problem")


def booleans(rng: Random) -> Puzzle:
    """Ask for the truth of an expression of three to six values, worked out from the inside."""
    steps: list[str] = []
    text, value = _clause(rng, rng.randint(2, 3), steps)
    for _ in range(rng.randint(0, 1)):
        other, holds = _clause(rng, rng.randint(1, 2), steps)
        word = rng.choice(("and", "or"))
        joined = (value and holds) if word == "and" else (value or holds)
        steps.append(f"{value} {word} {holds} = {joined}")
        text, value = f"( {text} ) {word} ( {other} )", joined
    return text, steps, str(value)


def _clause(rng: Random, size: int, steps: list[str]) -> tuple[str, bool]:
    """Chain values of which some are negated by one word, so that no rule of precedence matters."""
    word, texts, values = rng.choice(("and", "or")), [], []
    for _ in range(size):
        value = rng.random() < 0.5
        negated = rng.random() < 0.35
        texts.append(f"not {value}" if negated else str(value))
        if negated:
            steps.append(f"not {value} = {not value}")
        values.append(value != negated)
    held = values[0]
    for value in values[1:]:
        joined = (held and value) if word == "and" else (held or value)
        steps.append(f"{held} {word} {value} = {joined}")
        held = joined
    return f" {word} ".join(texts), held


def counting(rng: Random) -> Puzzle:
    """Ask how many of the listed things are of one category, or how many there are in all."""
    wanted, other = rng.sample(_COUNTABLE, 2)
    lines = [(wanted, n) for n in rng.sample(NOUNS[wanted], rng.randint(1, 4))]
    lines += [(other, n) for n in rng.sample(NOUNS[other], rng.randint(0, 3))]
    rng.shuffle(lines)
    amounts = [rng.choices(range(1, 7), (6, 2, 2, 1, 1, 1))[0] for _ in lines]
    listed = [_amount(noun, n) for (_, noun), n in zip(lines, amounts)]
    everything = rng.random() < 0.25
    steps, total = [], 0
    for (category, noun), n in zip(lines, amounts):
        if everything or category == wanted:
            steps.append(f"{noun}: {total} + {n} = {total + n}")
            total += n
    opening = rng.choice(("{n} has {l}.", "There are {l}.", "{n} sees {l}.", "On the list: {l}."))
    asked = "things" if everything else wanted if wanted == "clothing" else f"{wanted}s"
    text = opening.format(n=rng.choice(NAMES), l=_listing(listed))
    kinds = {"clothing": "pieces of clothing", "furniture": "pieces of furniture"}
    return f"{text} How many {kinds.get(asked.rstrip('s'), asked)} are there?", steps, str(total)


def exchanges(rng: Random) -> Puzzle:
    """Tell who holds what and who swaps; ask what one of them holds in the end."""
    count = rng.choice((2, 3, 3))
    names = rng.sample(NAMES, count)
    holds = dict(zip(names, rng.sample(THINGS, count)))
    words = [f"{n} has the {t}." for n, t in holds.items()]
    steps = []
    for _ in range(rng.randint(1, 3)):
        one, other = rng.sample(names, 2)
        holds[one], holds[other] = holds[other], holds[one]
        words.append(f"{one} and {other} swap.")
        steps.append(", ".join(f"{n} {t}" for n, t in holds.items()))
    asked = rng.choice(names)
    if rng.random() < 0.5:
        return f"{' '.join(words)} What does {asked} have now?", steps, holds[asked]
    return f"{' '.join(words)} Who has the {holds[asked]} now?", steps, asked


def days(rng: Random) -> Puzzle:
    """Ask for the day of the week so many days before or after another."""
    start, count = rng.randrange(7), rng.randint(1, 6)
    back = rng.random() < 0.3
    walk = [DAYS[(start + (-i if back else i)) % 7] for i in range(count + 1)]
    asks = (
        ("Today is {d}. What day was it {n} days ago?", "Which day is {n} days before {d}?")
        if back
        else ("Today is {d}. What day is it in {n} days?", "Which day is {n} days after {d}?")
    )
    return rng.choice(asks).format(d=DAYS[start], n=count), [" ".join(walk)], walk[-1]


def orders(rng: Random) -> Puzzle:
    """Compare neighbours in a row of people; ask for the first or the last."""
    names = rng.sample(NAMES, rng.choice((3, 3, 4)))
    more, less, most, least = rng.choice(
        (
            ("older", "younger", "oldest", "youngest"),
            ("taller", "shorter", "tallest", "shortest"),
            ("faster", "slower", "fastest", "slowest"),
        )
    )
    words = [
        f"{a} is {more} than {b}." if rng.random() < 0.6 else f"{b} is {less} than {a}."
        for a, b in pairwise(names)
    ]
    rng.shuffle(words)
    top = rng.random() < 0.5
    ask = f"Who is the {most if top else least}?"
    return f"{' '.join(words)} {ask}", [" > ".join(names)], names[0 if top else -1]


PUZZLES: tuple[Callable[[Random], Puzzle], ...] = (booleans, counting, exchanges, days, orders)
WEIGHTS = (3, 4, 2, 1, 2)


def logic(rng: Random, make: Callable[[Random], Puzzle] | None = None, form: str = "") -> Task:
    """Make a task over one kind of puzzle; `form` is steps, reasoning or answer."""
    make = make or rng.choices(PUZZLES, WEIGHTS)[0]
    form = form or rng.choices(("steps", "reasoning", "answer"), (3, 4, 3))[0]
    field = rng.choice(_FIELDS)
    value = _value_type(rng, make)
    result: Type = value
    if form == "steps":
        name = rng.choice(("answer", "answer", "value", "outcome"))
        result = RecordType("Solution", (Field("steps", ListType(STR)), Field(name, value)))
    spec = call(instruct(rng, _PHRASES, 0.2)[0], {field: STR}, result, reason=form == "reasoning")

    def draw(rng: Random) -> Demo:
        text, steps, answer = make(rng)
        by_name: dict[str, object] = {REASONING: ". ".join(steps) + ".", "steps": steps}
        typed = _typed(value, answer)
        return Demo({field: text}, {f.name: by_name.get(f.name, typed) for f in spec.outputs})

    return Task("logic", spec, draw, kind=make.__name__)


def _value_type(rng: Random, make: Callable[[Random], Puzzle]) -> Type:
    plain: dict[Callable[[Random], Puzzle], Type] = {booleans: BOOL, counting: INT}
    return plain.get(make, STR) if rng.random() < 0.7 else STR


def _typed(type: Type, answer: str) -> object:
    if type is BOOL:
        return answer == "True"
    return int(answer) if type is INT else answer


def _amount(noun: str, count: int) -> str:
    if count == 1:
        return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    return f"{_NUMBERS[count - 1]} {_PLURALS.get(noun, noun if noun[-1] == 's' else noun + 's')}"


def _listing(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
