"""The requests of `bench/engine.py`: many labels, a few prompts with samples, reasoned sums."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.tiny.arithmetic import arithmetic
from examples.tiny.task import draw_case
from lmc.models.base import Request, Sampling
from lmc.prompts.chat import ChatLayout
from lmc.prompts.json_layout import JsonLayout
from lmc.prompts.spec import BARE, CallSpec, Demo, FieldSpec
from lmc.types import STR, EnumType

MESSAGES = Path(__file__).resolve().parents[1] / "examples" / "real" / "messages.jsonl"
TOPIC = EnumType("Topic", ("payment", "delivery", "returns", "account"))
LABEL = CallSpec(
    "Which topic does the customer's message have?",
    (FieldSpec("message", STR),),
    (FieldSpec(BARE, TOPIC),),
    TOPIC,
)
REPLY = CallSpec(
    "Write a short reply to a customer's message.",
    (FieldSpec("message", STR),),
    (FieldSpec(BARE, STR),),
    STR,
)
DEMOS = 3


def messages() -> list[Mapping[str, str]]:
    """The messages of examples/real, each with its topic."""
    return [json.loads(line) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]


def labels() -> list[Request]:
    """64 short messages, each with one of four topics, greedy, bound by a schema."""
    shown, asked = messages()[:DEMOS], messages()[DEMOS : DEMOS + 64]
    layout = JsonLayout()
    demos = tuple(Demo({"message": m["message"]}, {BARE: m["topic"]}) for m in shown)
    prompt, schema = layout.prompt(LABEL, demos), layout.response_schema(LABEL)
    sampling = Sampling(0.0, max_tokens=32, seed=0)
    return [
        Request("model", tuple(prompt({"message": m["message"]})), sampling, schema=schema)
        for m in asked
    ]


def samples() -> list[Request]:
    """16 short messages, five replies to each, of up to 64 tokens."""
    prompt = ChatLayout().prompt(REPLY, ())
    sampling = Sampling(0.8, max_tokens=64, seed=0)
    return [
        Request("model", tuple(prompt({"message": m["message"]})), sampling, n=5)
        for m in messages()[:16]
    ]


def sums() -> list[Request]:
    """64 sums in words behind 8 demonstrations, five reasoned answers to each, for lmc/tiny."""
    rng = Random(7)
    task = arithmetic(rng, form="reasoning")
    shown = [case for _ in range(8) if (case := draw_case(rng, task))]
    prompt, found = ChatLayout().prompt(task.spec, shown), []
    while len(found) < 64:
        if case := draw_case(rng, task, unseen=True):
            found.append(tuple(prompt(case.inputs)))
    sampling = Sampling(0.8, max_tokens=64, seed=0)
    return [Request("model", some, sampling, n=5) for some in found]


TASKS: Mapping[str, Callable[[], list[Request]]] = {
    "labels": labels,
    "samples": samples,
    "sums": sums,
}
