"""All families of tasks, with their shares of the training text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lmc.tiny.arithmetic import arithmetic
from lmc.tiny.checking import checking, revising
from lmc.tiny.labels import SHORT_ATTRIBUTES, arbitrary, copied, natural
from lmc.tiny.lookup import extraction, lookup
from lmc.tiny.strings import strings
from lmc.tiny.task import Instance, Task, draw_instance

FAMILIES: dict[str, Callable[[Random], Task]] = {
    "labels": arbitrary,
    "named": natural,
    "arithmetic": arithmetic,
    "strings": strings,
    "lookup": lookup,
    "extraction": extraction,
    "checking": checking,
    "revising": revising,
}
SHARES = {
    "labels": 38,
    "named": 8,
    "arithmetic": 16,
    "strings": 12,
    "lookup": 8,
    "extraction": 8,
    "checking": 6,
    "revising": 4,
}
MOST_DEMOS = {
    "labels": 10,
    "arithmetic": 4,
    "lookup": 4,
    "checking": 5,
    "revising": 3,
    "extraction": 4,
}


def draw_training_instance(rng: Random, easy_share: float = 0.0) -> Instance:
    """Draw an instance from the training side, with a drawn number of demonstrations.

    Easy instances are short and mostly ask for a label to be copied or carried over: a model
    that starts on them learns to use demonstrations sooner.
    """
    easy = rng.random() < easy_share
    while True:
        family = "labels" if easy and rng.random() < 0.85 else _draw_family(rng)
        if easy and family == "labels":
            instance = _draw_easy(rng)
        else:
            fewest = 3 if family == "labels" and rng.random() < 0.85 else 0
            most = 2 if easy else MOST_DEMOS.get(family, 8)
            instance = draw_instance(
                rng, FAMILIES[family](rng), rng.randint(min(fewest, most), most)
            )
        if instance:
            return instance


def _draw_family(rng: Random) -> str:
    return rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]


def _draw_easy(rng: Random) -> Instance | None:
    if rng.random() < 0.65:
        return draw_instance(rng, copied(rng), rng.randint(6, 12), repeats=True)
    task = arbitrary(rng, attributes=SHORT_ATTRIBUTES)
    return draw_instance(rng, task, rng.randint(4, 10))
