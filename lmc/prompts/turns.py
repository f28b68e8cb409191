"""Lay a call out as turns of a chat, for every layout without a template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmc.prompts.spec import CallSpec, Demo, Layout, Message, Prompt, told_requirements


def turns(layout: Layout, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
    """One system message, two messages per demonstration, and the question."""
    seen = spec.seen
    opening = [{"role": "system", "content": system_text(layout, seen)}]
    for demo in demos:
        question = layout.inputs_text(seen, spec.seen_inputs(demo.inputs))
        answer = layout.answer_text(seen, spec.seen_outputs(demo.outputs))
        opening.append({"role": "user", "content": question})
        opening.append({"role": "assistant", "content": answer})

    def messages(inputs: Mapping[str, Any]) -> list[Message]:
        question = layout.inputs_text(seen, spec.seen_inputs(inputs))
        return [*opening, {"role": "user", "content": question}]

    return messages


def system_text(layout: Layout, spec: CallSpec) -> str:
    """The instruction, then the format of the reply, then the requirements."""
    parts = (spec.instruction, layout.format_text(spec), told_requirements(spec))
    return "\n\n".join(part for part in parts if part)
