"""What models learn from their own runs: recipes by tasks, round by round.

`python bench/selfimprove.py --out runs.jsonl`: a run is one recipe on one task with one seed, which
draws its rows, its samples and its training. Test rows are seen by no step. Each line of the file
is a run: the test score of the start, of each leader after it, and of the end, with the calls and
the seconds. A run whose line is in the file is not repeated, so that a stopped benchmark goes on.
`--table` prints the file as a table. Gains count when they are seen (`accept="better"`).
Recipes for several modules have programs of their own, and measures beside the score: how well a
critique tells right drafts from wrong ones, how good first drafts are, how different roles answer.
The first three tasks are of lmc/tiny. `--tasks banking --model lmc/smollm2` are ten intents of
banking77, with fewer rows; `--data DATA --tasks formulas` are boolean expressions of BBH.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import lmc  # noqa: E402
from examples.tiny.logic import orders  # noqa: E402
from examples.tiny.rows import problems  # noqa: E402
from lmc.diagnostics import LmcError  # noqa: E402
from lmc.files import cache_folder  # noqa: E402
from lmc.measure.judging import area  # noqa: E402
from lmc.optimizers import events  # noqa: E402
from lmc.optimizers.compilation.result import CompileResult  # noqa: E402
from lmc.runtime.parameters import Parameters  # noqa: E402
from lmc.runtime.traces import Trace  # noqa: E402

CACHE = cache_folder()
AT_ONCE = 32  # runs that are measured at the same time
HEAD = """
model it {{ name: "{model}"{settings} }}
default {{ model: it }}
{types}
record Row {{ question: str, answer: {type} }}
"""
TAIL = """
dataset task: Row {{
  source: "rows.jsonl"
  split: {{train: {train}, dev: {dev}, test: {own_test}}}
}}
optimize main {{ data: task, metric: accuracy }}
"""
ONE = '''
generate main(question: str) -> {type} {{ """{instruction}""" temperature: 0.0 max_tokens: 24 }}
'''
# One step has rows of its own: a pipeline "makes" them as they are in a file, and asks no model.
MORE = """
pipeline as_is(question: str, answer: {type}) -> Row {{
  return Row(question=question, answer=answer)
}}
dataset others: Row {{ source: "others.jsonl" }}
dataset second: Row {{ from: as_is(question, answer) over: others n: 1000 }}
"""
DRAFT = '''
generate draft(question: str) -> {type} {{
  """{instruction}"""
  temperature: 1.0
  max_tokens: 24
  adapter: one
}}
'''
# A draft is made anew where the verdict is bad.
CHECKED = '''
critique judge(question: str, answer: {type}) -> bool {{
  """Is the answer right?"""
  subject: answer
  temperature: 0.0
  max_tokens: 24
}}
refine main(question: str) -> {type} {{
  """{instruction}"""
  draft: draft(question)
  check: judge(question, draft)
  until: check
  rounds: 2
  temperature: 1.0
  max_tokens: 24
  adapter: one
}}
'''
# A draft is always made anew, once.
TURNS = '''
pipeline empty(answer: {type}) -> bool {{ return f"{{answer}}" == "" }}
refine main(question: str) -> {type} {{
  """{instruction}"""
  draft: draft(question)
  check: empty(draft)
  until: false
  rounds: 1
  temperature: 1.0
  max_tokens: 24
  adapter: one
}}
'''
# The most frequent answer of three roles counts.
ROLES = '''
generate careful(question: str) -> {type} {{
  """{instruction} Take care."""
  temperature: 1.0
  max_tokens: 24
  adapter: one
}}
generate quick(question: str) -> {type} {{
  """{instruction} Be quick."""
  temperature: 1.0
  max_tokens: 24
  adapter: one
}}
record Said {{ answer: {type} }}
record Count {{ answer: {type}, votes: int }}
pipeline main(question: str) -> {type} {{
  let room = [Said(answer=a) for a in [
    draft(question), careful(question), quick(question)
  ]]
  let counts = [Count(answer=g.key, votes=len(g.items)) for g in group_by(room, .answer)]
  return first(sort_by(counts, .votes, true)).answer
}}
'''
Row = dict[str, Any]
Measure = Callable[[Sequence[tuple[Trace, Any]]], dict[str, float]]  # of traces with labels


def judged(runs: Sequence[tuple[Trace, Any]]) -> dict[str, float]:
    """How well the critique tells right drafts from wrong ones, and how many drafts are right."""
    verdicts = [
        (call.result, call.inputs["answer"] == label)
        for trace, label in runs
        for call in trace.calls
        if call.module == "judge" and isinstance(call.result, bool)
    ]
    auc = area([float(said) for said, _ in verdicts], [right for _, right in verdicts])
    return {"AUC of verdicts": 0.5 if auc is None else auc, **turns(runs)}


def turns(runs: Sequence[tuple[Trace, Any]]) -> dict[str, float]:
    """How many first drafts are right."""
    drafts = [
        call.result == label
        for trace, label in runs
        for call in trace.calls
        if call.module == "draft"
    ]
    return {"drafts": fmean(drafts) if drafts else 0.0}


def varied(runs: Sequence[tuple[Trace, Any]]) -> dict[str, float]:
    """How many different answers the roles give to a question, as a share of the roles."""
    shares = []
    for trace, _ in runs:
        answers = [json.dumps(call.result) for call in trace.calls]
        shares.append(len(set(answers)) / len(answers) if answers else 0.0)
    return {"different answers": fmean(shares)}


@dataclass(frozen=True)
class Recipe:
    """Steps, the program that they improve, and what is measured beside its score.

    With `halves`, the train rows are one half, and the dataset `second` has the other.
    """

    steps: str
    program: str = ONE
    measure: Measure | None = None
    halves: bool = False


RECIPES = {
    "lora": Recipe("lora()"),
    "rest_em": Recipe("rest_em(samples=4, temperature=1.0, rounds=2)"),
    "lmsi": Recipe("lmsi(samples=4, temperature=1.0, rounds=2)"),
    "scpo": Recipe("scpo(samples=4, rounds=2)"),
    "spin": Recipe("spin(samples=2, rounds=2)"),
    "nft": Recipe("nft(samples=4, rounds=2)"),
    "grpo": Recipe("grpo(samples=4, rounds=2)"),
    "kto": Recipe("kto(samples=4, rounds=2)"),
    "dpo": Recipe("dpo(samples=4, rounds=2)"),
    "lora, then dpo": Recipe("lora() >> dpo(samples=4, rounds=2)"),
    "lora on half": Recipe("lora()", halves=True),
    "lora on half, then dpo on the rest": Recipe(
        'lora() >> dpo(samples=6, rounds=2, rows="second")', ONE + MORE, halves=True
    ),
    "critic + refine": Recipe(
        "rest_em(samples=4, temperature=1.0, rounds=1) >> critic(samples=4, epochs=3)",
        DRAFT + CHECKED,
        judged,
    ),
    "score": Recipe("score(samples=4)", DRAFT + TURNS, turns),
    "roles, own adapters": Recipe("multiagent(samples=4, rounds=3)", DRAFT + ROLES, varied),
    "roles, one adapter": Recipe(
        'train(select="result", loss="sft", samples=4, rounds=3)', DRAFT + ROLES, varied
    ),
}


@dataclass(frozen=True)
class Task:
    """Rows with a question and an answer, and how a model is asked for it.

    `draw` gives so many rows with different questions, or all that there are. `counts` are those of
    the rows for training, development and testing.
    """

    draw: Callable[[Random, int, Path | None], list[Row]]
    type: str
    instruction: str
    declared: str = ""
    counts: tuple[int, int, int] = (128, 160, 300)


def _made(make: Callable[[Random], tuple[str, Any]]) -> Callable[..., list[Row]]:
    """Rows of puzzles that are made one by one."""

    def draw(rng: Random, count: int, data: Path | None) -> list[Row]:
        found: dict[str, Any] = {}
        while len(found) < count:
            found.setdefault(*make(rng))
        return [{"question": text, "answer": answer} for text, answer in found.items()]

    return draw


def _sum(rng: Random) -> tuple[str, int]:
    a, b = rng.randrange(10, 100), rng.randrange(10, 100)
    return f"{a} + {b}", a + b


def _order(rng: Random) -> tuple[str, str]:
    text, _, answer = orders(rng)
    return text, answer


def _problem(rng: Random) -> tuple[str, Any]:
    row = problems(rng)
    return str(row["problem"]), row["answer"]


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _some(rng: Random, count: int, rows: Sequence[tuple[str, Any]]) -> list[Row]:
    known = dict(rows)
    drawn = rng.sample(list(known), min(len(known), count))
    return [{"question": text, "answer": known[text]} for text in drawn]


BANKING = [(row["text"], row["intent"]) for row in _read(ROOT / "examples/real/banking.jsonl")]
INTENTS = ", ".join(sorted({intent for _, intent in BANKING}))


def _formulas(rng: Random, count: int, data: Path | None) -> list[Row]:
    if data is None:
        raise click.ClickException("formulas need --data")
    rows = _read(data / "bbh" / "boolean_expressions.jsonl")
    return _some(rng, count, [(row["question"], row["answer"] == "True") for row in rows])


FEW = (96, 64, 160)  # there are no more rows of real tasks
TASKS = {
    "sums": Task(_made(_sum), "int", "Compute the answer."),
    "orders": Task(_made(_order), "str", "Answer the question."),
    "problems": Task(_made(_problem), "int", "Solve the problem."),
    "banking": Task(
        lambda rng, count, data: _some(rng, count, BANKING), "Intent",
        "Name the intent of the customer's message.", declared=f"enum Intent {{ {INTENTS} }}",
        counts=FEW,
    ),
    "formulas": Task(_formulas, "bool", "Evaluate the expression.", counts=FEW),
}  # fmt: skip
OF_TINY = "sums,orders,problems"
TOLD = re.compile(r"(?:before|after): judge: .*AUC ([\d.]+)")
OWN_TEST = 2  # rows that a dataset needs as its own test rows


def measured(
    result: CompileResult, parameters: Parameters, rows: Sequence[Row], measure: Measure | None
) -> tuple[float, dict[str, float]]:
    """The accuracy of the program with some parameters, and what else is measured."""
    with tempfile.NamedTemporaryFile(suffix=".lmpc") as file:
        replace(result.artifact, parameters=parameters).write(Path(file.name))
        program = lmc.load(file.name, cache=False)
        if measure is None:
            return lmc.evaluate(program, list(rows), "accuracy").mean or 0.0, {}

        def run(row: Row) -> tuple[float, Trace]:
            trace = Trace()
            try:
                answer, _ = program.main.run_traced({"question": row["question"]}, trace)
            except LmcError:
                return 0.0, trace
            return float(answer == row["answer"]), trace

        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(run, rows))
        traced = [(trace, row["answer"]) for (_, trace), row in zip(found, rows, strict=True)]
        return fmean(score for score, _ in found), measure(traced)


def write_rows(name: str, rows: Sequence[Row]) -> None:
    """Write the rows of a dataset."""
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_program(task: Task, recipe: Recipe, model: str, train: int) -> None:
    """Write the program that a recipe improves on a task, with so many train rows."""
    name, _, dtype = model.partition(",")
    settings = f', dtype: "{dtype}"' if dtype else ""
    text = (HEAD + recipe.program + TAIL).format(
        type=task.type, instruction=task.instruction, types=task.declared,
        train=train, dev=task.counts[1], own_test=OWN_TEST, model=name, settings=settings,
    )  # fmt: skip
    Path("it.lmp").write_text(text)


def run(name: str, recipe: str, seed: int, folder: Path, data: Path | None, model: str) -> Row:
    """One run, in a folder of its own."""
    task, how = TASKS[name], RECIPES[recipe]
    train, dev, tested = task.counts
    seen = train + dev + OWN_TEST
    rows = task.draw(Random(f"selfimprove/{name}/{seed}"), seen + tested, data)
    some, test = rows[:seen], rows[seen:]
    os.chdir(folder)
    _own_cache(folder / "cache")
    apart = train // 2 if how.halves else 0
    write_program(task, how, model, train - apart)
    write_rows("others.jsonl", some[:apart])
    write_rows("rows.jsonl", some[apart:])
    known: dict[str, Parameters] = {}
    leaders: list[Parameters] = []

    def watch(event: events.Event) -> None:
        if isinstance(event, events.CandidateScored):
            known[event.name] = event.parameters
        elif isinstance(event, events.LeaderChanged):
            leaders.append(known[event.name])

    began = time.monotonic()
    result = lmc.compile(
        "it.lmp", optimizer=how.steps, cache=False, seed=seed,
        accept="better", out="it.lmpc", progress=watch,
    )  # fmt: skip
    seconds = time.monotonic() - began
    states = (Parameters(), *leaders, result.artifact.parameters)
    found = [measured(result, parameters, test, how.measure) for parameters in states]
    scores = [score for score, _ in found]
    also = {of: [more[of] for _, more in found] for of in found[0][1]}
    if figures := [float(auc) for note in result.notes for auc in TOLD.findall(note)]:
        also["AUC on dev, before and after training"] = figures  # also if the race refused it
    return {
        "task": name, "model": model, "recipe": recipe, "seed": seed,
        "start": scores[0], "rounds": scores[1:-1], "end": scores[-1],
        "also": also,
        "calls": result.used.calls, "seconds": round(seconds, 1),
        "notes": list(result.notes),
    }  # fmt: skip


def _own_cache(folder: Path) -> None:
    """No run finds adapters of another one, but a model is converted once."""
    folder.mkdir()
    if CACHE.joinpath("gguf").exists():
        folder.joinpath("gguf").symlink_to(CACHE / "gguf")
    os.environ["LMC_CACHE_DIR"] = str(folder)


def table(lines: Sequence[Row]) -> str:
    """Means over the seeds with their standard errors, in %, as a table of Markdown."""
    rows = [
        "| task | recipe | seeds | start | rounds | end | gain | also, at start and end | calls "
        "| seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Row]] = {}
    for line in lines:
        groups.setdefault((line["task"], line["recipe"]), []).append(line)
    order = [(t, r) for t in TASKS for r in RECIPES if (t, r) in groups]
    for task, recipe in order:
        runs = groups[task, recipe]
        rounds = [
            _mean([run["rounds"][i] for run in runs if i < len(run["rounds"])])
            for i in range(max(len(run["rounds"]) for run in runs))
        ]
        cells = [
            *(task, recipe, str(len(runs))),
            _mean([run["start"] for run in runs]),
            ", ".join(rounds) or "–",
            _mean([run["end"] for run in runs]),
            _mean([run["end"] - run["start"] for run in runs]),
            _also([run.get("also", {}) for run in runs]),
            f"{fmean(run['calls'] for run in runs):,.0f}",
            f"{fmean(run['seconds'] for run in runs):.0f}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _also(runs: Sequence[Mapping[str, Sequence[float]]]) -> str:
    told = []
    for name in runs[0]:
        ends = [_mean([run[name][i] for run in runs]) for i in (0, -1)]
        told.append(f"{name} {ends[0]} and {ends[1]}")
    return ", ".join(told) or "–"


def _mean(values: Sequence[float]) -> str:
    shown = str(round(100 * fmean(values)))
    return f"{shown} ± {100 * stdev(values) / len(values) ** 0.5:.0f}" if len(values) > 1 else shown


@click.command()
@click.option("--out", type=click.Path(path_type=Path, resolve_path=True), required=True)
@click.option("--tasks", default=OF_TINY, show_default=True)
@click.option("--recipes", default=";".join(RECIPES), show_default=True, help="`;` between.")
@click.option("--seeds", default=5, show_default=True)
@click.option("--model", default="lmc/tiny", help="Its name, and `,bfloat16` or nothing.")
@click.option("--data", type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.option("--table", "only_table", is_flag=True, help="Print what the file has.")
def main(
    out: Path, tasks: str, recipes: str, seeds: int, model: str, data: Path | None, only_table: bool
) -> None:
    """Run what the file lacks, and print the table."""
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(line["task"], line["recipe"], line["seed"]) for line in lines}
    for seed in range(0 if only_table else seeds):
        for task in tasks.split(","):
            for recipe in recipes.split(";"):
                if (task, recipe, seed) in done:
                    continue
                with tempfile.TemporaryDirectory() as place:
                    lines.append(run(task, recipe, seed, Path(place), data, model))
                    os.chdir(ROOT)
                with out.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                click.echo(json.dumps(lines[-1]), err=True)
    click.echo(table(lines))


if __name__ == "__main__":
    main()
