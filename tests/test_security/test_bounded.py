"""What would compute for ever, or fill the memory, ends with a message instead."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmc
from lmc.check import check_program
from lmc.diagnostics import LmcError
from lmc.ir import size
from lmc.ir.functions import FUNCTIONS
from lmc.models.scripted import Scripted
from lmc.source import Source
from lmc.types import StrType
from lmc.values import validate

BOMBS = {
    "a range": "{% for i in range(10**9) %}x{% endfor %}",
    "a long range": "{% for i in range(1000000) %}x{% endfor %}",
    "loops in loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9) %}"
    "{% endfor %}{% endfor %}{% endfor %}",
    "loops over inputs": "{% for a in q %}{% for b in q %}{% for c in q %}{% endfor %}{% endfor %}"
    "{% endfor %}",
    "a text, many times": "{{ 'a' * 10**9 }}",
    "a list, many times": "{{ [1] * 10**9 }}",
    "powers": "{{ 9 ** 9 ** 9 ** 9 }}",
    "doubling by ~": "{% set n = namespace(s='ab') %}{% for i in range(60) %}"
    "{% set n.s = n.s ~ n.s %}{% endfor %}",
    "doubling by +": "{% set n = namespace(s='ab') %}{% for i in range(60) %}"
    "{% set n.s = n.s + n.s %}{% endfor %}",
    "doubling lists": "{% set n = namespace(s=[1]) %}{% for i in range(60) %}"
    "{% set n.s = n.s + n.s %}{% endfor %}",
    "doubling blocks": "{% set a %}xxxxxxxx{% endset %}"
    + "".join("{% set a %}{{ a }}{{ a }}{% endset %}" for _ in range(40)),
    "replace": "{{ 'aaaaaaaaaa'" + "|replace('a', 'aaaaaaaaaaaaaaaaaaaaaaa')" * 12 + " }}",
    "join": "{{ range(9999)|join(range(9999)|join('xxxxxxxxx')) }}",
    "a method": "{{ 'a'.ljust(10**9) }}",
    "another method": "{{ 'a'.join(range(9)) }}",
    "bytes": "{{ (5).to_bytes(1000000000, 'big') }}",
    "indent": "{{ q|indent(1000000000) }}",
    "tojson": "{{ [1]|tojson(indent=1000000000) }}",
    "round": "{{ 1.5|round(1000000000) }}",
    "sum": "{{ [[1], [2]]|sum(start=[]) }}",
    "a macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a macro that branches": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}"
    "{% endmacro %}{{ f(60) }}",
    "a loop that calls itself": "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "the way out": "{{ q.__class__.__mro__ }}",
    "the way out of a macro": "{% macro f() %}{% endmacro %}{{ f.__globals__ }}",
}
REFUSED = ["batch(10**9)", "center(10**9)", "format", "wordwrap(1)", "slice(10**9)", "pprint"]


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_template_that_is_a_bomb_does_not_go_off(tmp_path: Path, template: str) -> None:
    text = json.dumps(template + " {{ q }}", ensure_ascii=False)
    (tmp_path / "p.lmp").write_text(
        f'generate main(q: str) -> str {{ """A.""" template: {{user: {text}}} }}\n'
    )
    loaded = lmc.load(tmp_path / "p.lmp", cache=False, backend=Scripted(lambda request: "a"))
    with pytest.raises(LmcError, match=r"bad-template.*the template cannot be filled in"):
        loaded.main(q="x" * 2000)


@pytest.mark.parametrize("filter", REFUSED)
def test_filters_that_write_much_are_unknown(filter: str) -> None:
    text = f'generate main(q: str) -> str {{ """A.""" template: {{user: "{{{{ q|{filter} }}}}"}} }}'
    _, found = check_program(Source("p.lmp", text))
    assert [d.code for d in found] == ["unknown-template-filter"]


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{% for w in q.split() %}{{ loop.index }}/{{ loop.length }} {{ w|upper }};{% endfor %}",
         "1/2 A;2/2 B;"),
        ("{{ q ~ '!' }} {{ q + '?' }} {{ (2 + 3) * 4 }}", "a b! a b? 20"),
        ("{{ q.split()|join(', ') }} {{ q|replace('a', 'c') }} {{ [1, 2]|sum }}", "a, b c b 3"),
        ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(q) }}", "<a b>"),
        ("{% set n = namespace(k=0) %}{% for i in range(3) %}{% set n.k = n.k + i %}{% endfor %}"
         "{{ n.k }} {{ q|indent(2) }} {{ [1]|tojson }} {{ 2.345|round(1) }}", "3 a b [1] 2.3"),
    ],
)  # fmt: skip
def test_what_templates_are_for_still_works(tmp_path: Path, template: str, prompt: str) -> None:
    asked: list[str] = []
    (tmp_path / "p.lmp").write_text(
        'generate main(q: str) -> str { """A.""" template: {user: ' + json.dumps(template) + "} }\n"
    )
    lmc.load(
        tmp_path / "p.lmp", cache=False,
        backend=Scripted(lambda request: asked.append(request.messages[-1]["content"]) or "a"),
    ).main(q="a b")  # fmt: skip
    assert asked == [prompt]


# --- patterns ---

SLOW = [r"(a+)+", r"(a|a)*", r"(a|aa)+", r"([a-zA-Z]+)*", r"(.*a){20}", r"(\w+\s?)*", r"(x+x+)+y"]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_is_matched_in_linear_time(pattern: str) -> None:
    from lmc.values import InvalidValue

    with pytest.raises(InvalidValue, match="must match"):
        validate(StrType(None, None, pattern), "a" * 200_000 + "!")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(a+)+\1", "backreferences are not supported"),
        (r"(?=a)a", "look-around"), (r"(?<!a)b", "look-around"),
        (r"((a{1000}){1000}){1000}", "exceeds size limit"), ("a" * 2001, "more than 2,000"),
        ("(" * 500 + "a" + ")" * 500, "nest"),
    ],
)  # fmt: skip
def test_a_pattern_that_takes_for_ever_is_an_error_of_the_program(pattern: str, words: str) -> None:
    _, found = check_program(Source("p.lmp", f'type T = str(r"{pattern}")\n'))
    assert [d.code for d in found] == ["bad-pattern"] and words in found[0].message
    with pytest.raises(LmcError, match="bad-pattern"):
        validate(StrType(None, None, pattern), "a")


def test_patterns_of_a_script_are_linear_too(tmp_path: Path) -> None:
    rules = {"rules": [{"match": r"(a+)+$", "answer": "no"}], "default": "yes"}
    (tmp_path / "a.json").write_text(json.dumps(rules))
    (tmp_path / "p.lmp").write_text('generate main(q: str) -> str { """A.""" }\n')
    loaded = lmc.load(tmp_path / "p.lmp", model=f"scripted/{tmp_path / 'a.json'}", cache=False)
    assert loaded.main(q="a" * 100_000 + "!") == "yes"


# --- operations ---


@pytest.mark.parametrize(
    ("type", "start", "step"),
    [
        ("str", "q", "s + s"), ("str", "q", "join([s, s, s], s)"),
        ("list[int]", "[1]", "s + s"), ("int", "7", "s * s"),
        ("float", "7.5", "round(s, 1000000000)"),
    ],
)  # fmt: skip
def test_values_are_bounded(tmp_path: Path, type: str, start: str, step: str) -> None:
    steps = [f"let s{i} = " + re.sub(r"\bs\b", f"s{i - 1}", step) for i in range(1, 60)]
    body = "\n  ".join([f"let s0 = {start}", *steps, "return s59"])
    (tmp_path / "p.lmp").write_text(f"pipeline main(q: str) -> {type} {{\n  {body}\n}}\n")
    with pytest.raises(LmcError, match=r"evaluation-failed.*(too large|at most)"):
        lmc.load(tmp_path / "p.lmp", cache=False).main(q="x")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("mul", ("a", 10**12)), ("mul", ([1], 10**12)), ("mul", (10**5000, 10**5000)),
        ("add", ("a" * 6_000_000, "a" * 6_000_000)), ("round", (5, -(10**9))),
        ("round", (5.5, 10**9)), ("join", (["a" * 1000] * 9000, "a" * 1000)),
    ],
)  # fmt: skip
def test_an_operation_gives_no_value_of_any_size(name: str, args: tuple[object, ...]) -> None:
    with pytest.raises((ArithmeticError, ValueError, TypeError)):
        FUNCTIONS[name]({}, *args)


# Parts of a value are shared, so that each step costs nothing; the value doubles all the same.
GROWING = {
    "[s, s]": "too large",
    '{"a": s, "b": s}': "too large",
    "Pair(left=s, right=s)": "too large",
    "[s for x in xs]": "too large",
    "[[s, q] for x in xs]": "too large",
    "[s]": "nested too deeply",
    '{"a": s}': "nested too deeply",
}
PAIR = "record Pair { left: json, right: json }\n"


@pytest.mark.parametrize(("step", "words"), GROWING.items())
def test_a_value_that_shares_its_parts_is_bounded(tmp_path: Path, step: str, words: str) -> None:
    (tmp_path / "p.lmp").write_text(
        PAIR + "pipeline grow(s: json, q: json, xs: list[int]) -> json {\n"
        f"  return {step}\n}}\n"
        "pipeline main(q: json, xs: list[int]) -> json {\n"
        "  return loop s = q for 400 {\n    yield grow(s, q, xs)\n  }\n}\n"
    )
    loaded = lmc.load(tmp_path / "p.lmp", cache=False)
    with pytest.raises(LmcError, match=f"evaluation-failed.*{words}") as failure:
        loaded.main(q="text", xs=[1, 2, 3])
    (told,) = failure.value.diagnostics
    assert told.span is not None
    assert told.span.source.position(told.span.start)[0] == 3  # the line of the step
    assert size._remembered == {}  # nothing of the run is kept


def test_a_map_that_calls_is_bounded_too(tmp_path: Path) -> None:
    (tmp_path / "p.lmp").write_text(
        'generate say(s: json) -> json { """A.""" }\n'
        "pipeline main(xs: list[int]) -> list[json] {\n"
        '  let big = loop s = "x" for 17 { yield join([s, s]) }\n'
        "  return [[big, say(x)] for x in xs]\n}\n"
    )
    said = Scripted(lambda request: "1")
    loaded = lmc.load(tmp_path / "p.lmp", cache=False, backend=said)
    assert len(loaded.main(xs=[1] * 70)) == 70
    with pytest.raises(LmcError, match=r"p\.lmp:4:.*evaluation-failed.*too large"):
        loaded.main(xs=[1] * 80)


def test_lists_that_are_added_are_measured_with_what_is_in_them() -> None:
    add, text = FUNCTIONS["add"], "x" * 1_000_000
    one: object = [text]
    for _ in range(3):
        one = add({}, one, one)
    assert one == [text] * 8
    with pytest.raises(ValueError, match="too large"):
        add({}, one, one)
    with pytest.raises(ValueError, match="too large"):
        FUNCTIONS["list"]({}, *[1 << 8000] * 10_000)


@given(st.recursive(
    st.text(max_size=5) | st.integers() | st.none() | st.booleans() | st.floats(),
    lambda parts: st.lists(parts, max_size=5) | st.dictionaries(st.text(max_size=3), parts),
    max_leaves=40,
))  # fmt: skip
def test_a_size_does_not_depend_on_what_is_remembered(value: object) -> None:
    size.forget_sizes()
    first = size.measure([value], 100)
    second = size.measure([value, value], 100)
    assert second == (2 * first[0], first[1])
    assert size.measure([value], 100) == first
    size.forget_sizes()
    assert size.measure([value], 100) == first
