"""What slices, f-strings, updates, constants and newer built-ins give, with passes and without."""

from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.check import check_program
from lmc.ir.fences import code_of
from lmc.ir.verify import verify
from lmc.passes.pipeline import run_passes
from lmc.source import Source
from tests.programs import lowered, run_echo

DECLARATIONS = """
record S { text: str, done: bool = false, score: float? = none, inner: T = T() }
record T { n: int = 1, tags: list[str] = [] }
enum Mood { glad sad }
let K = 2
let NAMES: list[str] = ["é", "ß", "日本"]
let FIRST = S(text="one")
let MOOD = Mood.sad
let LABEL = f"K is {K}, {MOOD}"
let LOW = -K
"""
RECORD = {"text": "t", "done": False, "score": None, "inner": {"n": 1, "tags": []}}
INPUTS = {"q": "añb😀c", "xs": [3, 1, 2], "none_of": [], "s": RECORD, "j": {"a": [1, 2]}}
PARAMETERS = "q: str, xs: list[int], none_of: list[int], s: S, j: json"


def value_of(expression: str, type: str, inputs: dict[str, Any] = INPUTS) -> Any:
    """The value with the passes, which equals that without them and that of a folded constant."""
    text = f"{DECLARATIONS}pipeline main({PARAMETERS}) -> {type} {{ return {expression} }}"
    graph = lowered(text)
    verify(graph)
    after = run_passes(graph)
    verify(after)
    plain, _ = run_echo(graph, "main", inputs)
    assert run_echo(after, "main", inputs)[0] == plain
    return plain


@pytest.mark.parametrize(
    ("expression", "type", "value"),
    [
        # slices, by characters and as Python counts
        ("q[1:3]", "str", "ñb"),
        ("q[3:]", "str", "😀c"),
        ("q[:-1]", "str", "añb😀"),
        ("q[:]", "str", "añb😀c"),
        ("q[-2:]", "str", "😀c"),
        ("q[4:2]", "str", ""),
        ("q[:99]", "str", "añb😀c"),
        ("xs[K:]", "list[int]", [2]),
        ("xs[LOW:]", "list[int]", [1, 2]),
        ("none_of[1:5]", "list[int]", []),
        ("unique(xs)[:1]", "list[int](unique)", [3]),
        ("[1, 2, 3][1:]", "list[int]", [2, 3]),
        ('j["a"][:1]', "json", [1]),
        ("[x[1:] for x in [q, q][:1]]", "list[str]", ["ñb😀c"]),
        # f-strings write values as `str(…)`
        ('f"{q}"', "str", "añb😀c"),
        ('f"{1.0} {2} {true} {none} {xs} {MOOD}"', "str", "1.0 2 true null [3, 1, 2] sad"),
        ('f"{{{xs[0]}}}"', "str", "{3}"),
        ('f"{f"{f"{q}"}!"}"', "str", "añb😀c!"),
        ('f"{s.inner}" == str(s.inner)', "bool", True),
        ('f"{ {a: 1} }"', "str", '{"a": 1}'),
        ('f"{join(NAMES, "+")}\\u{41}"', "str", "é+ß+日本A"),
        ('f""', "str", ""),
        ('f"{if len(xs) > 2 then "many" else "few"}"', "str", "many"),
        ('f"""\n    a {q}\n      b\n    """', "str", "a añb😀c\n  b"),
        # updates
        ("(s with {done: true}).done", "bool", True),
        ("s.done or (s with {score: 1}).text == s.text", "bool", True),
        ("(s with {inner: s.inner with {tags: [q]}}).inner.tags[0]", "str", "añb😀c"),
        ("(s with {}) == s", "bool", True),
        ("[(r with {text: r.text + q}).text for r in [s, FIRST]][1]", "str", "oneañb😀c"),
        # constants
        ("LABEL", "str", "K is 2, sad"),
        ("FIRST.inner.n + K - LOW", "int", 5),
        ("MOOD == Mood.sad", "bool", True),
        ("match MOOD { glad => 1, sad => 2 }", "int", 2),
        ("loop n = 0 for K { yield n + 1 }", "int", 2),
        # the newer functions
        ("range(K + 1)", "list[int]", [0, 1, 2]),
        ("range(2, 5)", "list[int]", [2, 3, 4]),
        ("range(5, 2)", "list[int]", []),
        ("range(0, 7, 3)", "list[int]", [0, 3, 6]),
        ("range(7, 0, step=-3)", "list[int]", [7, 4, 1]),
        ("range(5, step=2)", "list[int]", [0, 2, 4]),
        ("len(range(0, 5, 2))", "int", 3),
        ("[xs[i:i + 2] for i in range(0, len(xs), 2)]", "list[list[int]]", [[3, 1], [2]]),
        ("range(LOW)", "list[int]", []),
        ("range(len(none_of))", "list[int]", []),
        ("flatten([xs, none_of, xs[:1]])", "list[int]", [3, 1, 2, 3]),
        ("flatten([[]])", "list[int]", []),
        ("len(flatten([none_of]))", "int", 0),
        ("group_by([s, s with {text: \"u\"}, s], .text)[0].key", "str", "t"),
        ("[len(g.items) for g in group_by([s, s with {text: q}, s], .text)]", "list[int]", [2, 1]),
        ("len(group_by([s, s with {score: 1}, s with {score: 1.0}], .score))", "int", 2),
        ("[i * x for i, x in enumerate(xs)]", "list[int]", [0, 1, 4]),
        ("[i for i, x in enumerate(none_of)]", "list[int]", []),
        ("[i for i, x in enumerate(xs) if x > 1]", "list[int]", [0, 2]),
        ("upper(NAMES[1] + NAMES[0])", "str", "SSÉ"),
        ('replace("a.b.c", ".", "")', "str", "abc"),
        ('replace("abc", "", "x")', "str", "abc"),
        ('matches("ab12", r"[a-z]+\\d{2}")', "bool", True),
        ('matches("ab12 ", r"[a-z]+\\d{2}")', "bool", False),
        ('matches(q, r"\\w+😀c")', "bool", True),
        ('code("text\\n```sql\\nSELECT 1\\n```\\nmore")', "str", "SELECT 1"),
        ('code("```py\\na\\n```\\n```sql\\nb\\n```", "sql")', "str", "b"),
    ],
)  # fmt: skip
def test_values(expression: str, type: str, value: Any) -> None:
    assert value_of(expression, type) == value


@pytest.mark.parametrize(
    ("text", "language", "code"),
    [
        ("  SELECT 1 ", "", "SELECT 1"),
        ("", "", ""),
        ("```\na\nb\n```", "", "a\nb"),
        ("```\ncut off\n  here", "", "cut off\n  here"),
        ("````md\n```\ninner\n```\n````", "", "```\ninner\n```"),
        ("~~~\n```\n~~~", "", "```"),
        ("1. so:\n   ```py\n   if a:\n     b\n   ```", "", "if a:\n  b"),
        ("```Python title=x\na\n```", "python", "a"),
        ("```py\na\n```", "sql", "a"),
        ("use `x` or ```x```", "", "use `x` or ```x```"),
        ("```\r\na\r\n```\r\n", "", "a"),
        ("```\n```", "", ""),
    ],
)
def test_code_is_taken_out_of_its_fence(text: str, language: str, code: str) -> None:
    assert code_of(text, language) == code


@pytest.mark.parametrize(
    "expression",
    [
        "len(range(1000000000 + len(q)))",
        "loop t = [q] for 40 { yield flatten([t, t]) }",
        'loop t = q for 40 { yield f"{t}{t}" }',
        'loop t = q for 40 { yield replace(t, "a", t + t) }',
        'loop t = [q] for 200 { yield [f"{t}{t}"] }',
    ],
)
def test_values_stay_small(expression: str) -> None:
    text = f"{DECLARATIONS}pipeline main({PARAMETERS}) -> json {{ return {expression} }}"
    graph = run_passes(lowered(text))
    with pytest.raises(lmc.LmcError, match="too large"):
        run_echo(graph, "main", INPUTS)


def test_a_slow_pattern_of_python_is_fast() -> None:
    text = 'pipeline main(q: str) -> bool { return matches(q, r"(a+)+b") }'
    assert run_echo(lowered(text), "main", {"q": "a" * 100_000})[0] is False


def test_constants_of_another_file(tmp_path: Path) -> None:
    (tmp_path / "settings.lmp").write_text(
        "record R { n: int = LIMIT } let LIMIT = 3 let HEAT = 0.0"
        ' let GREETING = "Hello" let MADE = R()'
    )
    (tmp_path / "it.lmp").write_text(
        """
        from "./settings.lmp" import LIMIT, HEAT as WARMTH, GREETING, MADE
        let TWICE = [LIMIT, LIMIT]
        model m { name: "scripted/none" temperature: WARMTH }
        generate g(q: str, greeting: str = GREETING) -> str { max_tokens: LIMIT, model: m }
        pipeline main(q: str) -> str { return f"{GREETING} {TWICE} {MADE.n}" }
        test "a stub that is a constant" { stub g -> GREETING assert g("x") == "Hello" }
        """
    )
    program, found = check_program(Source.read(tmp_path / "it.lmp"))
    assert program is not None, found
    assert program.modules["g"].settings["max_tokens"] == 3
    assert program.modules["g"].signature.params[1].default == "Hello"
    assert program.models["m"].settings["temperature"] == 0.0
    assert lmc.load(tmp_path / "it.lmp", cache=False).main("q") == "Hello [3, 3] 3"


def test_many_constants_in_any_order() -> None:
    """Each needs the next one; Python recurses only so deep."""
    lines = [f"let A{i} = A{i + 1}" for i in range(3000)] + ["let A3000 = 7"]
    text = "\n".join([*lines, "pipeline main() -> int { return A0 }"])
    assert run_echo(lowered(text), "main", {})[0] == 7
