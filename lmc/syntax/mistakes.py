"""The table of common syntax mistakes: the message for each, and malformed texts that show it."""

from __future__ import annotations

from lmc.frozen import frozen


@frozen
class Mistake:
    """One mistake: its slug, its message, and malformed texts whose first error it is.

    It is recognized by the parser state and the kind of token, or with `any_token` by the state
    alone. In messages, `{token}` and `{previous}` stand for the token at the error and the one
    before it, and `{text}` for the bare text of the token.
    """

    code: str
    message: str
    examples: tuple[str, ...]
    help: str | None = None
    any_token: bool = False


def _wrong(code: str, message: str, help: str | None = None) -> Mistake:
    return Mistake(code, message, (), help)


NO_FUNCTION = (
    "a key is written as `.field`; anything else is a comprehension or a pipeline of its own"
)

# Tokens that no rule of the grammar accepts, by their kind or their text.
WRONG_TOKENS = {
    "QUOTED": _wrong("single-quotes", "strings need double quotes", 'write `"…"`'),
    "OPEN_STRING": _wrong("unterminated-string", 'this string has no closing `"` on its line'),
    "OPEN_LONG_STRING": _wrong("unterminated-docstring", 'this text has no closing `"""`'),
    "OPEN_VALUE": _wrong(
        "open-value", "the `{` before this has no `}` on its line", "write `{{` for a brace itself"
    ),
    "OPEN_FSTRING": _wrong("unterminated-string", 'this f-string has no closing `"`'),
    "LONE_BRACE": _wrong("lone-brace", "a `}` in this f-string closes no value", "write `}}`"),
    "BRACE_BEHIND": _wrong("lone-brace", "a `}` in this f-string closes no value", "write `}}`"),
    "empty-value": _wrong(
        "empty-value", "there is no value between these braces", "write `{{}}` for the braces"
    ),
    "value-format": _wrong(
        "value-format",
        "a value in an f-string has no format",
        "write `{round(x, 2)}`, or let a tool write it",
    ),
    "BAD_NUMBER": _wrong("bad-number", "{token} is neither a number nor a name"),
    "BAD_NAME": _wrong(
        "bad-name",
        "{token} is not a valid name",
        "a name starts with a letter (a-z, A-Z); letters, digits and `_` may follow",
    ),
    "STRAY": _wrong("unexpected-character", "{token} has no meaning here"),
    "WRONG_SIGN": _wrong("unexpected-character", "{token} has no meaning here"),
    "string-prefix": _wrong(
        "string-prefix", "{previous} is not a string prefix", 'there are `r"…"` and `f"…"`'
    ),
    "angle-brackets": _wrong(
        "angle-brackets",
        "the type arguments of {previous} go in square brackets",
        "write `list[T]`, `dict[str, T]`",
    ),
    ";": _wrong("semicolon", "statements and settings do not end with `;`", "remove it"),
    "//": _wrong("wrong-comment", "comments start with `#`", "a whole quotient is `int(a / b)`"),
    "/*": _wrong("wrong-comment", "comments start with `#`"),
    "&&": _wrong("wrong-operator", "`&&` is not an operator", "write `and`"),
    "||": _wrong("wrong-operator", "`||` is not an operator", "write `or`"),
    "!": _wrong("wrong-operator", "`!` is not an operator", "write `not`"),
    "===": _wrong("wrong-operator", "`===` is not an operator", "write `==`"),
    "!==": _wrong("wrong-operator", "`!==` is not an operator", "write `!=`"),
    "<>": _wrong("wrong-operator", "`<>` is not an operator", "write `!=`"),
    "**": _wrong("wrong-operator", "there is no power operator"),
    ":=": _wrong("wrong-operator", "`:=` is not an operator", "write `let name = value`"),
    "+=": _wrong("wrong-operator", "a name is bound only once, so there is no `+=`"),
    "-=": _wrong("wrong-operator", "a name is bound only once, so there is no `-=`"),
}

# Words of other languages, with what to write here instead.
WORDS = {
    "elif": "write `else if`",
    "elsif": "write `else if`",
    "def": "write a `pipeline`, or declare a Python function with `tool`",
    "fn": "write a `pipeline`, or declare a Python function with `tool`",
    "func": "write a `pipeline`, or declare a Python function with `tool`",
    "function": "write a `pipeline`, or declare a Python function with `tool`",
    "class": "write `record`",
    "struct": "write `record`",
    "var": "write `let`",
    "const": "write `let`",
    "while": "write `let x = loop state = start for 3 until done { … }`; every loop has a bound",
    "is": "write `==`; `match value { T => … }` asks for the type",
    "isinstance": "write `match value { T => … }`",
    "case": "write `match value { pattern => result }`",
    "switch": "write `match value { pattern => result }`",
    "lambda": "there are no anonymous functions",
    "try": "handle failures with `retry:`, `repair:` and `fallback:`",
    "raise": "handle failures with `retry:`, `repair:` and `fallback:`",
}

_BLOCK = "pipeline p() -> str { "
_BODY = "generate g() -> str { "
_LET = _BLOCK + "let x = "
_EXPRESSION_STARTS = (
    _LET, _BLOCK + "return ", _BLOCK + "if ", _LET + "(", _LET + "f(", _LET + "f(1, ", _LET + "[",
    _LET + "[1, ", _LET + "[y for y in ", _LET + "[y for y in z if ", _LET + "y[", _LET + "if ",
    _LET + "if a then ", _LET + "if a then b else ", _LET + "match ", _LET + "match a { b => ",
    _LET + "loop s = ", _LET + "loop s = a for ", _LET + "loop s = a for 3 until ",
    _LET + "{a: ", _LET + "{a: 1, b: ", _LET + "tune[", _BODY + "a: ", "model m { a: ",
    'test "t" { assert ', 'test "t" { stub g -> ', "example g(", "example g(1, ",
    "example g() -> ", "record R { a: str = ", "generate g(a: str = ",
)  # fmt: skip


# Beginnings of texts after which an item in braces may follow.
_BLOCK_ITEMS = (_BLOCK, _BLOCK + '"doc" ', _BLOCK + "return 1 ", _BLOCK + '"doc" return 1 ')
_BODY_ITEMS = (_BODY, _BODY + '"doc" ', _BODY + "a: 1 ", _BODY + '"doc" a: 1 ')
_TOOL = 'tool f() -> str from "m:f" { '
_TOOL_ITEMS = (_TOOL, _TOOL + '"doc" ', _TOOL + "a: 1 ", _TOOL + '"doc" a: 1 ')
_MODEL_ITEMS = ("model m { ", "model m { a: 1 ")
_SETTING_ITEMS = (*_BODY_ITEMS, *_TOOL_ITEMS, *_MODEL_ITEMS)
_OBJECT_ITEMS = ("default { a: {", "default { a: {b: 1, ")
_FIELD_ITEMS = (
    "record R { ",
    'record R { "doc" ',
    "record R { a: str ",
    'record R { "doc" a: str ',
)
_VARIANT_ITEMS = ("enum E { ", 'enum E { "doc" ', "enum E { a ", 'enum E { "doc" a ')
_PARAMETERS = ("generate g(", "generate g(a: str, ", "generate g(train ")


def _after(starts: tuple[str, ...], *texts: str) -> tuple[str, ...]:
    return tuple(start + text for start in starts for text in texts)


_SIGNATURES = (
    "generate g", "critique g", "refine g", "vote g", "search g", "agent g", "route g",
    "pipeline g", "tool g", "metric g",
)  # fmt: skip
_NAMELESS = (
    "record {", "enum {", "type =", "model {", "tool (", "generate (", "critique (", "refine (",
    "vote (", "search (", "agent (", "route (", "pipeline (", "metric (", "example (", "dataset :",
    "store :",    "optimize {", "stub",
)  # fmt: skip

MISTAKES = (
    # --- between declarations ---
    Mistake(
        "statement-outside-block",
        "{token} is allowed only in the block of a pipeline, a metric or a test",
        tuple(f"{word} x" for word in ("return", "if", "yield", "assert", "stub", "loop", "keep")),
    ),
    Mistake(
        "setting-outside-body",
        "a setting belongs in the braces of a declaration",
        ("seed: x", "generate g() -> str seed: x"),
        "put settings for all modules into `default { … }`",
    ),
    Mistake(
        "import-form", 'write an import as `from "path" import name, name as other`', ("import x",)
    ),
    Mistake(
        "import-form",
        'write an import as `from "path" import name, name as other`',
        (
            "from x",
            'from "x" y',
            'from "x" import *',
            'from "x" import a, *',
            'from "x" import a as *',
        ),
        any_token=True,
    ),
    Mistake(
        "misplaced-docstring",
        "the docstring of a module stands in braces",
        ('generate g() -> str """text"""', 'agent a() -> str """text"""'),
        help='write `{ """…""" }`',
    ),
    Mistake(
        "unknown-declaration",
        "a declaration is expected here, not {token}",
        ('"text"', "x = 1", "generate g() -> str x = 1"),
        any_token=True,
    ),
    # --- heads of declarations ---
    Mistake(
        "missing-name",
        "a name is expected here, not {token}",
        (
            *(n for n in _NAMELESS if n != "stub"),
            _BLOCK + "let =",
            _BLOCK + "stub ->",
            _LET + "loop =",
            _LET + "y.1",
            _LET + "y?.1",
            _LET + ".1",
            _LET + "[y for a, 1",
        ),
        any_token=True,
    ),
    Mistake(
        "missing-title",
        "a test needs a title in double quotes",
        ("test {", "test name {"),
        any_token=True,
    ),
    Mistake(
        "missing-parameters",
        "the parameters are missing: `(name: T, …)`, or `()` for none",
        (*(f"{head} ->" for head in _SIGNATURES), "example g ->"),
        any_token=True,
    ),
    Mistake(
        "missing-result-type",
        "the result type is missing: write `-> T` after the parameters",
        ("generate g() {", "generate g(x: str) {"),
        any_token=True,
    ),
    Mistake(
        "missing-from",
        'a tool needs its Python function: `from "package.module:function"`',
        ("tool f() -> str {", "tool f() -> str from x", "tool f from x"),
        any_token=True,
    ),
    Mistake(
        "if-form",
        "write an `if` expression as `if condition then value else value`",
        (_BLOCK + "return a if b else", _BLOCK + "let x = a if b else"),
    ),
    Mistake(
        "missing-body",
        "a body, `{ … }`, is missing here",
        (
            "refine f() -> str",
            "pipeline f() -> str",
            "record R",
            "enum E",
            "model m",
            "default",
            "dataset d: Row",
            "store s: Row",
            "optimize p",
            'test "t"',
            _BLOCK + "if x return",
            _BLOCK + "if x { } else return",
            _LET + "loop s = 1 for 3 yield",
            _LET + "loop s = 1 for 3 until x yield",
            _LET + "match x a",
        ),
        any_token=True,
    ),
    Mistake(
        "missing-body",
        'a metric needs a block, or `from "package.module:function"`',
        ("metric m() -> bool", "metric m() -> bool from x"),
        any_token=True,
    ),
    Mistake(
        "missing-row-type",
        "a dataset needs the type of its rows: `dataset name: Row { … }`",
        ("dataset d {",),
        any_token=True,
    ),
    Mistake(
        "missing-row-type",
        "a store needs the type of what it keeps: `store name: Record { … }`",
        ("store s {",),
        any_token=True,
    ),
    Mistake(
        "keep-form",
        "write `keep value in store`; a value with an operator goes in parentheses",
        (_BLOCK + "keep x }", _BLOCK + "keep x return", _BLOCK + "keep x in 1"),
        any_token=True,
    ),
    Mistake(
        "missing-equals",
        "`=` and a value are expected here, not {token}",
        (
            _BLOCK + "let x 1",
            _BLOCK + "let x: str }",
            "type A str",
            _LET + "loop s 1",
            _LET + "loop s: str }",
        ),
        any_token=True,
    ),
    Mistake(
        "missing-arrow",
        "`->` and a result are expected here, not {token}",
        ("example g(1) R", 'test "t" { stub g R', 'test "t" { stub g(1)'),
        any_token=True,
    ),
    # --- fields, parameters, settings ---
    Mistake(
        "missing-type",
        "{token} needs a type: write `{text}: T`, or `{text}: T?` where it may be none",
        _after((*_FIELD_ITEMS, *_PARAMETERS), "x"),
    ),
    Mistake(
        "equals-for-colon",
        "`:` is expected after {token}, not `=`",
        _after((*_FIELD_ITEMS, *_PARAMETERS, *_SETTING_ITEMS, *_OBJECT_ITEMS), "x = 1"),
    ),
    Mistake(
        "missing-colon",
        "`:` is missing after {token}: a setting is `name: value`",
        _after((*_SETTING_ITEMS, *_OBJECT_ITEMS), "x 1"),
    ),
    Mistake(
        "missing-key",
        "the name before this `:` is missing",
        _after((*_SETTING_ITEMS, *_OBJECT_ITEMS, *_FIELD_ITEMS, *_PARAMETERS), ": 1"),
    ),
    Mistake(
        "extra-comma",
        "this `,` is not needed",
        (
            *_after((*_SETTING_ITEMS, *_FIELD_ITEMS, *_VARIANT_ITEMS), ",,"),
            *_after((*_PARAMETERS[:2], *_OBJECT_ITEMS), ","),
            *_after((_LET + "f(", _LET + "f(1, ", "example g(", "example g(1, "), ","),
            *_after((_LET + "[", _LET + "[1, ", _LET + "tune[", _LET + "tune[1, "), ","),
            *_after((_BLOCK + "return 1", "type A = list[", "type A = int("), ","),
        ),
        "write one `,` between two items",
    ),
    Mistake(
        "no-tuples",
        "there are no tuples: parentheses contain one value",
        _after(_EXPRESSION_STARTS, "(a, b"),
        "write a list: `[a, b]`",
    ),
    Mistake(
        "colon-for-equals",
        "a named argument takes `=`: write `name=value`",
        (_LET + "f(a: 1)", _LET + "f(1, a: 1)", "example g(a: 1)", "example g(1, a: 1)"),
    ),
    Mistake(
        "colon-for-equals",
        "a `type` takes `=`: write `type Name = T`",
        ("type A: str",),
    ),
    Mistake(
        "misplaced-docstring",
        "an instruction is a text without values, not {token}",
        tuple(_BODY + text for text in ('f"a"', 'f"a {x}"')),
        "the model sees the inputs anyway; a `template` says where they stand",
    ),
    Mistake(
        "misplaced-docstring",
        "a docstring must come first in the braces",
        (
            *_after((*_BODY_ITEMS[1:], *_TOOL_ITEMS[1:]), '"x"', '"""x"""'),
            *_after(_BLOCK_ITEMS[1:], '"x"', '"""x"""'),
            *_after(_FIELD_ITEMS[1:], '"""x"""'),
            *_after(_VARIANT_ITEMS[1:], '"""x"""'),
        ),
    ),
    Mistake(
        "misplaced-docstring",
        "this declaration cannot have a docstring",
        _after(_MODEL_ITEMS, '"x"', '"""x"""'),
        "write a comment: `# …`",
    ),
    Mistake(
        "misplaced-frozen",
        "`frozen` is allowed only before a docstring, at the start of the braces",
        _after(
            (*_BODY_ITEMS[1:], *_TOOL_ITEMS, *_FIELD_ITEMS[1:], *_BLOCK_ITEMS[1:], *_MODEL_ITEMS),
            'frozen "x"',
        ),
    ),
    Mistake(
        "statement-in-body",
        "this declaration contains settings, `name: value`, not statements",
        _after(
            _SETTING_ITEMS, "let x", "return x", "if x", "yield x", "assert x", "stub x", "keep x"
        ),
        "statements belong in a `pipeline`",
    ),
    Mistake(
        "bad-setting",
        "a setting, `name: value`, is expected here, not {token}",
        _after((*_SETTING_ITEMS, *_OBJECT_ITEMS[:1]), "1"),
        any_token=True,
    ),
    Mistake(
        "bad-field",
        "a field, `name: T`, is expected here, not {token}",
        (*_after(_FIELD_ITEMS, "1"), "record R { a: str = 1 1", 'record R { a: str = 1 "x" 1'),
        any_token=True,
    ),
    Mistake(
        "bad-variant",
        'a variant is a name with an optional note: `name "note"`',
        _after(_VARIANT_ITEMS, "1"),
        any_token=True,
    ),
    Mistake(
        "bad-parameter",
        "a parameter, `name: T`, is expected here, not {token}",
        _after(_PARAMETERS, "1"),
        any_token=True,
    ),
    # --- types ---
    Mistake(
        "wrong-refinement",
        "a refinement goes in parentheses: `int(0..10)`, `list[T](1..5)`",
        ("type A = int[0..10]", "type A = list[-1]", "type A = list[..5]"),
    ),
    Mistake(
        "wrong-refinement",
        'a refinement is a range, `lo..hi`, `lo..` or `..hi`, or a pattern, `r"…"`',
        _after(
            ("type A = int(", "type A = list[str]("),
            "5)",
            "1 2",
            "a b",
            "0, a b",
            "0.. ..",
            "0..1 ..",
        ),
        any_token=True,
    ),
    # --- statements ---
    Mistake(
        "missing-let",
        "`let` is missing: write `let {text} = …`",
        _after(_BLOCK_ITEMS, "x = 1"),
    ),
    Mistake(
        "setting-in-block",
        "a block contains statements, not settings",
        _after(_BLOCK_ITEMS, "model: x"),
        "settings and instructions belong in a module, such as `generate`",
    ),
    Mistake(
        "for-statement",
        "there is no `for` statement",
        _after(_BLOCK_ITEMS, "for x in y"),
        "write `[f(x) for x in xs]`, or `let s = loop t = start for 3 { … }`",
    ),
    Mistake(
        "stray-else",
        "this `else` does not follow an `if`",
        _after(_BLOCK_ITEMS, "else"),
    ),
    Mistake(
        "equals-for-comparison",
        "`=` does not compare",
        _after(_EXPRESSION_STARTS, "a.b = 1"),
        "write `==`",
    ),
    Mistake(
        "unknown-statement",
        "a statement is expected here, not {token}",
        _after(_BLOCK_ITEMS, "1"),
        "statements start with let, keep, if, return, yield, assert or stub",
        any_token=True,
    ),
    Mistake(
        "loop-form",
        "a loop needs a bound after `for`: `loop state = start for 3 until condition { … }`",
        (_LET + "loop s = 1 until x", _LET + "loop s = 1 {"),
        any_token=True,
    ),
    # --- expressions ---
    Mistake(
        "if-form",
        "there is no `? :`",
        (_LET + "a ?", _BLOCK + "return a ?", _LET + "(a ?", _LET + "f(a ?", _LET + "a == b ?"),
        "write `if condition then value else value`",
    ),
    Mistake(
        "function-value",
        "a function is no value, so `=>` makes none",
        (_LET + "f(a, b =>", _LET + "f(a =>", _LET + "f(a, (b) =>"),
        NO_FUNCTION,
    ),
    Mistake(
        "spread-arguments",
        "a list is not spread over parameters",
        (_LET + "f(*", _LET + "f(1, *"),
        "give each argument, as in `f(xs[0], xs[1])`, or map over the list: `[f(x) for x in xs]`",
    ),
    Mistake(
        "missing-equals",
        "`let` binds one name",
        (_BLOCK + "let a, b",),
        "bind the value, and take it apart: `let both = …`, then `both[0]` or `both.field`",
    ),
    Mistake(
        "slice-step",
        "a slice has no step",
        _after((_LET + "y",), "[::", "[1::", "[:1:", "[1:2:"),
        "write `[xs[i] for i in range(0, len(xs), 2)]`",
    ),
    Mistake(
        "missing-name",
        "a name is expected here, not {token}",
        (_BLOCK + "let _", _LET + "[a for _", _LET + "[a for b, _"),
        "give it any name, as in `let done = …`; samples need none: `[f(x) for 3]`",
    ),
    Mistake(
        "chained-comparison",
        "comparisons cannot be chained",
        _after(_EXPRESSION_STARTS, "a < b < c"),
        "write `a < b and b < c`",
    ),
    Mistake(
        "misplaced-not",
        "`not` goes before the whole expression that it negates",
        _after(_EXPRESSION_STARTS, "a not in b", "a == not b"),
        "write `not (a in b)`",
    ),
    Mistake(
        "if-form",
        "write an `if` expression as `if condition then value else value`",
        (_LET + "if a {", _LET + "if a then b }", _LET + "(if a then b)"),
        any_token=True,
    ),
    Mistake(
        "if-form",
        "write an `if` expression as `if condition then value else value`",
        _after((_LET + "(", _LET + "f(", _LET + "f(1, ", _LET + "[", _LET + "y["), "a if b"),
    ),
    Mistake(
        "match-form",
        "write a `match` as `match value { a | b => result, _ => result }`",
        _after(
            (_LET + "match x { ",),
            "}",
            "a: 1",
            "a | 1",
            '"a": 1',
            '"a" | b',
            "_: 1",
            "a => 1 2",
            "a => 1 b => 1 1",
        ),
        any_token=True,
    ),
    Mistake(
        "tune-form",
        "a range is allowed only in `tune[lo..hi]` and in the refinement of a type",
        _after((_LET + "[", _LET + "f(", _LET + "f(1, ", _LET + "(", _LET, _BODY + "a: "), "0..2"),
    ),
    Mistake(
        "missing-string",
        "a string is expected here, not {token}",
        (_BLOCK + "assert a, b",),
        any_token=True,
    ),
    Mistake(
        "comprehension-form",
        "a comprehension has one `for`",
        _after((_LET + "[a for b", _LET + "[a for b, c"), " in d for e", " in d if e for f"),
        "for two lists, write `flatten([[f(x, y) for y in ys] for x in xs])`",
    ),
    Mistake(
        "comprehension-form",
        "a comprehension stands in square brackets",
        (*_after((_LET + "f(", _LET + "f(1, "), "a for b"), _LET + "{a: 1 for b"),
        "write `[value for name in list]`; objects have keys that are written in the program",
    ),
    Mistake(
        "comprehension-form",
        "write a comprehension as `[value for name in list]`, and samples as `[value for 8]`",
        (
            *_after((_LET + "[a for b", _LET + "[a for b, c"), " in d e", " in d if e f"),
            *_after((_LET + "[a for b", _LET + "[a for b, c"), " in d, e", " of d"),
            _LET + "[a for b, c]",
        ),
        any_token=True,
    ),
    Mistake(
        "reserved-word",
        "{token} is a keyword inside expressions, so it cannot name a value",
        tuple(f"{_LET}[a for {word}" for word in ("then", "else", "and", "or", "in", "for")),
    ),
)
