"""Messages for syntax errors: one table of mistakes with malformed examples.

The examples are parsed once, at the first error. They tell the parser state and the kind of token
at which each mistake appears. So the messages stay right when the grammar changes.
"""

from __future__ import annotations

from functools import cache

from lmc.diagnostics import Diagnostic, Label, did_you_mean, error
from lmc.frozen import frozen
from lmc.source import Source, Span
from lmc.syntax.builder import TreeBuilder
from lmc.syntax.mistakes import MISTAKES, NO_FUNCTION, WORDS, WRONG_TOKENS, Mistake
from lmc.syntax.recovery import CLOSING, OPENING, open_brackets
from lmc.syntax.stack import MAX_DEPTH, Stack
from lmc.syntax.tables import tables
from lmc.syntax.tokens import COMMENT, END, Token, declaration_kinds, tokens

ANY = "*"

_VALUE_KINDS = ("NAME", "NUMBER", "STRING", "LONG_STRING", "TRUE", "FALSE", "NONE", "LBRACE",
                "LSQB", "DOT", "FSTRING", "FSTRING_START", "TUNE", "MATCH", "KEY", "ARG",
                "TRAIN")  # fmt: skip
_AFTER_BRACKETS = ("ARROW", "FROM", "FOR", "THEN", "ELSE", "LET", "RETURN", "YIELD", "ASSERT",
                   "STUB")  # fmt: skip


@frozen
class Scene:
    """A token that does not fit, and its surroundings."""

    source: Source
    stack: Stack
    found: list[Token]
    index: int

    @property
    def token(self) -> Token:
        """The token that does not fit."""
        return self.found[self.index]

    @property
    def previous(self) -> Token | None:
        """The token before it."""
        return self.found[self.index - 1] if self.index else None

    def span(self, token: Token | None = None) -> Span:
        """The place of a token. The end of the text is placed right after the last token."""
        token = token or self.token
        if token.kind == END and self.previous:
            return Span(self.source, self.previous.end, self.previous.end)
        return Span(self.source, token.start, token.end)


def describe(source: Source, stack: Stack, found: list[Token], index: int) -> Diagnostic:
    """Say why the stack does not accept a token. The stack must be settled before."""
    scene = Scene(source, stack, found, index)
    for look in (_in_value, _wrong_token, _bracket, _word, _comma, _known_mistake):
        if (diagnostic := look(scene)) is not None:
            return diagnostic
    return _by_expectation(scene)


def too_deep(source: Source, token: Token) -> Diagnostic:
    """Report a text that nests too deeply for the later stages."""
    message = f"this nests more than {MAX_DEPTH} levels deep"
    help = "give parts of it names with `let`"
    return error("too-deep", message, Span(source, token.start, token.end), help=help)


def _in_value(scene: Scene) -> Diagnostic | None:
    """Report what is wrong with a value of an f-string."""
    token, previous, stack = scene.token, scene.previous, scene.stack
    if token.kind in ("FSTRING_MIDDLE", "FSTRING_END", "OPEN_VALUE"):
        if previous and previous.kind in ("FSTRING_START", "FSTRING_MIDDLE"):
            return _diagnose(scene, WRONG_TOKENS["empty-value"])
        return None
    if token.kind in WRONG_TOKENS or "FSTRING_END" not in stack.expected():
        return None
    if token.kind == "COLON" or token.text == "!":
        return _diagnose(scene, WRONG_TOKENS["value-format"])
    starts = ("FSTRING_START", "FSTRING_MIDDLE")
    heights = (h for h in range(len(stack.states) - 1, 0, -1) if stack.symbol(h) in starts)
    opened = stack.values[next(heights) - 1]
    brace = Span(scene.source, opened.end - 1, opened.end)
    message = "the `{` of this value is not closed"
    return error("open-value", message, Label(brace, "needs a `}`"), Label(scene.span()))


def _wrong_token(scene: Scene) -> Diagnostic | None:
    token, previous = scene.token, scene.previous
    mistake = WRONG_TOKENS.get(token.text) or WRONG_TOKENS.get(token.kind)
    if mistake is not None:
        return _diagnose(scene, mistake)
    if previous and previous.text in ("list", "dict") and token.text == "<":
        return _diagnose(scene, WRONG_TOKENS["angle-brackets"])
    adjacent = previous and previous.kind == "NAME" and previous.end == token.start
    if adjacent and token.kind in ("STRING", "LONG_STRING"):
        return _diagnose(scene, WRONG_TOKENS["string-prefix"])
    return None


def _bracket(scene: Scene) -> Diagnostic | None:
    """Report a bracket that is not closed, or that was never opened."""
    token, stack = scene.token, scene.stack
    opens = [(stack.symbol(h), stack.values[h - 1]) for h in open_brackets(stack)]
    if token.kind in CLOSING:
        if CLOSING[token.kind] not in (kind for kind, _ in opens):
            return error(
                "unmatched-bracket", f"`{token.text}` has no opening bracket", scene.span()
            )
        if CLOSING[token.kind] != opens[-1][0]:
            return _unclosed(scene, opens[-1][1])
        return None
    if not opens:
        return None
    line_start = scene.source.text.rfind("\n", 0, token.start) + 1
    first = not scene.source.text[line_start : token.start].strip()
    if token.kind == END or (token.kind in declaration_kinds() and token.start == line_start):
        return _unclosed(scene, opens[-1][1])
    if first and token.kind in ("LET", "RETURN", "YIELD", "ASSERT", "STUB"):
        return _unclosed(scene, opens[-1][1]) if opens[-1][0] in ("LPAR", "LSQB") else None
    return None


def _unclosed(scene: Scene, bracket: Token) -> Diagnostic:
    close = tables_text(OPENING[bracket.kind])
    where = "the text ends here" if scene.token.kind == END else f"{close} is missing before this"
    return error(
        "unclosed-bracket",
        f"`{bracket.text}` is not closed",
        Label(scene.span(bracket), f"needs a {close}"),
        Label(scene.span(), where),
    )


def _word(scene: Scene) -> Diagnostic | None:
    """Report a word of another language, or a misspelt keyword, where a keyword is expected."""
    token, expected = scene.token, scene.stack.expected()
    if not token.text.isidentifier() or scene.stack.kind_of(token) in ("KEY", "ARG"):
        return None
    if (advice := WORDS.get(token.text)) and not {"NAME", "KEY"} & set(expected):
        message = f"`{token.text}` is not a keyword of this language"
        return error("foreign-word", message, scene.span(), help=advice)
    if "LET" not in expected and "RECORD" not in expected:
        return None
    words = {w: k for w, k in tables().words.items() if k in expected and k in _STARTERS}
    if token.text in tables().words or token.kind != "NAME":
        return None
    code = "unknown-declaration" if "RECORD" in expected else "unknown-statement"
    near = did_you_mean(token.text, words)
    what = "declaration" if "RECORD" in expected else "statement"
    help = f"write `{near}`" if near else f"a {what} starts with {_join(sorted(words))}"
    if what == "statement" and scene.found[scene.index + 1].text == "(":
        help = f"bind what the call gives, as in `let done = {token.text}(…)`"
    return error(code, f"`{token.text}` does not start a {what}", scene.span(), help=help)


_STARTERS = declaration_kinds() | {"LET", "IF", "RETURN", "YIELD", "ASSERT", "STUB", "KEEP"}


def _known_mistake(scene: Scene) -> Diagnostic | None:
    known = _places()
    state, kind = scene.stack.states[-1], scene.token.kind
    for key in ((state, kind), (state, ANY)):
        if key in known:
            return _diagnose(scene, known[key])
    return None


def _diagnose(scene: Scene, mistake: Mistake) -> Diagnostic:
    previous = _shown(scene.previous) if scene.previous else ""
    words = {"{token}": _shown(scene.token), "{text}": scene.token.text, "{previous}": previous}

    def fill(template: str) -> str:
        for word, text in words.items():
            template = template.replace(word, text)
        return template

    help = mistake.help and fill(mistake.help)
    return error(mistake.code, fill(mistake.message), scene.span(), help=help)


def _comma(scene: Scene) -> Diagnostic | None:
    symbol = scene.stack.symbol(len(scene.stack.states) - 1)
    if not symbol.startswith("_commas") or symbol == "_commas{refinement}":
        return None
    if scene.previous and scene.previous.kind == "COMMA":
        return None
    if scene.token.kind == "FOR" and scene.found[scene.index + 1].kind == "NAME":
        return None  # a comprehension without its brackets
    if scene.token.kind in _AFTER_BRACKETS:
        return _unclosed(scene, scene.stack.values[open_brackets(scene.stack)[-1] - 1])
    if scene.token.kind not in _VALUE_KINDS:
        return None
    if scene.previous and scene.previous.text == "lambda":
        message = "a function is no value, so there is no `lambda`"
        return error("function-value", message, scene.span(), help=NO_FUNCTION)
    message = f"a `,` is missing before {_shown(scene.token)}"
    return error("missing-comma", message, scene.span(), help="separate items with `,`")


def _by_expectation(scene: Scene) -> Diagnostic:
    """Report what the parser expected instead."""
    row = scene.stack.rows[scene.stack.states[-1]]
    shown = _shown(scene.token)
    if "atom" in row:
        return error("missing-value", f"a value is expected here, not {shown}", scene.span())
    if "type" in row or "prim_type" in row:
        message = f"a type is expected here, not {shown}"
        help = "declare a record, `record Answer { … }`, and write its name"
        return error("missing-type", message, scene.span(), help=help if shown == "`{`" else None)
    expected = [tables_text(kind) for kind in scene.stack.expected()]
    if 0 < len(expected) <= 4:
        message = f"{_join(expected)} is expected here, not {shown}"
        return error("unexpected-token", message, scene.span())
    return error("unexpected-token", f"{shown} is not expected here", scene.span())


def _shown(token: Token) -> str:
    if token.kind == END:
        return "the end of the text"
    if token.kind.startswith("FSTRING"):
        return "`}`" if token.text.startswith("}") else "an f-string"
    if token.kind in ("LONG_STRING", "STRING"):
        return "a docstring" if token.kind == "LONG_STRING" else "a string"
    return f"`{token.text}`"


_KIND_NAMES = {
    "NAME": "a name",
    "KEY": "`name:`",
    "ARG": "`name=`",
    "NUMBER": "a number",
    "STRING": "a string",
    "LONG_STRING": "a docstring",
    **dict.fromkeys(("FSTRING", "FSTRING_START"), "an f-string"),
    **dict.fromkeys(("FSTRING_MIDDLE", "FSTRING_END"), "`}`"),
    "COMPARE": "a comparison",
    "FROZEN": "`frozen`",
    "ALIAS": "`as`",
    END: "the end of the text",
}


def tables_text(kind: str) -> str:
    """Name a kind of token for a message."""
    if kind in _KIND_NAMES:
        return _KIND_NAMES[kind]
    known = tables()
    return next(f"`{text}`" for text, k in (known.words | known.signs).items() if k == kind)


def _join(items: list[str]) -> str:
    return " or ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


@cache
def _places() -> dict[tuple[int, str], Mistake]:
    """The mistakes by parser state and kind of token, or by the state and `ANY`."""
    places: dict[tuple[int, str], Mistake] = {}
    for mistake in MISTAKES:
        for example in mistake.examples:
            state, kind = place_of_error(example)
            key = (state, ANY if mistake.any_token else kind)
            places.setdefault(key, mistake)
    return places


def place_of_error(text: str) -> tuple[int, str]:
    """Find the parser state and the kind of token at which a malformed text fails."""
    source = Source("", text)
    stack = Stack(TreeBuilder(source))
    for token in tokens(source):
        if token.kind != COMMENT and not stack.feed(token):
            stack.settle()
            return stack.states[-1], token.kind
    raise ValueError(f"no syntax error in {text!r}")
