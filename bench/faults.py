"""What becomes of rows when a server goes wrong: each fault at 10 % of the requests, then together.

`--root DIR` measures another checkout with the same faults, for a table of before and after.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.loopback import Fault, Late, Loopback, Reply, disconnect, invalid_json, said

ROOT = Path(__file__).parents[1]
RATE = 0.1
PROGRAM = '''
model m {{ name: "openai/bench", base_url: "{url}", timeout: 5 }}
default {{ model: m, cache: "off" }}
record Row {{ question: str, answer: str }}
generate main(question: str) -> str {{ """Answer 0, 1 or 2.""" }}
dataset d: Row {{ source: "rows.jsonl" }}
metric right(gold: Row, pred: str) -> bool {{ return pred == gold.answer }}
optimize main {{ data: d, metric: right, steps: [] }}
'''
RUN = "from lmc.cli.main import main; main()"


def answer_of(payload: dict[str, Any]) -> str:
    """What a good model says: right in four of five rows."""
    number = int(re.findall(r"q(\d+)", payload["messages"][-1]["content"])[-1])
    return str(number % 3 if number % 5 else (number + 1) % 3)


def usage(**figures: Any) -> Callable[[str], Reply]:
    return lambda text: said(text) | {"usage": figures}


FAULTS: Mapping[str, Callable[[str], Reply]] = {
    "429": lambda text: Fault(429, "slow down", retry_after="0.1"),
    "500": lambda text: Fault(500),
    "connection reset": lambda text: disconnect(),
    "body cut": lambda text: Fault(cut=True),
    "broken JSON": lambda text: invalid_json(),
    "slow by 0.4 s": lambda text: Late(text, 0.4),
    "empty text": lambda text: said(""),
    "null": lambda text: said(None),
    "cut (length)": lambda text: said("The answer is", "length"),
    "content filter": lambda text: said("", "content_filter"),
    "tool call": lambda text: said(None, "tool_calls", tool_calls=[{"id": "1"}]),
    "refusal": lambda text: said(None, refusal="I cannot help with that."),
    "error with status 200": lambda text: {"error": {"message": "overloaded", "code": 503}},
    "wrong types": lambda text: {"choices": [{"message": {"content": {"text": text}}}]},
    "half an emoji": lambda text: said(text + " \ud83d"),
    "usage of -10^6": usage(prompt_tokens=-1_000_000, completion_tokens=-1_000_000),
}
TRANSPORT = (
    "429",
    "500",
    "connection reset",
    "body cut",
    "broken JSON",
    "empty text",
    "slow by 0.4 s",
)
ANSWERS = (
    "empty text",
    "null",
    "cut (length)",
    "content filter",
    "tool call",
    "refusal",
    "body cut",
)
MIXED = {"none": (), "seven kinds of no answer": ANSWERS, "seven kinds of a bad server": TRANSPORT}


class FaultyServer(Loopback):
    """Answers, but for a share of the requests; counts those that a provider would charge for.

    What is asked and how often it was asked before decide what goes wrong. So the order in which
    requests arrive changes nothing.
    """

    def __init__(
        self,
        faults: tuple[str, ...],
        *,
        most: int | None = None,
        model: Callable[[dict[str, Any]], str] = answer_of,
        seed: int = 7,
        latency_s: float = 0.0,
    ) -> None:
        super().__init__(self.reply, latency_s=latency_s)
        self.faults, self.most, self.model, self.seed = faults, most, model, seed
        self.busy = 0
        self.asked = Counter[str]()

    @property
    def charged(self) -> int:
        """Requests that a provider may charge for: all but those that got a 429."""
        return len(self.payloads) - self.busy

    def forget(self) -> None:
        """Begin to count from nothing."""
        self.payloads.clear()
        self.asked.clear()
        self.busy = 0

    def reply(self, payload: dict[str, Any]) -> Reply:
        place = self.place(json.dumps(payload["messages"]))
        if self.most is not None and self.in_flight > self.most:
            self.busy += 1
            return Fault(429, "slow down", retry_after="0.3")
        text = self.model(payload)
        if place < len(self.faults):
            self.busy += self.faults[place] == "429"
            return FAULTS[self.faults[place]](text)
        return Late(text, 0.05) if self.most else text

    def place(self, asked: str) -> int:
        """Draw a number below 1 / RATE, which is that of a fault."""
        self.asked[asked] += 1
        drawn = hashlib.sha256(f"{self.seed} {self.asked[asked]} {asked}".encode()).digest()
        return int(int.from_bytes(drawn[:6]) / 2**48 / RATE)


def evaluate(root: Path, server: FaultyServer, rows: int, *options: str) -> list[dict[str, Any]]:
    """The rows of `lmc eval` of a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        lines = [json.dumps({"question": f"q{i}", "answer": str(i % 3)}) for i in range(rows)]
        Path(folder, "rows.jsonl").write_text("\n".join(lines) + "\n")
        Path(folder, "it.lmp").write_text(PROGRAM.format(url=server.url))
        env = os.environ | {"PYTHONPATH": str(root), "OPENAI_API_KEY": "key-of-no-use"}
        env["LMC_CACHE_DIR"] = folder
        command = [sys.executable, "-c", RUN, "eval", "it.lmp", "--split", "all", *options]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        results = Path(folder, "it.results.jsonl")
        if not results.exists():
            if "budget" not in done.stderr:
                print(done.stderr[-300:], file=sys.stderr)
            return []
        return [json.loads(line) for line in results.read_text().splitlines()]


def measure(
    root: Path, name: str, faults: tuple[str, ...], rows: int, most: int | None = None
) -> None:
    with FaultyServer(faults, most=most) as server:
        start_s = time.perf_counter()
        results = evaluate(root, server, rows)
        took_s = time.perf_counter() - start_s
        requests = len(server.payloads)
    wrong = sum(not row["failed"] and _said(row["pred"]) not in ("0", "1", "2") for row in results)
    lost = sum(row["failed"] is not None for row in results) if results else rows
    scores = [row["score"] for row in results if row["score"] is not None]
    score = f"{sum(scores) / len(scores):.3f}" if scores else "none"
    calls = max(rows // 4, 10)
    with FaultyServer(faults, most=most) as server:
        evaluate(root, server, rows, "--budget", f"calls={calls}")
        over = max(0, len(server.payloads) - server.busy - calls)
    print(
        f"| {name} | {lost} | {wrong} | {requests / rows:.2f} | {over} | {score} | {took_s:.0f} |",
        flush=True,
    )


def _said(pred: Any) -> str:
    """What was believed, without the mark that stands for what cannot be written."""
    return str(pred).rstrip(" \ufffd")


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", type=Path, default=ROOT)
    options.add_argument("--rows", type=int, default=2000)
    options.add_argument("--only", help="a part of the names")
    given = options.parse_args()
    print(f"of {given.rows} rows, 10 % of the requests go wrong; budget of a quarter of the calls")
    print("| fault | rows lost | wrong values believed | requests a row | calls over | score | s |")
    print("|---|---|---|---|---|---|---|")
    cases: dict[str, tuple[tuple[str, ...], int | None]] = {
        **{name: (faults, None) for name, faults in MIXED.items()},
        **{name: ((name,), None) for name in FAULTS},
        "429 unless 8 at once": ((), 8),
    }
    for name, (faults, most) in cases.items():
        if given.only is None or given.only in name:
            measure(given.root, name, faults, given.rows, most)


if __name__ == "__main__":
    main()
