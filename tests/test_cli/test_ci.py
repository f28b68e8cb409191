"""What CI reads: gates of `lmc eval`, JUnit, SARIF, annotations of GitHub, snapshots of prompts."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from lmc.cli.annotations import github, sarif
from lmc.cli.junit import JunitCase, JunitSuite, write_junit
from lmc.diagnostics import error, warning
from lmc.measure.evaluate import Evaluation, RowResult
from lmc.measure.requirements import at_least, no_loss
from lmc.source import Source, Span
from tests.test_cli.test_commands import PROGRAM, SCRIPT, folder, run  # noqa: F401

# What is written of SARIF 2.1.0. The whole schema was tried once; here nothing else may be written.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
LINE = {"type": "integer", "minimum": 1}
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "id": {"type": "integer", "minimum": -1},
        "message": TEXT,
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "additionalProperties": False,
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "properties": {"uri": {"type": "string", "pattern": r"^[^ \\<>]+$"}},
                },
                "region": {
                    "type": "object",
                    "required": ["startLine"],
                    "additionalProperties": False,
                    "properties": dict.fromkeys(
                        ("startLine", "startColumn", "endLine", "endColumn"), LINE
                    ),
                },
            },
        },
    },
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "additionalProperties": False,
                "properties": {
                    "tool": {"type": "object", "required": ["driver"]},
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message", "ruleId"],
                            "additionalProperties": False,
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": 0},
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": TEXT,
                                "locations": {"type": "array", "items": LOCATION},
                                "relatedLocations": {"type": "array", "items": LOCATION},
                            },
                        },
                    },
                },
            },
        },
    },
}
WORSE = [{"match": r"\[\[message\]\] [a-c][^\n]*$", "answer": "amber"}]


@pytest.fixture
def worse(folder: Path) -> Path:  # noqa: F811
    """The project, with a version of the program whose model is right on fewer rows."""
    (folder / "worse.json").write_text(json.dumps({**SCRIPT, "rules": WORSE}))
    (folder / "worse.lmp").write_text(PROGRAM.replace("script.json", "worse.json"))
    return folder


@pytest.mark.parametrize("option", ["--fail-under", "--margin"])
@pytest.mark.parametrize("number", ["nan", "inf"])
def test_nothing_is_compared_with_what_is_no_number(worse: Path, option: str, number: str) -> None:
    failed = run("eval", "desk.lmp", "--against", "worse.lmp", option, number, code=2)
    assert "is not a number to compare with" in failed.stderr


def test_eval_passes_and_fails_by_its_score(worse: Path) -> None:
    assert "which reaches 0.8" in run("eval", "desk.lmp", "--fail-under", "0.8").stdout
    allowed = ("--allow-url", "example.org", "--allow-path", ".")
    failed = run("eval", "desk.lmp", "--fail-under", "0.9", "--junit", "out.xml", *allowed, code=1)
    assert "FAIL  score at least 0.9: the score is 0.85, which is below 0.9" in failed.stdout
    suite = ElementTree.parse("out.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    assert "below 0.9" in str(suite.findall("testcase/failure")[0].get("message"))


def test_eval_compares_with_a_program_or_with_results(worse: Path) -> None:
    told = run("eval", "worse.lmp", "--against", "desk.lmp").stdout
    assert "worse, but not significantly: -0.2 on 20 rows" in told
    run("eval", "desk.lmp")
    for base in ("desk.lmp", "desk.results.jsonl"):
        arguments = ("eval", "worse.lmp", "--against", base, "--margin", "0.1", "--json")
        (required,) = json.loads(run(*arguments, code=1).stdout)["requirements"]
        assert required["holds"] is False
        assert required["words"].startswith("worse by more than the margin of 0.1: -0.2")
    run("eval", "worse.lmp", "--against", "desk.lmp", "--margin", "0.3")


def test_eval_shares_its_budget_with_the_base(worse: Path) -> None:
    run("eval", "worse.lmp", "--against", "desk.lmp", "--budget", "calls=120", "--no-cache")
    refused = run(
        "eval", "worse.lmp", "--against", "desk.lmp", "--budget", "calls=119", "--no-cache", code=1
    )
    assert "budget-exceeded" in refused.stderr


def test_eval_refuses_what_makes_no_sense(worse: Path) -> None:
    assert "--against" in run("eval", "desk.lmp", "--margin", "0.1", code=2).stderr
    assert "bad-results" in run("eval", "desk.lmp", "--against", "mail.jsonl", code=1).stderr
    assert "cannot-read" in run("eval", "desk.lmp", "--against", "no.jsonl", code=1).stderr
    (worse / "other.lmp").write_text('generate main(text: str) -> str { "Say it." }\n')
    missing = run("eval", "desk.lmp", "--against", "other.lmp", code=1)
    assert "missing-column" in missing.stderr
    assert not (worse / "desk.results.jsonl").exists()  # nothing ran


def scores(*values: float | None) -> Evaluation:
    return Evaluation(tuple(RowResult(f"{n}", value) for n, value in enumerate(values)))


def test_rows_without_a_score_do_not_let_a_gate_pass() -> None:
    assert at_least(scores(1.0, 1.0, 1.0, 1.0), 0.9).holds
    lost = at_least(scores(1.0, None, None, None), 0.9)
    assert not lost.holds
    assert "counting 3 of 4 rows without a score as 0" in lost.words
    assert not at_least(scores(None), 0.0).holds


def test_a_loss_fails_only_if_it_is_significant_or_beyond_the_margin() -> None:
    base = {f"{n}": 1.0 for n in range(20)}
    same = [(id, 1.0) for id in base]
    assert no_loss(base, same, "b").holds
    few = [(id, float(n > 2)) for n, id in enumerate(base)]
    assert no_loss(base, few, "b").holds
    assert not no_loss(base, few, "b", 0.1).holds
    many = no_loss(base, [(id, float(n > 9)) for n, id in enumerate(base)], "b")
    assert not many.holds
    assert many.words.startswith("significantly worse: -0.5 on 20 rows")
    assert many.losses[0] == "row 0: 1 -> 0"
    lost = no_loss(base, [(id, None) for id in base], "b")  # rows that lost their score
    assert not lost.holds
    assert not no_loss(base, [("other", 1.0)], "b").holds


def test_test_writes_junit_and_goes_on(folder: Path) -> None:  # noqa: F811
    (folder / "bad.lmp").write_text("generate g(x: strr) -> int\n")
    (folder / "no.lmp").write_text(PROGRAM.replace("== Desk.amber }", "== Desk.cobalt }"))
    told = run("test", "bad.lmp", "desk.lmp", "no.lmp", "--junit", "t.xml", code=1)
    assert "1 test passed, 2 failed" in told.stdout
    root = ElementTree.parse("t.xml").getroot()
    assert {key: root.get(key) for key in ("tests", "failures", "errors")} == {
        "tests": "3", "failures": "1", "errors": "1",
    }  # fmt: skip
    assert "unknown-type" in str(root.find("testsuite/testcase/error").text)  # type: ignore[union-attr]


def test_junit_holds_any_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-secret-12345")
    nasty = "a\x00b\x1b[2J\ud800 <&>\"' \ufffe ]]> sk-secret-12345"
    path = tmp_path / "j.xml"
    write_junit(path, [JunitSuite(nasty, [JunitCase(nasty, nasty, nasty)], {"x": nasty})])
    case = ElementTree.parse(path).getroot()[0].find("testcase")
    assert case is not None
    assert "<&>\"' " in str(case.get("name"))
    assert "sk-secret" not in path.read_text()


SOURCE = Source("dir with space/ü,:%.lmp", "one\ntwo é\n")
FINDINGS = [
    error("unknown-name", "bad\nname 100 %\r\n::error::forged", Span(SOURCE, 4, 7), help="x"),
    warning("unused", "over lines", Span(SOURCE, 0, 7), Span(SOURCE, 4, 5)),
    error("cannot-read", "no place"),
]


def test_a_finding_is_one_workflow_command() -> None:
    lines = github(FINDINGS).splitlines()
    assert lines == [
        "::error file=dir with space/ü%2C%3A%25.lmp,line=2,endLine=2,col=1,endColumn=4,"
        "title=lmc%3A unknown-name::bad%0Aname 100 %25%0A::error::forged%0Ahelp: x",
        "::warning file=dir with space/ü%2C%3A%25.lmp,line=1,endLine=2,title=lmc%3A unused::"
        "over lines",
        "::error title=lmc%3A cannot-read::no place",
    ]


@pytest.mark.parametrize("found", [FINDINGS, []], ids=["some", "none"])
def test_sarif_has_its_schema(found: list[Any]) -> None:
    log = json.loads(sarif(found))
    jsonschema.validate(log, SARIF)
    (one,) = log["runs"]
    rules = [rule["id"] for rule in one["tool"]["driver"]["rules"]]
    assert [rules[r["ruleIndex"]] for r in one["results"]] == [d.code for d in found]


def test_check_writes_what_ci_reads(folder: Path) -> None:  # noqa: F811
    (folder / "bad.lmp").write_text("generate g(x: strr) -> int\n")
    log = json.loads(run("check", "--format", "sarif", "no.lmp", "bad.lmp", code=1).stdout)
    jsonschema.validate(log, SARIF)
    assert [r["ruleId"] for r in log["runs"][0]["results"]] == ["cannot-read", "unknown-type"]
    assert run("check", "--format", "github", "bad.lmp", code=1).stdout.startswith(
        "::error file=bad.lmp,line=1,endLine=1,col=15"
    )
    assert json.loads(run("check", "--format", "sarif", "desk.lmp").stdout)["runs"][0]


def test_prompts_are_kept_and_compared(folder: Path) -> None:  # noqa: F811
    shown = run("prompts", "desk.lmp", "--limit", "1").stdout
    assert "[[message]] ‹message›" in shown
    assert "[[message]] a message" in shown
    missing = run("prompts", "desk.lmp", "--check", code=1)
    assert "--update" in missing.stderr
    run("prompts", "desk.lmp", "--update")
    run("prompts", "desk.lmp", "--check")
    (folder / "desk.lmp").write_text(PROGRAM.replace("Which desk?", "Which of the desks?"))
    changed = run("prompts", "desk.lmp", "--check", code=1).stdout.splitlines()
    assert "-Which desk?" in changed
    assert "+Which of the desks?" in changed
    run("prompts", "desk.lmp", "--check", "--update", code=2)
    given = run("prompts", "desk.lmp", "-t", "route", "--input", '{"message": "```` hm"}').stdout
    assert "`````text\n[[message]] ```` hm\n`````" in given
