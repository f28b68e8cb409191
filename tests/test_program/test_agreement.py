"""A model that judges is held against the labels."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lmc.cli.main import cli
from lmc.program.agreement import agreement


def test_agreement_beyond_chance() -> None:
    found = agreement([True, True, False, False], [True, False, False, False])
    assert found is not None
    assert (found.rows, found.share) == (4, 0.75)
    assert found.kappa == pytest.approx(0.5)
    always = agreement([True, True], [True, True])
    assert always is not None and always.kappa is None
    assert agreement([], []) is None


def test_eval_tells_how_far_the_judge_agrees(tmp_path: Path) -> None:
    (tmp_path / "judged.lmp").write_text(
        """
record Row { question: str, answer: str }
generate main(question: str) -> str { "Answer." }
critique grade(question: str, said: str) -> Verdict { "Grade." subject: said }
dataset rows: Row { source: "rows.jsonl" }
metric good(gold: Row, pred: str) -> float { return grade(gold.question, pred).score }
optimize main { data: rows, metric: good }
"""
    )
    rows = [(1, "yes"), (2, "yes"), (3, "no"), (4, "no")]
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"question": "q{n}", "answer": "{answer}"}}\n' for n, answer in rows)
    )
    verdict = "[[ok]] {}\n[[score]] {}\n[[feedback]] f"
    rules = [
        {"match": r"q1\n\[\[said", "answer": verdict.format("true", 1.0)},
        {"match": r"\[\[said", "answer": verdict.format("false", 0.0)},
        {"match": "q", "answer": "yes"},
    ]
    (tmp_path / "says.json").write_text(json.dumps({"rules": rules}))
    model = f"scripted/{tmp_path / 'says.json'}"
    arguments = ["eval", str(tmp_path / "judged.lmp"), "--model", model, "--no-cache"]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "agrees with the labels on 75 % of 4 rows (kappa 0.50)" in " ".join(done.output.split())
