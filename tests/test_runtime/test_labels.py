"""Labels that are known at run time: `one_of(options)`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted
from lmc.runtime.labels import MOST_KEPT, fit_schema

PROGRAM = """
generate pick(text: str, options: list[str]) -> one_of(options) { "Choose." LAYOUT }
generate picks(text: str, options: list[str]) -> list[one_of(options)](..3) {
  "Some." LAYOUT
}
generate maybe(text: str, options: list[str]) -> one_of(options)? { "Choose, or none." LAYOUT }
refine sure(text: str, options: list[str]) -> one_of(options) {
  "Choose again."
  draft: pick(text, options)
  check: judge(text, draft)
  rounds: 1
}
critique judge(text: str, draft: str) -> Verdict { subject: draft }
tool look(word: str) -> str from "lmc.programs.tools:calculate"
agent act(text: str, options: list[str]) -> one_of(options) { tools: [look] steps: 1 }
vote main(text: str, options: list[str]) -> str { sample: pick(text, options) n: 3 }
"""


def program(tmp_path: Path, answers: Any, layout: str = "chat") -> tuple[Any, Scripted]:
    path = tmp_path / "labels.lmp"
    path.write_text(PROGRAM.replace("LAYOUT", f'layout: "{layout}"'), "utf-8")
    backend = Scripted(answers)
    return lmc.load(path, backend=backend), backend


@pytest.mark.parametrize("layout", ["chat", "json", "xml"])
def test_the_answer_is_one_of_the_labels(tmp_path: Path, layout: str) -> None:
    said = {"chat": "**Refund**.", "json": '{"result": "refund"}', "xml": "<result>Refund</result>"}
    found, backend = program(tmp_path, lambda _: said[layout], layout)
    assert found.pick("x", ["billing", "refund"]) == "refund"
    shown = "\n".join(message["content"] for message in backend.requests[0].messages)
    assert '["billing", "refund"]' in shown
    if layout == "json":
        schema = backend.requests[0].schema
        assert schema["properties"]["result"] == {"type": "string", "enum": ["billing", "refund"]}


def test_another_answer_is_repaired_then_refused(tmp_path: Path) -> None:
    found, backend = program(tmp_path, ["tax", "refund"])
    assert found.pick("x", ["billing", "refund"]) == "refund"
    assert "expected one of: billing, refund" in backend.requests[1].messages[-1]["content"]
    found, _ = program(tmp_path, lambda _: "tax")
    with pytest.raises(LmcError, match="expected one of: billing, refund"):
        found.pick("x", ["billing", "refund"])


def test_lists_and_optionals(tmp_path: Path) -> None:
    found, _ = program(tmp_path, ['["b", "A"]', "null", "c", '["b", "d"]', '["b", "d"]'])
    assert found.picks("x", ["a", "b"]) == ["b", "a"]
    assert found.maybe("x", ["a", "b"]) is None
    assert found.maybe("x", ["b", "c"]) == "c"
    with pytest.raises(LmcError, match="call-failed"):
        found.picks("x", ["a", "b"])


def test_no_labels_are_an_error_before_any_request(tmp_path: Path) -> None:
    found, backend = program(tmp_path, lambda _: "a")
    with pytest.raises(LmcError, match="one of `options`, which is empty"):
        found.pick("x", [])
    assert not backend.requests


@pytest.mark.parametrize(
    ("options", "said", "label"),
    [
        (["a", "b", "a"], "a", "a"),
        (["A", "a"], "a", "a"),
        (["null", "x"], "null", "null"),
        ([" padded ", "x"], "padded", " padded "),
        (["C++", "C", "C#"], "C#", "C#"),
        (["[[result]]", "x"], r"\[[result]]", "[[result]]"),
        (["tab\there", "x"], "tab\there", "tab\there"),
        (["only"], "only", "only"),
        (["yes", "no"], "No, because it is late.", "no"),
    ],
)
def test_labels_of_all_kinds(tmp_path: Path, options: list[str], said: str, label: str) -> None:
    found, _ = program(tmp_path, lambda _: said)
    assert found.pick("x", options) == label


def test_a_refine_an_agent_and_a_vote(tmp_path: Path) -> None:
    verdict = "[[ok]] false\n[[score]] 0\n[[feedback]] no"
    answers = ["a", verdict, "tax", "b", verdict]
    found, _ = program(tmp_path, answers)
    assert found.sure("x", ["a", "b"]) in ("a", "b")
    found, _ = program(
        tmp_path, ["[[tool]] finish\n[[answer]] tax", "[[tool]] finish\n[[answer]] b"]
    )
    assert found.act("x", ["a", "b"]) == "b"
    found, _ = program(tmp_path, ["a", "b", "b"])
    assert found.main("x", ["a", "b"]) == "b"


def test_calls_at_once_keep_their_own_labels(tmp_path: Path) -> None:
    def answer(request: Any) -> str:
        shown = request.messages[-1]["content"]
        return str(json.loads(shown[shown.index("[[options]] ") + 12 :])[-1])

    found, _ = program(tmp_path, answer)
    rows = [{"text": "x", "options": [f"{i}-a", f"{i}-b"]} for i in range(5 * MOST_KEPT)]
    assert found.pick.batch(rows) == [f"{i}-b" for i in range(5 * MOST_KEPT)]


def test_thousands_of_labels_are_fast(tmp_path: Path) -> None:
    random, words = Random(5), ["billing", "refund", "login", "card", "fee", "tax", "visa"]
    options = [" ".join(random.sample(words, 3)) + f" {i}" for i in range(5000)]
    answers = {
        "exact": options[4000],
        "prose": f"The answer is **{options[17]}**.",
        "long": "card fee " * 4000 + f"\n{options[99]}",
        "wrong": "card fee",
    }
    expected = {"exact": options[4000], "prose": options[17], "long": options[99]}
    found, backend = program(
        tmp_path, lambda r: answers[r.messages[1]["content"].split()[1]], "chat"
    )
    started = time.process_time()
    for text, label in expected.items():
        assert found.pick(text, options) == label
    with pytest.raises(LmcError, match="one of the 5,000 labels"):
        found.pick("wrong", options)
    assert time.process_time() - started < 5
    assert len(backend.requests[-1].messages[-1]["content"]) < 1000


def test_a_schema_has_as_many_labels_as_providers_take(tmp_path: Path) -> None:
    assert fit_schema([tuple(map(str, range(1000)))])
    assert not fit_schema([tuple(map(str, range(1001)))])
    assert not fit_schema([tuple(f"{i:0100}" for i in range(300))])
    found, backend = program(tmp_path, lambda _: '{"result": "7"}', "json")
    assert found.pick("x", list(map(str, range(2000)))) == "7"
    assert "enum" not in backend.requests[0].schema["properties"]["result"]


def test_labels_are_not_kept_for_good(tmp_path: Path) -> None:
    found, _ = program(tmp_path, lambda r: "0")
    from lmc.values import validation

    before = validation._lenient.__closure__
    sizes = [len(cell.cell_contents) for cell in before if isinstance(cell.cell_contents, dict)]
    for i in range(3 * MOST_KEPT):
        assert found.pick("x", ["0", f"label {i}"]) == "0"
    after = [len(cell.cell_contents) for cell in before if isinstance(cell.cell_contents, dict)]
    assert all(b - a <= 2 for a, b in zip(sizes, after))


@pytest.mark.parametrize("written", ["draft: draft(text)", "draft: draft(text) clean: upper(out)"])
def test_a_draft_that_is_no_label_is_refused(tmp_path: Path, written: str) -> None:
    path = tmp_path / "p.lmp"
    path.write_text(
        "generate draft(text: str) -> str\n"
        "critique good(text: str, draft: str) -> bool { subject: draft }\n"
        "refine main(text: str, options: list[str]) -> one_of(options) {\n"
        f"  {written} check: good(text, draft) rounds: 1\n}}\n"
    )
    program = lmc.load(path, backend=Scripted(["zzz", "yes"]), cache=False)
    with pytest.raises(LmcError) as failure:
        program.main(text="t", options=["a", "b"])
    assert failure.value.code == "out-of-range"


@pytest.mark.parametrize(("answer", "fits"), [("b", True), ("zzz", False)])
def test_an_example_answers_with_one_of_its_labels(tmp_path: Path, answer: str, fits: bool) -> None:
    path = tmp_path / "p.lmp"
    head = "generate pick(text: str, options: list[str]) -> one_of(options)\n"
    path.write_text(f'{head}example pick("t", ["a", "b"]) -> "{answer}"')
    if fits:
        lmc.load(path)
        return
    with pytest.raises(LmcError) as failure:
        lmc.load(path)
    assert failure.value.code == "type-mismatch"
