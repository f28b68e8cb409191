"""What prompts have in common is marked for providers that cache only that."""

from pathlib import Path

import pytest

import lmc
from lmc.models.base import Request, Sampling
from lmc.models.dialect import Dialect, forget_dialects
from lmc.models.litellm_provider import LiteLLM, _imported
from lmc.models.prompt_caches import Beginnings, wished
from lmc.models.server_kinds import KINDS
from tests.loopback import Loopback

TURNS = (
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "1"},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "2"},
)
MARK = {"type": "ephemeral"}


@pytest.fixture(autouse=True)
def nothing_learnt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    forget_dialects()


def marks(messages):
    """The numbers of the marked messages."""
    return [
        i
        for i, message in enumerate(messages)
        if isinstance(message["content"], list)
        and message["content"][-1].get("cache_control") == MARK
    ]


@pytest.mark.parametrize(
    ("wish", "first", "second"),
    [
        ("turns", [2], [2]),
        ("head", [0], [0]),
        ("auto turns", [], [2]),
        ("auto head", [], [0]),
    ],
)
def test_where_the_mark_is(wish, first, second):
    beginnings = Beginnings()
    assert marks(beginnings.marked(TURNS, wish)) == first
    other = (*TURNS[:3], {"role": "user", "content": "3"})
    assert marks(beginnings.marked(other, wish)) == second
    assert marks(beginnings.marked(({"role": "system", "content": "x"}, TURNS[3]), wish)) in (
        [],
        [0],
    )


def test_a_prompt_of_one_turn_shares_nothing_and_no_empty_part_is_marked():
    assert Beginnings().marked(TURNS[3:], "turns") == [TURNS[3]]
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert Beginnings().marked((TURNS[0], calls, TURNS[3]), "turns")[1] == calls


def test_a_part_of_a_file_keeps_its_form():
    image = {"type": "image_url", "image_url": {"url": "data:x"}}
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}, image]}
    (found, _) = Beginnings().marked((turn, TURNS[3]), "turns")
    assert found["content"] == [{"type": "text", "text": "a"}, {**image, "cache_control": MARK}]


@pytest.mark.parametrize(
    ("setting", "shared", "wish"),
    [
        (True, "turns", "turns"),
        ("auto", "head", "auto head"),
        (False, "turns", None),
        (None, "turns", None),
        (True, None, None),
    ],
)
def test_the_wish_of_a_module(setting, shared, wish):
    assert wished(setting, shared) == wish


@pytest.mark.parametrize(
    ("kind", "model", "marked", "named"),
    [
        ("openrouter", "anthropic/claude-sonnet-4.5", [2], False),
        ("openrouter", "openai/gpt-5", [], False),
        ("openai", "gpt-5", [], True),
        ("vllm", "claude-like", [], False),
    ],
)
def test_who_is_told(kind, model, marked, named):
    request = Request(model, TURNS, Sampling(cache_prompt="turns"))
    payload = Dialect("e", KINDS[kind]).payload(request)
    assert marks(payload["messages"]) == marked
    assert ("prompt_cache_key" in payload) == named
    plain = Dialect("e", KINDS[kind]).payload(Request(model, TURNS))
    assert marks(plain["messages"]) == [] and "prompt_cache_key" not in plain


def test_the_name_of_a_beginning_is_that_of_what_is_shared():
    dialect = Dialect("e", KINDS["openai"])

    def named(*turns):
        request = Request("m", turns, Sampling(cache_prompt="turns"))
        return dialect.payload(request)["prompt_cache_key"]

    other = {"role": "user", "content": "another"}
    assert named(*TURNS) == named(*TURNS[:3], other) != named(TURNS[0], other)


@pytest.mark.parametrize(("model", "marked"), [("anthropic/claude-x", [2]), ("cohere/x", [])])
def test_litellm_passes_the_mark_on_to_claude_only(model, marked):
    backend = LiteLLM(_imported(), model)
    sent = backend._arguments(Request(model, TURNS, Sampling(cache_prompt="turns")))
    assert marks(sent["messages"]) == marked


PROGRAM = """
model m { name: "openai/claude-x" base_url: "%s" dialect: "openrouter" cache_prompt: %s }
default { model: m }
generate main(q: str) -> str { \"""Answer.\""" }
example main("1") -> "one"
generate acting(who: str, q: str) -> str { \"""Answer.\""" role: f"You are {who}." }
"""


@pytest.mark.parametrize(("setting", "marked"), [("true", [2, 2]), ('"auto"', [0, 2])])
def test_a_program_says_so(setting, marked):
    with Loopback("ok") as server:
        Path("p.lmp").write_text(PROGRAM % (server.url, setting))
        with lmc.load("p.lmp", cache=False) as program:
            program.main(q="a")
            program.main(q="b")
            program.acting(who="a cook", q="a")
            program.acting(who="a cook", q="b")
    found = [marks(payload["messages"]) for payload in server.payloads]
    assert [places[0] if places else 0 for places in found[:2]] == marked
    assert found[2:] == [[], []]
