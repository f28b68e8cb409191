"""Grammars of answers: every sentence can be read, and what a layout writes is a sentence."""

from __future__ import annotations

import json
from contextlib import nullcontext, suppress
from datetime import UTC
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmc.patterns import decodable
from lmc.prompts.border import as_text
from lmc.prompts.layouts import LAYOUTS, layout_for
from lmc.prompts.spec import BARE, REASONING, CallSpec, FieldSpec, ParseFailure
from lmc.prompts.thinking import without_thoughts
from lmc.types import (
    BOOL,
    DATE,
    DATETIME,
    DECIMAL,
    FLOAT,
    INT,
    JSON,
    NONE,
    STR,
    TIME,
    UNIT_FLOAT,
    BoolType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    JsonType,
    ListType,
    LiteralType,
    NeverType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    UnionType,
    WrittenType,
)
from lmc.values import validate
from lmc.values.aliases import seen_type
from lmc.written import text_of

pytest.importorskip("llguidance")
np = pytest.importorskip("numpy")

# The same examples in every run: a sentence is drawn by a generator of its own.
REPEATED = settings(deadline=None, max_examples=30, derandomize=True, database=None)
MOST_BYTES = 400
END = 256

KIND = EnumType("Kind", ("spam", "ham", "not sure", "Über", "a/b", 'say "x"', "none"))
SMALL = RecordType("Small", (Field("text", STR), Field("n", INT, "", True, 0)))
WEATHER = RecordType(
    "Weather",
    (
        Field("note", OptionalType(STR), "", True, None),
        Field("sky", KIND),
        Field("degrees", IntType(-40, 60)),
        Field("rain", UNIT_FLOAT, "", True, 0.0),
        Field("words", STR),
        Field("tags", ListType(StrType(1, 5), 1, 3)),
        Field("more", OptionalType(SMALL), "", True, None),
    ),
)
NAMED = RecordType("Named", (Field("think", STR), Field("n", BOOL)))
LANGUAGE = EnumType("Language", ("cpp", "py"), ("compiled", ""), "", ("C++", "Python"))
ALIASED = RecordType(
    "Aliased",
    (
        Field("type", STR, "", alias="@type"),
        Field("on", DATE, "the day", alias="$on"),
        Field("language", LANGUAGE, "", True, "cpp", "the language"),
    ),
)
LAX = RecordType("Lax", (Field("a", STR, "", True, ""), Field("b", INT, "", True, 0)))
REFUND = RecordType(
    "Refund",
    (Field("kind", LiteralType(("refund",)), "", True, "refund"), Field("order", STR)),
)
COMPLAINT = RecordType(
    "Complaint", (Field("kind", LiteralType(("complaint", "praise"))), Field("text", STR))
)


def tree(height: int) -> RecordType:
    lower = ListType(tree(height - 1)) if height > 1 else ListType(NeverType("Tree"), None, 0)
    fields = (Field("label", STR), Field("children", lower))
    return RecordType("Tree", fields, family="Tree", height=height, bound=3)


TREE = tree(3)
TYPES: dict[str, Type] = {
    "int": INT,
    "int_range": IntType(-3, 120),
    "int_from": IntType(5, None),
    "float": FLOAT,
    "float_range": FloatType(-0.5, 2.25),
    "bool": BOOL,
    "enum": KIND,
    "literal": LiteralType(("yes", "no", "[x]", "a\nb")),
    "optional_label": OptionalType(KIND),
    "optional_int": OptionalType(INT),
    "short_text": StrType(2, 9),
    "pattern": StrType(None, None, r"^[a-z]{1,4}-\d/\d$"),
    "list": ListType(FLOAT, None, 3),
    "texts": ListType(STR),
    "nested": ListType(ListType(OptionalType(BOOL), 2, 2)),
    "records": ListType(SMALL, 1, 2),
    "dict": DictType(IntType(0, 9)),
    "record": WEATHER,
    "named": NAMED,
    "lax": LAX,
    "union": UnionType((BOOL, SMALL)),
    "union_of_records": UnionType((REFUND, COMPLAINT)),
    "mixed_union": UnionType((INT, STR, ListType(STR), REFUND)),
    "optional_union": OptionalType(UnionType((KIND, FLOAT))),
    "unions_inside": RecordType(
        "Inside",
        (
            Field("either", OptionalType(UnionType((REFUND, COMPLAINT)))),
            Field("all", ListType(UnionType((STR, IntType(0, 9))))),
        ),
    ),
    "set": ListType(KIND, unique=True),
    "recursive": TREE,
    "recursive_list": ListType(TREE),
    "date": DATE,
    "time": OptionalType(TIME),
    "datetime": DATETIME,
    "decimal": DECIMAL,
    "decimals": ListType(DECIMAL, 1, 2),
    "aliases": seen_type(ALIASED),
    "none": NONE,
    "json": JSON,
}
REASONED = ("int", "enum", "short_text", "list", "record")
NASTY = [
    *("\n", " ", "[[", "]]", "<", "</", ">", '"', "\\", "[", "]", "{", "}", ", ", ": ", "null"),
    *("\n[[sky]] ", "\n** [[ Words ]]", "\n[[n]] ", "</words>", "</sky>\n", "<words>", "</ TEXT >"),
    *(
        "\n</think>",
        "<think>",
        "</think>\n",
        "\n[[reasoning]] ",
        "\u2003",
        "é",
        "\U0001f600",
        "```",
    ),
    *("-", "0", "1", "7", ".", "e", "-9", "</result>", "[[result]] ", "the answer is 3", "A:"),
]


def spec_of(result: Type, *, reason: bool = False) -> CallSpec:
    fields = result.fields if isinstance(result, RecordType) else (Field(BARE, result),)
    thoughts = (FieldSpec(REASONING, STR),) if reason else ()
    outputs = (*thoughts, *(FieldSpec(f.name, f.type) for f in fields))
    return CallSpec("Do it.", (FieldSpec("question", STR),), outputs, result)


CASES = [
    pytest.param(layout, type, reason, id=f"{layout}-{name}{'-reason' * reason}")
    for layout in LAYOUTS
    for name, type in TYPES.items()
    for reason in ((False, True) if name in REASONED else (False,))
]


@cache
def bytes_tokenizer() -> Any:
    """A tokenizer with one token for each byte, and one for the end."""
    from llguidance import LLTokenizer
    from tokenizers import Tokenizer, models, pre_tokenizers

    shown = _shown_bytes()
    model = models.BPE({char: byte for byte, char in shown.items()} | {"<|end|>": END}, [])
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.add_special_tokens(["<|end|>"])
    from tokenizers import decoders

    tokenizer.decoder = decoders.ByteLevel()
    return LLTokenizer(tokenizer.to_str(), n_vocab=END + 1, eos_token=END)


def _shown_bytes() -> dict[int, str]:
    """GPT-2's letters for bytes, as byte-level tokenizers write them."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {b: chr(256 + i) for i, b in enumerate(others)}


def matcher(grammar: str) -> Any:
    return compiled(grammar).deep_copy()


@cache
def compiled(grammar: str) -> Any:
    from llguidance import LLMatcher

    text = LLMatcher.grammar_from_lark(grammar)
    problem, messages = LLMatcher.validate_grammar_with_warnings(text, bytes_tokenizer())
    assert not problem and not messages
    return LLMatcher(bytes_tokenizer(), text)


def accepted(grammar: str, text: str) -> bool:
    """Whether a text is a whole sentence."""
    found, ids = matcher(grammar), list(text.encode())
    return bool(found.validate_tokens(ids) == len(ids) and found.consume_tokens(ids)) and bool(
        found.is_accepting()
    )


def sentence(grammar: str, wishes: list[str], rng: Random) -> str | None:
    """A random sentence of bytes and wished texts. None if it is open after many bytes."""
    found, written = matcher(grammar), bytearray()
    patience = rng.choice((0.02, 0.2, 0.6))
    while len(written) < MOST_BYTES and not found.is_stopped():
        if found.is_accepting() and rng.random() < patience:
            return written.decode()
        wished = [*rng.choice(wishes).encode()] if rng.random() < 0.7 else []
        if not wished or found.validate_tokens(wished) < len(wished):
            wished = [rng.choice(allowed(found))]
        if wished == [END]:
            break
        written += bytes(wished)
        assert found.consume_tokens(wished)
    return written.decode() if found.is_stopped() or found.is_accepting() else None


def wishes_of(spec: CallSpec, layout: str) -> list[str]:
    """Texts that sentences often have: the marks of the layout, and what nearly is one."""
    names = [f.name for f in spec.outputs]
    marks = {
        "chat": [f"\n[[{name}]] " for name in names],
        "xml": [f"</{name}>" for name in names],
        "json": ['"', "}"],
    }
    return [*NASTY, *marks[layout] * (1 + 20 // len(names))]


def allowed(found: Any) -> list[int]:
    words = np.frombuffer(found.compute_bitmask(), dtype=np.uint8)
    bits = np.unpackbits(words, bitorder="little")[: END + 1]
    return [int(i) for i in bits.nonzero()[0]]


def read(layout: str, spec: CallSpec, text: str) -> Any:
    """The value of an answer as a call reads it."""
    outputs = layout_for(layout).parse(spec, without_thoughts(spec, as_text(text)))
    whole = isinstance(spec.result, RecordType)
    result = {k: v for k, v in outputs.items() if k != REASONING} if whole else outputs[BARE]
    return validate(spec.result, result, lenient=True)


@pytest.mark.parametrize(("layout", "type", "reason"), CASES)
def test_every_sentence_can_be_read(layout: str, type: Type, reason: bool) -> None:
    spec = spec_of(type, reason=reason)
    grammar = layout_for(layout).grammar(spec)
    assert grammar is not None
    wishes = wishes_of(spec, layout)
    rng, whole = Random(f"{layout} {type} {reason}"), 0
    for _ in range(25):
        text = sentence(grammar, wishes, rng)
        if text is None:
            continue
        whole += 1
        repeats = isinstance(type, DictType | JsonType) and repeats_a_key(text)
        with pytest.raises(ParseFailure, match="twice") if repeats else nullcontext():
            read(layout, spec, text)
    assert whole > 5


def repeats_a_key(text: str) -> bool:
    """Whether a key of an object is there twice, which no grammar forbids."""
    found = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.append(len(dict(pairs)) < len(pairs))

    start = min((at for at in map(text.find, "{[") if at >= 0), default=len(text))
    with suppress(ValueError):
        json.JSONDecoder(object_pairs_hook=note).raw_decode(text[start:])
    return any(found)


def values_of(type: Type) -> st.SearchStrategy[Any]:
    match type:
        case StrType(pattern=str()):
            return st.from_regex(r"\A[a-z]{1,4}-[0-9]/[0-9]\Z")
        case StrType(None, None):
            marks = st.sampled_from(NASTY)
            return st.lists(st.text(max_size=3) | marks, max_size=4).map("".join)
        case StrType(low, high):
            texts = st.text("abc é", min_size=low or 0, max_size=high)
            return texts.filter(lambda text: text == text.strip())
        case IntType(low, high):
            return st.integers(low, high)
        case FloatType(None, None):
            return st.floats(-1e80, 1e80, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-6)
        case FloatType(low, high):
            return st.decimals(str(low), str(high), places=3).map(float)
        case BoolType():
            return st.booleans()
        case WrittenType("decimal"):
            return st.decimals(-(10**9), 10**9, places=3).map(text_of)
        case WrittenType("date"):
            return st.dates().map(text_of)
        case WrittenType("time"):
            return st.times().map(text_of)
        case WrittenType("datetime"):
            return st.datetimes(timezones=st.none() | st.just(UTC)).map(text_of)
        case EnumType(variants=names) | LiteralType(values=names):
            return st.sampled_from(names)
        case OptionalType(item):
            return st.none() | values_of(item)
        case ListType(NeverType()):
            return st.just([])
        case ListType(EnumType(variants=names), unique=True):
            return st.lists(st.sampled_from(names), unique=True)
        case ListType(item, low, high):
            return st.lists(
                values_of(item), min_size=low or 0, max_size=3 if high is None else high
            )
        case DictType(item):
            return st.dictionaries(st.text(max_size=3), values_of(item), max_size=2)
        case RecordType(fields=fields):
            return st.fixed_dictionaries({f.name: values_of(f.type) for f in fields})
        case UnionType(options):
            return st.one_of(*map(values_of, options))
        case _ if type == NONE:
            return st.none()
    plain = st.none() | st.booleans() | st.integers() | st.sampled_from(["a b", "é", 'x "y"'])
    return plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2), plain)


@pytest.mark.parametrize(("layout", "type", "reason"), CASES)
def test_what_a_layout_writes_is_a_sentence(layout: str, type: Type, reason: bool) -> None:
    spec, own = spec_of(type, reason=reason), layout_for(layout)
    grammar = own.grammar(spec)
    assert grammar is not None

    @REPEATED
    @given(value=values_of(type), thoughts=values_of(STR))
    def written(value: Any, thoughts: str) -> None:
        valid = validate(type, value)
        outputs = valid if isinstance(type, RecordType) else {BARE: valid}
        text = own.answer_text(spec, {REASONING: thoughts} | outputs if reason else outputs)
        assert accepted(grammar, text), text
        if spec.bare and layout == "chat" and not reason:  # tokens of words begin with a space
            assert accepted(grammar, f" {text}"), text

    written()


@pytest.mark.parametrize(
    ("layout", "type", "text"),
    [
        ("chat", INT, "seven"),
        ("chat", INT, "The answer is 7"),
        ("chat", IntType(1, 5), "6"),
        ("chat", KIND, "eggs"),
        ("chat", DATE, "2026-02-29"),
        ("chat", DATE, "Jan 31, 2026"),
        ("chat", DATE, "2026-04-31"),
        ("chat", TIME, "24:00:00"),
        ("chat", DATETIME, "2026-01-31"),
        ("chat", DECIMAL, "$5"),
        ("chat", ListType(INT, 1, 2), "[]"),
        ("chat", ListType(INT, 1, 2), "[1, 2, 3]"),
        ("chat", StrType(2, 4), "x"),
        ("chat", StrType(2, 4), "xxxxx"),
        ("chat", StrType(None, None, r"\d+"), "12a"),
        ("chat", NAMED, "[[n]] true\n[[think]] x"),
        ("chat", NAMED, "[[think]] x\n* [[N]] y\n[[n]] true"),
        ("chat", LAX, ""),
        ("xml", NAMED, "<think>x"),
        ("xml", NAMED, "<think>a <n> b</think>\n<n>true</n>"),
        ("xml", ListType(STR), '<result>["</result>"]</result>'),
        ("json", NAMED, '{"n": true, "think": ""}'),
        ("json", FLOAT, '{"result": 1e999}'),
        ("json", NAMED, '{"think": "", "n": true, "more": 1}'),
    ],
)
def test_what_is_not_of_the_type_is_no_sentence(layout: str, type: Type, text: str) -> None:
    grammar = layout_for(layout).grammar(spec_of(type))
    assert grammar is not None and not accepted(grammar, text)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_plain_string_and_a_huge_type_have_no_grammar(layout: str) -> None:
    assert layout_for(layout).grammar(spec_of(STR)) is None
    wide = RecordType("Wide", tuple(Field(f"f{i}", INT) for i in range(5000)))
    assert layout_for(layout).grammar(spec_of(wide)) is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_many_fields_that_may_be_left_out_keep_the_grammar_short(layout: str) -> None:
    fields = [Field(f"f{i}", (INT, STR)[i % 2], "", i != 9, None) for i in range(60)]
    grammar = layout_for(layout).grammar(spec_of(RecordType("Lax", tuple(fields))))
    assert grammar is not None and len(grammar) < 250_000
    matcher(grammar)


def test_a_pattern_that_looks_around_is_not_in_the_grammar() -> None:
    grammar = layout_for("chat").grammar(spec_of(StrType(1, 9, r"\bab\b")))
    assert grammar is not None and accepted(grammar, "cd") and not accepted(grammar, "x" * 10)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^\d+$", True),
        (r"\A[a-z]\z", True),
        (r"[$^\]]+", True),
        (r"\$1\^", True),
        (r"a/b\/c", True),
        (r"(?i:ab)|(?P<c>c)", True),
        (r"[^\]b]*x", True),
        (r"\bab", False),
        (r"a\B", False),
        (r"a^b", False),
        (r"(a$|b)c", False),
        (r"(?m)^a$", False),
    ],
)
def test_which_patterns_can_be_enforced(pattern: str, expected: bool) -> None:
    from llguidance import LLMatcher

    assert decodable(pattern) is expected
    slashed = pattern.replace("\\/", "/").replace("/", "\\/")
    text = LLMatcher.grammar_from_lark(f"start: T\nT: /(?:{slashed})/\n")
    assert LLMatcher.validate_grammar(text, bytes_tokenizer()) == "" or not expected
