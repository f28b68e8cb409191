"""Lay a call out as turns of a chat, for every layout without a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.prompts.history import history_of, system_words, with_question
from lmc.prompts.spec import (
    CallSpec,
    Demo,
    Layout,
    Message,
    Prompt,
    told_inputs,
    told_requirements,
)


def turns(layout: Layout, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
    """One system message, the turns of each demonstration, and the question.

    A conversation among the inputs stands right before their question, as turns of its own.
    """
    system = system_text(layout, spec.seen)
    shown: list[Message] = []
    for demo in demos:
        shown += asked(layout, spec, demo.inputs)
        answer = layout.answer_text(spec.seen, spec.seen_outputs(demo.outputs))
        shown.append({"role": "assistant", "content": answer})

    def messages(inputs: Mapping[str, Any]) -> list[Message]:
        words = with_system(system, layout, spec, inputs)
        return [{"role": "system", "content": words}, *shown, *asked(layout, spec, inputs)]

    return messages


def asked(layout: Layout, spec: CallSpec, inputs: Mapping[str, Any]) -> list[Message]:
    """The conversation among some inputs, then what is asked about them."""
    seen, values = spec.seen, spec.seen_inputs(inputs)
    question = layout.inputs_text(seen, values)
    if spec.history is None:
        return [{"role": "user", "content": question}]
    history = history_of(seen, layout.safe(seen, values))
    return with_question(history, question if spec.fields else "")


def with_system(system: str, layout: Layout, spec: CallSpec, inputs: Mapping[str, Any]) -> str:
    """The system message, with what the conversation itself says as `system`."""
    if not system_words(history_of(spec, inputs)):
        return system
    safe = layout.safe(spec.seen, spec.seen_inputs(inputs))
    words = system_words(history_of(spec.seen, safe))
    return "\n\n".join(filter(None, (system, words)))


def system_text(layout: Layout, spec: CallSpec) -> str:
    """The instruction, notes on the inputs, the format of the reply, and the requirements."""
    parts = (
        spec.instruction,
        told_inputs(spec),
        layout.format_text(spec),
        told_requirements(spec),
    )
    return "\n\n".join(part for part in parts if part)
