"""Votes that stop early against all 40 samples: accuracy, and samples used.

`python bench/votes.py [--gsm8k FILE] [--tiny] [--real DATA]`: simulated distributions of answers,
GSM8K with the recorded answers of four models (`recorded_dev.jsonl`), word problems on lmc/tiny,
and on lmc/smollm2 a task of BIG-Bench Hard and the 77 intents of banking77, of which DATA has the
rows. There, self-certainty is measured too, on the same samples. `--samples FILE` keeps what
lmc/smollm2 said for the next time. All rules see the same samples of a question, through the same
executor. Difficulty is the length of the question, or in the simulation a noisy rank.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import click

import lmc

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.tiny.rows import problems
from lmc.measure.statistics import mean_interval, paired_difference
from lmc.models.scripted import Scripted

N = 40
RULES = ("fixed", "settled", "asc", "asc_dirichlet", "esc", "dsc")
PROGRAM = """
record Row {{ question: str, answer: str, hardness: float }}
generate solve(question: str) -> str {{ {decoding} }}
vote solved(question: str, hardness: float) -> str {{
  sample: solve(question)
  n: {n}
  stop_early: {stop}
  difficulty: {difficulty}
}}
pipeline main(question: str, hardness: float) -> str {{ return solved(question, hardness) }}
"""
HERE = Path(__file__).resolve().parent / "real"
REAL = """
model smol {{ name: "lmc/smollm2", dtype: "{dtype}", logprobs: true }}
default {{ model: smol }}
{types}
record Row {{ question: str, answer: {answer}, hardness: float }}
generate solve(question: str) -> {answer} {{
  \"\"\"{task}\"\"\"
  temperature: 0.9
  max_tokens: 64
}}
vote solved(question: str, hardness: float) -> {answer} {{
  sample: solve(question)
  n: {n}
  {rule}
  difficulty: len(question)
}}
pipeline main(question: str, hardness: float) -> {answer} {{ return solved(question, hardness) }}
"""
Rows = Sequence[dict[str, Any]]
Drawn = tuple[list[float], list[int]]  # right or not, and samples, for each row


def simulated(a: float, b: float, seed: int, count: int = 600) -> tuple[Rows, dict[str, list[str]]]:
    """Questions whose right answer has a share drawn from Beta(a, b), and three wrong answers.

    Real models are sure of most questions, rightly or wrongly: b < 1 gives that shape.
    """
    rng = Random(f"votes/{a}/{b}/{seed}")
    rows, samples = [], {}
    for number in range(count):
        share = rng.betavariate(a, b)
        wrong = [rng.gammavariate(0.5, 1.0) for _ in range(3)]
        weights = [share, *((1 - share) * w / sum(wrong) for w in wrong)]
        question = f"question {number}"
        samples[question] = rng.choices("abcd", weights, k=N)
        noisy = (1 - share) + rng.gauss(0, 0.1)
        rows.append({"question": question, "answer": "a", "hardness": noisy})
    return rows, samples


def recorded(path: Path, seed: int) -> tuple[Rows, dict[str, list[str]]]:
    """GSM8K questions; a sample is the final number of one of the four recorded answers.

    Four answers leave open how often each would come: the shares are drawn from their posterior
    (the Bayesian bootstrap, Rubin 1981).
    """
    rng = Random(f"gsm8k/{seed}")
    rows, samples = [], {}
    for line in path.read_text().splitlines():
        item = json.loads(line)
        finals = [_final(text) for text in item["completions"].values()]
        question = item["question"]
        shares = [rng.expovariate(1.0) for _ in finals]
        samples[question] = rng.choices(finals, shares, k=N)
        hardness = len(re.findall(r"\d+", question))
        rows.append({"question": question, "answer": item["target"], "hardness": hardness})
    return rows, samples


def _final(text: str) -> str:
    found = re.search(r"A:\s*(.*)", text)
    return found[1].strip().replace(",", "") if found else "none"


def measure(rows: Rows, stop: str, make: Callable[[str], lmc.Program]) -> Drawn:
    """Run a rule on all rows."""
    program = make(stop)
    found = lmc.evaluate(program, list(rows), "accuracy")
    program.close()
    return [r.value or 0.0 for r in found.results], [r.usage.calls for r in found.results]


def scripted(samples: dict[str, list[str]]) -> Callable[[str], lmc.Program]:
    """A program whose samples are given."""

    def answer(request: Any) -> list[str]:
        question = request.messages[-1]["content"].split("]] ", 1)[1]
        return samples[question][request.index : request.index + request.n]

    return lambda stop: load(stop, N, "hardness", "", backend=Scripted(answer), cache=False)


def on_tiny(cache: Path) -> Callable[[str], lmc.Program]:
    """The same on lmc/tiny; a sample is made once, whichever rule asks for it first."""
    decoding = '"""Solve the problem. Think step by step first.""" reason: true temperature: 0.9'
    return lambda stop: load(stop, N, "len(question)", decoding, cache=cache)


def real_tasks(data: Path, count: int) -> Iterator[tuple[str, dict[str, str], Rows]]:
    """Tasks for lmc/smollm2, with what their program says and their rows."""
    from real import ROWS

    formulas = {"types": "", "answer": "bool", "task": "Evaluate the expression."}
    rows = [{**row, "hardness": 0.0} for row, _ in zip(ROWS["boolean"](data), range(count))]
    yield "boolean expressions of BBH", formulas, rows
    source = (HERE / "intents77.lmp").read_text(encoding="utf-8")
    enum = source[source.index("enum Intent") : source.index("record Row")]
    intents = {"types": enum, "answer": "Intent", "task": "Name the intent of the message."}
    found = zip(ROWS["intents77"](data), range(count))
    rows = [{"question": r["text"], "answer": r["intent"], "hardness": 0.0} for r, _ in found]
    yield "77 intents of banking77", intents, rows


def on_smollm2(told: dict[str, str], dtype: str, cache: Path) -> Callable[[str], lmc.Program]:
    """A program over samples that are drawn once."""

    def make(stop: str) -> lmc.Program:
        word = {"fixed": "false", "settled": "true"}.get(stop, f'"{stop}"')
        rule = 'by: "certainty"' if stop == "certainty" else f"stop_early: {word}"
        path = Path("votes.lmp")
        path.write_text(REAL.format(n=N, rule=rule, dtype=dtype, **told))
        return lmc.load(path, cache=cache)

    return make


def load(stop: str, n: int, difficulty: str, decoding: str, **options: Any) -> lmc.Program:
    """The program with one rule."""
    word = {"fixed": "false", "settled": "true"}.get(stop, f'"{stop}"')
    text = PROGRAM.format(n=n, stop=word, difficulty=difficulty, decoding=decoding)
    path = Path("votes.lmp")
    path.write_text(text)
    return lmc.load(path, **options)


def tasks(gsm8k: Path | None, *, tiny: bool, seeds: int) -> Iterator[tuple[str, list[Any]]]:
    """Each task with its rows and its program, for every seed."""
    for words, a, b in (("easy", 2.0, 0.3), ("middling", 1.0, 0.4), ("hard", 0.7, 0.7)):
        drawn = [simulated(a, b, seed) for seed in range(seeds)]
        yield f"simulated, {words}", [(rows, scripted(samples)) for rows, samples in drawn]
    if gsm8k:
        drawn = [recorded(gsm8k, seed) for seed in range(seeds)]
        yield "GSM8K, recorded answers", [(rows, scripted(samples)) for rows, samples in drawn]
    if tiny:
        rng = Random("votes")
        drawn = [problems(rng) for _ in range(150)]
        rows = [
            {"question": row["problem"], "answer": str(row["answer"]), "hardness": 0.0}
            for row in drawn
        ]
        yield "word problems, lmc/tiny", [(rows, on_tiny(Path("cache")))]


@click.command()
@click.option("--gsm8k", type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.option("--tiny", is_flag=True)
@click.option("--real", type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.option("--rows", default=60, show_default=True, help="Rows of each task of --real.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--samples", type=click.Path(path_type=Path, resolve_path=True))
@click.option("--seeds", default=3, show_default=True)
def main(
    gsm8k: Path | None, tiny: bool, real: Path | None, rows: int, dtype: str,
    samples: Path | None, seeds: int,
) -> None:  # fmt: skip
    """Print accuracy and samples of every rule, with the paired difference from all samples."""
    if real:
        for name, told, some in real_tasks(real, rows):
            make = on_smollm2(told, dtype, samples or Path("samples.sqlite"))
            show(f"{name}, lmc/smollm2", [(some, make)], ("fixed", "certainty", *RULES[1:]))
        return
    for name, runs in tasks(gsm8k, tiny=tiny, seeds=seeds):
        show(name, runs, RULES)


def show(name: str, runs: list[Any], rules: Sequence[str]) -> None:
    """Print the figures of one task."""
    click.echo(f"\n{name}: {sum(len(rows) for rows, _ in runs)} questions, n = {N}")
    base: list[float] = []
    for rule in rules:
        start = time.perf_counter()
        right: list[float] = []
        counts: list[int] = []
        for rows, make in runs:
            values, calls = measure(rows, rule, make)
            right += values
            counts += calls
        base = base or right
        low, high = paired_difference(base, right)
        share, seconds = fmean(counts) / N, time.perf_counter() - start
        least, most = mean_interval(right)
        click.echo(
            f"  {rule:14} {100 * fmean(right):5.1f} % [{100 * least:.0f}, {100 * most:.0f}]"
            f"  ({100 * low:+.1f} to {100 * high:+.1f})"
            f"  {fmean(counts):5.1f} samples ({100 * share:3.0f} %)  {seconds:.1f} s"
        )


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as place:
        import os

        os.chdir(place)
        main(standalone_mode=False)
