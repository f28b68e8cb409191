"""Demonstrations: labels where rows have them, of traces only what led to an accepted result."""

import random
from typing import Any

from lmc.ir.provenance import reached_modules, result_provenance
from lmc.optimizers.lessons.demonstrations import (
    DemoPool,
    corrected_demos,
    example_pool,
    labeled_pool,
    pick_demos,
    traced_demos,
)
from lmc.prompts.spec import Demo
from lmc.runtime.traces import CallTrace, RegionTrace, Trace
from lmc.traces.led import consistent_calls
from tests.test_optimizers.doubles import FakeRow, graph_of, rows, stored

CLASSIFY = 'generate classify(text: str) -> str { """Label it.""" }'
LABELS = CLASSIFY + "pipeline main(text: str) -> str { return classify(text) }"
ALL = """
record Worked { steps: list[str], answer: int }
generate solve(text: str) -> Worked { reason: true }
critique judge(text: str, draft: Worked) -> Verdict { subject: draft }
refine checked(text: str) -> Worked {
  draft: solve(text) check: judge(text, draft) until: check.ok rounds: 1
}
vote main(text: str) -> Worked { sample: checked(text), n: 3, by: .answer }
"""


def call(place: tuple[int, ...], module: str, role: Any = "generate", **outputs: Any) -> CallTrace:
    inputs = {"text": f"of {place}"}
    return CallTrace(place, None, module, role, inputs, outputs=outputs or None)


def test_all_modules_are_reached_in_order() -> None:
    modules = reached_modules(graph_of(ALL), "main")
    assert [(m.name, m.role) for m in modules.values()] == [
        ("solve", "generate"),
        ("judge", "critique"),
        ("checked", "revise"),
    ]


def test_a_label_belongs_to_the_module_that_gives_the_result() -> None:
    assert set(result_provenance(graph_of(ALL), "main")) == {"solve"}
    assert set(result_provenance(graph_of(LABELS), "main")) == {"classify"}
    clean = 'generate clean(raw: str) -> str { """Clean it.""" }'
    two = CLASSIFY + clean + "pipeline main(text: str) -> str { return classify(clean(text)) }"
    assert set(result_provenance(graph_of(two), "main")) == {"classify"}


def test_rows_label_a_module_through_the_pipeline() -> None:
    pool = labeled_pool(graph_of(LABELS), "main", rows(2))
    assert pool.of("classify") == [
        Demo({"text": "t0"}, {"result": "a"}),
        Demo({"text": "t1"}, {"result": "b"}),
    ]
    assert pool.of("classify")[0].origin == "row 0"


def test_rows_that_do_not_label_all_fields_label_nothing() -> None:
    row = FakeRow("1", {"text": "2 + 2", "answer": 4})
    assert not labeled_pool(graph_of(ALL), "main", [row])
    full = FakeRow("1", {"text": "2 + 2", "answer": 4, "steps": ["2 + 2 = 4"]})
    assert len(labeled_pool(graph_of(ALL), "main", [full]).of("solve")) == 1


def test_a_record_labels_the_modules_that_give_its_fields() -> None:
    text = """
    record Ticket { desk: "a" | "b", urgent: bool }
    generate desk(text: str) -> "a" | "b"
    generate urgent(text: str) -> bool
    vote sure(text: str) -> "a" | "b" { sample: desk(text), n: 3 }
    pipeline main(text: str) -> Ticket {
      return Ticket(urgent=urgent(text), desk=sure(text))
    }
    """
    row = FakeRow("1", {"text": "x", "desk": "b", "urgent": True})
    pool = labeled_pool(graph_of(text), "main", [row])
    assert pool.of("desk") == [Demo({"text": "x"}, {"result": "b"})]
    assert pool.of("urgent") == [Demo({"text": "x"}, {"result": True})]


def test_a_row_may_hold_the_record_of_the_result_as_one_value() -> None:
    text = """
    record Ticket { desk: "a" | "b", urgent: bool, note: str? }
    generate read(text: str) -> Ticket { \"\"\"Read it.\"\"\" }
    pipeline main(text: str) -> Ticket { return read(text) }
    generate desk(text: str) -> "a" | "b"
    pipeline built(text: str) -> Ticket {
      return Ticket(desk=desk(text), urgent=false, note=none)
    }
    """
    ticket = {"desk": "b", "urgent": True, "note": None}
    row = FakeRow("1", {"text": "x", "ticket": ticket})
    assert labeled_pool(graph_of(text), "main", [row]).of("read") == [Demo({"text": "x"}, ticket)]
    assert labeled_pool(graph_of(text), "built", [row]).of("desk") == [
        Demo({"text": "x"}, {"result": "b"})
    ]
    other = FakeRow("1", {"text": "x", "ticket": {"desk": "c"}})
    assert not labeled_pool(graph_of(text), "main", [other])


def test_a_label_of_another_type_is_no_label() -> None:
    count = graph_of('generate count(text: str) -> int { """Count.""" }')
    assert not labeled_pool(count, "count", rows(2))
    two_golds = FakeRow("1", {"text": "x", "colour": "a", "other": "b"})
    assert not labeled_pool(graph_of(LABELS), "main", [two_golds])


def test_train_parameters_stay_out_of_demonstrations() -> None:
    graph = graph_of('generate f(text: str, train hint: str = "") -> str { """Answer.""" }')
    row = FakeRow("1", {"text": "x", "hint": "it is a", "label": "a"})
    assert labeled_pool(graph, "f", [row]).of("f") == [Demo({"text": "x"}, {"result": "a"})]


def test_examples_of_the_source_are_in_the_pool() -> None:
    graph = graph_of(CLASSIFY + 'example classify("sun") -> "warm"')
    pool = example_pool(reached_modules(graph, "classify"))
    assert pool.of("classify") == [Demo({"text": "sun"}, {"result": "warm"})]


def test_outvoted_samples_are_left_out() -> None:
    vote = RegionTrace(
        (0,), None, "vote", "main", {}, detail={"keys": ["4", "5", "4"], "winner": 0}
    )
    trace = Trace([call((0, i, 7), "solve", answer=a) for i, a in enumerate((4, 5, 4))], [vote])
    assert [c.place[1] for c in consistent_calls(trace)] == [0, 2]


def test_of_a_refine_the_returned_draft_and_right_verdicts_stay() -> None:
    """Draft 0 was rejected, draft 1 returned: both verdicts were right, the first draft was not."""
    detail = {"drafts": ["bad", "good"], "checks": [{}, {}], "chosen": 1}
    refine = RegionTrace((2,), None, "refine", "checked", {}, detail=detail)
    calls = [
        call((2, 0, 0, 1), "solve", answer=5),
        call((2, 0, 1, 1), "judge", "critique", ok=False),
        call((2, 1, 3, 1), "checked", "revise", answer=4),
        call((2, 1, 1, 1), "judge", "critique", ok=True),
    ]
    kept = consistent_calls(Trace(calls, [refine]))
    assert [(c.module, c.place[1]) for c in kept] == [("judge", 0), ("checked", 1), ("judge", 1)]


def test_a_verdict_that_was_wrong_is_left_out() -> None:
    """The metric accepted a draft that the judge rejected."""
    detail = {"drafts": ["good"], "checks": [{}], "chosen": 0}
    refine = RegionTrace((2,), None, "refine", "checked", {}, detail=detail)
    calls = [call((2, 0, 0), "solve", answer=4), call((2, 0, 1), "judge", "critique", ok=False)]
    assert [c.module for c in consistent_calls(Trace(calls, [refine]))] == ["solve"]


def test_every_module_gets_demonstrations_with_reasoning_and_origin() -> None:
    modules = reached_modules(graph_of(ALL), "main")
    calls = [
        call((0, 0, 1), "solve", reasoning="add", steps=["s"], answer=4),
        call((0, 0, 2), "judge", "critique", ok=True, score=1.0, feedback=""),
        call((0, 0, 3), "solve"),  # failed
    ]
    found = traced_demos(stored(Trace(calls), "7"), modules)
    assert [name for name, _ in found] == ["solve", "judge"]
    assert found[0][1].outputs == {"reasoning": "add", "steps": ["s"], "answer": 4}
    assert found[0][1].origin == "row 7, call /0/0/1"


def test_a_label_goes_under_inputs_that_were_computed() -> None:
    text = CLASSIFY.replace("(text: str)", "(text: str, note: str)")
    text += 'generate note(text: str) -> str { """Note.""" }'
    text += "pipeline main(text: str) -> str { return classify(text, note(text)) }"
    graph = graph_of(text)
    trace = Trace(
        [
            CallTrace(
                (1,),
                None,
                "classify",
                "generate",
                {"text": "t0", "note": "n"},
                outputs={"result": "z"},
            )
        ]
    )
    assert not labeled_pool(graph, "main", rows(1))
    found = corrected_demos(
        stored(trace, "0", rows(1)[0].values), result_provenance(graph, "main"), frozenset({"text"})
    )
    assert found == [("classify", Demo({"text": "t0", "note": "n"}, {"result": "a"}))]


def test_a_choice_covers_the_labels_evenly() -> None:
    demos = [Demo({"text": str(i)}, {"result": "abcd"[i // 10]}) for i in range(40)]
    for seed in range(20):
        picked = pick_demos(demos, 8, random.Random(seed))
        assert sorted(d.outputs["result"] for d in picked) == list("aabbccdd")


def test_a_choice_hangs_on_the_seed_alone() -> None:
    demos = [Demo({"text": str(i)}, {"result": str(i)}) for i in range(40)]
    assert pick_demos(demos, 4, random.Random("s")) == pick_demos(demos, 4, random.Random("s"))
    assert len({pick_demos(demos, 4, random.Random(i))[0].inputs["text"] for i in range(20)}) > 5


def test_no_inputs_twice_and_later_teachers_go_first() -> None:
    old, new = DemoPool(), DemoPool()
    old.add("m", Demo({"x": 1}, {"result": "old"}))
    old.add("m", Demo({"x": 1}, {"result": "again"}))
    old.add("m", Demo({"x": 2}, {"result": "old"}))
    new.add("m", Demo({"x": 1}, {"result": "new"}))
    assert [d.outputs["result"] for d in old.under(new).of("m")] == ["new", "old"]
