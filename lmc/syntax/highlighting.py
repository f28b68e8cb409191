"""Colours for programs: a lexer for Pygments, which finds it by the name `lmp`.

Used by whatever shows code through Pygments (the docs, rich, Sphinx). lmc itself never imports it.
"""

from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

DECLARATIONS = (
    "record", "enum", "type", "model", "default", "tool", "generate", "critique", "refine", "vote",
    "search", "agent", "route", "pipeline", "metric", "example", "dataset", "store", "optimize",
    "test",
)  # fmt: skip
STATEMENTS = (
    "from", "import", "as", "let", "keep", "loop", "for", "until", "if", "then", "else", "return",
    "yield", "assert", "stub", "match", "tune", "train", "in", "with",
)  # fmt: skip
UNITS = ("tokens",)  # after a number
TYPES = (
    *("str", "int", "float", "bool", "json", "list", "dict", "date", "time", "datetime"),
    *("decimal", "one_of", "image", "audio", "pdf", "media", "messages"),
    *("Verdict", "Score", "Message"),
)


class LmpLexer(RegexLexer):  # type: ignore[misc]
    """Tokens of `.lmp` files, in the order in which the grammar takes them."""

    name = "lmp"
    aliases = ["lmp"]  # noqa: RUF012
    filenames = ["*.lmp"]  # noqa: RUF012
    url = ""
    tokens = {  # noqa: RUF012
        "root": [
            (r"\s+", Whitespace),
            (r"#[^\n]*", Comment.Single),
            (r'"""[\s\S]*?"""', String.Doc),
            (r'f"""', String.Doc, "long"),
            (r'f"', String.Double, "short"),
            (r'r"(?:\\.|[^"\\\n])*"', String.Regex),
            (r'"(?:\\.|[^"\\\n])*"', String),
            (r"[A-Za-z]\w*(?=[ \t]*:)", Name.Attribute),
            (r'frozen(?=[ \t]*r?")', Keyword),
            (r"unique(?=\s*[,)])", Keyword),
            (words(DECLARATIONS, suffix=r"(?=\s+[A-Za-z\"{])"), Keyword.Declaration),
            (words(STATEMENTS, prefix=r"\b", suffix=r"\b"), Keyword),
            (words(("and", "or", "not"), prefix=r"\b", suffix=r"\b"), Operator.Word),
            (words(("true", "false", "none"), prefix=r"\b", suffix=r"\b"), Keyword.Constant),
            (words(TYPES, prefix=r"\b", suffix=r"\b"), Keyword.Type),
            (r"[A-Za-z]\w*(?=\()", Name.Function),
            (r"[A-Za-z]\w*", Name),
            (rf"(\d[\d_]*)([ \t]+)({'|'.join(UNITS)})\b", bygroups(Number, Whitespace, Keyword)),
            (r"\d[\d_]*(?:\.\d[\d_]*)?(?:[eE][+-]?\d+)?", Number),
            (r"->|=>|\?\?|\?\.|\.\.|[-+*/%<>=!]=?|>>|[|?]", Operator),
            (r"[{}()\[\],:._]", Punctuation),
            (r".", Text),
        ],
        # the texts and values of f-strings
        "short": [
            (r'(?:\\u\{\w+\}|\\.|\{\{|\}\}|[^"\\\n{}])+', String.Double),
            (r'["\n]', String.Double, "#pop"),
            (r"\{", String.Interpol, "value"),
            (r"\}", String.Double),
        ],
        "long": [
            (r'(?:\{\{|\}\}|(?!""")[^{}])+', String.Doc),
            (r'"""', String.Doc, "#pop"),
            (r"\{", String.Interpol, "value"),
            (r"\}", String.Doc),
        ],
        "value": [
            (r"\}", String.Interpol, "#pop"),
            (r"\n", Whitespace, "#pop"),
            (r"\{", Punctuation, "braces"),
            include("root"),
        ],
        "braces": [(r"\}", Punctuation, "#pop"), include("root")],
    }
