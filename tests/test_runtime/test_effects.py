"""Tools with an effect: in the order of the program, once each; objects of tools by run."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.scripted import Scripted

HEAD = 'tool act(x: str) -> str from "t:act" { effect: true }\n'


def acted(tmp_path: Path, source: str, *, target: str = "main", **inputs: Any) -> list[str]:
    """What was done, in which order. Each call lets the others overtake it if they may."""
    file = tmp_path / "p.lmp"
    file.write_text(HEAD + source)
    log: list[str] = []

    def act(x: str) -> str:
        time.sleep(0.05 / (1 + len(log)))
        log.append(x)
        return x

    backend = Scripted(lambda request: "yes")
    program = lmc.load(file, cache=False, tools={"act": act}, backend=backend, speculate=8)
    program[target](**inputs)
    return log


def test_effects_in_called_pipelines_follow_one_another(tmp_path: Path) -> None:
    source = """
    pipeline two(x: str) -> str { let a = act(x + "1") let b = act(x + "2") return b }
    pipeline main(q: str) -> str {
      let a = two("a")
      let b = act("b")
      let c = if q == "" then "" else two("c")
      let d = act("d")
      return a
    }
    test "kept apart" { stub two -> "x" assert two("q") == "x" }
    """
    assert acted(tmp_path, source, q="q") == ["a1", "a2", "b", "c1", "c2", "d"]


def test_items_of_a_map_act_in_order(tmp_path: Path) -> None:
    source = """
    pipeline both(x: str) -> bool { let a = act(x) let b = act(x + "'") return a == x }
    pipeline main(xs: list[str]) -> list[str] { return [act(x + "!") for x in xs if both(x)] }
    """
    found = acted(tmp_path, source, xs=["a", "b", "c"])
    assert found == ["a", "a'", "a!", "b", "b'", "b!", "c", "c'", "c!"]


def test_samples_in_a_list_act_one_after_another(tmp_path: Path) -> None:
    source = """
    pipeline both(x: str) -> str { let a = act(x) return act(x + "'") }
    pipeline main(q: str) -> list[str] { return [both(q) for 3] }
    """
    assert acted(tmp_path, source, q="a") == ["a", "a'"] * 3


def test_equal_and_unread_effects_all_happen(tmp_path: Path) -> None:
    source = """
    pipeline noted(x: str) -> str { let a = act(x) return x }
    pipeline main(q: str) -> str {
      let a = act(q)
      let b = act(q)
      let c = noted(q)
      let d = noted(q)
      let e = [noted(x) for x in ["y", "y"]]
      return join([a, b])
    }
    """
    assert acted(tmp_path, source, q="q") == ["q", "q", "q", "q", "y", "y"]


def test_a_branch_that_is_not_taken_does_nothing(tmp_path: Path) -> None:
    source = """
    generate sure(q: str) -> bool { \"\"\"Sure?\"\"\" }
    pipeline main(q: str) -> str {
      if sure(q) { return act("yes") }
      return act("no")
    }
    """
    assert acted(tmp_path, source, q="q") == ["yes"]


def test_a_loop_acts_round_by_round(tmp_path: Path) -> None:
    source = """
    pipeline main(q: str) -> str {
      let last = loop s = q for 3 until act(s + "?") == "qqq?" { yield s + act("q") }
      return last
    }
    """
    assert acted(tmp_path, source, q="q") == ["q?", "q", "qq?", "q", "qqq?"]


def test_a_failed_call_is_not_made_again(tmp_path: Path) -> None:
    file = tmp_path / "p.lmp"
    file.write_text(HEAD + "pipeline main(q: str) -> str { return act(q) }")
    calls: list[str] = []

    def act(x: str) -> str:
        calls.append(x)
        raise OSError("gone")

    with pytest.raises(LmcError) as failure:
        lmc.load(file, tools={"act": act}).main("q")
    assert failure.value.code == "tool-failed"
    assert calls == ["q"]


# --- objects ---

SHOP = """
import threading
made, closed, busy = [], [], []

class Shop:
    def __init__(self):
        self.cart = []
        made.append(self)

    def buy(self, item: str) -> list:
        busy.append(1)
        assert len(busy) == 1, "two calls of one object at once"
        self.cart.append(item)
        busy.pop()
        return list(self.cart)

    async def later(self, item: str) -> list:
        return self.buy(item)

    @staticmethod
    def price(item: str) -> int:
        return len(item)

    def close(self):
        closed.append(self)
"""
TOOLS = """
tool buy(item: str) -> list[str] from "shop:Shop.buy"
tool later(item: str) -> list[str] from "shop:Shop.later"
tool price(item: str) -> int from "shop:Shop.price" { pure: true }
"""


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    (tmp_path / "shop.py").write_text(SHOP)
    file = tmp_path / "p.lmp"

    def load(source: str, **options: Any) -> Any:
        file.write_text(TOOLS + source)
        return lmc.load(file, cache=False, **options)

    return load


def module_of(program: Any) -> Any:
    """The module `shop` beside a program, as lmc imported it."""
    file = program.base_dir / "shop.py"
    found = (m for m in sys.modules.values() if getattr(m, "__file__", None) == str(file))
    return next(found)


BOTH = """
pipeline main(q: str) -> list[str] {
  let a = buy(q)
  let b = later(q + "2")
  let c = [buy(x) for x in ["x", "y"]]
  let n = price(q)
  return buy("last")
}
"""


def test_a_run_has_one_object_of_a_class(shop: Any) -> None:
    program = shop(BOTH)
    assert program.main("a") == ["a", "a2", "x", "y", "last"]
    assert program.main("b") == ["b", "b2", "x", "y", "last"]


def test_rows_of_a_batch_share_no_object_and_each_is_closed(shop: Any) -> None:
    program = shop(BOTH)
    found = program.main.batch([str(i) for i in range(20)])
    assert found == [[str(i), f"{i}2", "x", "y", "last"] for i in range(20)]
    module = module_of(program)
    assert len(module.made) == len(module.closed) == 20


def test_samples_of_a_vote_begin_with_objects_of_their_own(shop: Any) -> None:
    source = """
    pipeline one(q: str) -> str { let a = buy(q) return str(len(buy(q))) }
    vote voted(q: str) -> str { sample: one(q) n: 5 stop_early: false }
    pipeline main(q: str) -> list[str] { let v = voted(q) return buy(v) }
    """
    assert shop(source).main("q") == ["2"]


def test_a_class_that_cannot_be_made_fails_its_run_only(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(
        "class Bad:\n  def __init__(self):\n    raise SystemExit(3)\n  def f(self, x): return x\n"
    )
    file = tmp_path / "p.lmp"
    file.write_text(
        'tool f(x: str) -> str from "bad:Bad.f"\npipeline main(q: str) -> str { return f(q) }'
    )
    with pytest.raises(LmcError) as failure:
        lmc.load(file).main("q")
    assert failure.value.code == "tool-failed"
    assert "SystemExit" in str(failure.value)


def test_a_function_of_the_user_stands_in_for_a_method(shop: Any) -> None:
    program = shop(
        "pipeline main(q: str) -> list[str] { return buy(q) }",
        tools={"buy": lambda item: [item, "!"]},
    )
    assert program.main("a") == ["a", "!"]


def test_a_run_that_is_cancelled_closes_its_objects(shop: Any) -> None:
    program = shop(
        "pipeline main(q: str) -> list[str] { let a = buy(q) return slow(a) }\n"
        'tool slow(a: list[str]) -> list[str] from "shop:slow"',
        tools={"slow": lambda a: time.sleep(0.5) or a},
    )

    async def cancelled() -> None:
        task = asyncio.ensure_future(program.main.acall("q"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(500):
            if module_of(program).closed:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("not closed")

    asyncio.run(cancelled())


# --- consent ---

ROWS = [{"q": "a", "answer": "a"}, {"q": "b", "answer": "b"}]
MEASURED = """
record Row { q: str, answer: str }
metric right(gold: Row, pred: str) -> bool { return pred == gold.answer }
pipeline main(q: str) -> str { return act(q) }
"""


def test_effects_on_every_row_need_consent(tmp_path: Path) -> None:
    file = tmp_path / "p.lmp"
    file.write_text(HEAD + MEASURED)
    calls: list[str] = []

    def act(x: str) -> str:
        calls.append(x)
        return x

    with pytest.raises(LmcError) as failure:
        lmc.evaluate(file, ROWS, "right", tools={"act": act})
    assert failure.value.code == "effects-not-allowed"
    with pytest.raises(LmcError) as failure:
        lmc.compile(file, data=ROWS * 20, metric="right", tools={"act": act}, optimizer="tune()")
    assert failure.value.code == "effects-not-allowed"
    assert not calls
    found = lmc.evaluate(file, ROWS, "right", tools={"act": act}, effects=True)
    assert found.values == (1.0, 1.0)
    assert sorted(calls) == ["a", "b"]


def test_no_module_stands_in_for_a_refine_that_acts(tmp_path: Path) -> None:
    from lmc.program.artifact import can_stand_in
    from lmc.program.program import lower_file

    refine = """
    generate draft(q: str) -> str
    critique check(q: str, draft: str) -> Verdict { subject: draft }
    refine main(q: str) -> str {
      draft: draft(q)
      check: check(q, draft)
      until: UNTIL
      rounds: 1
    }
    """
    file = tmp_path / "p.lmp"
    for until, allowed in (("check.ok", True), ('act(draft) == "yes"', False)):
        file.write_text(HEAD + refine.replace("UNTIL", until))
        assert can_stand_in(lower_file(file), "draft", "main") == allowed


def test_the_effects_of_a_metric_need_consent_too(tmp_path: Path) -> None:
    file = tmp_path / "p.lmp"
    file.write_text(
        HEAD + "record Row { q: str, answer: str }\n"
        "metric right(gold: Row, pred: str) -> bool { return act(pred) == gold.answer }\n"
        "pipeline main(q: str) -> str { return q }\n"
    )
    tools = {"act": lambda x: x}
    with pytest.raises(LmcError) as failure:
        lmc.evaluate(file, ROWS, "right", tools=tools)
    assert failure.value.code == "effects-not-allowed"
    with pytest.raises(LmcError) as failure:
        lmc.compile(file, data=ROWS * 20, metric="right", tools=tools, optimizer="tune()")
    assert failure.value.code == "effects-not-allowed"
    assert lmc.evaluate(file, ROWS, "right", tools=tools, effects=True).values == (1.0, 1.0)
