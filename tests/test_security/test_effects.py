"""A tool that may write is called as often as the program says, and when it says so."""

from pathlib import Path

import pytest

import lmc
from lmc.models.scripted import Scripted

DIARY = """
from pathlib import Path
FILE = Path(__file__).with_name("diary")
def write(line):
    with FILE.open("a") as diary:
        diary.write(line + "\\n")
    return len(line)
"""
HEAD = """
tool write(line: str) -> int from "diary_tools:write" {settings}
generate g(q: str) -> str {{ \"\"\"G.\"\"\" }}
pipeline note(q: str) -> int {{ return write(q) }}
pipeline unread(q: str) -> str {{
  let told = note(q)
  return q
}}
"""


def written(folder: Path, body: str, settings: str = "", **options: int) -> list[str]:
    (folder / "diary_tools.py").write_text(DIARY)
    (folder / "p.lmp").write_text(HEAD.format(settings=settings) + body)
    backend = Scripted(lambda request: "no")
    with lmc.load(folder / "p.lmp", cache=False, backend=backend, **options) as loaded:
        loaded.main(q="x")
    diary = folder / "diary"
    return sorted(diary.read_text().split()) if diary.exists() else []


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("pipeline main(q: str) -> str { let a = write(q)\n return q }", 1),
        ("pipeline main(q: str) -> str { let a = note(q)\n return q }", 1),
        ("pipeline main(q: str) -> str { return unread(q) }", 1),
        ("pipeline main(q: str) -> int { return write(q) + write(q) }", 2),
        ("pipeline main(q: str) -> int { return note(q) + note(q) }", 2),
        ("pipeline main(q: str) -> str { return unread(q) + unread(q) }", 2),
        (
            "pipeline main(q: str) -> list[int] { let a = [write(c) for c in [q, q]]\n return [] }",
            2,
        ),
        (
            "pipeline main(q: str) -> list[int] {"
            " return [note(c) for c in [q, q]] + [note(c) for c in [q, q]] }",
            4,
        ),
        (
            'pipeline main(q: str) -> str {\n  if q == "x" {\n    let a = note(q)\n'
            "    return q\n  }\n  let b = write(q)\n  return q\n}",
            1,
        ),
    ],
)
def test_every_call_that_is_written_is_made(tmp_path: Path, body: str, lines: int) -> None:
    assert written(tmp_path, body) == ["x"] * lines


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("pipeline main(q: str) -> str { let a = note(q)\n return q }", 0),
        ("pipeline main(q: str) -> int { return note(q) + note(q) }", 1),
    ],
)
def test_a_pure_tool_is_called_where_it_counts(tmp_path: Path, body: str, lines: int) -> None:
    assert written(tmp_path, body, "{ pure: true }") == ["x"] * lines


BRANCH = """
pipeline main(q: str) -> int {
  if g(q) == "yes" {
    return note("ahead")
  }
  return 0
}
"""


def test_nothing_is_written_ahead_of_its_time(tmp_path: Path) -> None:
    assert written(tmp_path, BRANCH, speculate=8) == []
