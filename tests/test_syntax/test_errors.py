"""Syntax errors: the table, the explanations, the golden messages, and going on after an error."""

import re
from importlib import resources
from pathlib import Path

import pytest

from lmc.diagnostics import render
from lmc.source import Source
from lmc.syntax import builder, parser, syntax_errors
from lmc.syntax.mistakes import MISTAKES, WORDS, WRONG_TOKENS
from lmc.syntax.parser import parse
from tests.golden import Case, read_cases

CASES = read_cases(Path(__file__).parent.parent / "cases" / "syntax" / "errors.md")


def codes(text: str) -> list[str]:
    return [d.code for d in parse(Source("", text))[1]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_messages(case: Case):
    """The intent stands in the program, `# error: slug @line:column`, in order of report."""
    text = case.blocks["lmp"]
    _, diagnostics = parse(Source("main.lmp", text))
    got = [(d.code, *map(str, d.span.source.position(d.span.start))) for d in diagnostics if d.span]
    assert got == re.findall(r"^# error: (\S+) @(\d+):(\d+)$", text, re.MULTILINE)
    case.expect("text", render(diagnostics))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.code)
def test_each_example_of_the_table_is_told_as_its_mistake(mistake):
    for example in mistake.examples:
        assert codes(example)[0] == mistake.code, example


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x == 'a'", "single-quotes"),
        ('"abc', "unterminated-string"),
        ('"""abc', "unterminated-docstring"),
        ("x && y", "wrong-operator"),
        ("x || y", "wrong-operator"),
        ("!x", "wrong-operator"),
        ("x ** y", "wrong-operator"),
        ("x; y", "semicolon"),
        ("x // y", "wrong-comment"),
        ("_x", "bad-name"),
        ("3px", "bad-number"),
        ("1.2.3", "bad-number"),
        ('b"a"', "string-prefix"),
        ("\x00", "unexpected-character"),
        ("\ud800", "unexpected-character"),
        ('"\\q"', "bad-escape"),
        ('"\\u{110000}"', "bad-escape"),
        ('"\\ud800"', "bad-escape"),
        ("None", "python-literal"),
        ("[a for in in b]", "reserved-word"),
    ],
)
def test_wrong_tokens_and_literals(text, code):
    program = "pipeline p() -> str {\n  return " + text + "\n}\n"
    assert codes(program)[0] == code
    assert set(codes(program)) <= {code, "unclosed-bracket"}


def sections() -> dict[str, list[str]]:
    text = (resources.files("lmc.syntax") / "explanations.md").read_text("utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    return {p.partition("\n")[0]: re.findall(r"```lmp\n(.*?)```", p, re.DOTALL) for p in parts}


@pytest.mark.parametrize("slug", sections())
def test_explanations_show_the_error_and_its_mending(slug):
    if slug == "too-deep":
        return
    wrong, mended = sections()[slug]
    assert codes(wrong) == [slug]
    assert codes(mended) == []


def test_every_slug_is_explained():
    known = {m.code for m in (*MISTAKES, *WRONG_TOKENS.values())}
    for module in (builder, parser, syntax_errors):
        written = Path(module.__file__).read_text("utf-8")
        known |= set(re.findall(r'(?:error\(\s*|code = )"([a-z-]+)"', written))
    assert known == set(sections())


@pytest.mark.parametrize("word", WORDS)
def test_words_of_other_languages_come_with_advice(word):
    (diagnostic, *_) = parse(Source("", "pipeline p() -> str { " + word + " x }"))[1]
    assert diagnostic.code == "foreign-word"
    assert diagnostic.help == WORDS[word]


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("generat g() -> str", "write `generate`"),
        ("recrod R { a: str }", "write `record`"),
        ("pipeline p() -> str { retrun x }", "write `return`"),
    ],
)
def test_misspelt_keywords(text, help):
    assert parse(Source("", text))[1][0].help == help


SEVERAL = """\
record A { x str }
generate good(a: str) -> str
pipeline p(x: str) -> str {
  let a = f(1 2)
  let b = [1,
  return a b
}
model m { name = "x" temperature: }
record Good { a: str }
generate lost(x: str)
"""


def test_one_run_reports_all_errors_and_keeps_what_is_good():
    module, diagnostics = parse(Source("", SEVERAL))
    assert [d.code for d in diagnostics] == [
        "missing-type",
        "missing-comma",
        "unclosed-bracket",
        "unknown-statement",
        "equals-for-colon",
        "missing-result-type",
    ]
    assert [decl.name.name for decl in module.decls] == ["good", "Good"]
    assert module.broken == {"A", "p", "m", "lost"}


@pytest.mark.parametrize(
    "text",
    [
        "pipeline p() -> int { return " + "(" * 5000 + "1" + ")" * 5000 + " }",
        "pipeline p() -> int { return " + "-" * 5000 + "1 }",
        "pipeline p() -> int { return " + "1 + " * 5000 + "1 }",
        "pipeline p() -> int { return " + "[" * 5000,
        "pipeline p() -> int { " + "if x { " * 5000,
        "type A = " + "list[" * 5000 + "str" + "]" * 5000,
    ],
)
def test_deep_nesting_is_refused_or_flattened(text):
    module, diagnostics = parse(Source("", text + "\nrecord Good { a: str }"))
    assert module.decls[-1].name.name == "Good"
    assert {d.code for d in diagnostics} <= {"too-deep", "unclosed-bracket"}
    hash(module)  # walks the tree


def test_an_open_docstring_spares_what_follows():
    text = 'generate a() -> str {\n  """Say\n}\ngenerate b() -> str {\n  """Say."""\n}\n'
    module, diagnostics = parse(Source("", text))
    assert [d.code for d in diagnostics] == ["unterminated-docstring"]
    assert [decl.name.name for decl in module.decls] == ["b"]
