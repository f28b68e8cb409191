"""One readable text of all prompts of a program, which a review compares from change to change.

Every model call of the program is shown once with placeholders (`‹message›`) as its inputs, then
the first prompt of a target for chosen inputs. No model is asked, and none has to be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.program.prefix import model_nodes
from lmc.program.program import Callee, Program
from lmc.program.prompting import Mirror
from lmc.program.samples import sample
from lmc.prompts.spec import Message
from lmc.runtime.call import SAMPLING, ModuleCall
from lmc.runtime.plan import PlannedNode

_OWN_ROLE = ("generate", "critique", "act")
_FENCE = re.compile(r"`{3,}")


@frozen
class PromptShown:
    """The messages of one call, with what is sent beside them."""

    title: str
    messages: Sequence[Message]
    sent: Mapping[str, Any]
    schema: Mapping[str, Any] | None = None


def snapshot(
    program: Program, name: str, target: Callee, inputs: Iterable[tuple[str, Mapping[str, Any]]]
) -> str:
    """The text of all prompts of a program. `inputs` of the target have a title each.

    Equal programs and inputs give equal texts. Raises: LmcError for inputs that do not fit.
    """
    told = "Written by `lmc prompts --update`. Inputs in ‹› are placeholders."
    head = f"# Prompts of {name}\n\n{told}\n"
    shown = [*module_prompts(program)]
    for title, values in inputs:
        shown.append(PromptShown(f"{target.graph.name}: {title}", _first(target, values), {}))
    return "\n".join([head, *map(_section, shown)])


def module_prompts(program: Program) -> Iterator[PromptShown]:
    """The prompt of each model call, with placeholders as inputs, by module and role."""
    mirror: Any = Mirror(program.graph)
    executor = program.open_executor(mirror)
    seen: set[tuple[str, str]] = set()
    for graph in program.graph.graphs.values():
        for planned in model_nodes(executor.plan(graph)):
            role, module = planned.node.attrs["role"], planned.node.attrs["slots"].module
            if (module, role) in seen:  # inlined into another graph too
                continue
            seen.add((module, role))
            call = executor.module_call(planned)
            title = module if role in _OWN_ROLE else f"{module}, {role}"
            yield _with_placeholders(call, planned, title)


def _with_placeholders(call: ModuleCall, planned: PlannedNode, title: str) -> PromptShown:
    inputs = {
        name: sample(type, name) for name, type in zip(planned.node.attrs["names"], planned.types)
    }
    call = call.given(inputs)
    sent = {"model": call.bound.name}
    sent |= {
        key: value for key in ("layout", *SAMPLING) if (value := call.setting(key)) is not None
    }
    if call.request.adapter:
        sent["adapter"] = call.request.adapter
    return PromptShown(title, call.prompt(inputs), sent, call.request.schema)


def _first(target: Callee, values: Mapping[str, Any]) -> list[Message]:
    try:
        return target.prompt(**values)
    except LmcError as failure:
        if failure.code != "no-prompt":
            raise
        return [{"role": "no prompt", "content": failure.diagnostics[0].message}]


def _section(shown: PromptShown) -> str:
    sent = ", ".join(f"{key} {_json(value)}" for key, value in shown.sent.items())
    parts = [f"## {shown.title}\n", f"{sent}\n" if sent else ""]
    parts += [f"### {m['role']}\n\n{_fenced(_whole(m), 'text')}" for m in shown.messages]
    if shown.schema is not None:
        schema = json.dumps(shown.schema, indent=2, ensure_ascii=False)
        parts.append(f"### schema of the answer\n\n{_fenced(schema, 'json')}")
    return "\n".join(part for part in parts if part)


def _whole(message: Message) -> str:
    """What a message says, with calls of tools that stand in it."""
    more = {k: v for k, v in message.items() if k not in ("role", "content")}
    text = str(message["content"] or "")
    return f"{text}\n{json.dumps(more, indent=2, ensure_ascii=False)}" if more else text


def _fenced(text: str, language: str) -> str:
    """A block whose fence is longer than any in the text."""
    fence = "`" * max(3, 1 + max((len(run) for run in _FENCE.findall(text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
