"""Views of the graph: every call is drawn, nothing breaks out of its label."""

import re
import shutil

import pytest

from lmc.ir.dot import to_dot, to_svg
from lmc.ir.mermaid import to_mermaid
from lmc.ir.svg import draw
from lmc.ir.view import Box, Cluster, view
from lmc.models.base import Request
from lmc.models.scripted import Scripted
from lmc.program.options import LoadOptions
from lmc.program.program import Program
from tests.programs import lowered

PROGRAM = """
generate solve(problem: str) -> str
critique judge(problem: str, draft: str) -> Verdict
refine better(problem: str) -> str { draft: solve(problem) check: judge(problem, draft) }
vote main(problem: str) -> str { sample: better(problem), n: 3 }
"""


def boxes(cluster: Cluster) -> list[Box]:
    return [b for c in cluster.children for b in ([c] if isinstance(c, Box) else boxes(c))]


def test_calls_are_drawn_inside_their_regions() -> None:
    drawn = view(lowered(PROGRAM))
    assert [b.label for b in boxes(drawn.root)] == [
        "problem: str", "solve", "judge", "revise", "majority", "str",
    ]  # fmt: skip
    clusters = [c for c in drawn.root.children if isinstance(c, Cluster)]
    assert [c.kind for c in clusters] == ["vote"]
    assert [c.kind for c in clusters[0].children if isinstance(c, Cluster)] == ["refine"]


def test_edges_join_boxes_that_exist() -> None:
    drawn = view(lowered(PROGRAM))
    known = {b.id for b in boxes(drawn.root)}
    assert {e.source for e in drawn.edges} | {e.target for e in drawn.edges} == known


def test_labels_are_escaped() -> None:
    text = 'generate main(kind: "a" | "<b>") -> str'
    assert '"a" | "<b>"' not in to_mermaid(lowered(text))
    assert '\\"a\\" | \\"<b>\\"' in to_dot(lowered(text))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not here")
def test_svg() -> None:
    svg = to_svg(lowered(PROGRAM))
    assert svg.rstrip().endswith("</svg>")
    assert "majority" in svg


LOOP = """
record Seen { ok: bool }
generate draft(topic: str) -> str
generate better(text: str) -> str
generate judge(text: str) -> Seen
pipeline main(topic: str) -> str {
  let text = draft(topic)
  let last = loop t = text for 3 until CONDITION { yield better(t) }
  return last
}
"""


@pytest.mark.parametrize(
    ("condition", "back"), [("judge(t).ok", ("judge", "better")), ('t == ""', ("better", "better"))]
)
def test_a_loop_is_drawn_with_its_way_back_and_its_condition(condition, back) -> None:
    drawn = view(lowered(LOOP.replace("CONDITION", condition)))
    loop = next(c for c in drawn.root.children if isinstance(c, Cluster))
    assert loop.label == f"loop, at most 3 rounds, until {condition}"
    names = {box.id: box.label for box in boxes(drawn.root)}
    again = [(names[e.source], names[e.target]) for e in drawn.edges if e.label == "again"]
    assert again == [back]
    assert all(e.dashed for e in drawn.edges if e.label == "again")


PLACED = """
generate ask(q: str) -> str
vote pick(q: str) -> str { sample: ask(q), n: 2 }
pipeline main(qs: list[str]) -> str {
  let found = [pick(q) for q in qs]
  let last = loop t = "a" for 2 until t == "z" { yield ask(t) }
  return if last == "y" then ask("b") else last + join(found, " ")
}
"""


def test_each_call_of_a_run_fits_the_place_of_one_box() -> None:
    async def answer(request: Request) -> str:
        return "x"

    graph = lowered(PLACED)
    options = LoadOptions(backend=Scripted(answer), cache=False)
    with Program(graph, options) as program:
        _, trace = program["main"].run_traced({"qs": ["1", "2", "3"]})
    places = [box.place for box in boxes(view(graph, "main").root) if box.name == "ask"]
    fitting = [
        sum(
            len(place) == len(call.place)
            and all(want in (None, number) for want, number in zip(place, call.place))
            for place in places
        )
        for call in trace.calls
    ]
    assert len(places) == 3
    assert fitting == [1] * 8


@pytest.mark.parametrize("name", ["x", "a_name_" * 9])
def test_arrows_and_their_labels_are_inside_the_picture(name: str) -> None:
    source = f"""
generate {name}(text: str) -> str {{ \"\"\"A.\"\"\" }}
pipeline main(input_{name}: str) -> str {{
  let last = loop text = {name}(input_{name}) for 3 until text == "" {{ yield {name}(text) }}
  return last
}}
"""
    svg = draw(lowered(source), "main")
    width = float(re.search(r'viewBox="-1 -1 (\d+)', svg)[1]) - 1  # type: ignore[index]
    labels = re.findall(r'class="on" x="([\d.]+)"[^>]*>([^<]*)<', svg)
    assert any("again" in text for _, text in labels)
    for x, text in labels:
        assert float(x) + 5 * len(text) <= width, text
