"""What holds for every program: printing and parsing undo each other, no text is too odd."""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmc.source import Source
from lmc.syntax.parser import parse
from lmc.syntax.printer import format_source
from lmc.syntax.tokens import COMMENT, tokens
from lmc.syntax.unparse import print_tree
from tests import strategies as syntax

quick = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def kinds_and_texts(text: str) -> Counter[str]:
    return Counter(token.text.replace("\r\n", "\n") for token in tokens(Source("", text)))


@given(syntax.modules)
@quick
def test_a_printed_tree_parses_to_the_same_tree(module):
    text = print_tree(module)
    parsed, diagnostics = parse(Source("", text))
    assert not diagnostics, text
    assert parsed == module


@given(syntax.untidy_programs())
@quick
def test_formatting_is_idempotent_and_keeps_every_token_and_comment(text):
    before, diagnostics = parse(Source("", text))
    assert not diagnostics, text
    tidy = format_source(Source("", text))
    assert format_source(Source("", tidy)) == tidy
    assert kinds_and_texts(tidy) == kinds_and_texts(text)
    after, _ = parse(Source("", tidy))
    assert after == before
    comments = [c.text for c in before.comments]
    assert [c.text for c in after.comments] == comments
    assert len(comments) == sum(t.kind == COMMENT for t in tokens(Source("", text)))


@given(syntax.modules)
@quick
def test_every_span_holds_its_node(module):
    text = print_tree(module)
    parsed, _ = parse(Source("", text))
    for decl in parsed.decls:
        again, diagnostics = parse(Source("", decl.span.text))
        assert not diagnostics
        assert again.decls == (decl,)


_PIECES = [
    "record R {",
    "}",
    '"""',
    '"',
    "'",
    "pipeline p(x: str) -> str {",
    "let x = ",
    "(",
    "]",
    "\n",
    "generate",
    "\x00",
    "\ud800",
    ":",
    "=",
    "return",
    "é",
    "1.2.3",
    "\\",
    "#",
    "{",
    "x",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(_PIECES), max_size=25).map(" ".join))
@quick
def test_any_text_gives_a_tree_or_diagnostics_with_places(text):
    source = Source("", text)
    module, diagnostics = parse(source)
    assert all(
        d.span is not None and 0 <= d.span.start <= d.span.end <= len(text) for d in diagnostics
    )
    assert diagnostics or "".join(text.split()) == "" or module.decls or module.comments
