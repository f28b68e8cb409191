"""Notebooks: the cell magic, and how programs, results and runs show themselves."""

import re
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc import html
from lmc.ir.svg import draw
from lmc.measure.evaluate import Evaluation, RowResult
from lmc.optimizers import events
from lmc.program.program import lower_file
from lmc.requests.usage import Usage

pytest.importorskip("IPython")

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

ROOT = Path(__file__).parents[2]
CELL = """%%lmp sums --no-cache
record Answer { value: int, note: str = "none" }
generate solve(question: str) -> Answer { \"\"\"Answer.\"\"\" }
pipeline main(question: str) -> Answer { return solve(question) }
test "five" { stub solve -> Answer(value=5)
 assert main("2 + 3").value == 5 }
"""


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    made = InteractiveShell()
    assert made.run_line_magic("load_ext", "lmc") is None
    return made


def shown(shell: Any, value: Any) -> str:
    data, _ = shell.display_formatter.format(value)
    return str(data["text/html"])


def test_a_cell_becomes_a_program_that_draws_itself(shell: Any) -> None:
    with capture_output() as captured:
        ran = shell.run_cell(CELL)
    assert ran.success, captured.stderr
    program = shell.user_ns["sums"]
    assert isinstance(program, lmc.Program)
    assert "solve" in shown(shell, program)
    assert shown(shell, program).startswith("<svg")
    assert "question: str" in shown(shell, program.main)


def test_mistakes_of_a_cell_are_shown_without_a_traceback(shell: Any) -> None:
    with capture_output() as captured:
        ran = shell.run_cell("%%lmp broken\ngenerate main(q: strr) -> str { }\n")
    assert not ran.success
    told = captured.stdout + captured.stderr
    assert "unknown-type" in told
    assert "broken.lmp:1:18" in told
    assert "Traceback" not in told
    assert "broken" not in shell.user_ns
    with capture_output() as captured:
        ran = shell.run_cell("%%lmp not-a-name\nrecord R { a: str }\n")
    assert not ran.success


@pytest.mark.parametrize("name", ["class", "1x", "../x"])
def test_a_name_that_no_variable_can_have_is_refused(name: str, shell: Any) -> None:
    from IPython.core.error import UsageError

    with pytest.raises(UsageError, match="cannot be a variable"):
        shell.run_cell_magic("lmp", name, 'generate main(q: str) -> str { "Say." }')


def test_files_beside_the_notebook_are_imported(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "parts.lmp").write_text("record Note { text: str }\n", "utf-8")
    with capture_output() as captured:
        text = 'from "parts.lmp" import Note\npipeline main(n: Note) -> str { return n.text }\n'
        ran = shell.run_cell("%%lmp notes\n" + text)
    assert ran.success, captured.stderr
    assert shell.user_ns["notes"].main({"text": "hi"}) == "hi"


def test_results_are_tables_and_texts_are_escaped(shell: Any) -> None:
    with capture_output():
        shell.run_cell(CELL)
    from lmc.values.python_types import python_type

    answer = python_type(shell.user_ns["sums"].main.graph.result)
    made = answer(value=5, note="<script>x</script>")
    assert "&lt;script&gt;" in shown(shell, made)
    assert "<script>" not in shown(shell, made)
    assert "… 10 more" in html.value([[n] for n in range(60)])


def test_an_evaluation_shows_its_figures_and_worst_rows(shell: Any) -> None:
    rows = (
        RowResult("a", 1.0, "yes"),
        RowResult("b", 0.0, {"label": "<no>"}, feedback="it is yes"),
        RowResult("c", None, error="no model answered", failed="infrastructure"),
    )
    text = shown(shell, Evaluation(rows))
    assert "<b>0.500</b>" in text
    assert "1 failed" in text
    assert [text.index(word) for word in ("no model answered", "&lt;no&gt;", ">yes<")] == sorted(
        text.index(word) for word in ("no model answered", "&lt;no&gt;", ">yes<")
    )


def test_progress_is_one_output_that_changes(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display as front

    pictures: list[str] = []

    class Handle:
        def update(self, picture: Any) -> None:
            pictures.append(picture.data)

    def display(picture: Any, *, display_id: bool) -> Handle:
        assert display_id
        pictures.append(picture.data)
        return Handle()

    monkeypatch.setattr(front, "display", display)
    monkeypatch.setattr("lmc.notebook.progress.EVERY_S", 0.0)
    from lmc.notebook import Progress

    hear = Progress()
    hear(events.RunStarted("a.lmp", "main", "right", ("m",), ("tune()",), {"train": 4}, {}, False))
    hear(events.StageStarted("compare", 4))
    hear(events.RowDone("compare", 2, 4, 1))
    hear(events.LeaderChanged(name="<b>", mean=0.5, baseline=0.25, rows=4))
    hear(events.RunFinished("improved", totals=events.Totals(calls=1200)))
    assert len(pictures) == 5
    assert '<progress value="2" max="4">' in pictures[2]
    assert "compare (1 failed)" in pictures[2]
    assert "&lt;b&gt;: 0.500" in pictures[3]
    assert "<b>improved</b>" in pictures[-1]
    assert "1,200 calls" in pictures[-1]


@pytest.mark.parametrize("name", ["self_refine", "tree_of_thoughts", "react", "debate", "route"])
def test_every_box_of_a_drawing_is_inside_and_apart(name: str) -> None:
    picture = draw(lower_file(ROOT / "programs" / f"{name}.lmp"))
    width, height = map(float, re.search(r'width="(\d+)" height="(\d+)"', picture).groups())  # type: ignore[union-attr]
    boxes = [
        tuple(map(float, found))
        for found in re.findall(
            r'<rect x="([-\d.]+)" y="([-\d.]+)" width="([\d.]+)" height="([\d.]+)"', picture
        )
    ]
    assert len(boxes) > 3
    for x, y, w, h in boxes:
        assert x >= -1
        assert y >= -1
        assert x + w <= width
        assert y + h <= height
    for i, (x, y, w, h) in enumerate(boxes):
        for a, b, c, d in boxes[i + 1 :]:  # one holds the other, or they are apart
            apart = x + w <= a or a + c <= x or y + h <= b or b + d <= y
            inside = x <= a and y <= b and a + c <= x + w and b + d <= y + h
            assert apart or inside
    assert picture.count("<path class=") >= 3


def test_usage_is_counted_in_an_evaluation() -> None:
    found = Evaluation((RowResult("a", 1.0, usage=Usage(calls=3)),))
    assert "3 calls" in found._repr_html_()
