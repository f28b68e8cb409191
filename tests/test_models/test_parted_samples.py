"""More samples than a server gives in one request."""

import pytest

from lmc.models.base import ModelFailure, Request, Sampling
from lmc.models.dialect import forget_dialects
from lmc.models.openai_compatible import OpenAICompatible
from lmc.models.server_kinds import KINDS
from lmc.requests.budget import Budget
from lmc.requests.pool import ModelPool
from tests.loopback import Fault, Loopback

QUESTION = ({"role": "user", "content": "q"},)


@pytest.fixture(autouse=True)
def nothing_learnt():
    forget_dialects()
    yield
    forget_dialects()


def texts(payload):
    n, start = payload.get("n", 1), payload.get("seed", 0)
    return [f"sample {start + i}" for i in range(n)]


def capped(most, words):
    return lambda p: Fault(400, words) if p.get("n", 1) > most else texts(p)


REFUSALS = [
    ("Invalid value for 'n': must be less than or equal to 4", 4, [8, 4, 4]),
    ("n must be at most 3", 3, [8, 3, 3, 2]),
    ("'n' : number must be at most 1", 1, [8, 1, 1, 1, 1, 1, 1, 1, 1]),
    ("Multiple candidates is not enabled for this model", 1, [8, 1, 1, 1, 1, 1, 1, 1, 1]),
]


@pytest.mark.parametrize(("words", "most", "asked"), REFUSALS)
async def test_a_cap_is_learnt_from_its_refusal_and_no_sample_is_lost(words, most, asked):
    request = Request("m", QUESTION, Sampling(seed=10), n=8)
    with Loopback(capped(most, words)) as server:
        backend = OpenAICompatible(server.url)
        answers = await backend.generate(request)
        assert [p.get("n", 1) for p in server.payloads] == asked
        await backend.generate(request)  # knows it by now
        assert [p.get("n", 1) for p in server.payloads[len(asked) :]] == asked[1:]
        await backend.close()
    assert [answer.text for answer in answers] == [f"sample {10 + i}" for i in range(8)]
    # Each request read the prompt, and its first answer counts it.
    counted = [i for i, answer in enumerate(answers) if answer.prompt_tokens]
    assert counted == list(range(0, 8, most))


async def test_a_server_that_gives_fewer_is_asked_for_the_rest_in_its_portions():
    def script(payload):
        return texts({**payload, "n": min(3, payload.get("n", 1))})

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url)
        answers = await backend.generate(Request("m", QUESTION, Sampling(seed=0), n=7))
        await backend.close()
    assert [answer.text for answer in answers] == [f"sample {i}" for i in range(7)]
    assert [p.get("n", 1) for p in server.payloads] == [7, 3, 1]


async def test_a_known_cap_needs_no_refusal_and_the_budget_counts_each_sample():
    with Loopback(texts) as server:
        backend = OpenAICompatible(server.url, kind=KINDS["gemini"])
        budget = Budget(calls=10)
        pool = ModelPool(backends={"*": backend}, budget=budget)
        answers = await pool.ask("openai/m", Request("m", QUESTION, Sampling(0.5), n=10))
        await pool.close()
    assert sorted(p.get("n", 1) for p in server.payloads) == [2, 8]
    assert len(answers) == pool.usage.calls == 10
    assert sum(answer.prompt_tokens > 0 for answer in answers) == 2
    assert pool.usage.prompt_tokens == 2 * answers[0].prompt_tokens


async def test_a_part_that_fails_leaves_what_the_others_cost():
    def script(payload):
        return Fault(403, "no") if payload["seed"] == 4 else texts(payload)

    with Loopback(script) as server:
        backend = OpenAICompatible(server.url, kind=KINDS["groq"])
        with pytest.raises(ModelFailure) as failure:
            await backend.generate(Request("m", QUESTION, Sampling(seed=0), n=5))
        await backend.close()
    assert failure.value.kind == "auth" and len(failure.value.paid) == 4
    assert len(server.payloads) == 5
