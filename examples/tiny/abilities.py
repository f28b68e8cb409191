"""What the model is good for in a program: `python -m examples.tiny.abilities`.

Steps before the answer, votes, verdicts, answers that read as their types: on questions that were
never trained on. With `--card` the table goes into README.md beside this file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import click

from examples.tiny.arithmetic import arithmetic
from examples.tiny.checking import checking
from examples.tiny.evaluate import Cell, Writer, draw_unseen, write_card
from examples.tiny.families import FAMILIES
from examples.tiny.logic import booleans, counting, exchanges, logic
from examples.tiny.task import LAYOUTS, Instance, Task, call
from lmc.prompts.spec import BARE, REASONING, CallSpec, Demo, ParseFailure
from lmc.tiny import MODEL_DIR
from lmc.types import BOOL, INT, STR, VERDICT, RecordType
from lmc.values import InvalidValue, validate

TEMPERATURE = 1.0
VOTES, CRITIC_SAMPLES = 9, 8
_STORIES = (0, 0, 0, 1, 1)  # kinds of arithmetic: those of several steps
_PUZZLES = (booleans, counting, exchanges)
Make = Callable[[Random], Task]


def several_steps(form: str) -> Make:
    """Problems of several steps, half of them sums in words, half puzzles."""

    def make(rng: Random) -> Task:
        if rng.random() < 0.5:
            return arithmetic(rng, _STORIES, form)
        return logic(rng, rng.choice(_PUZZLES), form)

    return make


def _puzzle(rng: Random) -> Task:
    return logic(rng, rng.choice(_PUZZLES), "reasoning")


def judged(*, reason: bool) -> Make:
    """A draft to be called right or wrong, by a truth value."""

    def make(rng: Random) -> Task:
        while True:
            task = checking(rng)
            reasons = task.spec.outputs[0].name == REASONING
            if task.spec.result is BOOL and reasons == reason:
                return task

    return make


def answers(writer: Writer, asked: Sequence[Instance], seed: int, temperature: float) -> list[Any]:
    """The value of each answer, None where it does not read as its type."""
    written = writer.answers(asked, temperature=temperature, seed=seed)
    return [value_of(instance, text) for instance, text in zip(asked, written)]


def value_of(instance: Instance, text: str) -> Any:
    """The last output of an answer, typed; None where it cannot be read."""
    spec = instance.task.spec
    record = isinstance(spec.result, RecordType)
    try:
        outputs = instance.layout.parse(spec, text)
        given = {k: v for k, v in outputs.items() if k != REASONING} if record else outputs[BARE]
        value = validate(spec.result, given, lenient=True)
    except (ParseFailure, InvalidValue, KeyError):
        return None
    return str(value[spec.outputs[-1].name] if record else value)


def wanted(instance: Instance) -> str:
    """The right last output."""
    return str(instance.case.outputs[instance.task.spec.outputs[-1].name])


def right(found: Sequence[Any], asked: Sequence[Instance]) -> Cell:
    """Count the right ones."""
    return Cell(sum(v == wanted(i) for v, i in zip(found, asked)), len(asked))


def steps_or_not(writer: Writer, seed: int, count: int) -> list[str]:
    """Answer alone, and after reasoning; greedy, four demonstrations."""
    cells = []
    for form in ("answer", "reasoning"):
        asked = draw_unseen(seed, several_steps(form), 4, count)
        cells.append(right(answers(writer, asked, seed, 0.0), asked))
    return [f"| several steps: answer alone | {cells[0]} |", f"| … after reasoning | {cells[1]} |"]


def one_or_majority(writer: Writer, seed: int, count: int) -> list[str]:
    """One sample against the majority of nine on puzzles, at the same temperature, reasoning."""
    asked = draw_unseen(seed, _puzzle, 2, count)
    samples = [answers(writer, asked, seed + 1000 * i, TEMPERATURE) for i in range(VOTES)]
    votes = [Counter(v for v in given if v is not None) for given in zip(*samples)]
    most = [vote.most_common(1)[0][0] if vote else None for vote in votes]
    one = Cell(sum(right(s, asked).right for s in samples), count * VOTES)
    return [
        f"| puzzles: one sample at temperature {TEMPERATURE} | {one} |",
        f"| … majority of {VOTES} | {right(most, asked)} |",
    ]


def critic(writer: Writer, seed: int, count: int) -> list[str]:
    """How well the share of samples that call a draft right tells right ones from wrong ones."""
    lines = []
    for reason in (False, True):
        asked = draw_unseen(seed, judged(reason=reason), 2, count)
        samples = [answers(writer, asked, seed + 1000 * i, 1.0) for i in range(CRITIC_SAMPLES)]
        scores = [sum(v == "True" for v in given) for given in zip(*samples)]
        area = auc(scores, [wanted(i) == "True" for i in asked])
        way = "after reasoning" if reason else "at once"
        lines.append(f"| verdicts on drafts {way}: area under the curve | {100 * area:.0f} |")
    return lines


def refined(writer: Writer, seed: int, count: int) -> list[str]:
    """Answers at once, then judged with reasoning, and revised where they are called wrong."""
    asked = draw_unseen(seed, _problem, 0, count)
    drafts = answers(writer, asked, seed, TEMPERATURE)
    known = [(i, d) for i, d in zip(asked, drafts) if d is not None]
    judging = [_with(_CRITIC, {**i.case.inputs, "draft": int(d)}) for i, d in known]
    verdicts = []
    for instance, text in zip(judging, writer.answers(judging)):
        try:
            verdicts.append(instance.layout.parse(_CRITIC, text))
        except ParseFailure:
            verdicts.append({"ok": True, "feedback": ""})
    revising = [
        _with(_REVISER, {**judged.case.inputs, "feedback": str(verdict["feedback"])})
        for judged, verdict in zip(judging, verdicts)
    ]
    revised = answers(writer, revising, seed, 0.0)
    final = [d if v["ok"] else r for (_, d), v, r in zip(known, verdicts, revised)]
    before, after = (right(some, [i for i, _ in known]) for some in ([d for _, d in known], final))
    return [f"| drafts of an answer at once | {before} |", f"| … after one refine | {after} |"]


def _problem(rng: Random) -> Task:
    while True:
        task = arithmetic(rng, form="answer")
        if task.spec.result is INT and task.spec.inputs[0].name == "problem":
            return task


_CRITIC = call("Is the answer right?", {"problem": STR, "draft": INT}, VERDICT, reason=True)
_REVISER = call("Correct the draft.", {"problem": STR, "draft": INT, "feedback": STR}, INT)


def _with(spec: CallSpec, inputs: dict[str, Any]) -> Instance:
    """A call on some inputs, whose answer is not known."""
    task = Task("given", spec, lambda rng: Demo({}, {}))
    return Instance(task, (), Demo(inputs, {}))


def typed(writer: Writer, seed: int, count: int) -> list[str]:
    """Answers that read as their types, with nothing to constrain decoding, by layout."""
    lines = []
    for layout in LAYOUTS:
        cells = []
        for make in FAMILIES.values():
            asked = [
                Instance(i.task, i.demos, i.case, layout)
                for i in draw_unseen(seed, make, 2, -(-count // len(FAMILIES)))
            ]
            found = answers(writer, asked, seed, 0.0)
            cells.append(Cell(sum(v is not None for v in found), len(asked)))
        whole = Cell(sum(c.right for c in cells), sum(c.total for c in cells))
        lines.append(f"| reads as its type, layout {layout.name} | {whole} |")
    return lines


def auc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Area under the ROC curve by the rank-sum statistic, ties counted half."""
    good = [s for s, p in zip(scores, positive) if p]
    bad = [s for s, p in zip(scores, positive) if not p]
    wins = sum((g > b) + 0.5 * (g == b) for g in good for b in bad)
    return wins / (len(good) * len(bad))


MEASURES = (steps_or_not, one_or_majority, critic, refined, typed)


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=MODEL_DIR)
@click.option("--seed", default=1, help="Seed of the questions.")
@click.option("--count", default=200, help="Questions a measure.")
@click.option("--card", is_flag=True, help="Write the table into README.md.")
def main(model: Path, seed: int, count: int, card: bool) -> None:
    """Measure what the model is good for in a program."""
    writer = Writer(model)
    lines = ["| on unseen questions | right in % |", "|---|---|"]
    for measure in MEASURES:
        lines += measure(writer, seed, count)
        click.echo("\n".join(lines[-3:]))
    if card:
        write_card(lines, seed, count, "abilities")


if __name__ == "__main__":
    main()
