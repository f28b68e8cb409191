"""Environments: episodes as functions of their actions, in loops, votes and searches."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.ir.verify import GraphFault, verify
from lmc.models.scripted import Scripted
from lmc.runtime.traces import Trace
from lmc.tasks.loop import run_sync

MAZE = '''
import random
made, closed, acts, resets = [], [], [], []

class Maze:
    """A corridor with rooms 0 to 3. The goal is room 3."""

    def __init__(self):
        made.append(self)

    def reset(self, start: int) -> dict:
        resets.append(start)
        self.room = start
        return self.seen()

    def act(self, action: str) -> dict:
        acts.append(action)
        if action == "jump":
            raise ValueError("the ceiling is low")
        self.room += 1 if action == "right" else -1
        return self.seen()

    def seen(self):
        return {"room": self.room, "done": self.room == 3}

    def close(self):
        closed.append(self)

class Snapping(Maze):
    def snapshot(self):
        return self.room

    def restore(self, state):
        self.room = state

class Dice(Maze):
    def seen(self):
        return {"room": random.randrange(10**9), "done": False}
'''
HEAD = """
record Seen { room: int, done: bool }
tool maze(start: int, actions: list[str]) -> Seen from "rooms:Maze" { episode: 5 }
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    (tmp_path / "rooms.py").write_text(MAZE)
    file = tmp_path / "p.lmp"

    def opened(source: str, script: Any = None, head: str = HEAD, **options: Any) -> Any:
        file.write_text(head + source)
        return lmc.load(file, cache=False, backend=Scripted(script or ["right"]), **options)

    return opened


def rooms(program: Any) -> Any:
    """The module `rooms` beside a program, as lmc imported it."""
    file = program.base_dir / "rooms.py"
    return next(m for m in sys.modules.values() if getattr(m, "__file__", None) == str(file))


LOOP = """
record State { actions: list[str], room: int, done: bool }
generate choose(room: int) -> str { \"\"\"Which way?\"\"\" }
pipeline step(start: int, s: State) -> State {
  let actions = s.actions + [choose(s.room)]
  let seen = maze(start, actions)
  return State(actions=actions, room=seen.room, done=seen.done)
}
pipeline main(start: int) -> State {
  let first = maze(start, [])
  return loop s = State(actions=[], room=first.room, done=first.done) for 5 until s.done {
    yield step(start, s)
  }
}
"""


def test_a_loop_acts_on_in_one_episode(load: Any) -> None:
    program = load(LOOP, lambda request: "right")
    assert program.main(0).room == 3
    module = rooms(program)
    assert (len(module.made), module.resets, len(module.acts)) == (1, [0], 3)
    assert module.made == module.closed


def test_each_run_has_its_own_episode(load: Any) -> None:
    program = load(LOOP, lambda request: "right")
    assert [s.room for s in program.main.batch([0, 1, 2, 0])] == [3, 3, 3, 3]
    assert len(rooms(program).made) == 4


BRANCHES = """
pipeline main(start: int) -> list[int] {
  let ways = [["right"], ["right", "right"], ["right", "left"], ["right", "right", "right"], []]
  return [maze(start, way).room for way in ways]
}
"""


@pytest.mark.parametrize("name", ["Maze", "Snapping"])
def test_branches_do_not_meet(load: Any, name: str) -> None:
    program = load(BRANCHES, head=HEAD.replace("Maze", name))
    assert program.main(0) == [1, 2, 0, 3, 0]


def test_snapshots_save_actions(load: Any) -> None:
    source = """
    pipeline main(start: int) -> list[int] {
      let a = maze(start, ["right", "right"])
      let b = if a.done then a else maze(start, ["right", "right", "left"])
      let c = if b.done then b else maze(start, ["right", "right", "right"])
      return [a.room, b.room, c.room]
    }
    """
    counts = []
    for name in ("Maze", "Snapping"):
        program = load(source, head=HEAD.replace("Maze", name))
        assert program.main(0) == [2, 1, 3]
        counts.append(len(rooms(program).acts))
        sys.modules.pop(rooms(program).__name__)
    assert counts == [6, 4]


def test_an_environment_that_does_not_repeat_is_said(load: Any) -> None:
    source = """
    pipeline main(start: int) -> list[int] {
      let a = maze(start, ["right"])
      let b = if a.done then a else maze(start, ["right", "right"])
      let c = if b.done then b else maze(start, ["right", "left"])
      return [a.room, b.room, c.room]
    }
    """
    program = load(source, head=HEAD.replace("Maze", "Dice"))
    with pytest.raises(LmcError) as failure:
        program.main(0)
    assert failure.value.code == "episode-differs"
    assert "snapshot" in str(failure.value)


def test_an_action_that_fails_fails_its_branch_only(load: Any) -> None:
    source = """
    generate next(path: list[str]) -> str { \"\"\"Go on.\"\"\" temperature: 1.0 }
    search main(start: int) -> list[str] {
      expand: next(path)
      value: maze(start, path).room
      until: maze(start, path).done
      method: "beam" width: 3 keep: 2 depth: 4
    }
    """
    answers = ["jump", "left", "right"]
    program = load(source, lambda r: [answers[(r.index + i) % 3] for i in range(r.n)])
    assert program.main(1) == ["right", "right"]
    assert len(rooms(program).made) == len(rooms(program).closed)


def test_samples_of_a_vote_play_apart(load: Any) -> None:
    source = (
        LOOP.replace("pipeline main", "pipeline play")
        + """
    vote main(start: int) -> State { sample: play(start) n: 5 by: .room }
    """
    )
    answers = ["right", "right", "left", "right", "right"]
    program = load(source, lambda request: answers[request.index % 5])
    assert program.main(0).room == 3


def test_the_bound_of_an_episode_holds(load: Any) -> None:
    source = "pipeline main(way: list[str]) -> int { return maze(0, way).room }"
    program = load(source)
    assert program.main(["right"] * 5) == 5
    with pytest.raises(LmcError) as failure:
        program.main(["right"] * 6)
    assert failure.value.code == "episode-too-long"


@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ('tool maze(start: int) -> int from "rooms:Maze" { episode: 5 }', "last parameter"),
        ('tool maze() -> int from "rooms:Maze" { episode: 5 }', "last parameter"),
        ('tool maze(a: list[str]) -> int from "rooms:Maze.act" { episode: 5 }', "class"),
        ('tool maze(a: list[str]) -> int from "rooms:Maze" { episode: 5 effect: true }', "effect"),
        ('tool maze(a: list[str]) -> int from "rooms:Maze" { episode: 5 cache: true }', "cache"),
    ],
)
def test_a_wrong_episode_is_said(load: Any, tool: str, said: str) -> None:
    with pytest.raises(LmcError) as failure:
        load("pipeline main(q: str) -> str { return q }", head=tool)
    assert failure.value.code == "bad-episode"
    assert said in str(failure.value)


def test_a_class_without_the_methods_is_said(load: Any, tmp_path: Path) -> None:
    head = HEAD.replace("rooms:Maze", "rooms:random")
    program = load("pipeline main(q: int) -> int { return maze(q, []).room }", head=head)
    with pytest.raises(LmcError) as failure:
        program.main(0)
    assert failure.value.code in ("tool-failed", "tool-not-found")


def test_a_function_of_the_user_stands_in(load: Any) -> None:
    program = load(
        "pipeline main(q: int) -> int { return maze(q, []).room }",
        tools={"maze": lambda start, actions: {"room": start + len(actions) + 7, "done": True}},
    )
    assert program.main(1) == 8


# --- an environment as a tool of an agent ---

WALKER = """
agent main(start: int) -> int { \"\"\"Walk to room 3.\"\"\" tools: [maze] steps: 6 }
"""


def moves(*actions: Any) -> Any:
    """A model that takes these actions, one a turn, and then says in how many rooms it was."""

    def answer(request: Any) -> str:
        text = request.messages[-1]["content"]
        done = text.count('"observation"')
        if done < len(actions):
            arguments = json.dumps({} if actions[done] is None else {"action": actions[done]})
            return f"[[tool]] maze\n[[arguments]] {arguments}"
        return f"[[tool]] finish\n[[answer]] {done}"

    return answer


def seen(trace: Trace) -> list[str]:
    """What the agent of a run observed."""
    [region] = [r for r in trace.regions if r.kind == "agent"]
    return [turn["observation"] for turn in region.detail["transcript"]]


def walked(program: Any, start: int = 0) -> list[str]:
    trace = Trace()
    run_sync(program.executor.run("main", {"start": start}, trace=trace))
    return seen(trace)


def test_an_agent_takes_one_action_after_the_other(load: Any) -> None:
    program = load(WALKER, moves(None, "right", "right", None, "left"))
    rooms_seen = [json.loads(text)["room"] for text in walked(program)]
    assert rooms_seen == [0, 1, 2, 2, 1]
    module = rooms(program)
    assert (len(module.made), module.resets, module.acts) == (1, [0], ["right", "right", "left"])


def test_each_agent_begins_with_a_reset(load: Any) -> None:
    source = WALKER.replace("agent main", "agent walk")
    source += (
        "pipeline main(start: int) -> list[int] { return [walk(s) for s in [start, 2, start]] }"
    )
    program = load(source, moves("right"))
    assert program.main(0) == [1, 1, 1]
    assert sorted(rooms(program).resets) == [0, 2]
    sampled = WALKER.replace("agent main", "agent walk")
    sampled += "vote main(start: int) -> int { sample: walk(start) n: 3 }"
    assert load(sampled, moves("right", "left")).main(1) == 2


def test_an_action_that_fails_was_not_taken(load: Any) -> None:
    program = load(WALKER, moves("right", "jump", "right"))
    first, failed, last = walked(program)
    assert json.loads(first)["room"] == 1
    assert failed.startswith("error: ")
    assert json.loads(last)["room"] == 2


def test_an_agent_keeps_the_bound_of_its_environment(load: Any) -> None:
    head = HEAD.replace("episode: 5", "episode: 2")
    *_, last = walked(load(WALKER, moves("right", "right", "right"), head=head))
    assert "takes at most 2 actions" in last


def test_a_model_sees_one_action_and_no_list(load: Any) -> None:
    said: list[str] = []

    def answer(request: Any) -> str:
        said.extend(m["content"] for m in request.messages)
        return "[[tool]] finish\n[[answer]] 1"

    load(WALKER, answer).main(0)
    text = "\n".join(said)
    assert "maze(action: str? = null)" in text
    assert "At most 5 actions" in text
    assert "actions: list" not in text


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("agent main(q: str) -> int { tools: [maze] }", "needs a parameter `start`"),
        ("agent main(start: str) -> int { tools: [maze] }", "of the type `int`, and it is `str`"),
    ],
)
def test_an_agent_has_what_reset_takes(load: Any, agent: str, said: str) -> None:
    with pytest.raises(LmcError) as failure:
        load(agent)
    assert failure.value.code == "bad-agent"
    assert said in str(failure.value)


def test_a_forged_agent_cannot_act_without_a_reset(load: Any) -> None:
    graph = load(WALKER).graph
    verify(graph)
    start, actions = graph.tools["maze"].inputs
    other = replace(graph.tools["maze"], inputs=(replace(start, name="other"), actions))
    with pytest.raises(GraphFault, match="can reset what it acts in"):
        verify(replace(graph, tools={"maze": other}))
