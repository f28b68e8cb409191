"""A module's own prompt: sandboxed Jinja over its parameters and three slots.

`instructions` is the instruction with the requirements. `format` is the layout's request for the
outputs. `demos` are the demonstrations. A template can print them as a block or loop over them:
`demo.input` and `demo.output` are texts, `demo.inputs` and `demo.outputs` are values. If no
template mentions `demos`, demonstrations are earlier turns, laid out by the same template. Values
have the names of the program; aliases stand in the texts only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Template, TemplateError, Undefined, meta

from lmc.diagnostics import LmcError
from lmc.prompts.bounded_jinja import BoundedEnvironment, render
from lmc.prompts.growth import Growth
from lmc.prompts.history import history_of, system_words, with_question
from lmc.prompts.spec import CallSpec, Demo, Layout, Message, Prompt, told_requirements
from lmc.prompts.values import render_value
from lmc.types import JSON

_PROBLEMS = (
    TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError, MemoryError,
)  # fmt: skip


class TemplateLayout:
    """Writes messages by a template, and reads answers by a layout."""

    def __init__(self, layout: Layout, template: Mapping[str, str]) -> None:
        self.layout, self.name = layout, layout.name
        self._templates: dict[str, Template] = {}
        self._names: set[str] = set()  # that the templates mention
        environment = BoundedEnvironment(_as_text)
        for role in ("system", "user"):
            if role in template:
                text = template[role].strip("\n")
                self._templates[role] = _guarded(environment.template, text)
                names = meta.find_undeclared_variables(environment.parse(text))
                self._names |= names

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """Lay out the system message, the demonstrations, and the question.

        Without a system template, the system message is left out. If a template shows the
        demonstrations or the conversation itself, they get no turns.
        Raises: LmcError[bad-template].
        """
        slots = self._slots(spec, demos)
        shown: list[Message] = []
        for demo in () if "demos" in self._names else demos:
            shown += self._asked(spec, slots | self.safe(spec, demo.inputs), demo.inputs)
            answer = self.layout.answer_text(spec.seen, spec.seen_outputs(demo.outputs))
            shown.append({"role": "assistant", "content": answer})

        def messages(inputs: Mapping[str, Any]) -> list[Message]:
            names = slots | self.safe(spec, inputs)
            question = self._asked(spec, names, inputs)
            return [*self._system(spec, names), *shown, *question]

        return messages

    def _asked(
        self, spec: CallSpec, names: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> list[Message]:
        """The conversation, unless the template shows it itself, and the question."""
        question = self._user(spec, names, inputs)
        if spec.history is None or spec.history in self._names:
            return [{"role": "user", "content": question}]
        own = "user" in self._templates or spec.fields
        return with_question(history_of(spec, names), question if own else "")

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read the answer as the layout does."""
        return self.layout.parse(spec, text)

    def so_far(self, spec: CallSpec, text: str, growth: Growth) -> dict[str, Any]:
        """Read an unfinished answer as the layout does."""
        return self.layout.so_far(spec, text, growth)

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """Ask for the schema of the layout."""
        return self.layout.response_schema(spec)

    def grammar(self, spec: CallSpec) -> str | None:
        """The grammar of the layout."""
        return self.layout.grammar(spec)

    def format_text(self, spec: CallSpec) -> str:
        """Ask for the outputs as the layout does."""
        return self.layout.format_text(spec)

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Write the inputs as the layout does."""
        return self.layout.inputs_text(spec, values)

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """Write the answer as the layout does."""
        return self.layout.answer_text(spec, outputs)

    def safe(self, spec: CallSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Disarm values as the layout does."""
        return self.layout.safe(spec, values)

    def _system(self, spec: CallSpec, names: Mapping[str, Any]) -> list[Message]:
        if "system" in self._templates:
            content = _fill(self._templates["system"], names)
        elif "user" in self._templates:
            content = ""  # the user's template shows all that is needed
        else:
            content = "\n\n".join(p for p in (names["instructions"], names["format"]) if p)
        if spec.history is not None and spec.history not in self._names:
            content = "\n\n".join(filter(None, (content, system_words(history_of(spec, names)))))
        return [{"role": "system", "content": content}] if content else []

    def _user(self, spec: CallSpec, names: Mapping[str, Any], inputs: Mapping[str, Any]) -> str:
        if "user" not in self._templates:
            return self.layout.inputs_text(spec.seen, spec.seen_inputs(inputs))
        return _fill(self._templates["user"], names)

    def _slots(self, spec: CallSpec, demos: tuple[Demo, ...]) -> dict[str, Any]:
        instructions = (spec.instruction, told_requirements(spec))
        return {
            "instructions": "\n\n".join(p for p in instructions if p),
            "format": self.layout.format_text(spec.seen),
            "demos": _Demos(self._shown(spec, demo) for demo in demos),
        }

    def _shown(self, spec: CallSpec, demo: Demo) -> dict[str, Any]:
        return {
            "input": self.layout.inputs_text(spec.seen, spec.seen_inputs(demo.inputs)),
            "output": self.layout.answer_text(spec.seen, spec.seen_outputs(demo.outputs)),
            "inputs": self.safe(spec, demo.inputs),
            "outputs": self.safe(spec, demo.outputs),
        }


class _Demos(tuple[dict[str, Any], ...]):
    """Demonstrations that a template can loop over or print as a block."""

    def __str__(self) -> str:
        return "\n\n".join(f"{demo['input']}\n{demo['output']}" for demo in self)


def _as_text(value: Any) -> Any:
    if isinstance(value, str | Undefined | _Demos):
        return value
    return render_value(JSON, value)


def _fill(template: Template, names: Mapping[str, Any]) -> str:
    text: str = _guarded(lambda given: render(template, dict(given)), names)
    return text.strip()


def _guarded(action: Callable[[Any], Any], argument: Any) -> Any:
    """Compile or render a template. Raises: LmcError[bad-template]."""
    try:
        return action(argument)
    except _PROBLEMS as problem:
        deep = isinstance(problem, RecursionError)
        message = f"the template cannot be filled in: {'it calls itself' if deep else problem}"
        raise LmcError.of("bad-template", message) from None
