"""`auto` beside DSPy's optimizers on a real model and real data: `bench/optimizers.py --real DATA`.

One server has the model, which both sides ask. Both send the same messages and the same JSON Schema
for a row, which is checked before each task: DSPy gets an adapter that writes what lmc writes (or
its own `JSONAdapter`, with the same schema enforced). A seed draws the train and dev rows; the test
rows of a task never change. The bench, not the side, scores the answers. Each run is a line of
JSON, so that a stopped bench goes on where it was.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import click

ROOT = Path(__file__).parents[1]
TRAIN, DEV, TEST = 80, 40, 100
MODEL = "lmc/smollm2"
WRITTEN = "as written"
PEERS = ("random-search", "mipro", "gepa", "knn-few-shot")
ONCE = ("gepa",)  # measured with the first seed only
FREE = ("knn-few-shot", WRITTEN)  # do not search, so that a budget means nothing
PROGRAM = '''
{types}record Row {{ {given}: str, answer: {type} }}
default {{ layout: "json", temperature: 0.0 }}
generate main({given}: str) -> {type} {{
  """{instruction}"""
  max_tokens: 24
}}
dataset task: Row {{ source: "rows.jsonl", split: {{train: {train}, dev: {dev}, test: 2}} }}
optimize main {{ data: task, metric: accuracy }}
'''
INTENTS = (
    *("card_arrival", "card_linking", "exchange_rate", "card_payment_wrong_exchange_rate"),
    *("extra_charge_on_statement", "pending_cash_withdrawal", "fiat_currency_support"),
    *("card_delivery_estimate", "automatic_top_up", "card_not_working"),
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task with its rows, each of which has the input and `answer`.

    `kind` is the result's type for DSPy: a list of labels, "bool" or "str?".
    """

    name: str
    given: str
    type: str
    kind: Any
    instruction: str
    rows: Sequence[Row]
    types: str = ""

    def parts(self, seed: int) -> dict[str, list[Row]]:
        """Train and dev rows as the seed draws them, and the same test rows for all."""
        test, rest = list(self.rows[:TEST]), list(self.rows[TEST:])
        Random(f"{self.name}/{seed}").shuffle(rest)
        return {"train": rest[:TRAIN], "dev": rest[TRAIN : TRAIN + DEV], "test": test}

    def program(self) -> str:
        """The program as lmc gets it."""
        return PROGRAM.format(
            types=self.types, given=self.given, type=self.type, instruction=self.instruction,
            train=TRAIN, dev=DEV,
        )  # fmt: skip


def drawn(data: Path, draw: str = "") -> Iterator[Task]:
    """The tasks. Another `draw` has test rows that are none of the first one's."""
    for task in tasks(data):
        first, others = task.rows[:TEST], task.rows[TEST:]
        rows = [*_mixed(task.name + draw, others), *first] if draw else task.rows
        yield replace(task, rows=rows)


def tasks(data: Path) -> Iterator[Task]:
    """Intents of a bank's customers, times that guests say, formulas, sentences on sport."""
    banking = _read(ROOT / "examples/real/banking.jsonl")
    yield Task(
        "intents", "text", "Intent", list(INTENTS), "Name the intent of the customer's message.",
        [{"text": row["text"], "answer": row["intent"]} for row in banking],
        f"enum Intent {{ {', '.join(INTENTS)} }}\n",
    )  # fmt: skip
    guests = _read(data / "restaurant8k" / "train.jsonl")
    said = [{"text": row["text"], "answer": row["slots"]["time"]} for row in guests]
    short = {row["text"]: row for row in said if len(row["text"]) < 100}
    told = [row for row in short.values() if row["answer"]][:200]
    mute = [row for row in short.values() if not row["answer"]][:100]
    yield Task(
        "time", "text", "str?", "str?",
        "Copy the time of day that the guest says. If there is none, it is null.",
        _mixed("time", [*told, *mute]),
    )  # fmt: skip
    formulas = _read(data / "bbh" / "boolean_expressions.jsonl")
    yield Task(
        "formulas", "question", "bool", "bool", "Evaluate the expression.",
        _mixed("formulas", [
            {"question": row["question"], "answer": row["answer"] == "True"} for row in formulas
        ]),
    )  # fmt: skip
    sports = _read(data / "bbh" / "sports_understanding.jsonl")
    yield Task(
        "sports", "question", "Plausible", ["yes", "no"], "Answer the question.",
        _mixed("sports", sports), "enum Plausible { yes, no }\n",
    )  # fmt: skip


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _mixed(name: str, rows: Sequence[Row]) -> list[Row]:
    mixed = list(rows)
    Random(name).shuffle(mixed)
    return mixed


# --- the two sides ---


@dataclass(frozen=True)
class Sides:
    """Where the model and DSPy are."""

    url: str
    dspy: subprocess.Popen[str] | None

    def spent(self, luck: str = "") -> dict[str, Any]:
        """What the server was asked since the last time. `luck` begins a run."""
        with urllib.request.urlopen(f"{self.url}/spent{luck and '?luck='}{luck}") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def with_lmc(self, task: Task, seed: int, optimizer: str, budget: int) -> dict[str, Any]:
        """One run of lmc; without an optimizer the program as written."""
        import lmc

        os.environ |= {"OPENAI_BASE_URL": f"{self.url}/v1", "OPENAI_API_KEY": "x"}
        parts, notes = task.parts(seed), []
        with tempfile.TemporaryDirectory() as place, chdir(place), in_file_order():
            Path("task.lmp").write_text(task.program(), encoding="utf-8")
            some = [*parts["train"], *parts["dev"], *parts["test"][:2]]
            Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
            self.spent(f"{task.name}-{seed}")
            start_s = time.perf_counter()
            if optimizer != WRITTEN:
                result = lmc.compile(
                    "task.lmp", optimizer=optimizer, model="openai/bench", cache=False, seed=seed,
                    budget={"calls": budget}, out="task.lmpc", accept="better",
                )  # fmt: skip
                notes = [str(note) for note in result.notes]
            cost = self.spent() | {"wall": time.perf_counter() - start_s}
            file = "task.lmp" if optimizer == WRITTEN else "task.lmpc"
            with lmc.load(file, model="openai/bench", cache=False) as program:
                inputs = [{task.given: row[task.given]} for row in parts["test"]]
                with suppress(lmc.LmcError):  # the first request is to be shown, not its answer
                    program.main(**inputs[0])
                first = self.spent()["first"]
                said = program.main.batch(inputs, return_exceptions=True)
        answers = [None if isinstance(one, Exception) else plain(one) for one in said]
        failed = [place for place, one in enumerate(said) if isinstance(one, Exception)]
        return {**costs(cost), "first": first, "notes": notes, "failed": failed, "answers": answers}

    def with_dspy(
        self, task: Task, seed: int, optimizer: str, budget: int, like: Mapping[str, Any]
    ) -> dict[str, Any]:
        """One run of an optimizer of DSPy, in its own environment. `like` is a request of lmc.

        A name that begins with `own ` has DSPy's JSONAdapter instead of one that writes as lmc.
        """
        adapter, _, name = optimizer.rpartition(" ")
        told = {
            "instruction": task.instruction, "given": task.given, "kind": task.kind,
            "adapter": adapter or "same", "format": like["response_format"], **task.parts(seed),
        }  # fmt: skip
        if name in FREE:
            told["vectors"] = vectors(task, seed)
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(told, file)
            file.flush()
            self.spent(f"{task.name}-{seed}")
            found = self._ask_dspy([self.url, name, str(budget), str(seed), file.name])
        if adapter == "" and (told_apart := difference(like, found.pop("plain"))):
            raise click.ClickException(f"{task.name}: the sides ask differently: {told_apart}")
        return {**costs(found.pop("spent")), **found}

    def _ask_dspy(self, job: list[str]) -> dict[str, Any]:
        """The result of a job, from a process that is started once. Raises: ClickException."""
        assert self.dspy is not None
        stdin, stdout = self.dspy.stdin, self.dspy.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(job) + "\n")
        stdin.flush()
        for line in stdout:
            if line.startswith("RESULT "):
                found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
                if "error" in found:
                    raise click.ClickException(f"{job[1]}: {found['error']}")
                return found
        raise click.ClickException(f"DSPy ended in {job[1]}")


@contextmanager
def in_file_order() -> Iterator[None]:
    """Let lmc split rows as they stand in the file, so that both sides learn from the same ones."""
    from lmc.measure import rows

    def split(all_: Sequence[Any], wanted: Mapping[str, int], **_: Any) -> rows.Split:
        ends = [sum(list(wanted.values())[:n]) for n in range(4)]
        parts = [tuple(all_[a:b]) for a, b in pairwise(ends)]
        return rows.Split(*parts)

    usual, rows.split_rows = rows.split_rows, split
    try:
        yield
    finally:
        rows.split_rows = usual


def dspy_at(python: str) -> subprocess.Popen[str]:
    """DSPy's side, waiting for jobs."""
    command = [python, str(ROOT / "bench/dspy_side.py")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, text=True, **pipes)


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs between two requests in what decides their answers; empty if nothing does."""
    for name in ("messages", "temperature", "max_tokens", "response_format"):
        ours, theirs = one.get(name), other.get(name)
        if name == "max_tokens":  # OpenAI has another name for it too
            theirs = theirs or other.get("max_completion_tokens")
        if name == "response_format":  # its name and `strict` decide nothing
            ours, theirs = (f and f["json_schema"]["schema"] for f in (ours, theirs))
        if ours != theirs:
            return f"{name}: {ours} and {theirs}"
    return ""


def costs(spent: Mapping[str, Any]) -> dict[str, Any]:
    """Calls, tokens, and seconds: of the model for all requests, and of the side itself."""
    own_s = max(0.0, spent["wall"] - spent["busy"])
    counts = {name: spent[name] for name in ("calls", "known", "tokens_in", "tokens_out")}
    return {**counts, "seconds": round(spent["seconds"] + own_s, 1)}


def plain(answer: Any) -> Any:
    """A label as its text; other answers as they are."""
    return answer if answer is None or isinstance(answer, bool) else str(answer)


def vectors(task: Task, seed: int) -> dict[str, list[float]]:
    """The vectors of embed/local for the train and test inputs, as DSPy writes these."""
    from lmc.models.embedding import decoded, embedding_request
    from lmc.models.registry import open_backend
    from lmc.tasks.loop import run_sync

    parts = task.parts(seed)
    texts = [f"{task.given}: {row[task.given]}" for row in parts["train"] + parts["test"]]
    backend, name = open_backend("embed/local", {})

    async def ask() -> list[list[float]]:
        requests = [replace(embedding_request(text), model=name) for text in texts]
        found = [decoded((await backend.generate(one))[0].text) for one in requests]
        await backend.close()
        return [list(vector) for vector in found]

    return dict(zip(texts, run_sync(ask())))


def same(gold: Any, answer: Any) -> bool:
    """Whether an answer is right: texts without case, outer spaces and a last period."""
    if isinstance(gold, str) and isinstance(answer, str):
        return _bare(gold) == _bare(answer)
    return type(gold) is type(answer) and bool(gold == answer)


def _bare(text: str) -> str:
    return text.strip().strip("\"'").rstrip(".").strip().lower()


# --- the plan, and its results ---


def searches_not(system: str) -> bool:
    """Whether a budget means nothing to a system."""
    return system == WRITTEN or system.split()[-1] in FREE


def plan(
    names: Sequence[str], optimizers: Sequence[str], peers: Sequence[str],
    budgets: Sequence[int], seeds: int,
) -> Iterator[tuple[int, int, str, str]]:  # fmt: skip
    """Seed, budget, task and system of each run, so that a stopped bench has whole tables."""
    for seed in range(seeds):
        for budget in budgets:
            for name in names:
                for system in (WRITTEN, *optimizers, *(f"dspy {peer}" for peer in peers)):
                    free = searches_not(system)
                    again = seed > 0 and system.split()[-1] in ONCE
                    if not again and not (free and (budget != budgets[0])):
                        yield seed, budget, name, system


def measure(
    drawn: Iterable[Task], sides: Sides, out: Path, runs: Sequence[tuple[int, int, str, str]]
) -> None:
    """Make the runs that are not in the file yet."""
    known = {tuple(r[k] for k in ("seed", "budget", "task", "system")) for r in read(out)}
    by_name, like = {task.name: task for task in drawn}, {}
    free = {(r["seed"], r["task"], r["system"]) for r in read(out) if searches_not(r["system"])}
    for seed, budget, name, system in runs:
        if (seed, budget, name, system) in known or (seed, name, system) in free:
            continue
        task = by_name[name]
        if name not in like:
            like[name] = sides.with_lmc(task, seed, WRITTEN, 0)["first"]
        try:
            if system.startswith("dspy "):
                peer = system.removeprefix("dspy ")
                found = sides.with_dspy(task, seed, peer, budget, like[name])
            else:
                found = sides.with_lmc(task, seed, system, budget)
        except click.ClickException as failure:
            click.echo(f"{seed} {budget} {name} {system}: {failure.message}", err=True)
            continue
        gold = [row["answer"] for row in task.parts(seed)["test"]]
        right = [int(same(g, a)) for g, a in zip(gold, found["answers"], strict=True)]
        line = {"seed": seed, "budget": budget, "task": name, "system": system, "right": right}
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **found}) + "\n")
        spent = {key: found[key] for key in ("calls", "known", "seconds")}
        click.echo(f"{seed} {budget} {name} {system}: {sum(right)} {spent}", err=True)


def read(out: Path) -> list[dict[str, Any]]:
    """The results so far."""
    if not out.exists():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def interval(rights: Sequence[Sequence[float]], draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the mean, with runs (the outer list) and rows both drawn anew.

    Source: Owen 2007, "The pigeonhole bootstrap", Annals of Applied Statistics 1(2).
    """
    rng, rows = Random(0), range(len(rights[0]))
    means = []
    for _ in range(draws):
        runs = rng.choices(rights, k=len(rights))
        chosen = rng.choices(rows, k=len(rows))
        means.append(sum(run[row] for run in runs for row in chosen) / len(rows) / len(runs))
    means.sort()
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A row for each task and system, a cell for each budget, in Markdown."""
    budgets = sorted({r["budget"] for r in results})
    head = "| task | system | " + " | ".join(f"{budget} calls" for budget in budgets) + " |"
    lines = [head, "|---" * (len(budgets) + 2) + "|"]
    for task, system in dict.fromkeys((r["task"], r["system"]) for r in results):
        cells = []
        for budget in budgets:
            key = {"task": task, "system": system, "budget": budget}
            cells.append(_cell([r for r in results if key.items() <= r.items()]))
        lines.append(f"| {task} | {system} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *differences(results), "", *reached(results)])


def _cell(runs: Sequence[Mapping[str, Any]]) -> str:
    if not runs:
        return ""
    rights = [run["right"] for run in runs]
    low, high = interval(rights)
    mean = fmean(fmean(right) for right in rights)
    calls, seconds = (fmean(run[key] for run in runs) for key in ("calls", "seconds"))
    score = f"**{100 * mean:.0f}** [{100 * low:.0f}, {100 * high:.0f}]"
    return f"{score}, {calls:.0f} calls, {seconds:.0f} s" + (f", n={len(runs)}" if runs[1:] else "")


def differences(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How much better lmc's systems are than each of DSPy's by task, on equal rows and seeds.

    A system that does not search is compared at every budget.
    """
    ours = [r for r in results if not r["system"].startswith("dspy ") and r["system"] != WRITTEN]
    theirs = [r for r in results if r["system"].startswith("dspy ")]
    gains: dict[tuple[str, str, str, int], list[list[int]]] = {}
    for our, other in ((a, b) for a in ours for b in theirs):
        free = searches_not(other["system"])
        if our["task"] != other["task"] or our["seed"] != other["seed"]:
            continue
        if free or our["budget"] == other["budget"]:
            key = our["task"], our["system"], other["system"], our["budget"]
            gap = [a - b for a, b in zip(our["right"], other["right"], strict=True)]
            gains.setdefault(key, []).append(gap)
    for (task, system, peer, budget), gaps in gains.items():
        low, high = interval(gaps)
        mean = fmean(fmean(gap) for gap in gaps)
        figure = f"{100 * mean:+.0f} [{100 * low:+.0f}, {100 * high:+.0f}] points"
        seeds = f", {len(gaps)} seeds" if gaps[1:] else ""
        yield f"- {task}: {system} − {peer}, budget {budget}: {figure}{seeds}"


def reached(results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """With how many calls lmc reaches the best mean score of DSPy's optimizers, by task."""
    means: dict[str, dict[tuple[str, int], tuple[float, float]]] = {}
    for task, system, budget in {(r["task"], r["system"], r["budget"]) for r in results}:
        key = {"task": task, "system": system, "budget": budget}
        runs = [r for r in results if key.items() <= r.items()]
        mean = fmean(fmean(run["right"]) for run in runs)
        means.setdefault(task, {})[system, budget] = mean, fmean(run["calls"] for run in runs)
    for task, found in sorted(means.items()):
        theirs = {k: v for k, v in found.items() if k[0].startswith("dspy ")}
        ours = {k: v for k, v in found.items() if not k[0].startswith("dspy ") and v[1]}
        if not theirs or not ours:
            continue
        (system, budget), (best, calls) = max(
            theirs.items(), key=lambda one: (one[1][0], -one[1][1])
        )
        enough = sorted((v[1], k) for k, v in ours.items() if v[0] >= best)
        words = f"with {enough[0][0]:.0f} calls (`{enough[0][1][0]}`)" if enough else "not reached"
        yield (
            f"- {task}: DSPy's best is {100 * best:.0f} % ({system}, budget {budget}, "
            f"{calls:.0f} calls); lmc: {words}"
        )
