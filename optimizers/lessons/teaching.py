"""Teachers whose probabilities are learnt: their calls, and what makes one unsuitable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.optimizers.base import Context
from lmc.optimizers.candidates.trials import Mode
from lmc.optimizers.lessons.groups import module_calls
from lmc.optimizers.lessons.weights import Teaching
from lmc.runtime.parameters import Parameters

if TYPE_CHECKING:
    from lmc.runtime.call import ModuleCall
    from lmc.runtime.executor import Executor


def teaching(
    context: Context, parameters: Parameters, teacher: str | None, *targets: str
) -> Teaching:
    """The calls of a teacher: a model, an artifact, or the program with these parameters."""
    executor = context.open_executor(parameters, Mode(teacher))
    calls = _calls(executor, *(t for t in targets if t in executor.program.graphs))
    return Teaching(teacher, parameters, calls)


def require_teacher(
    executor: Executor, teacher: Executor, target: str, options: Mapping[str, Any]
) -> None:
    """Refuse a teacher whose probabilities cannot be known, or not compared.

    Raises: LmcError[cannot-train].
    """
    if target not in teacher.program.graphs:
        message = f"the teacher has no `{target}`, which is to be run"
        raise LmcError.of("cannot-train", message, help="name a teacher with the same modules")
    asked, wanted = _calls(teacher, target), options.get("module")
    for name, call in _calls(executor, target).items():
        if wanted is not None and name != wanted:
            continue
        if name not in asked:
            message = f"the teacher has no module `{name}`, which is to be trained"
            help = "name a teacher with the same modules"
            raise LmcError.of("cannot-train", message, call.node.span, help=help)
        _require_probabilities(call, asked[name], teacher)
        _require_same_form(call, asked[name])


def _calls(executor: Executor, *targets: str) -> dict[str, ModuleCall]:
    found = (call for target in targets for call in module_calls(executor, target))
    return {call.slots.module: call for call in found}


def _require_probabilities(call: ModuleCall, asked: ModuleCall, teacher: Executor) -> None:
    sources = [getattr(c.bound.backend, "source", None) for c in (call, asked)]
    name, span = teacher.pool.full_name(asked.bound.name), call.node.span
    if sources[1] is None:
        message = f"`{name}` does not tell its probabilities: it does not run here"
        help = (
            "name a teacher that runs here, such as `hf/<folder>`; what any teacher writes is"
            " learnt by `lora(teacher=…)`"
        )
        raise LmcError.of("cannot-train", message, span, help=help)
    if sources[0] is not None and not _same_tokenizer(sources[0], sources[1]):
        message = f"`{name}` has other tokens than the model of `{call.slots.module}`"
        help = (
            "name a teacher of the same family, with the same tokenizer and chat template; what any"
            " teacher writes is learnt by `lora(teacher=…)`"
        )
        raise LmcError.of("cannot-train", message, span, help=help)


def _same_tokenizer(one: str, other: str) -> bool:
    from transformers import AutoTokenizer

    from lmc.models.engine.chat_tokens import tokenizer_digest

    if one == other:
        return True
    digests = {tokenizer_digest(AutoTokenizer.from_pretrained(source)) for source in (one, other)}
    return len(digests) == 1


def _require_same_form(call: ModuleCall, asked: ModuleCall) -> None:
    """A teacher's probabilities are those of the answer as the student writes it."""
    forms = [(c.layout.name, [field.name for field in c.spec.outputs]) for c in (call, asked)]
    if forms[0] != forms[1]:
        written = [f"{', '.join(names)} in the layout {layout}" for layout, names in forms]
        message = f"`{call.slots.module}` writes {written[0]}, and the teacher {written[1]}"
        help = "give both the same outputs and the same `layout`"
        raise LmcError.of("cannot-train", message, call.node.span, help=help)
    known = {field.name for field in call.spec.inputs}
    if more := [field.name for field in asked.spec.inputs if field.name not in known]:
        message = f"the teacher's `{call.slots.module}` needs {', '.join(f'`{n}`' for n in more)}"
        help = "name a teacher whose modules have the inputs of those that are trained"
        raise LmcError.of("cannot-train", message, call.node.span, help=help)
