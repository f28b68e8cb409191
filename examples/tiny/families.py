"""All families of tasks, with their shares of the training text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from examples.tiny.arithmetic import arithmetic
from examples.tiny.checking import checking, revising
from examples.tiny.labels import SHORT_ATTRIBUTES, arbitrary, copied, natural
from examples.tiny.logic import logic
from examples.tiny.lookup import extraction, lookup
from examples.tiny.strings import strings
from examples.tiny.task import LAYOUTS, Instance, Task, draw_instance

FAMILIES: dict[str, Callable[[Random], Task]] = {
    "labels": arbitrary,
    "named": natural,
    "arithmetic": arithmetic,
    "logic": logic,
    "strings": strings,
    "lookup": lookup,
    "extraction": extraction,
    "checking": checking,
    "revising": revising,
}
SHARES = {
    "labels": 26,
    "named": 4,
    "arithmetic": 14,
    "logic": 22,
    "strings": 10,
    "lookup": 10,
    "extraction": 5,
    "checking": 16,
    "revising": 5,
}
FEW_DEMOS = {"labels": 9, "strings": 8, "named": 8}  # others have up to 4, now and then 8
EASY_FAMILIES = ("arithmetic", "arithmetic", "logic", "strings", "lookup", "extraction")


def draw_training_instance(rng: Random) -> Instance:
    """Draw an instance from the training side, with a drawn number of demonstrations."""
    while True:
        family = rng.choices(tuple(SHARES), tuple(SHARES.values()))[0]
        most = FEW_DEMOS.get(family, 8 if rng.random() < 0.1 else 4)
        fewest = 3 if family == "labels" and rng.random() < 0.8 else 0
        layout = LAYOUTS[rng.choices((0, 1, 2), (84, 10, 6))[0]]
        task = FAMILIES[family](rng)
        if instance := draw_instance(rng, task, rng.randint(fewest, most), layout=layout):
            return instance


def draw_easy_instance(rng: Random) -> Instance:
    """Draw a short instance: mostly a label to be copied or carried over from a few words."""
    while True:
        kind = rng.random()
        if kind < 0.35:
            instance = draw_instance(rng, copied(rng), rng.randint(6, 12), repeats=True)
        elif kind < 0.7:
            task = arbitrary(rng, attributes=SHORT_ATTRIBUTES)
            instance = draw_instance(rng, task, rng.randint(4, 10))
        else:
            task = FAMILIES[rng.choice(EASY_FAMILIES)](rng)
            instance = draw_instance(rng, task, rng.randint(0, 2))
        if instance:
            return instance
