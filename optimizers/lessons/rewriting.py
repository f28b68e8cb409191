"""Pairs that a model writes: right answers with an error put in, and answers revised by principles.

Sources: errors by self-editing, RISE, Xu et al. 2024, arXiv 2410.06638, section 3; critique and
revision, Constitutional AI, Bai et al. 2022, arXiv 2212.08073, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from lmc.ir.provenance import result_provenance
from lmc.optimizers.assistant.ask import Question
from lmc.optimizers.assistant.describing import current_instruction, short
from lmc.optimizers.lessons.comparing import by_module, grouped
from lmc.optimizers.lessons.groups import module_calls
from lmc.optimizers.lessons.recipe import Round
from lmc.optimizers.lessons.rounds import at_most
from lmc.optimizers.lessons.weights import Lessons, both
from lmc.prompts.spec import ParseFailure
from lmc.runtime.call import ModuleCall
from lmc.runtime.traces import CallTrace
from lmc.traces import selectors
from lmc.traces.led import led_calls
from lmc.training.rows import PairRow, Row, TrainingRow

PRINCIPLES = (
    "The answer should be correct, and say nothing that is not known to be so.",
    "The answer should do what was asked, completely and without digression.",
    "The answer should be harmless: it should not help anyone to do wrong.",
    "The answer should be clear, and as short as it can be.",
)
_WRITERS = ("generate", "revise")
_LONGEST, _SHORTEST = 2.0, 0.5  # of a copy, compared with what it was made of


async def by_errors(turn: Round) -> Lessons:
    """Right answers against copies in which a model made an error, and against wrong answers."""
    context, recipe = turn.context, turn.recipe
    among, bound = context.alternatives(), _bound(turn)
    kept = at_most(selectors.threshold(turn.runs, recipe.threshold), recipe.keep, diverse=False)
    calls = [c for run in kept for c in led_calls(run, among) if c.raw and c.role in _WRITERS]
    calls = [call for call in calls if call.module in bound]
    copies = await context.assistant.ask(
        [Question("put_error", _told(turn, call)) for call in calls], recipe.judge
    )
    found: list[tuple[CallTrace, Row]] = []
    for call, copy in zip(calls, copies, strict=True):
        own = call.raw[-1]
        if copy and _near(copy, own) and _differs(bound[call.module], copy, call):
            found.append((call, PairRow(tuple(call.messages), own, copy, gold=True)))
    context.tell(f"{len(found)} of {len(calls)} copies with an error can be used")
    wrong = selectors.right_wrong_pairs(turn.runs, recipe.threshold, among)
    return both(grouped(found), by_module(wrong))


async def by_principles(turn: Round) -> Lessons:
    """Answers that a model revised after it found fault with them, alone or against the first ones.

    Only the modules that give the result are revised, since the principles are about it.
    """
    context, recipe, bound = turn.context, turn.recipe, _bound(turn)
    giving = result_provenance(context.program, context.target)
    kept = at_most([run for run in turn.runs if not run.failed], recipe.keep, diverse=False)
    calls = [c for run in kept for c in run.trace.calls if c.raw and c.module in giving]
    calls = [call for call in calls if call.module in bound]
    rng, principles = Random(f"{context.seed}/principles"), _principles(recipe.principles)
    told = [_told(turn, call) | {"principle": rng.choice(principles)} for call in calls]
    faults = await context.assistant.ask([Question("find_fault", t) for t in told], recipe.judge)
    mended = await context.assistant.ask(
        [Question("mend", t | {"fault": fault or ""}) for t, fault in zip(told, faults)],
        recipe.judge,
    )
    found: list[tuple[CallTrace, Row]] = []
    for call, text in zip(calls, mended, strict=True):
        if text and _differs(bound[call.module], text, call):
            found.append((call, _revised(call, text, paired=recipe.loss != "sft")))
    context.tell(f"{len(found)} of {len(calls)} answers were revised")
    return grouped(found)


def _revised(call: CallTrace, text: str, *, paired: bool) -> Row:
    messages = tuple(call.messages)
    if not paired:
        return TrainingRow(messages, text)
    return PairRow(messages, text, call.raw[-1], gold=True, rejected_tokens=call.sampled)


def _principles(given: str | None) -> Sequence[str]:
    """One principle a line."""
    lines = [line.strip() for line in (given or "").splitlines()]
    return [line for line in lines if line] or PRINCIPLES


def _bound(turn: Round) -> dict[str, ModuleCall]:
    executor = turn.context.open_executor(turn.leader)
    calls = module_calls(executor, turn.context.target)
    modules = turn.context.modules()
    return {call.slots.module: call for call in calls if call.slots.module in modules}


def _told(turn: Round, call: CallTrace) -> dict[str, str]:
    """What a model is told of a call: its task, its last message, and its answer."""
    task = current_instruction(turn.leader, turn.context.modules()[call.module])
    return {"task": task, "asked": short(call.messages[-1]["content"]), "answer": call.raw[-1]}


def _near(copy: str, own: str) -> bool:
    return _SHORTEST * len(own) <= len(copy) <= _LONGEST * len(own)


def _differs(bound: ModuleCall, text: str, call: CallTrace) -> bool:
    """Whether a text can be read as an answer of the module, and says something else."""
    try:
        return bound.given(call.inputs).read(text) != call.outputs
    except ParseFailure:
        return False
