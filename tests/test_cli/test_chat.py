"""`lmc chat`: what is said and remembered, how it ends, and programs that are no conversation."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lmc.cli.main import cli

PROGRAM = """
model clerk { name: "scripted/script.json" }
default { model: clerk }
generate reply(history: messages, question: str, style: str = "brief") -> str { "Answer." }
pipeline main(question: str, today: date, history: messages = []) -> messages {
  return history + [user(question), assistant(reply(history, question, str(today)))]
}
pipeline words(history: messages, question: str) -> int { return len(split(question)) }
pipeline two(history: messages, question: str, more: str) -> str { return question + more }
"""
SCRIPT = {
    "rules": [
        {"match": "fail", "answer": ""},
        {"match": r"(?s)First\..*second", "answer": "Second."},
    ],
    "default": "First.",
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "script.json").write_text(json.dumps(SCRIPT))
    (tmp_path / "p.lmp").write_text(PROGRAM)
    return tmp_path / "p.lmp"


def chat(*arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(cli, ["chat", *arguments], input=said)


def test_answers_are_remembered(program: Path) -> None:
    said = "the first\n\nthe second\n/exit\nnever\n"
    told = chat("p.lmp", "-t", "reply", said=said)
    assert told.stdout == "First.\nSecond.\n"
    assert told.stderr.startswith("2 turns, 2 calls, ")
    assert told.exit_code == 0


def test_a_program_may_give_the_conversation_back(program: Path) -> None:
    told = chat("p.lmp", "--today", "2026-03-01", said="the first\nthe second")
    assert told.stdout == "First.\nSecond.\n"
    assert "2 turns" in told.stderr


def test_a_conversation_may_be_given(program: Path) -> None:
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "First."}]
    told = chat("p.lmp", "-t", "reply", "--history", json.dumps(turns), said="the second")
    assert told.stdout == "Second.\n"


def test_other_results_are_shown(program: Path) -> None:
    assert chat("p.lmp", "-t", "words", said="one two three\n").stdout == "3\n"
    assert chat("p.lmp", "-t", "two", "--more", "!", said="so\n").stdout == "so!\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-t", "two"], "needs one `str` parameter for what you say"),
        (["-t", "reply", "--question", "x"], "needs one `str` parameter for what you say"),
        ([], "`main` needs --today"),
    ],
)
def test_what_is_missing_is_said(arguments: list[str], words: str, program: Path) -> None:
    told = chat("p.lmp", *arguments, said="so\n")
    assert told.exit_code == 2
    assert words in told.stderr


def test_a_program_without_turns_is_no_conversation(program: Path) -> None:
    program.write_text('generate main(q: str) -> str { "Answer." }')
    told = chat("p.lmp", said="so\n")
    assert (told.exit_code, "of the type `messages`" in told.stderr) == (2, True)


def test_lmc_is_a_module() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "lmc", "--version"], capture_output=True, text=True, check=True
    )
    assert "lmc" in told.stdout
