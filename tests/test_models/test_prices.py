"""Prices of models: the table, kinds of tokens, tiers; and a budget that holds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lmc
from lmc.diagnostics import LmcError
from lmc.models.base import PRICED, Price, TokenDetails
from lmc.models.border import read_usage
from lmc.models.prices import known_price
from tests.loopback import Loopback, said

PRICE = Price(1.0, 10.0, cached=0.1, written=1.25, audio=40.0, spoken=80.0)


def test_each_kind_of_token_has_its_price() -> None:
    details = TokenDetails(cached=500, written=100, audio=10, reasoning=50, spoken=5)
    dollars = 390 * 1 + 500 * 0.1 + 100 * 1.25 + 10 * 40 + 95 * 10 + 5 * 80
    assert PRICE.cost_usd(1000, 100, details) == pytest.approx(dollars / 1e6)
    assert Price(1.0, 10.0).cost_usd(1000, 100, details) == pytest.approx(2000 / 1e6)


def test_a_long_prompt_has_the_price_of_its_tier() -> None:
    price = Price(1.0, 10.0, tiers=((100, Price(2.0, 20.0)), (200, Price(3.0, 30.0))))
    assert [price.cost_usd(n, 0) * 1e6 for n in (100, 101, 201)] == pytest.approx([100, 202, 603])


def test_the_most_is_never_below_the_cost() -> None:
    for prompt in (10, 1000):
        for kind in ("cached", "written"):
            details = TokenDetails(**{kind: prompt})
            assert PRICE.most_usd(prompt, 5, audio=False) >= PRICE.cost_usd(prompt, 5, details)
    assert PRICE.most_usd(9, 0, audio=True) == PRICE.cost_usd(9, 0, TokenDetails(audio=9))


def test_the_language_names_the_same_kinds() -> None:
    from lmc.check.settings import _KINDS_OF_TOKENS

    assert _KINDS_OF_TOKENS == PRICED
    given = {"input": 1, "output": 2, "cached": 0.5}
    assert Price.from_settings({"price": given}) == Price(1.0, 2.0, cached=0.5)


@pytest.mark.parametrize("given", [{}, {"input": 1}, {"output": 2, "cached": 0.5}])
def test_half_a_price_is_not_known(given: dict[str, float]) -> None:
    """What is left out would cost nothing, and a budget in dollars would not hold."""
    assert Price.from_settings({"price": given}) is None


def test_the_table_knows_providers_and_addresses() -> None:
    pytest.importorskip("genai_prices")
    official = known_price("gpt-4o-mini", url="https://api.openai.com/v1")
    assert official is not None
    assert 0 < (official.cached or 0) < official.input < official.output
    claude = known_price("claude-sonnet-4-5", provider="anthropic")
    assert claude is not None
    assert claude.written is not None and claude.written > claude.input
    assert claude.tiers[0][1].input > claude.input
    assert known_price("gemini-2.5-pro", provider="gemini") is not None
    for unknown in (
        {"model": "gpt-4o", "url": "http://127.0.0.1:8000/v1"},
        {"model": "gpt-4o", "url": "https://llm.example.com/v1"},
        {"model": "no-such-model", "provider": "anthropic"},
        {"model": "gpt-4o", "provider": "nobody"},
    ):
        assert known_price(**unknown) is None


def test_the_table_is_not_downloaded() -> None:
    pytest.importorskip("genai_prices")
    code = (
        "import socket\n"
        "def refuse(*_): raise AssertionError('a connection')\n"
        "socket.socket.connect = refuse\n"
        "from lmc.models.prices import known_price\n"
        "assert known_price('gpt-4o', provider='openai')\n"
        "import threading; assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


USAGES = [
    ({"prompt_tokens_details": {"cached_tokens": 64}}, {"cached": 64}),
    ({"cache_read_input_tokens": 7, "cache_creation_input_tokens": 9}, {"cached": 7, "written": 9}),
    ({"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 92}, {"cached": 8}),
    ({"completion_tokens_details": {"reasoning_tokens": 6}}, {"reasoning": 6}),
    ({"prompt_tokens_details": None, "completion_tokens_details": "no"}, {}),
    ({"prompt_tokens_details": {"cached_tokens": 1e9, "audio_tokens": -1}}, {}),
    ({"prompt_tokens_details": {"cached_tokens": 99_999}}, {"cached": 100}),
]


@pytest.mark.parametrize(("told", "wanted"), USAGES, ids=str)
def test_servers_tell_kinds_of_tokens_in_their_words(
    told: dict[str, Any], wanted: dict[str, int]
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **told}
    assert read_usage(usage) == (100, 10, TokenDetails(**wanted))


def test_thoughts_that_only_the_total_tells_are_billed() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 150}
    assert read_usage(usage) == (100, 50, TokenDetails(reasoning=40))


PROGRAM = """
model m {{ name: "openai/some-model" {price} }}
default {{ model: m, max_tokens: 10 }}
generate main(q: str) -> str {{ "Say it." }}
"""
ROWS = [{"q": f"{n}", "answer": "a"} for n in range(40)]


def measured(folder: Path, price: str, **budget: float) -> tuple[Any, int]:
    usage = {"prompt_tokens": 100, "completion_tokens": 10,
             "prompt_tokens_details": {"cached_tokens": 80}}  # fmt: skip
    (folder / "p.lmp").write_text(PROGRAM.format(price=price))
    with Loopback(lambda payload: said("a") | {"usage": usage}) as server:
        try:
            with lmc.load(folder / "p.lmp", base_url=server.url, cache=False) as program:
                return lmc.evaluate(program, ROWS, budget=budget), len(server.payloads)
        except LmcError as failure:
            return failure, len(server.payloads)


def test_a_budget_in_dollars_is_refused_without_a_price(tmp_path: Path) -> None:
    failure, asked = measured(tmp_path, "", usd=1.0)
    assert (failure.code, asked) == ("unknown-price", 0)
    failure, asked = measured(tmp_path, "budget: {usd: 1.0}", calls=100)
    assert (failure.code, asked) == ("unknown-price", 0)
    found, _ = measured(tmp_path, "", calls=40)
    assert found.rows == 40
    found, _ = measured(tmp_path, "price: {input: 0.0, output: 0.0}", usd=0.0)
    assert found.rows == 40


def test_a_budget_in_dollars_holds_with_kinds_of_tokens(tmp_path: Path) -> None:
    price = "price: {input: 1000.0, output: 2000.0, cached: 100.0, written: 3000.0}"
    each = (20 * 1000 + 80 * 100 + 10 * 2000) / 1e6
    found, _ = measured(tmp_path, price, usd=1000.0)
    assert found.usage.cost_usd == pytest.approx(40 * each)
    failure, asked = measured(tmp_path, price, usd=10 * each)
    assert failure.code == "budget-exceeded"
    assert 1 <= asked <= 10
    assert json.dumps(failure.diagnostics[0].message)
