"""Results that are records or lists come while they are written, typed, and as changes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted
from tests.loopback import Loopback

SOURCE = """
record Line { name: str, price: float }
record Order { kind: "new" | "old", reply: str, lines: list[Line] = [] }
generate read(x: str) -> Order { "Read it." require: out.reply != "no no" }
generate reply(x: str) -> str { "Reply." }
pipeline both(x: str) -> Order { return Order(kind="new", reply=reply(x)) }
pipeline twice(x: str) -> Order { return Order(kind="new", reply=reply(reply(x))) }
pipeline same(x: str) -> list[Order] { let one = read(x) return [one, one] }
"""
ANSWER = '[[kind]] old\n[[reply]] Dear friend\n[[lines]] [{"name": "red lamp", "price": 1.5}]'


def load(tmp_path: Path, *answers: str, text: str = SOURCE) -> Any:
    (tmp_path / "p.lmp").write_text(text)
    left = list(answers)
    said = Scripted(lambda request: left.pop(0) if len(left) > 1 else left[0])
    return lmc.load(tmp_path / "p.lmp", cache=False, backend=said)


def applied(value: Any, delta: lmc.Delta) -> Any:
    """A JSON value after a change."""
    if not delta.path:
        return delta.value if delta.text is None else (value or "") + delta.text
    first, inner = delta.path[0], lmc.Delta(delta.path[1:], delta.text, delta.value)
    if isinstance(value, list):
        before = value[first] if first < len(value) else None
        return [*value[:first], applied(before, inner), *value[first + 1 :]]
    return {**value, first: applied(value.get(first), inner)}


def test_fields_arrive_texts_and_lists_grow(tmp_path: Path) -> None:
    stream = load(tmp_path, ANSWER).read.stream("x")
    parts = list(stream)
    assert [part.kind for part in parts[:2]] == ["old", "old"]
    assert [part.reply for part in parts[:4]] == ["", "Dear", "Dear friend", "Dear friend"]
    assert parts[0].lines is None
    assert parts[0].model_fields_set == {"kind", "reply"}
    assert [part.lines[0].name for part in parts if part.lines][-2:] == ["red lamp", "red lamp"]
    assert type(parts[-1]).__name__ == "OrderPartial"
    assert stream.result == load(tmp_path, ANSWER).read("x")


async def test_a_coroutine_gets_the_same(tmp_path: Path) -> None:
    program = load(tmp_path, ANSWER)
    assert [part async for part in program.read.stream("x")] == list(program.read.stream("x"))


def test_changes_make_the_result(tmp_path: Path) -> None:
    stream = load(tmp_path, ANSWER).read.stream("x").deltas()
    value: Any = None
    for delta in stream:
        value = applied(value, delta)
    assert value == stream.result.model_dump()
    assert value["lines"] == [{"name": "red lamp", "price": 1.5}]


@pytest.mark.parametrize(
    "wrong", [ANSWER.replace("old", "odd"), ANSWER.replace("Dear friend", "no no")]
)
def test_an_answer_that_is_refused_is_written_anew(tmp_path: Path, wrong: str) -> None:
    stream = load(tmp_path, wrong, ANSWER).read.stream("x").deltas()
    value: Any = None
    for delta in stream:
        value = applied(value, delta)
    assert stream.result.reply == "Dear friend"
    assert value == stream.result.model_dump()


def test_a_text_in_a_record_that_a_pipeline_makes_grows(tmp_path: Path) -> None:
    program = load(tmp_path, "one two three")
    parts = list(program.both.stream("x"))
    assert [part.reply for part in parts] == ["one", "one two", *["one two three"] * 2]
    assert [part.kind for part in parts] == [*[None] * 3, "new"]
    assert [part.reply for part in program.twice.stream("x")][-1] == "one two three"


def test_what_is_there_twice_comes_at_the_end(tmp_path: Path) -> None:
    (only,) = load(tmp_path, ANSWER).same.stream("x")
    assert [order.reply for order in only] == ["Dear friend"] * 2


def test_fields_can_be_asked_to_come_whole(tmp_path: Path) -> None:
    program = load(tmp_path, ANSWER)
    whole = [part.reply for part in program.read.whole("reply").stream("x")]
    assert set(whole) == {None, "Dear friend"}
    names = [p.lines[0].name for p in program.read.whole("lines.name").stream("x") if p.lines]
    assert set(names) == {None, "red lamp"}
    assert {len(p.lines or ()) for p in program.read.whole("lines").stream("x")} == {0, 1}
    assert [p.reply for p in program.both.whole("reply").stream("x")] == [ANSWER]


def test_a_set_never_loses_an_item(tmp_path: Path) -> None:
    text = 'record Tags { tags: list[str](unique) }\ngenerate read(x: str) -> Tags { "Read." }'
    program = load(tmp_path, '[[tags]] ["a b", "a b", "a", "c"]', text=text)
    parts = [part.tags for part in program.read.stream("x") if part.tags is not None]
    assert parts[-1] == ["a b", "a", "c"]
    assert {tuple(part) for part in parts} == {
        tuple(parts[-1][:i]) for i in range(len(parts[0]), 4)
    }


def test_an_unknown_field_is_an_error(tmp_path: Path) -> None:
    program = load(tmp_path, ANSWER)
    with pytest.raises(LmcError, match="did you mean `reply`"):
        program.read.whole("replay")
    with pytest.raises(LmcError, match=r"no field `lines\.size`"):
        program.read.whole("lines.size")


def test_a_result_is_there_at_the_end_only(tmp_path: Path) -> None:
    stream = load(tmp_path, ANSWER).read.stream("x")
    next(stream)
    with pytest.raises(LmcError, match="stream-not-ended"):
        _ = stream.result
    stream.close()
    assert list(stream) == []


def test_inputs_are_checked_and_failures_come_as_errors(tmp_path: Path) -> None:
    program = load(tmp_path, "nothing of use")
    with pytest.raises(LmcError, match=r"input"):
        program.read.stream(y="x")
    with pytest.raises(LmcError, match="call-failed"):
        list(program.read.stream("x"))


def test_leaving_early_stops_the_request(tmp_path: Path) -> None:
    with Loopback("one two three four") as server:
        server.pause_s = 0.3
        far = f'model far {{ name: "openai/m", base_url: "{server.url}" }}\n'
        say = 'default { model: far }\ngenerate say(x: str) -> str { "Say." }\n'
        (tmp_path / "p.lmp").write_text(far + say)
        program = lmc.load(tmp_path / "p.lmp", cache=False)
        stream = program.say.stream("x")
        assert next(iter(stream)) == "one"
        stream.close()
        for _ in range(100):
            time.sleep(0.02)
            if not server.in_flight:
                break
        assert server.in_flight == 0


UNIONS = """
record Refund { kind: "refund", order: str }
record Complaint { kind: "complaint", text: str }
record Node(depth: 3) { label: str, children: list[Node], cause: (Refund | Complaint)? = none }
generate decide(x: str) -> list[Refund | Complaint] { "Decide." }
generate grow(x: str) -> Node { "Grow." }
"""


def test_a_member_of_a_union_grows_once_it_is_known(tmp_path: Path) -> None:
    given = '[{"kind": "refund", "order": "A1"}, {"kind": "complaint", "text": "too cold here"}]'
    stream = load(tmp_path, given, text=UNIONS).decide.stream("x")
    parts = list(stream)
    assert {len(part) for part in parts} == {1, 2}
    names = {type(member).__name__ for part in parts for member in part}
    assert names == {"RefundPartial", "ComplaintPartial"}
    assert all(part[0].kind == "refund" for part in parts if part)
    texts = [part[1].text for part in parts if len(part) == 2]
    assert [t for t in texts if t] == sorted({t for t in texts if t}, key=len)
    assert {"too cold", "too cold here"} <= {*texts}
    assert [type(member).__name__ for member in stream.result] == ["Refund", "Complaint"]


def test_a_union_alone_grows_by_its_fields(tmp_path: Path) -> None:
    text = (
        UNIONS + 'record Other { note: str }\ngenerate one(x: str) -> Complaint | Other { "Do." }'
    )
    program = load(tmp_path, '{"note": "so far so good"}', text=text)
    notes = [part.note for part in program.one.stream("x")]
    assert notes[-1] == "so far so good"
    assert {"so far", "so far so"} <= {*notes}


def test_a_tag_that_may_go_on_tells_no_member(tmp_path: Path) -> None:
    text = """
    record A { kind: "re", x: str }
    record B { kind: "repair", x: str }
    generate one(x: str) -> (A | B)? { "Do." }
    """
    stream = load(tmp_path, '{"x": "long text", "kind": "repair"}', text=text).one.stream("x")
    assert {type(part).__name__ for part in stream} <= {"BPartial", "NoneType", "B"}
    assert stream.result.kind == "repair"


def test_a_recursive_record_grows_at_every_level(tmp_path: Path) -> None:
    inner = '{"label": "in the middle", "children": [{"label": "a leaf", "children": []}]}'
    cause = '{"kind": "complaint", "text": "too cold"}'
    given = f"[[label]] the root\n[[children]] [{inner}]\n[[cause]] {cause}"
    stream = load(tmp_path, given, text=UNIONS).grow.stream("x")
    parts = list(stream)
    texts = {child.label for part in parts for child in part.children or ()}
    assert {"in", "in the"} <= texts
    assert [type(part).__name__ for part in parts[-1:]] == ["NodePartial"]
    assert stream.result.children[0].children[0].label == "a leaf"
    assert type(stream.result.children[0]) is type(stream.result)
    assert stream.result.cause.text == "too cold"
