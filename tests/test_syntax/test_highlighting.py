"""Colours for programs: every keyword of the grammar has one, and no program has a gap."""

import re
import tomllib
from importlib import import_module, resources
from pathlib import Path

import pytest
from pygments.token import Keyword, Name, Text

from lmc.syntax.highlighting import DECLARATIONS, STATEMENTS, UNITS, LmpLexer

ROOT = Path(__file__).parents[2]
OTHER = {"and", "or", "not", "true", "false", "none", "unique"}


def test_every_keyword_of_the_grammar_has_a_colour() -> None:
    grammar = resources.files("lmc.grammars").joinpath("lmp.lark").read_text("utf-8")
    keywords = set(re.findall(r'"([a-z]+)"', grammar))
    assert keywords == {*DECLARATIONS, *STATEMENTS, *UNITS, *OTHER}


@pytest.mark.parametrize("path", sorted((ROOT / "programs").glob("*.lmp")), ids=lambda p: p.stem)
def test_a_program_is_told_apart_whole(path: Path) -> None:
    text = path.read_text("utf-8")
    tokens = list(LmpLexer(ensurenl=False, stripnl=False).get_tokens(text))
    assert "".join(value for _, value in tokens) == text
    assert [value for kind, value in tokens if kind is Text] == []


def test_a_refinement_is_no_function() -> None:
    found = list(LmpLexer().get_tokens("type T = list[str](1..5, unique)\nunique(xs)"))
    kinds = [kind for kind, value in found if value == "unique"]
    assert kinds == [Keyword, Name.Function]


def test_pygments_is_told_where_the_lexer_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, name = project["entry-points"]["pygments.lexers"]["lmp"].partition(":")
    assert getattr(import_module(module), name) is LmpLexer
