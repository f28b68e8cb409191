"""What each program of the standard library costs and gains on a small model, as a Markdown table.

`python bench/library.py [--rows 60] [--only NAME] [--model lmc/smollm2 --dtype bfloat16]`.
Programs that take a question solve word problems, or with `--formulas FILE` the boolean expressions
of BIG-Bench Hard; the others have a small task of their own. The models are small: the table shows
what the programs cost, and which of them a weak model gains from.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

import click

import lmc

sys.path.insert(0, str(Path(__file__).parents[1]))

from examples.tiny.rows import problems, tickets, triage
from lmc.measure.statistics import mean_interval
from lmc.models.base import Backend
from lmc.models.registry import TINY, open_backend
from lmc.programs.tools import failing_tests

LIBRARY = Path(__file__).resolve().parents[1] / "programs"
TOPICS = ["billing", "delivery", "login", "return"]
FUNCTIONS = (
    ("add(a, b)", "the sum of two numbers", ("add(2, 3) == 5", "add(-1, 1) == 0")),
    ("double(a)", "a number times two", ("double(4) == 8", "double(-3) == -6")),
    ("larger(a, b)", "the larger of two numbers", ("larger(2, 7) == 7", "larger(3, 1) == 3")),
    ("backwards(a)", "a text from its end", ("backwards('abc') == 'cba'",)),
    ("is_even(a)", "whether a number is even", ("is_even(4)", "not is_even(7)")),
)
Row = Mapping[str, Any]
Right = Callable[[Row, Any], float]


def word_problems(count: int) -> list[Row]:
    """Questions with a number as answer."""
    rng = Random("library")
    drawn = [problems(rng) for _ in range(count)]
    return [{"question": row["problem"], "answer": row["answer"]} for row in drawn]


def number_is_right(row: Row, found: Any) -> float:
    """1 where the first number of the answer is the right one."""
    numbers = re.findall(r"-?\d+", str(found))
    return float(bool(numbers) and numbers[-1] == str(row["answer"]))


def formulas(file: Path, count: int) -> list[Row]:
    """Boolean expressions, true or false."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    Random("library").shuffle(rows)
    ask = "Evaluate the expression. End with True or False.\n"
    return [{"question": ask + r["question"], "answer": r["answer"]} for r in rows[:count]]


def truth_is_right(row: Row, found: Any) -> float:
    """1 where the last truth value of the answer is the right one."""
    said = re.findall(r"\b(true|false)\b", str(found).lower())
    return float(bool(said) and said[-1] == str(row["answer"]).lower())


def functions(count: int) -> list[Row]:
    """Python functions to write, with tests."""
    return [
        {
            "task": f"Write a Python function {head} that returns {says}.",
            "tests": [f"assert {test}" for test in tests],
        }
        for head, says, tests in islice(cycle(FUNCTIONS), count)
    ]


def passes(row: Row, found: Any) -> float:
    """1 where code passes its tests."""
    return float(not failing_tests(str(found), list(row["tests"])))


def tasks(
    count: int, questions: Sequence[Row], is_right: Right
) -> Iterator[tuple[Path, Sequence[Row], Right | None]]:
    """The programs with their rows: inputs by name, and what else a row needs to be judged."""
    rng = Random("library/others")
    mails = [triage(rng) for _ in range(count)]
    letters = [tickets(rng) for _ in range(count)]
    facts = [f"{row['customer']} wrote: {row['message']}" for row in letters]
    own: dict[str, tuple[Sequence[Row], Right | None]] = {
        "classify": ([{"text": mail["message"], "labels": TOPICS} for mail in mails], None),
        "extract": (
            [{"text": f["message"], "fields": ["name"], "name": f["customer"]} for f in letters],
            lambda row, found: float(str(found[0]).lower() == str(row["name"]).lower()),
        ),
        "summarise": ([{"text": fact} for fact in facts], None),
        "judge": ([{**row, "answer": str(row["answer"])} for row in word_problems(count)], None),
        "retrieve_and_read": (
            [{"question": f"What did {r['customer']} write?", "passages": facts} for r in letters],
            None,
        ),
        "knowledge_graph": ([{"question": f"What did {r['customer']} do?"} for r in letters], None),
        "glass_box": (
            word_problems(count),
            lambda row, found: number_is_right(row, found.answer),
        ),
        "verified_claims": (
            [{"question": f"What did {r['customer']} write?", "passages": facts} for r in letters],
            None,
        ),
        "self_debug": (functions(count), passes),
        "multi_hop": (
            [{"question": f"What did {r['customer']} write?", "passages": facts} for r in letters],
            None,
        ),
    }
    plain = Path("one_call.lmp")
    plain.write_text('generate main(question: str) -> str { """Answer the question.""" }')
    for file in (plain, *sorted(LIBRARY.glob("*.lmp"))):
        rows, right = own.get(file.stem, (questions, is_right))
        yield file, rows, right


def measure(
    file: Path, rows: Sequence[Row], right: Right | None, cache: Path, backend: Backend
) -> str:
    """One line of the table."""
    program = lmc.load(file, backend=backend, cache=cache, stores="memory")
    graph = program.main.graph
    inputs = [{p.name: row[p.name] for p in graph.inputs if p.name in row} for row in rows]
    results = program.main.batch(inputs, return_exceptions=True)
    used = program.pool.usage
    program.close()
    done = [(row, r) for row, r in zip(rows, results) if not isinstance(r, lmc.LmcError)]
    score = ""
    if right:
        scores = [right(row, r) for row, r in done] + [0.0] * (len(rows) - len(done))
        low, high = mean_interval(scores)
        mean = sum(scores) / len(rows)
        score = f"{100 * mean:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"
    calls, tokens = used.calls / len(rows), used.tokens / len(rows)
    return f"| `{file.stem}` | {score} | {calls:.1f} | {tokens:,.0f} | {len(rows) - len(done)} |"


@click.command()
@click.option("--rows", "count", default=60, show_default=True)
@click.option("--only", help="Of these programs only, with commas.")
@click.option("--formulas", "file", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default=TINY, show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
def main(count: int, only: str | None, file: Path | None, model: str, dtype: str) -> None:
    """Print the table."""
    questions, is_right = word_problems(count), number_is_right
    if file is not None:
        questions, is_right = formulas(file, count), truth_is_right
    backend, _ = open_backend(model, {"users": True, "dtype": dtype})
    click.echo("| program | right | calls a row | tokens a row | rows without an answer |")
    click.echo("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for program, rows, right in tasks(count, questions, is_right):
            if only is None or program.stem in only.split(","):
                click.echo(measure(program, rows, right, Path("cache.sqlite"), backend))


if __name__ == "__main__":
    main()
