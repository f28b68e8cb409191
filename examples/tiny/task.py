"""What a generator makes: a task (the signature of a call, and a source of solved cases)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import field
from random import Random

from lmc.frozen import frozen
from lmc.prompts.chat import ChatLayout, answer_text, fields_text, system_text
from lmc.prompts.json_layout import JsonLayout
from lmc.prompts.spec import BARE, REASONING, CallSpec, Demo, FieldSpec, Layout, Message
from lmc.prompts.xml import XmlLayout
from lmc.types import (
    STR,
    RecordType,
    Type,
)

HELD_OUT_SHARE = 10  # one case in ten is never trained on
LAYOUT = ChatLayout()
LAYOUTS: tuple[Layout, ...] = (LAYOUT, JsonLayout(), XmlLayout())
GENERIC = (
    "Produce the result.",
    "Answer.",
    "Do the task.",
    "Give the right output.",
    "Fill in the fields.",
    "Do it as in the examples.",
    "Follow the pattern.",
    "Complete the output for the input.",
    "Look at the earlier answers and do the same.",
    "",
)


@frozen
class Task:
    """One task: its call, and a function that draws a solved case.

    `group` tells the classes of a case apart where there are classes: the draw of demonstrations
    uses it to show each one. `explained` is false where only demonstrations say what to do.
    """

    family: str
    spec: CallSpec
    draw: Callable[[Random], Demo]
    explained: bool = True
    noise: float = 0.0
    labels: tuple[str, ...] = ()
    kind: str = field(default="", compare=False)


@frozen
class Instance:
    """A task with the demonstrations shown and the case asked."""

    task: Task
    demos: tuple[Demo, ...]
    case: Demo
    layout: Layout = LAYOUT

    def messages(self) -> list[Message]:
        """Lay out the prompt, as the runtime sends it."""
        return self.layout.prompt(self.task.spec, self.demos)(self.case.inputs)

    def answer(self) -> str:
        """Write the text that the model is to write."""
        return self.layout.answer_text(self.task.spec, self.case.outputs)


def held_out(spec: CallSpec, case: Demo) -> bool:
    """Tell the cases kept for evaluation: decided by the text of the call, question and answer."""
    text = "\n".join(
        (system_text(spec), fields_text(spec.inputs, case.inputs), answer_text(spec, case.outputs))
    )
    return zlib.crc32(text.encode()) % HELD_OUT_SHARE == 0


def draw_case(
    rng: Random, task: Task, unseen: bool = False, avoid: tuple[Demo, ...] = ()
) -> Demo | None:
    """Draw a case of the wanted side of the hold-out, none of `avoid`; gives up after 60."""
    inputs = [d.inputs for d in avoid]
    for _ in range(60):
        case = task.draw(rng)
        if held_out(task.spec, case) == unseen and case.inputs not in inputs:
            return case
    return None


def draw_instance(
    rng: Random,
    task: Task,
    demos: int,
    unseen: bool = False,
    repeats: bool = False,
    layout: Layout = LAYOUT,
) -> Instance | None:
    """Draw an instance with that many demonstrations, or none where the task has too few cases.

    No two cases have the same inputs, unless `repeats`.
    """
    shown: list[Demo] = []
    for _ in range(demos):
        case = draw_case(rng, task, avoid=() if repeats else tuple(shown))
        if case is None:
            return None
        shown.append(case)
    asked = draw_case(rng, task, unseen, () if repeats else tuple(shown))
    return Instance(task, tuple(shown), asked, layout) if asked else None


def call(
    instruction: str,
    inputs: Mapping[str, Type],
    result: Type,
    *,
    reason: bool = False,
) -> CallSpec:
    """Declare a call, with the outputs that its result has."""
    match result:
        case RecordType():
            outputs = tuple(FieldSpec(f.name, f.type, f.note) for f in result.fields)
        case _:
            outputs = (FieldSpec(BARE, result),)
    if reason:
        outputs = (FieldSpec(REASONING, STR), *outputs)
    return CallSpec(instruction, tuple(FieldSpec(n, t) for n, t in inputs.items()), outputs, result)


def instruct(rng: Random, phrasings: tuple[str, ...], generic: float = 0.2) -> tuple[str, bool]:
    """Draw an instruction; with a chance of `generic` it does not."""
    if rng.random() < generic:
        return rng.choice(GENERIC), False
    return rng.choice(phrasings), True
