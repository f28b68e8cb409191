"""Names for the model's eye: seen in prompts and answers, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmc
from lmc.models.scripted import Scripted
from lmc.types import (
    INT,
    STR,
    EnumType,
    Field,
    ListType,
    OptionalType,
    RecordType,
    UnionType,
    has_aliases,
)
from lmc.values import InvalidValue, json_schema, to_json, validate
from lmc.values.aliases import from_seen, seen_type, to_seen

LANGUAGE = EnumType("Language", ("cpp", "py", "other"), (), "", ("C++", "Python", "other"))
PART = RecordType("Part", (Field("lang", LANGUAGE, alias="language name"), Field("n", INT)))
PAGE = RecordType(
    "Page",
    (
        Field("type", STR, alias="@type"),
        Field("parts", ListType(PART), "", True, [{"lang": "cpp", "n": 1}]),
        Field("best", OptionalType(LANGUAGE), "", True, "py", "the best"),
        Field("plain", INT, "", True, 3),
    ),
)
LANGUAGES = st.sampled_from(["cpp", "py", "other"])
PARTS = st.fixed_dictionaries({"lang": LANGUAGES, "n": st.integers()})
PAGES = st.fixed_dictionaries(
    {
        "type": st.text(max_size=3),
        "parts": st.lists(PARTS, max_size=2),
        "best": st.none() | LANGUAGES,
        "plain": st.integers(),
    }
)


@given(PAGES)
def test_a_value_comes_back_as_it_was(page: dict[str, Any]) -> None:
    seen = to_seen(PAGE, page)
    assert set(seen) == {"@type", "parts", "the best", "plain"}
    assert validate(seen_type(PAGE), seen) == seen
    assert from_seen(PAGE, seen) == page
    assert from_seen(PAGE, page) == page
    assert to_json(PAGE, seen) == page


def test_what_has_no_aliases_stays_as_it_is() -> None:
    plain = RecordType("Plain", (Field("a", STR), Field("e", EnumType("E", ("x",)))))
    assert not has_aliases(plain)
    assert seen_type(plain) is plain
    value = {"a": "C++"}
    assert to_seen(plain, value) is value


def test_defaults_are_seen_too() -> None:
    assert validate(seen_type(PAGE), {"@type": "x"}) == {
        "@type": "x",
        "parts": [{"language name": "C++", "n": 1}],
        "the best": "Python",
        "plain": 3,
    }


def test_a_schema_has_the_aliases() -> None:
    schema = json_schema(seen_type(PAGE))
    assert schema["required"] == ["@type"]
    assert schema["properties"]["the best"]["anyOf"][0]["enum"] == ["C++", "Python", "other"]


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(InvalidValue, match="no field `@type`"):
        to_json(PAGE, {"type": "a", "@type": "b"})


def test_unions_are_renamed_by_the_option_that_fits() -> None:
    other = RecordType("Other", (Field("id", INT, alias="$id"),))
    both = UnionType((PART, other))
    for value in ({"lang": "cpp", "n": 1}, {"id": 4}):
        assert from_seen(both, to_seen(both, value)) == value
    assert to_seen(both, {"id": 4}) == {"$id": 4}


KEYS = st.sampled_from(["type", "@type", "parts", "lang", "the best"])
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner),
)


@given(JSON)
def test_any_json_can_be_renamed(value: Any) -> None:
    from_seen(PAGE, value)
    to_seen(PAGE, value)


PROGRAM = """
enum Language { cpp "compiled" as "C++", py as "Python", other }
record Page {
  type: str "its kind" as "@type"
  lang: Language as "prog-lang"
  tags: list[Language] = [Language.cpp]
}
generate read_page(text: str, old: Page?) -> Page { "Read it." layout: "LAYOUT" }
example read_page("a", none) -> Page(type="t", lang=Language.cpp)
pipeline main(text: str) -> str {
  let page = read_page(text, none)
  return page.type + (if page.lang == Language.cpp then "!" else "?")
}
dataset pages: Page { source: "pages.jsonl" }
"""
ANSWERS = {
    "chat": '[[@type]] web\n[[prog-lang]] **C++**\n[[tags]] ["Python"]',
    "json": '{"@type": "web", "prog-lang": "C++", "tags": ["Python"]}',
    "xml": '<@type>web</@type>\n<prog-lang>C++</prog-lang>\n<tags>["Python"]</tags>',
}


@pytest.mark.parametrize("layout", list(ANSWERS))
def test_models_see_aliases_in_each_layout(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "pages.lmp"
    path.write_text(PROGRAM.replace("LAYOUT", layout), "utf-8")
    backend = Scripted(lambda _: ANSWERS[layout])
    program = lmc.load(path, backend=backend)
    page = program.read_page("x", {"@type": "old", "lang": "py"})
    assert (page.type, page.lang, page.tags) == ("web", "cpp", ["py"])
    assert program.main("x") == "web!"
    shown = "\n".join(message["content"] for message in backend.requests[0].messages)
    for name in ("@type", "prog-lang", "C++", "Python"):
        assert name in shown
    for name in ("cpp", '"lang"', "[[lang]]", "<lang>", '"type": "old"'):
        assert name not in shown


def test_an_answer_outside_is_refused_by_its_alias(tmp_path: Path) -> None:
    path = tmp_path / "pages.lmp"
    path.write_text(PROGRAM.replace("LAYOUT", "json"), "utf-8")
    backend = Scripted(['{"@type": "web", "prog-lang": "cobol"}', ANSWERS["json"]])
    assert lmc.load(path, backend=backend).read_page("x", None).lang == "cpp"
    assert "`prog-lang`" in backend.requests[1].messages[-1]["content"]


@pytest.mark.parametrize(
    "row",
    [
        {"@type": "a", "prog-lang": "C++"},
        {"type": "a", "lang": "cpp"},
        {"type": "a", "prog-lang": "cpp", "tags": ["C++"]},
    ],
)
def test_rows_may_have_names_or_aliases(tmp_path: Path, row: dict[str, Any]) -> None:
    from lmc.measure.rows import load_rows

    record = RecordType("Page", (Field("type", STR, alias="@type"),
                                 Field("lang", LANGUAGE, alias="prog-lang"),
                                 Field("tags", ListType(LANGUAGE), "", True, ["cpp"])))  # fmt: skip
    file = tmp_path / "pages.jsonl"
    file.write_text(json.dumps(row), "utf-8")
    (loaded,) = load_rows(file, record)
    assert loaded.values == {"type": "a", "lang": "cpp", "tags": ["cpp"]}


def test_a_csv_may_have_aliases(tmp_path: Path) -> None:
    from lmc.measure.rows import load_rows

    file = tmp_path / "pages.csv"
    file.write_text("language name,n\nC++,1\n", "utf-8")
    (loaded,) = load_rows(file, PART)
    assert loaded.values == {"lang": "cpp", "n": 1}


@pytest.mark.parametrize("layout", list(ANSWERS))
def test_a_stream_has_the_names_of_the_program(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "pages.lmp"
    path.write_text(PROGRAM.replace("LAYOUT", layout), "utf-8")
    program = lmc.load(path, backend=Scripted(lambda _: ANSWERS[layout]))
    stream = program.read_page.whole("lang").stream("x", None)
    *_, last = list(stream)
    assert (last.type, last.lang, last.tags) == ("web", "cpp", ["py"])
    assert stream.result.type == "web"
