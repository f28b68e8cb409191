"""The table of operations: whoever lists operations or bodies reads it, and nothing else."""

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest

from lmc.ir import op_rules, ops, view
from lmc.ir.cost import cost
from lmc.ir.graph import OPTION, Op
from lmc.ir.ops import OPS, body_numbers, body_spec
from lmc.ir.palette import CLUSTERS, COLOURS
from lmc.models.scripted import Scripted
from lmc.runtime import executor
from lmc.runtime.traces import Trace
from lmc.traces import led
from lmc.traces.led import consistent_calls
from tests.programs import lowered

PROGRAM = '''
enum Kind { long, short }
tool shout(text: str) -> str from "tools:shout"
generate sort_of(x: str) -> Kind { """Sort.""" }
generate draft(x: str) -> str { """Draft.""" require: len(out) > 0 }
critique judge(x: str, it: str) -> Verdict { """Judge.""" subject: it }
critique sure(x: str, it: str) -> Verdict { """Sure.""" subject: it }
refine better(x: str) -> str {
  """Revise."""
  draft: draft(x)  check: judge(x, draft)  until: sure(x, draft).score > 0.8  rounds: 4
}
vote agreed(x: str) -> str { sample: better(x)  n: 3 }
agent act(x: str) -> str { """Act.""" tools: [draft]  steps: 2 }
route kinds(x: str) -> str { by: sort_of(x)  to: {long: agreed(x), short: draft(x)} }
route surer(x: str) -> str { to: [draft(x), better(x)]  by: sure(x, out).score  threshold: 0.9 }
search steps(x: str) -> list[str] {
  expand: draft(x)  value: judge(x, x)  until: len(path) > 1
  method: "beam"  width: 2  keep: 1  depth: 2
}
pipeline main(xs: list[str](..3), x: str) -> list[str] {
  let long = loop s = x for 3 until judge(x, s).score > 0.8 { yield better(s) }
  let all = [kinds(y) for y in xs if judge(y, y).score < 2.0]
  return [long, surer(x), act(x), *all]
}
'''.replace("[long, surer(x), act(x), *all]", "all + [long, surer(x), act(x)] + steps(x)")

# What a model says, by its instruction and the draft that it sees. The judge is wrong about the
# first draft: it says that it is right.
VERDICTS = {"one": ("true", 0.1), "two": ("false", 0.4), "three": ("true", 0.9)}
REVISED = {"one": "two", "two": "three"}


def answer(request: Any) -> str:
    system, asked = (message["content"] for message in request.messages[:2])
    seen = next((word for word in ("three", "two", "one") if word in asked), "")
    if "Judge." in system or "Sure." in system:
        ok, score = VERDICTS.get(seen, ("false", 0.0))
        return f"[[ok]] {ok}\n[[score]] {score}\n[[feedback]] no"
    if "Act." in system:
        done = "observation" in asked or len(request.messages) > 2
        call = '[[tool]] finish\n[[arguments]] {}\n[[answer]] "done"'
        return call if done else '[[tool]] draft\n[[arguments]] {"x": "q"}\n[[answer]] null'
    if "Sort." in system:
        return "long"
    return REVISED[seen] if "Revise." in system else "one"


def ran() -> tuple[Any, Trace]:
    """The result of the program, and what happened."""
    import lmc  # not before the table was changed

    trace: Trace
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it.lmp"
        path.write_text(PROGRAM)
        program = lmc.load(path, backend=Scripted(answer), cache=False)
        result, trace = program.main.run_traced({"xs": ["a", "b"], "x": "q"})
    return result, trace


def labels() -> dict[str, Any]:
    """What a program gives, and which of its calls would be learnt from."""
    result, trace = ran()
    kept = [(call.module, call.outputs) for call in consistent_calls(trace)]
    calls = [(call.module, call.outputs) for call in trace.calls]
    return {
        "result": result,
        "kept": sorted(map(repr, kept)),
        "calls": sorted(map(repr, calls)),
        "places": sorted(call.id for call in trace.calls),
    }


@cache
def with_bodies(op: str = "", order: tuple[int, ...] = ()) -> dict[str, Any]:
    """The labels, in a process of its own where the bodies of an operation stand in that order."""
    code = (
        "import json, sys; from dataclasses import replace; from lmc.ir import ops\n"
        "op, order = json.loads(sys.argv[1])\n"
        "row = ops.OPS.get(op)\n"
        "if row: ops.OPS[op] = replace(row, bodies=tuple(row.bodies[i] for i in order))\n"
        "from tests.test_ir.test_ops import labels\n"
        "print(json.dumps(labels()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([op, order])],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def orders() -> list[tuple[str, tuple[int, ...]]]:
    """Each two neighbours among the bodies of each operation, swapped."""
    found = []
    for op, row in OPS.items():
        for i in range(len(row.bodies) - 1):
            order = list(range(len(row.bodies)))
            order[i : i + 2] = i + 1, i
            found.append((op, tuple(order)))
    return found


def test_the_labels_are_those_that_one_would_choose_by_hand() -> None:
    kept = with_bodies()["kept"]
    assert repr(("better", {"result": "three"})) in kept
    assert repr(("better", {"result": "two"})) not in kept
    right = repr(("judge", {"ok": False, "score": 0.4, "feedback": "no"}))
    wrong = repr(("judge", {"ok": True, "score": 0.1, "feedback": "no"}))
    assert right in kept
    assert wrong in with_bodies()["calls"]
    assert wrong not in kept


@pytest.mark.parametrize(("op", "order"), orders(), ids=str)
def test_the_order_of_bodies_stands_in_one_place(op: str, order: tuple[int, ...]) -> None:
    """Traces number bodies as the table does, and so do those who read them."""
    plain, swapped = with_bodies(), with_bodies(op, order)
    for key in ("result", "kept", "calls"):
        assert swapped[key] == plain[key]


@pytest.mark.parametrize("op", ["refine", "map", "loop", "agent", "route"])
def test_the_places_of_a_trace_follow_the_table(op: str) -> None:
    order = tuple(reversed(range(len(OPS[op].bodies))))  # type: ignore[index]
    assert with_bodies(op, order)["places"] != with_bodies()["places"]


@pytest.mark.parametrize("swap", [("check", "revise"), ("draft", "check"), ("until", "check")])
def test_a_reader_with_an_order_of_its_own_would_be_found(
    swap: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the numbers of the selectors not those of the runtime, other calls would be chosen."""
    numbers = dict(body_numbers("refine"))
    one, other = swap
    numbers[one], numbers[other] = numbers[other], numbers[one]
    monkeypatch.setattr(led, "REFINE_BODIES", numbers)
    assert labels()["kept"] != with_bodies()["kept"]


# --- the table is whole ---


def test_each_operation_has_a_row_a_rule_and_someone_who_runs_it() -> None:
    assert set(OPS) == set(get_args(Op))
    assert set(op_rules.OWN_RULES) == set(OPS)
    assert set(executor.PERFORM) == ops.CALLS | ops.OF_BODIES
    assert set(view._PAINTERS) == ops.OWN_REGION | ops.OF_BODIES
    assert set(CLUSTERS) - {"pipeline"} == ops.OWN_REGION | ops.OF_BODIES - {"cond", "weigh"}
    assert "if" in COLOURS


def test_bodies_are_found_by_their_keys() -> None:
    assert body_spec("route", f"{OPTION}first") is OPS["route"].bodies[1]
    assert body_spec("route", "by") is OPS["route"].bodies[0]
    assert body_spec("agent", "act") is OPS["agent"].bodies[0]
    assert body_spec("agent", "search_the_web") is OPS["agent"].bodies[1]
    assert body_spec("cond", "perhaps") is None
    assert ops.ATTEMPTS == {"refine": "draft", "vote": "sample"}


def test_whatever_a_body_calls_is_counted() -> None:
    """A body that the cost forgot would be a call that nobody expects."""
    program = lowered(PROGRAM)
    reached = {"draft", "judge", "sure", "sort_of"}
    assert reached <= cost(program, "main").by_module.keys()
    for graph in program.graphs.values():
        for node in graph.nodes:
            for key, body in node.bodies.items():
                inner = replace(body, kind="body")
                called = {n.attrs["target"] for n in inner.nodes if n.op == "call"}
                named = cost(program, graph.name).by_module.keys()
                modules = {n for n in called if program.graphs[n].kind in ("generate", "critique")}
                assert node.op == "model" or modules <= named, key
