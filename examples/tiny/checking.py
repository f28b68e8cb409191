"""Judging a given draft, and revising a draft that was judged."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from examples.tiny.arithmetic import draw_problem, solution, solution_record
from examples.tiny.labels import arbitrary
from examples.tiny.lookup import FACTS
from examples.tiny.task import Task, call, instruct
from lmc.prompts.spec import BARE, REASONING, CallSpec, Demo
from lmc.types import BOOL, INT, STR, VERDICT, BoolType, LiteralType, Type

# inputs, right value, wrong value, what the feedback says, and a solution (empty: nothing to do)
Draft = tuple[dict[str, str], Any, Any, str, str]

_CHECKS = (
    "Is the draft right?",
    "Check the draft.",
    "Is the draft correct?",
    "Judge the draft. Say what is wrong with it.",
    "Recompute every step. Reject the draft if any step or the final answer is wrong.",
    "Is the answer right?",
    "Is the draft right, complete and clear? If not, say precisely what to change.",
)
_FIRST = (
    "Which step is the first wrong one? Say 0 if all are right.",
    "Give the number of the first wrong step, or 0.",
    "Find the first mistake.",
)
_REVISIONS = (
    "Rewrite the draft so that it heeds the feedback.",
    "Correct the draft.",
    "Improve the draft by the feedback.",
    "Write a corrected solution that fixes every issue in the feedback.",
    "Revise the draft.",
)


def _sum_answer(rng: Random) -> Draft:
    text, steps, answer = draw_problem(rng)
    work = ". ".join(steps)
    feedback = f"{work}. The answer should be {answer}."
    return {"problem": text}, answer, _near(rng, answer), feedback, work


def _fact_answer(rng: Random) -> Draft:
    passage, question, answer = rng.choice(FACTS)(rng)
    wrong = rng.choice(
        [w for w in passage.replace(".", " ").replace(",", " ").split() if w != answer]
    )
    return (
        {"passage": passage, "question": question},
        answer,
        wrong,
        f"The answer should be {answer}.",
        answer,
    )


def _near(rng: Random, answer: int) -> int:
    return max(0, answer + rng.choice((-10, -2, -1, 1, 2, 10))) if answer else rng.randrange(1, 10)


def _steps_draft(rng: Random, spec: CallSpec) -> Draft:
    text, steps, answer = draw_problem(rng)
    i = rng.randrange(len(steps))
    left, value = steps[i].rsplit(" ", 1)
    wrong = _near(rng, int(value))
    broken = [*steps[:i], f"{left} {wrong}", *steps[i + 1 :]]
    off = solution(spec, broken, wrong if i == len(steps) - 1 else answer)
    return (
        {"problem": text},
        solution(spec, steps, answer),
        off,
        f"Step {i + 1} should be {steps[i]}.",
        ". ".join(steps),
    )


def checking(rng: Random) -> Task:
    """Ask to judge a draft: a truth value, yes or no, or a verdict with feedback."""
    kind = rng.choices(("sum", "fact", "steps", "label", "first"), (5, 3, 3, 2, 2))[0]
    if kind == "label":
        return _label_check(rng)
    if kind == "first":
        return _first_wrong_step(rng)
    draft_type, make = _drafts(rng, kind)
    result = _verdict_type(rng)
    names = {"sum": ("problem",), "fact": ("passage", "question"), "steps": ("problem",)}[kind]
    inputs = {**dict.fromkeys(names, STR), "draft": draft_type}
    reason = rng.random() < 0.6
    spec = call(instruct(rng, _CHECKS, 0.15)[0], inputs, result, reason=reason)

    def draw(rng: Random) -> Demo:
        given, right, wrong, feedback, work = make(rng)
        ok = rng.random() < 0.5
        outputs = verdict(spec, result, ok, feedback)
        draft = right if ok else wrong
        if reason:
            outputs = {REASONING: _comparison(work, right, draft), **outputs}
        return Demo({**given, "draft": draft}, outputs)

    return Task("checking", spec, draw, kind=f"{kind}, with reasoning" if reason else kind)


def _comparison(work: str, right: Any, draft: Any) -> str:
    """Solve it again, put what the draft says beside it, up to the first thing that differs."""
    if not isinstance(right, dict):
        return f"{work}. The draft says {draft}, {'right' if draft == right else 'wrong'}."
    said = []
    for ours, theirs in zip(right["steps"], draft["steps"]):
        value = theirs.rsplit(" ", 1)[1]
        said.append(f"{ours}, draft {value}, {'right' if ours == theirs else 'wrong'}")
        if ours != theirs:
            return ". ".join(said) + "."
    last = list(right)[-1]
    verdict = "right" if right[last] == draft[last] else "wrong"
    return ". ".join(said) + f". {right[last]}, draft {draft[last]}, {verdict}."


def _first_wrong_step(rng: Random) -> Task:
    """Ask for the number of the first wrong step, 0 where all are right."""
    record = solution_record(rng)
    steps_of = call("", {"problem": STR}, record)
    reason = rng.random() < 0.6
    inputs = {"problem": STR, "draft": record}
    spec = call(instruct(rng, _FIRST, 0.1)[0], inputs, INT, reason=reason)

    def draw(rng: Random) -> Demo:
        given, right, wrong, feedback, work = _steps_draft(rng, steps_of)
        ok = rng.random() < 0.3
        draft = right if ok else wrong
        outputs: dict[str, Any] = {BARE: 0 if ok else int(feedback.split()[1])}
        if reason:
            outputs = {REASONING: _comparison(work, right, draft), **outputs}
        return Demo({**given, "draft": draft}, outputs)

    return Task("checking", spec, draw, kind="first")


def _label_check(rng: Random) -> Task:
    base = arbitrary(rng)
    while base.spec.outputs[0].name != BARE:
        base = arbitrary(rng)
    result = _verdict_type(rng)
    inputs = {base.spec.inputs[0].name: STR, "draft": base.spec.result}
    spec = call(instruct(rng, _CHECKS, 0.3)[0], inputs, result)

    def draw(rng: Random) -> Demo:
        case, ok = base.draw(rng), rng.random() < 0.5
        label = case.outputs[BARE]
        shown = label if ok else rng.choice([x for x in base.labels if x != label])
        feedback = f"The answer should be {label}."
        return Demo({**case.inputs, "draft": shown}, verdict(spec, result, ok, feedback))

    return Task("checking", spec, draw, kind="label")


def revising(rng: Random) -> Task:
    """Ask to heed feedback on a draft; one that was right stays."""
    kind = rng.choices(("sum", "fact", "steps"), (3, 3, 3))[0]
    draft_type, make = _drafts(rng, kind)
    names = {"sum": ("problem",), "fact": ("passage", "question"), "steps": ("problem",)}[kind]
    inputs = {**dict.fromkeys(names, STR), "draft": draft_type, "feedback": STR}
    spec = call(instruct(rng, _REVISIONS, 0.15)[0], inputs, draft_type)

    def draw(rng: Random) -> Demo:
        given, right, wrong, feedback, _ = make(rng)
        ok = rng.random() < 0.2
        note = rng.choice(("", "Right.", "It is right.")) if ok else feedback
        outputs = right if isinstance(right, dict) else {BARE: right}
        return Demo({**given, "draft": right if ok else wrong, "feedback": note}, outputs)

    return Task("revising", spec, draw, kind=kind)


def verdict(spec: CallSpec, result: Type, ok: bool, feedback: str) -> dict[str, Any]:
    """Lay out the outputs of a call that judges, in the form of its result type."""
    match result:
        case BoolType():
            return {BARE: ok}
        case LiteralType():
            return {BARE: "yes" if ok else "no"}
        case _:
            return {"ok": ok, "score": 1.0 if ok else 0.0, "feedback": "Right." if ok else feedback}


def _drafts(rng: Random, kind: str) -> tuple[Type, Callable[[Random], Draft]]:
    if kind == "sum":
        return INT, _sum_answer
    if kind == "fact":
        return STR, _fact_answer
    record = solution_record(rng)
    spec = call("", {"problem": STR}, record)
    return record, lambda rng: _steps_draft(rng, spec)


def _verdict_type(rng: Random) -> Type:
    return rng.choice(
        (BOOL, LiteralType(("yes", "no")), LiteralType(("no", "yes")), VERDICT, VERDICT)
    )
