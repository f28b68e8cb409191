"""Classification whose label names are arbitrary: only the demonstrations tell what they mean."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from examples.tiny.messages import MOODS, TOPIC_NAMES, draw_letter
from examples.tiny.task import Task, call, instruct
from examples.tiny.words import FEELINGS, NAMES, NOUNS, THINGS, draw_labels, pseudo_word
from lmc.frozen import frozen
from lmc.prompts.spec import REASONING, Demo
from lmc.types import STR, EnumType, Field, LiteralType, RecordType, Type

Draw = Callable[[Random, str], str]  # a text of the given class

UNSEEN_CATEGORIES = ("sport", "weather", "drink")
SEEN_CATEGORIES = tuple(c for c in NOUNS if c not in UNSEEN_CATEGORIES)
_SENTENCES = (
    "I saw a {w} today.",
    "There is a {w} in the picture.",
    "She talked about the {w}.",
    "A {w}, I think.",
    "We wrote a story about a {w}.",
    "He asked me for the {w}.",
    "My friend likes the {w}.",
)
_OPINIONS = (
    "The {t} is {f}.",
    "What a {f} {t}!",
    "I find this {t} {f}.",
    "Honestly, a {f} {t}.",
    "We had a {f} time with the {t}.",
    "My {t} turned out {f}.",
)


@frozen
class Attribute:
    """A property of texts with named classes: the fields it is asked of, and how to draw a text."""

    name: str
    classes: tuple[str, ...]
    draw: Draw
    fields: tuple[str, ...]
    natural: bool = True  # the class names are words that a model could say unprompted


def _noun(rng: Random, category: str) -> str:
    return rng.choice(NOUNS[category])


def _noun_sentence(rng: Random, category: str) -> str:
    return rng.choice(_SENTENCES).format(w=_noun(rng, category))


def _noun_pair(rng: Random, category: str) -> str:
    return ", ".join(rng.sample(NOUNS[category], rng.choice((2, 3))))


def _opinion(rng: Random, feeling: str) -> str:
    return rng.choice(_OPINIONS).format(t=rng.choice(THINGS), f=rng.choice(FEELINGS[feeling]))


def _topic(rng: Random, topic: str) -> str:
    return draw_letter(rng, topic=topic).text


def _mood(rng: Random, mood: str) -> str:
    return draw_letter(rng, mood=mood, full=True).text


def _number(rng: Random, size: str) -> str:
    low, high = {
        "small": (0, 10),
        "medium": (10, 100),
        "large": (100, 1000),
        "huge": (1000, 10000),
    }[size]
    return str(rng.randrange(low, high))


def _parity(rng: Random, parity: str) -> str:
    return str(rng.randrange(0, 500) * 2 + (parity == "odd"))


def _initial(rng: Random, half: str) -> str:
    early = half == "A to M"
    return rng.choice([n for n in (*NAMES, *NOUNS["city"]) if (n[0] <= "M") == early])


def _count(rng: Random, count: str) -> str:
    return " ".join(rng.sample(_ALL_NOUNS, {"one": 1, "two": 2, "three": 3, "four": 4}[count]))


def _form(rng: Random, form: str) -> str:
    thing, name = rng.choice(THINGS), rng.choice(NAMES)
    match form:
        case "question":
            return rng.choice(
                (
                    f"Where is the {thing}?",
                    f"Has {name} seen the {thing}?",
                    f"Is this your {thing}, {name}?",
                )
            )
        case "order":
            return rng.choice(
                (
                    f"Bring me the {thing}!",
                    f"Put the {thing} down, {name}!",
                    f"Give {name} the {thing}!",
                )
            )
        case _:
            return rng.choice(
                (
                    f"{name} has a {thing}.",
                    f"The {thing} belongs to {name}.",
                    f"I gave {name} the {thing}.",
                )
            )


_ALL_NOUNS = tuple(w for words in NOUNS.values() for w in words)
ATTRIBUTES = (
    Attribute("category", SEEN_CATEGORIES, _noun, ("word", "item", "term", "text", "x", "input")),
    Attribute("category", SEEN_CATEGORIES, _noun_sentence, ("sentence", "text", "line", "note")),
    Attribute("category", SEEN_CATEGORIES, _noun_pair, ("words", "items", "list", "text")),
    Attribute("topic", TOPIC_NAMES, _topic, ("message", "ticket", "request", "text", "email")),
    Attribute("mood", MOODS, _mood, ("message", "review", "text", "email", "ticket")),
    Attribute("feeling", tuple(FEELINGS), _opinion, ("review", "opinion", "comment", "text")),
    Attribute("size", ("small", "medium", "large", "huge"), _number, ("number", "value", "n", "x")),
    Attribute("parity", ("even", "odd"), _parity, ("number", "value", "n", "x")),
    Attribute("initial", ("A to M", "N to Z"), _initial, ("name", "word", "text"), False),
    Attribute("count", ("one", "two", "three", "four"), _count, ("words", "text", "list"), False),
    Attribute("form", ("question", "order", "statement"), _form, ("sentence", "text", "line")),
)
SHORT_ATTRIBUTES = tuple(
    a for a in ATTRIBUTES if a.draw in (_noun, _noun_pair, _number, _opinion, _initial)
)
WEIGHTS = (4, 3, 2, 6, 3, 2, 2, 1, 1, 1, 2)
UNSEEN_ATTRIBUTES = (
    Attribute("category", UNSEEN_CATEGORIES, _noun, ("word", "item")),
    Attribute("category", UNSEEN_CATEGORIES, _noun_sentence, ("sentence", "text")),
)
_PHRASES = (
    "Classify the {f}.",
    "Give the label of the {f}.",
    "Which class does the {f} belong to?",
    "Sort the {f} into its group.",
    "Route the {f} to the right desk.",
    "Label the {f}.",
    "Choose the right code for the {f}.",
    "Assign the {f} to a team.",
    "Decide where the {f} belongs.",
    "Which desk should handle the {f}?",
    "Put the {f} into the right bin.",
    "Pick the group of the {f} as our house rules say.",
    "Name the desk that takes care of the {f}.",
)
_NATURAL = (
    "Say the {a} of the {f}.",
    "What is the {a} of the {f}?",
    "Name the {a} of the {f}.",
    "Classify the {f} by {a}.",
    "Tell the {a}.",
)


def arbitrary(
    rng: Random, unseen_words: bool = False, attributes: tuple[Attribute, ...] = ()
) -> Task:
    """Make a classification with drawn label names; `unseen_words`: from the held-out list."""
    attribute = rng.choice(attributes) if attributes else rng.choices(ATTRIBUTES, WEIGHTS)[0]
    count = min(len(attribute.classes), rng.choice((2, 2, 3, 3, 4, 4, 5)))
    labels = draw_labels(rng, count, unseen_words)
    field = rng.choice(attribute.fields)
    instruction, _ = instruct(rng, tuple(p.format(f=field) for p in _PHRASES), 0.3)
    return _classification(rng, "labels", attribute, labels, field, instruction)


def copied(rng: Random) -> Task:
    """Make a task of few words, each with its label, that come again and again."""
    pool = _ALL_NOUNS if rng.random() < 0.6 else tuple(pseudo_word(rng) for _ in range(9))
    words, labels = tuple(rng.sample(pool, 4)), draw_labels(rng, 4)
    count = rng.choice((2, 3, 4))
    own = Attribute(
        "word", words[:count], lambda rng, word: word, ("word", "item", "x", "input", "text")
    )
    field = rng.choice(own.fields)
    instruction, _ = instruct(rng, tuple(p.format(f=field) for p in _PHRASES), 0.3)
    return _classification(rng, "labels", own, labels[:count], field, instruction)


def natural(rng: Random) -> Task:
    """Make a classification whose labels are the plain names of the classes."""
    attribute = rng.choice([a for a in ATTRIBUTES if a.natural])
    count = min(len(attribute.classes), rng.randint(2, 8))
    field = rng.choice(attribute.fields)
    phrases = tuple(p.format(f=field, a=attribute.name) for p in _NATURAL)
    instruction, _ = instruct(rng, phrases + tuple(p.format(f=field) for p in _PHRASES), 0.05)
    labels = tuple(rng.sample(attribute.classes, count))
    return _classification(rng, "named", attribute, labels, field, instruction, labels)


def _classification(
    rng: Random,
    family: str,
    attribute: Attribute,
    labels: tuple[str, ...],
    field: str,
    instruction: str,
    classes: tuple[str, ...] = (),
) -> Task:
    classes = classes or tuple(rng.sample(attribute.classes, len(labels)))
    result, reason = _result_type(rng, labels), rng.random() < 0.12
    spec = call(instruction, {field: STR}, result, reason=reason)
    meaning = dict(zip(classes, labels))

    def draw(rng: Random) -> Demo:
        chosen = rng.choice(classes)
        outputs = {spec.outputs[-1].name: meaning[chosen]}
        if reason:
            outputs = {
                REASONING: f"The {attribute.name} is {chosen}, so {meaning[chosen]}.",
                **outputs,
            }
        return Demo({field: attribute.draw(rng, chosen)}, outputs)

    return Task(family, spec, draw, labels=labels, kind=attribute.name)


def _result_type(rng: Random, labels: tuple[str, ...]) -> Type:
    order = tuple(rng.sample(labels, len(labels)))
    kind = rng.random()
    if kind < 0.3:
        return EnumType(rng.choice(("Desk", "Label", "Kind", "Team")), order)
    if kind < 0.6:
        return LiteralType(order)
    if kind < 0.9:
        return STR
    inner = rng.choice((STR, EnumType("Label", order)))
    name = rng.choice(("label", "desk", "team", "kind", "code", "answer"))
    return RecordType("Result", (Field(name, inner),))
