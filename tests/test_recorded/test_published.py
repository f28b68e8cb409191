"""`lmc eval` over answers of real models, served over HTTP, gives the published accuracies."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lmc.cli.main import cli
from tests.loopback import Loopback, Script, last_user

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the recorded answers are not here")

Rows = list[dict[str, Any]]


def read_rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def published() -> list[tuple[str, str, float]]:
    """(task, kind, percent) from the table in the data's README."""
    if not DATA.is_dir():
        return []
    table = re.findall(
        r"^\| (\w+) \| ([\d.]+) \| ([\d.]+) \|$", (DATA / "README.md").read_text(), re.MULTILINE
    )
    return [(task, kind, float(p)) for task, *ps in table for kind, p in zip(("cot", "direct"), ps)]


def replay(rows: Rows, answer: str) -> Script:
    """Answer each question with its recorded completions, in order, the last one staying."""
    left: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        left[f"[[question]] {row['question']}"].append(row[answer])

    def script(payload: dict[str, Any]) -> str:
        known = left[last_user(payload)]
        return known.pop(0) if len(known) > 1 else known[0]

    return script


def evaluate(
    program: str, rows: Rows, server: Loopback, folder: Path, *options: str
) -> dict[str, Any]:
    """Run `lmc eval --json` as a user would; the report it prints."""
    data = folder / "rows.jsonl"
    data.write_text(
        "".join(json.dumps({k: r[k] for k in ("question", "target")}) + "\n" for r in rows)
    )
    arguments = [
        "eval", str(HERE / program), "--data", str(data), "--split", "all", "--json",
        "-o", str(folder / "results.jsonl"), *options,
    ]  # fmt: skip
    env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "unused"}
    done = CliRunner().invoke(cli, arguments, env=env, standalone_mode=False)
    assert done.exception is None, done.output
    return json.loads(done.stdout)


def test_bbh_accuracy_is_the_published_one(tmp_path: Path) -> None:
    """All 24 files: accuracy in percent, to the published two digits."""
    cases = published()
    assert len(cases) == 24
    got = []
    for task, kind, percent in cases:
        rows = read_rows(DATA / "bbh" / "recorded" / f"{task}.{kind}.jsonl")
        with Loopback(replay(rows, "completion")) as server:
            report = evaluate("published.lmp", rows, server, tmp_path, "--metric", "exact")
        assert report["rows"] == len(rows)
        got.append((task, kind, round(100 * report["score"], 2)))
        assert report["failed"] == 0
        assert percent == got[-1][2], (task, kind)
    assert got == cases


MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


@pytest.mark.parametrize("model", MODELS)
def test_gsm8k_accuracy_is_the_recorded_one(model: str, tmp_path: Path) -> None:
    rows = read_rows(DATA / "gsm8k" / "recorded_dev.jsonl")
    answers = [row | {"completion": row["completions"][model]} for row in rows]
    with Loopback(replay(answers, "completion")) as server:
        report = evaluate(
            "gsm8k.lmp", rows, server, tmp_path, "-t", "solve", "--metric", "numeric(target)"
        )
    assert report["score"] * report["rows"] == pytest.approx(
        sum(r["is_correct"][model] for r in rows)
    )


def test_gsm8k_vote_takes_the_majority(tmp_path: Path) -> None:
    """`vote … by` over the four models' answers, against a majority counted here."""
    rows = read_rows(DATA / "gsm8k" / "recorded_dev.jsonl")

    def script(payload: dict[str, Any]) -> list[str]:
        return [samples[last_user(payload)].pop(0) for _ in range(payload.get("n", 1))]

    samples = {f"[[question]] {r['question']}": [r["completions"][m] for m in MODELS] for r in rows}
    expected = sum(majority(r) for r in rows)
    with Loopback(script) as server:
        report = evaluate(
            "gsm8k.lmp", rows, server, tmp_path, "-t", "majority", "--metric", "numeric(target)"
        )
    assert report["score"] * report["rows"] == pytest.approx(expected)


def majority(row: dict[str, Any]) -> bool:
    """Whether the most frequent answer is right; of equally frequent ones the first counts."""
    said = [number(row["completions"][m]) for m in MODELS]
    votes = [n for n in said if n is not None]
    return bool(votes) and max(votes, key=votes.count) == number("A: " + row["target"])


def number(text: str) -> int | None:
    """The whole number after the last `A:`; a vote over `int` has no other, so they abstain."""
    said = text.rsplit("A:", 1)[-1]
    found = re.findall(r"-?\d[\d,]*\.?\d*", said)
    value = float(found[-1].replace(",", "").rstrip(".")) if found else 0.5
    if said.rstrip(" .").endswith("billion"):
        value *= 1e9
    return int(value) if value.is_integer() else None
