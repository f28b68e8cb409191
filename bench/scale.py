"""How lmc grows: rows through `lmc eval`, nodes through the compiler, lines through the checker.

`python bench/scale.py [--rows 1000,10000,100000] [--nodes 100,1000,10000] [--lines 500,5000]`. Rows
run on a scripted model; memory is the most that the process held beyond what it held before. Each
size runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

PROGRAM = '''
record Row { question: str, answer: str }
generate main(question: str) -> str { """Answer.""" }
dataset rows: Row { source: "rows.jsonl" }
metric right(gold: Row, pred: str) -> bool { return pred == gold.answer }
optimize main { data: rows, metric: right }
'''


def peak_mib() -> float:
    """The most memory that this process held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows(count: int) -> dict[str, float]:
    """Rows through an evaluation, as `lmc eval` does it."""
    import lmc
    from lmc.program.measuring import evaluate_into
    from lmc.program.options import EvaluateOptions

    Path("rows.lmp").write_text(PROGRAM)
    with Path("rows.jsonl").open("w") as file:
        for i in range(count):
            file.write(
                json.dumps({"question": f"What is {i}? " + "x" * 200, "answer": "yes"}) + "\n"
            )
    Path("yes.json").write_text('{"rules": [], "default": "yes"}')
    program = lmc.load("rows.lmp", model="scripted/yes.json", cache=False)
    out, started = Path("results.jsonl"), lambda task, rows: None
    evaluate_into(out, program, started, EvaluateOptions(limit=100))
    before, start = peak_mib(), time.perf_counter()
    found = evaluate_into(out, program, started, EvaluateOptions())
    seconds = time.perf_counter() - start
    assert found.mean == 1.0
    return {"rows/s": count / seconds, "MiB": peak_mib() - before}


def nodes(count: int) -> dict[str, float]:
    """A program whose main graph has so many nodes: lowered, through all passes, planned."""
    from lmc.check import check_program
    from lmc.ir.lower import lower
    from lmc.passes.pipeline import run_passes
    from lmc.runtime.plan import plan_graph, resolver
    from lmc.source import Source

    lines = ['generate g(x: str) -> str { """Answer.""" }', "pipeline main(x: str) -> str {"]
    lines.append("  let v0 = g(x)")
    lines += [f'  let v{i} = join([v{i - 1}, lower(x)])' if i % 4 else f"  let v{i} = g(v{i - 1})"
              for i in range(1, count // 2)]  # fmt: skip
    lines.append(f"  return v{count // 2 - 1}\n}}")
    program, _ = check_program(Source("nodes.lmp", "\n".join(lines)))
    start = time.perf_counter()
    graph = lower(program)
    lowered = time.perf_counter()
    after = run_passes(graph)
    passed = time.perf_counter()
    plan_graph(after.graphs["main"], resolver({}))
    planned = time.perf_counter()
    size = len(graph.graphs["main"].nodes)
    return {
        "nodes": size,
        "lower µs": 1e6 * (lowered - start) / size,
        "passes µs": 1e6 * (passed - lowered) / size,
        "plan µs": 1e6 * (planned - passed) / size,
    }


def lines(count: int) -> dict[str, float]:
    """A file of so many lines, parsed and checked; then again after an edit of one line."""
    from lmc.check import check_program
    from lmc.source import Source

    part = '''record R{i} {{ a: str, b: int }}
generate g{i}(x: str) -> R{i} {{
  """Answer the question."""
  temperature: 0.2
}}
pipeline p{i}(x: str) -> str {{
  let r = g{i}(x)
  return if r.b > 3 then r.a else x
}}

'''
    text = "".join(part.format(i=i) for i in range(count // 10))
    start = time.perf_counter()
    _, found = check_program(Source("lines.lmp", text))
    assert not found
    first = time.perf_counter() - start
    start = time.perf_counter()
    check_program(Source("lines.lmp", text.replace("r.b > 3", "r.b > 4", 1)))
    return {"ms": 1e3 * first, "again ms": 1e3 * (time.perf_counter() - start)}


MEASURES = {"rows": rows, "nodes": nodes, "lines": lines}


@click.command()
@click.option("--rows", "row_counts", default="1000,10000,100000", show_default=True)
@click.option("--nodes", "node_counts", default="100,1000,10000", show_default=True)
@click.option("--lines", "line_counts", default="500,5000", show_default=True)
@click.option("--one", nargs=2, hidden=True)
def main(row_counts: str, node_counts: str, line_counts: str, one: tuple[str, str] | None) -> None:
    """Print one table."""
    if one:
        with tempfile.TemporaryDirectory() as place:
            os.chdir(place)
            click.echo(json.dumps(MEASURES[one[0]](int(one[1]))))
        return
    for name, counts in (("rows", row_counts), ("nodes", node_counts), ("lines", line_counts)):
        for count in filter(None, counts.split(",")):
            command = [sys.executable, str(Path(__file__).resolve()), "--one", name, count]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            figures = ", ".join(f"{key} {value:,.1f}" for key, value in found.items())
            click.echo(f"{int(count):>9,} {name:6} {figures}")


if __name__ == "__main__":
    main()
