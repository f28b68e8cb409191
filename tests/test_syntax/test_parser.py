"""What texts mean: literals, precedence, spans, keywords as names; and how fast they are read."""

import json
import time
from pathlib import Path

import pytest

from lmc.source import Source
from lmc.syntax import nodes as n
from lmc.syntax import tables as syntax_tables
from lmc.syntax.parser import parse
from lmc.syntax.tables import compile_grammar, grammar_text
from lmc.syntax.tokens import tokens
from lmc.syntax.unparse import print_tree


def module_of(text: str) -> n.FileTree:
    module, diagnostics = parse(Source("test.lmp", text))
    assert not diagnostics, diagnostics
    return module


def value_of(text: str) -> n.Expr:
    (decl,) = module_of("default { x: " + text + " }").decls
    assert isinstance(decl, n.DefaultDecl)
    return decl.settings[0].value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\n\t\r\\\"b"', 'a\n\t\r\\"b'),
        (r'"\u00e9\u{1F600}"', "é😀"),
        (r'r"\d\n"', r"\d\n"),
        ('""', ""),
        ('"""  one """', "one "),
        ('"""a\n      b\n        c\n    """', "a\nb\n  c"),
        (r'"""\d"""', r"\d"),
        ('"""\r\n  a\r\n  b\r\n"""', "a\nb"),
    ],
)
def test_strings(text, value):
    assert value_of(text) == n.String(value, span=None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1_000", 1000),
        ("0.50", 0.5),
        ("1e3", 1000.0),
        ("2.5E-3", 0.0025),
        ("1_0.2_5", 10.25),
    ],
)
def test_numbers(text, value):
    got = value_of(text)
    assert isinstance(got, n.Number)
    assert (got.value, type(got.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "grouped"),
    [
        ("a + b * c - d", "(a + (b * c)) - d"),
        ("not a == b and c or d", "((not (a == b)) and c) or d"),
        ("a ?? b + c ?? d", "(a ?? (b + c)) ?? d"),
        ("a + b in c and d", "((a + b) in c) and d"),
        ("-a.b[0]", "-((a.b)[0])"),
        ("-a * b", "(-a) * b"),
        ("a?.b.c(d)", "((a?.b).c)(d)"),
        (
            "if a then b else if c then d else e or f",
            "if a then b else (if c then d else (e or f))",
        ),
        ("a - b - c", "(a - b) - c"),
        ("not not a", "not (not a)"),
        ("--a", "-(-a)"),
    ],
)
def test_precedence(text, grouped):
    assert value_of(text) == value_of(grouped)


@pytest.mark.parametrize(
    "text",
    [
        "record R { model: str test: str until: int in: bool if: str none: str record: int }",
        'enum E { test, record "note" or and none }',
        "pipeline p(test: str, train until: int, train train: int) -> R { return test.in + until }",
        "pipeline p(model: M) -> R { let record = model return R(test=record, if=1, none=2) }",
        "pipeline p(e: E) -> int { return match e { test => 1, or => 2, none => 3 } }",
        'default { record: {type: 1, if: 2, "a b": 3} }',
        'from "./x.lmp" import test as record, model',
    ],
)
def test_keywords_are_names_where_they_mean_nothing_else(text):
    assert module_of(print_tree(module_of(text))) == module_of(text)


def test_frozen_and_plain_docstrings():
    frozen, plain, named = module_of(
        'generate a() -> str { frozen """Say\n    it.""" }\ngenerate b() -> str { " Say it. " }\n'
        'enum E { "what it is" frozen "variant" }'
    ).decls
    assert frozen.doc == n.Doc("Say\nit.", True, span=None)
    assert plain.doc == n.Doc("Say it.", False, span=None)
    assert (named.doc.text, named.variants[0].name.name) == ("what it is", "frozen")


SPANS = """\
record R { a: list[str](1..3)? = [] "note", b: int }
pipeline p(x: str = "a", train y: R) -> R {
  let a: R = (f(x, n=1))[0].b
  return match x { "a" | "b" => 1, _ => [q for q in a if q] }
}
"""


def test_spans():
    record, pipeline = module_of(SPANS).decls
    assert [f.span.text for f in record.fields] == ['a: list[str](1..3)? = [] "note"', "b: int"]
    assert record.fields[0].type.item.refinements[0].span.text == "1..3"
    assert [p.span.text for p in pipeline.signature.params] == ['x: str = "a"', "train y: R"]
    let, give = pipeline.body.stmts
    assert let.value.span.text == "(f(x, n=1))[0].b"
    assert let.value.value.value.span.text == "(f(x, n=1))"
    assert let.value.value.value.args[1].name.span.text == "n"
    assert give.value.arms[0].span.text == '"a" | "b" => 1'
    assert give.value.arms[1].value.condition.span.text == "q"
    assert pipeline.body.span.text.startswith("{\n  let") and str(let.span) == "test.lmp:3:3"


def test_comments_by_place():
    comments = module_of("# one\nrecord R { # two\n  # three  \n  a: str\n}").comments
    assert [(c.text, c.own_line) for c in comments] == [
        ("# one", True),
        ("# two", False),
        ("# three", True),
    ]


def test_an_empty_text_is_an_empty_module():
    assert module_of("").decls == module_of("# nothing\n").decls == ()


def test_the_stored_tables_are_those_of_the_grammar():
    stored = Path(syntax_tables.__file__).with_name("tables.json")
    assert json.loads(stored.read_text("utf-8")) == compile_grammar(grammar_text())


def test_lark_itself_parses_with_the_grammar():
    from lark import Lark

    lark = Lark(grammar_text(), parser="lalr")
    tree = lark.parse('generate answer(question: str) -> str { """Answer.""" test: tune[1..2] }')
    assert [t.data for t in tree.children] == ["module"]


def test_five_thousand_lines_are_read_in_less_than_two_and_a_half_seconds():
    lines = "".join(
        f'generate g{i}(x: str, y: int(0..9) = 1) -> list[R] {{\n  """Do."""\n  reason: true\n}}\n'
        f"pipeline p{i}(x: str) -> str {{\n  let a = g{i}(x, y=3)[0]\n"
        f'  if len(a) > {i} {{ return a + "x" }}\n  return if a == "" then x else a\n}}\n\n'
        for i in range(500)
    )
    start = time.process_time()
    module = module_of(lines)
    assert time.process_time() - start < 2.5
    assert len(module.decls) == 1000


def test_tokens_cover_the_text():
    text = 'record R { a: "x" | str?  } # end'
    found = tokens(Source("", text))
    assert "".join(t.text for t in found) == text.replace(" ", "").replace("#end", "# end")
    assert [t.kind for t in found][:4] == ["RECORD", "NAME", "LBRACE", "KEY"]
    assert all(text[t.start : t.end] == t.text for t in found)
