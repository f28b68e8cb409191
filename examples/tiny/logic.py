"""Small puzzles with steps: truth values, counting, exchanges, days, and orders of people."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

from examples.tiny.task import Task, call, instruct
from examples.tiny.words import DAYS, NAMES, NOUNS, THINGS, pseudo_word
from lmc.prompts.spec import REASONING, Demo
from lmc.types import BOOL, INT, STR, Field, ListType, RecordType, Type

Puzzle = tuple[str, list[str], str]  # text, steps, answer

_NUMBERS = ("a", "two", "three", "four", "five", "six")
_COUNTABLE = [
    "animal",
    "fruit",
    "vegetable",
    "tool",
    "clothing",
    "vehicle",
    "furniture",
    "instrument",
]
_KINDS = {
    "clothing": ("pieces of clothing", "clothes"),
    "furniture": ("pieces of furniture",),
    "instrument": ("instruments", "musical instruments"),
}
_PLURALS = {"mouse": "mice", "wolf": "wolves", "sheep": "sheep", "goose": "geese", "deer": "deer"}
_PHRASES = (
    "Answer the question.",
    "Work it out step by step.",
    "Solve the puzzle.",
    "Think, then answer.",
    "Give the answer.",
    "Show each step, then the answer.",
    "Evaluate it.",
)
_FIELDS = ("question", "question", "puzzle", "text", "input", "problem", "expression")


def booleans(rng: Random) -> Puzzle:
    """Ask for the truth of an expression of two to six values, made shorter step by step."""
    words = _expression(rng, rng.choice((2, 3, 3, 4, 4, 5, 6)), 0)
    steps = [" ".join(words)]
    while len(words) > 1:
        words = _reduced(words)
        steps.append(" ".join(words))
    mark = rng.choice(("", "", "", " is", " =", "?"))
    return steps[0] + mark, steps[1:] or steps, words[0]


def _expression(rng: Random, size: int, depth: int) -> list[str]:
    """Words of an expression: `not` before `and` before `or`, brackets around some parts."""
    if size == 1:
        words = [rng.choice(("True", "False"))]
        brackets = depth < 3 and rng.random() < 0.12
    else:
        left = rng.randint(1, size - 1)
        words = _expression(rng, left, depth + 1)
        words = [*words, rng.choice(("and", "or")), *_expression(rng, size - left, depth + 1)]
        brackets = 0 < depth < 3 and rng.random() < 0.5
    if brackets:
        words = ["(", *words, ")"]
    if (size == 1 or brackets) and rng.random() < 0.3:
        words = ["not", *(["not"] if rng.random() < 0.15 else []), *words]
    return words


def _reduced(words: list[str]) -> list[str]:
    """Carry out, all over an expression, whichever comes first: not, brackets, and, or."""
    for rule in (_negation, _bracket, _conjunction, _disjunction):
        done, i = [], 0
        while i < len(words):
            if (value := rule(words, i)) is not None:
                done.append(value)
                i += 2 if rule is _negation else 3
            else:
                done.append(words[i])
                i += 1
        if len(done) < len(words):
            return done
    raise ValueError(" ".join(words))


_TRUTHS = ("True", "False")


def _negation(words: list[str], i: int) -> str | None:
    if words[i] == "not" and i + 1 < len(words) and words[i + 1] in _TRUTHS:
        return str(words[i + 1] == "False")
    return None


def _bracket(words: list[str], i: int) -> str | None:
    return words[i + 1] if words[i] == "(" and words[i + 2] == ")" else None


def _conjunction(words: list[str], i: int) -> str | None:
    return _joined(words, i, "and", lambda a, b: a and b)


def _disjunction(words: list[str], i: int) -> str | None:
    around = words[i - 1 : i] + words[i + 3 : i + 4]
    return None if "and" in around else _joined(words, i, "or", lambda a, b: a or b)


def _joined(words: list[str], i: int, word: str, apply: Callable[[bool, bool], bool]) -> str | None:
    three = words[i : i + 3]
    if len(three) < 3 or three[1] != word or three[0] not in _TRUTHS or three[2] not in _TRUTHS:
        return None
    return str(apply(three[0] == "True", three[2] == "True"))


def counting(rng: Random) -> Puzzle:
    """Ask how many of the listed things are of one category, or how many there are in all.

    Where all count some may have names that mean nothing. The steps go through the list: what
    counts is added, the rest is not.
    """
    wanted, other = rng.sample(_COUNTABLE, 2)
    everything = rng.random() < 0.35
    many = rng.choice((1, 2, 2, 3, 3, 4, 5, 7))
    lines = [(wanted, noun) for noun in rng.sample(NOUNS[wanted], many)]
    lines += [(other, n) for n in rng.sample(NOUNS[other], rng.choice((0, 0, 1, 1, 2, 3)))]
    if everything and rng.random() < 0.5:  # whatever things are called, they count
        lines = [("", pseudo_word(rng) if rng.random() < 0.6 else n) for _, n in lines]
    rng.shuffle(lines)
    steps, listed, total = [], [], 0
    for category, noun in lines:
        n = rng.choices(range(1, 7), (8, 2, 2, 1, 1, 1))[0]
        listed.append(_amount(noun, n))
        if everything or category == wanted:
            steps.append(f"{listed[-1]}: {total} + {n} = {total + n}")
            total += n
        else:
            steps.append(f"{listed[-1]}: no")
    name = rng.choice(NAMES)
    opening, ask = rng.choice(
        (
            ("I have {l}.", "How many {k} do I have?"),
            ("I have {l}.", "How many {k} do I have?"),
            (f"{name} has {{l}}.", f"How many {{k}} does {name} have?"),
            (f"{name} sees {{l}}.", "How many {k} are there?"),
            ("There are {l}.", "How many {k} are there?"),
            ("On the list: {l}.", "How many {k} are on the list?"),
        )
    )
    named = rng.choice(_KINDS.get(wanted, (f"{wanted}s",)))
    kind = rng.choice(("things", "things", "objects")) if everything else named
    return f"{opening.format(l=_listing(rng, listed))} {ask.format(k=kind)}", steps, str(total)


def exchanges(rng: Random) -> Puzzle:
    """Tell who holds what and who swaps; ask what one of them holds in the end."""
    count = rng.choice((2, 3, 3))
    names = rng.sample(NAMES, count)
    holds = dict(zip(names, rng.sample(THINGS, count)))
    words = [f"{n} has the {t}." for n, t in holds.items()]
    steps = [", ".join(f"{n} {t}" for n, t in holds.items())]
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
    pairs = list(pairwise(names))
    rng.shuffle(pairs)
    words = [
        f"{a} is {more} than {b}." if rng.random() < 0.6 else f"{b} is {less} than {a}."
        for a, b in pairs
    ]
    steps = [*(f"{a} > {b}" for a, b in pairs), " > ".join(names)]
    top = rng.random() < 0.5
    ask = f"Who is the {most if top else least}?"
    return f"{' '.join(words)} {ask}", steps, names[0 if top else -1]


PUZZLES: tuple[Callable[[Random], Puzzle], ...] = (booleans, counting, exchanges, days, orders)
WEIGHTS = (4, 7, 3, 1, 2)


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


def _listing(rng: Random, items: list[str]) -> str:
    last = rng.choice((" and ", ", and "))
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])}{last}{items[-1]}"
