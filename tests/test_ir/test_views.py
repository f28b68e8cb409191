"""Views of the graph: every call is drawn, nothing breaks out of its label."""

import shutil

import pytest

from lmc.ir.dot import to_dot, to_svg
from lmc.ir.mermaid import to_mermaid
from lmc.ir.view import Box, Cluster, view
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
