"""Lay a call out as turns of a chat, for every layout without a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    """One system message, two messages per demonstration, and the question."""
    opening = [{"role": "system", "content": system_text(layout, spec)}]
    for demo in demos:
        opening.append({"role": "user", "content": layout.inputs_text(spec, demo.inputs)})
        opening.append({"role": "assistant", "content": layout.answer_text(spec, demo.outputs)})

    def messages(inputs: Mapping[str, Any]) -> list[Message]:
        return [*opening, {"role": "user", "content": layout.inputs_text(spec, inputs)}]

    return messages


def system_text(layout: Layout, spec: CallSpec) -> str:
    """The instruction, notes on the inputs, the format of the reply, and the requirements."""
    parts = (
        spec.instruction,
        told_inputs(spec),
        layout.format_text(spec),
        told_requirements(spec),
    )
    return "\n\n".join(part for part in parts if part)
