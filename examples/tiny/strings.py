"""Operations on words and lists: told by the instruction, or by the demonstrations alone."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from examples.tiny.task import Task, call, instruct
from examples.tiny.words import NAMES, NOUNS, pseudo_word
from lmc.frozen import frozen
from lmc.prompts.spec import Demo
from lmc.types import INT, STR, Field, ListType, RecordType, Type

Words = list[str]
WORD_LIST = ListType(STR)


@frozen
class Operation:
    """A function of a list of words, its kind of result, and ways to ask for it."""

    name: str
    apply: Callable[[Words], Any]
    result: Type
    phrases: tuple[str, ...]


def _unique(words: Words) -> Words:
    return list(dict.fromkeys(words))


OPERATIONS = (
    Operation(
        "first",
        lambda w: w[0],
        STR,
        ("Give the first word.", "What comes first?", "Return the first item."),
    ),
    Operation(
        "last",
        lambda w: w[-1],
        STR,
        ("Give the last word.", "What comes last?", "Return the last item."),
    ),
    Operation("second", lambda w: w[1], STR, ("Give the second word.", "What is the second item?")),
    Operation(
        "reverse",
        lambda w: w[::-1],
        WORD_LIST,
        ("Reverse the order.", "Write the words backwards.", "Reverse the list."),
    ),
    Operation(
        "sort",
        sorted,
        WORD_LIST,
        ("Sort the words.", "Put the words in alphabetical order.", "Sort the list."),
    ),
    Operation(
        "count",
        len,
        INT,
        ("Count the words.", "How many words are there?", "How many items are there?"),
    ),
    Operation(
        "upper",
        lambda w: [x.upper() for x in w],
        WORD_LIST,
        ("Write in capitals.", "Make it upper case.", "Uppercase the words."),
    ),
    Operation(
        "unique",
        _unique,
        WORD_LIST,
        ("Remove the repeated words.", "Keep each word once.", "Drop the duplicates."),
    ),
    Operation(
        "longest",
        lambda w: max(w, key=len),
        STR,
        ("Give the longest word.", "Which word is longest?"),
    ),
    Operation(
        "rest",
        lambda w: w[1:],
        WORD_LIST,
        ("Drop the first word.", "Remove the first item.", "All but the first."),
    ),
    Operation(
        "most",
        lambda w: w[:-1],
        WORD_LIST,
        ("Drop the last word.", "Remove the last item.", "All but the last."),
    ),
    Operation(
        "swap",
        lambda w: [w[-1], *w[1:-1], w[0]],
        WORD_LIST,
        ("Swap the first and the last word.", "Exchange the two ends."),
    ),
    Operation(
        "ends",
        lambda w: [w[0], w[-1]],
        WORD_LIST,
        ("Give the first and the last word.", "Keep the two ends."),
    ),
    Operation(
        "copy", lambda w: w, WORD_LIST, ("Repeat the words.", "Copy the list.", "Write it again.")
    ),
    Operation(
        "initials",
        lambda w: "".join(x[0] for x in w),
        STR,
        ("Give the initials.", "Write the first letter of each word."),
    ),
    Operation(
        "title",
        lambda w: [x.capitalize() for x in w],
        WORD_LIST,
        ("Capitalise each word.", "Start each word with a capital."),
    ),
    Operation(
        "twice",
        lambda w: [w[0], w[0]],
        WORD_LIST,
        ("Write the first word twice.", "Double the first word."),
    ),
)
_JOINERS = (" ", ", ", "-", " ")


def strings(rng: Random) -> Task:
    """Make a task over one operation, on lists or on plain text."""
    operation = rng.choice(OPERATIONS)
    instruction, _ = instruct(rng, operation.phrases, 0.3)
    as_list, joiner = rng.random() < 0.4, rng.choice(_JOINERS)
    field = rng.choice(("words", "items", "list", "text", "line", "input", "names"))
    result = _result_type(rng, operation, as_list)
    spec = call(instruction, {field: WORD_LIST if as_list else STR}, result)
    lists = isinstance(spec.outputs[0].type, ListType)
    longest = rng.choice((3, 4, 5, 6))

    def draw(rng: Random) -> Demo:
        words = draw_words(rng, longest, operation.name == "unique")
        value = operation.apply(words)
        if isinstance(value, list) and not lists:
            value = joiner.join(value)
        given = words if as_list else joiner.join(words)
        return Demo({field: given}, {spec.outputs[0].name: value})

    return Task("strings", spec, draw, kind=operation.name)


def draw_words(rng: Random, longest: int, repeats: bool = False) -> Words:
    """Draw two words or more of one mood: nouns, names, letters, or made-up words."""
    count = rng.randint(2, longest)
    kind = rng.random()
    if kind < 0.55:
        pool: Words = [rng.choice(rng.choice(_NOUN_LISTS)) for _ in range(count)]
    elif kind < 0.7:
        pool = [rng.choice(NAMES) for _ in range(count)]
    elif kind < 0.9:
        pool = [rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count)]
    else:
        pool = [pseudo_word(rng) for _ in range(min(count, 4))]
    if repeats:
        pool = [*pool, rng.choice(pool)]
        rng.shuffle(pool)
    return pool


_NOUN_LISTS = tuple(NOUNS.values())


def _result_type(rng: Random, operation: Operation, as_list: bool) -> Type:
    if operation.result is WORD_LIST:
        plain: Type = WORD_LIST if rng.random() < (0.8 if as_list else 0.3) else STR
    else:
        plain = operation.result
    if rng.random() < 0.15:
        return RecordType(
            "Result", (Field(rng.choice(("answer", "words", "output", "value")), plain),)
        )
    return plain
