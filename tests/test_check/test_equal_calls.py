"""A list that asks a module again with the same inputs gets one answer, and is warned about."""

from pathlib import Path

import pytest

import lmc
from lmc.check import check_program
from lmc.models.scripted import Scripted
from lmc.source import Source

HEAD = """generate solve(q: str) -> str { "Solve." }
generate warm(q: str) -> str { "Solve." temperature: 1.0 }
generate fresh(q: str) -> str { "Solve." cache: false }
generate judge(q: str, r: str) -> str { "Judge." }
vote often(q: str) -> str { sample: solve(q) }
pipeline twice(q: str) -> str { return solve(solve(q)) }
pipeline plain(q: str) -> str { return q + "!" }
tool dice(q: str) -> str from "dice:roll"
pipeline thrown(q: str) -> str { return solve(dice(q)) }
record R { id: int, text: str }
"""
ITEMS = "q: str, rows: list[str]"


@pytest.mark.parametrize(
    ("result", "text", "warned"),
    [
        ("list[str]", "[solve(q) for i in [1, 2, 3]]", ["solve(q)"]),
        ("list[str]", "[solve(q) for r in rows]", ["solve(q)"]),
        ("list[str]", '[solve(q) for r in rows if r != ""]', ["solve(q)"]),
        ("list[str]", '["a" + solve(q) + "b" for r in rows]', ["solve(q)"]),
        ("list[str]", "[warm(q) for r in rows]", ["warm(q)"]),
        ("list[str]", "[often(q) for r in rows]", ["often(q)"]),
        ("list[str]", "[twice(q) for r in rows]", ["twice(q)"]),
        ("list[R]", "[R(id=i, text=solve(q)) for i in [1, 2]]", ["solve(q)"]),
        ("list[list[str]]", "[[solve(r) for i in [1, 2]] for r in rows]", ["solve(r)"]),
        ("list[str]", "[solve(q), solve(q), solve(q)]", ["solve(q)"]),
        ("list[str]", "[fresh(q), fresh(q)]", ["fresh(q)"]),
        ("list[str]", "[solve(r) for r in rows]", []),
        ("list[str]", '[solve(strip(r) + "?") for r in rows]', []),
        ("list[str]", "[judge(solve(q), r) for r in rows]", []),
        ("list[str]", "[judge(a, b) for a, b in zip(rows, rows)]", []),
        ("list[list[str]]", "[[solve(r) for r in rows] for i in [1, 2]]", []),
        ("list[str]", "[fresh(q) for r in rows]", []),
        ("list[str]", "[thrown(q) for r in rows]", []),
        ("list[str]", "[thrown(q), thrown(q)]", []),
        ("list[str]", "[plain(q) for r in rows]", []),
        ("list[str]", "[plain(q), plain(q)]", []),
        ("list[str]", '[solve(q), solve("b")]', []),
    ],
)
def test_equal_calls_are_warned_about(result: str, text: str, warned: list[str]) -> None:
    source = Source("p.lmp", f"{HEAD}pipeline main({ITEMS}) -> {result} {{ return {text} }}\n")
    program, found = check_program(source)
    assert program is not None
    told = [d.span.text for d in found if d.code == "equal-calls" and d.span]
    assert told == warned


@pytest.mark.parametrize("cache", ["default { cache: false }", 'default { cache: "off" }'])
def test_a_program_without_a_cache_asks_each_time(cache: str) -> None:
    text = f"{cache}\n{HEAD}pipeline main(q: str) -> list[str] {{ return [solve(q) for i in [1]] }}"
    assert "equal-calls" not in {d.code for d in check_program(Source("p.lmp", text))[1]}


@pytest.mark.parametrize(
    ("module", "text", "asked"),
    [
        ("temperature: 1.0", "[solve(q) for i in [1, 2, 3]]", 1),
        ("temperature: 1.0 cache: false", "[solve(q) for i in [1, 2, 3]]", 3),
        ("temperature: 1.0 cache: false", "[solve(q), solve(q)]", 1),
    ],
)
def test_the_warning_is_true(module: str, text: str, asked: int, tmp_path: Path) -> None:
    path = tmp_path / "p.lmp"
    path.write_text(
        f'generate solve(q: str) -> str {{ "Solve." {module} }}\n'
        f"pipeline main(q: str) -> list[str] {{ return {text} }}\n"
    )
    backend = Scripted(lambda request: str(len(backend.requests)), name=path.name)
    program = lmc.load(path, backend=backend, cache=tmp_path / "cache.db")
    assert len(set(program.main("q"))) == len(backend.requests) == asked
