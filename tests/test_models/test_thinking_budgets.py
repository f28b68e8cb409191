"""`reasoning:` in the words of each kind of server, and in the keys of the cache."""

import pytest

from lmc.check.settings import DIALECTS, THINKING
from lmc.models.base import Request, Sampling
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from lmc.models.thinking_budgets import OFF, PARAMETERS, TOKENS, effort, thinking
from lmc.requests.bound import merge
from lmc.requests.budget import Budget
from lmc.requests.cache import sample_keys
from lmc.requests.pool import ModelPool
from tests.loopback import Fault, Loopback

ON = {"enable_thinking": True, "thinking": True}
OFF_SWITCH = {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
CASES = [
    ("openai", "low", None, {"reasoning_effort": "low"}),
    ("openai", "off", None, {"reasoning_effort": "none"}),
    ("openai", 5000, None, {"reasoning_effort": "medium"}),
    ("openai", 10**6, None, {"reasoning_effort": "high"}),
    ("openai", 0, None, {"reasoning_effort": "none"}),
    ("anthropic", "high", 40000, {"thinking": {"type": "enabled", "budget_tokens": 24576}}),
    ("anthropic", 9000, 5000, {"thinking": {"type": "enabled", "budget_tokens": 2500}}),
    ("anthropic", 9000, 1000, {"thinking": {"type": "disabled"}}),
    ("anthropic", "off", None, {"thinking": {"type": "disabled"}}),
    ("gemini", "medium", None, {"reasoning_effort": "medium"}),
    ("gemini", 300, None,
     {"extra_body": {"google": {"thinking_config": {"thinking_budget": 300}}}}),
    ("deepseek", "off", None, {"thinking": {"type": "disabled"}}),
    ("deepseek", "high", None, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
    ("groq", "low", None, {"reasoning_effort": "default", "reasoning_format": "parsed"}),
    ("groq", "off", None, {"reasoning_effort": "none", "reasoning_format": "parsed"}),
    ("mistral", "low", None, {"reasoning_effort": "high"}),
    ("mistral", 0, None, {"reasoning_effort": "none"}),
    ("openrouter", 700, None, {"reasoning": {"max_tokens": 700}}),
    ("openrouter", "off", None, {"reasoning": {"enabled": False}}),
    ("vllm", "off", None, OFF_SWITCH),
    ("vllm", 700, None, {"chat_template_kwargs": {**ON, "reasoning_effort": "low"},
                         "thinking_token_budget": 700}),
    ("llama.cpp", 700, None, {"chat_template_kwargs": {**ON, "reasoning_effort": "low"},
                              "thinking_budget_tokens": 700}),
    ("sglang", "high", None, {"chat_template_kwargs": {**ON, "reasoning_effort": "high"}}),
    ("transformers", "high", None, {"chat_template_kwargs": ON}),
    ("other", "high", None, {"reasoning_effort": "high"}),
]  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()
    yield
    forget_dialects()


@pytest.mark.parametrize(("kind", "wanted", "most", "sent"), CASES)
def test_each_kind_is_asked_in_its_words(kind, wanted, most, sent):
    assert thinking(KINDS[kind].thinking, wanted, "m", most) == sent


def test_gpt_oss_at_groq_takes_an_effort():
    assert thinking("groq", "medium", "openai/gpt-oss-20b", None) == {"reasoning_effort": "medium"}


def test_a_budget_of_anthropic_without_a_limit_leaves_room_for_the_answer():
    sent = thinking("anthropic", 2000, "m", None)
    assert sent["max_tokens"] > sent["thinking"]["budget_tokens"] == 2000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wanted", [*THINKING, 0, 2000])
def test_all_that_is_sent_can_be_left_out_if_refused(kind, wanted):
    sent = thinking(KINDS[kind].thinking, wanted, "m", None)
    assert set(sent) <= {*PARAMETERS, "max_tokens"}
    assert thinking(KINDS[kind].thinking, None, "m", None) == {}


def test_the_words_of_the_language_are_those_of_the_backends():
    assert (OFF, *TOKENS) == THINKING and tuple(KINDS) == DIALECTS
    assert [effort(tokens) for tokens in TOKENS.values()] == list(TOKENS)


async def test_a_server_that_refuses_it_answers_without():
    def script(payload):
        unknown = "Unrecognized request argument supplied: reasoning_effort"
        return Fault(400, unknown) if "reasoning_effort" in payload else "fine"

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url)
        for _ in range(2):
            request = Request("m", ({"role": "user", "content": "q"},), Sampling(reasoning="low"))
            assert (await backend.generate(request))[0].text == "fine"
        await backend.close()
    assert ["reasoning_effort" in payload for payload in server.payloads] == [True, False, False]


def test_what_changes_answers_is_in_the_keys_and_what_does_not_is_not():
    prompt = ({"role": "user", "content": "q"},)
    plain = Sampling(0.5)
    changed = [
        Sampling(0.5, reasoning="low"),
        Sampling(0.5, reasoning=1024),
        Sampling(0.5, strict=True),
        Sampling(0.5, strict=False),
        Sampling(0.5, extra='{"top_k":3}'),
        Sampling(0.5, headers=(("X-A", "1"),)),
    ]
    keys = [sample_keys("e", Request("m", prompt, s))[0] for s in (plain, *changed)]
    assert len(set(keys)) == len(keys)
    same = sample_keys("e", Request("m", prompt, Sampling(0.5, cache_prompt=True)))
    assert same == keys[:1]


def test_a_modules_own_wish_wins():
    own, given = Sampling(reasoning="high", strict=False), Sampling(reasoning="low", extra="{}")
    assert merge(own, given) == Sampling(reasoning="high", strict=False, extra="{}")
    assert merge(Sampling(), given) == given


@pytest.mark.parametrize(("reasoning", "most"), [(None, 4096), ("low", 5120), (3000, 7096)])
async def test_a_budget_of_tokens_leaves_room_for_the_answer_after_the_thoughts(reasoning, most):
    with Loopback("fine") as server:
        pool = ModelPool(
            {"m": {"name": "openai/x", "reasoning": reasoning}},
            backends={"*": OpenAICompatible(server.url)},
            budget=Budget(tokens=50_000),
        )
        await pool.ask("m", Request("m", ({"role": "user", "content": "q"},)))
        await pool.close()
    assert server.payloads[0]["max_tokens"] == most
