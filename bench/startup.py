"""Start-up of whole processes: `import lmc`, `lmc check`, against a peer's import."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UNIT = '''
record Task{i} {{ question: str, hint: str = "" }}
record Answer{i} {{
  steps: list[str](1..9) "one step per item"
  answer: int(0..100)    "the final number"
}}

generate solve{i}(question: str) -> Answer{i} {{
  """Solve the problem. Show each step."""
  temperature: 0.2
  require: out.answer >= 0
}}

critique check{i}(question: str, draft: Answer{i}) -> Verdict {{
  """Recompute every step of the draft."""
  subject: draft
}}

refine solve_checked{i}(question: str) -> Answer{i} {{
  """Fix every issue of the feedback."""
  draft: solve{i}(question)
  check: check{i}(question, draft)
  until: check.ok
  rounds: tune[0..2]
}}

pipeline answer{i}(question: str) -> int {{
  let first  = solve_checked{i}(question)
  let second = solve{i}(question)
  if first.answer == second.answer {{
    return first.answer
  }}
  return if len(first.steps) > 3 then first.answer else second.answer
}}
'''


def program(lines: int) -> str:
    """A valid program of about so many lines."""
    unit = UNIT.count("\n")
    return "".join(UNIT.format(i=i) for i in range(max(1, lines // unit)))


def median_s(command: list[str], runs: int) -> tuple[float, float, float]:
    """Minimum, median and maximum wall time of a process, after one warm-up.

    The warm-up writes the bytecode that an installed package has.
    """
    times, env = [], {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(
            command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        times.append(time.perf_counter() - start)
    return min(times[1:]), statistics.median(times[1:]), max(times[1:])


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--dspy", help="a Python with DSPy in it")
    given = options.parse_args()
    lmc = [sys.executable, "-c", "import sys; from lmc.cli.main import main; main(sys.argv[1:])"]
    with tempfile.TemporaryDirectory() as folder:
        for lines in (100, 5000):
            Path(folder, f"{lines}.lmp").write_text(program(lines), "utf-8")
        Path(folder, "says.json").write_text('{"rules": [{"match": ".", "answer": "yes"}]}')
        Path(folder, "run.lmp").write_text('generate main(question: str) -> str { "Answer." }')
        scripted = ["--model", f"scripted/{folder}/says.json", "--question", "hi"]
        commands = {
            "python, nothing imported": [sys.executable, "-c", "pass"],
            "import lmc": [sys.executable, "-c", "import lmc"],
            "lmc check, 100 lines": [*lmc, "check", f"{folder}/100.lmp"],
            "lmc check, 5,000 lines": [*lmc, "check", f"{folder}/5000.lmp"],
        }
        commands["lmc run, scripted"] = [*lmc, "run", f"{folder}/run.lmp", *scripted]
        if given.dspy:
            commands["import dspy"] = [given.dspy, "-c", "import dspy"]
        print(f"{'whole process, ms':28} {'min':>8} {'median':>8} {'max':>8}")
        for name, command in commands.items():
            low, middle, high = (1000 * t for t in median_s(command, given.runs))
            print(f"{name:28} {low:8.0f} {middle:8.0f} {high:8.0f}")


if __name__ == "__main__":
    main()
