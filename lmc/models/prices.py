"""Prices of models from the table of the package `genai-prices`, which is read as it was installed.

Nothing is downloaded. A provider bills cached, written and audio tokens by prices of their own, and
some models all tokens by a higher one if the prompt is long.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from lmc.models.base import Price

# The providers of litellm whose names are others in the table.
_NAMES: Mapping[str, str] = {
    "gemini": "google", "vertex_ai": "google", "vertex_ai_beta": "google", "bedrock": "aws",
    "bedrock_converse": "aws", "azure_ai": "azure", "together_ai": "together", "xai": "x-ai",
    "fireworks_ai": "fireworks", "cohere_chat": "cohere", "voyage": "voyageai",
    "moonshot": "moonshotai", "text-completion-openai": "openai",
}  # fmt: skip
_FIELDS = {
    "input": "input_mtok", "output": "output_mtok", "cached": "cache_read_mtok",
    "written": "cache_write_mtok", "audio": "input_audio_mtok", "spoken": "output_audio_mtok",
}  # fmt: skip


@lru_cache(maxsize=256)
def known_price(
    model: str, *, provider: str | None = None, url: str | None = None, embeds: bool = False
) -> Price | None:
    """The price of a model of a provider, or of the server at a URL; None if it is not known."""
    if url is not None and _is_local(url):
        return None  # nobody lists prices of it, and the table takes a moment to read
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    named = _NAMES.get(provider, provider) if provider else None
    try:
        _, found = get_snapshot().find_provider_model(model, None, named, url)
    except LookupError:
        return None
    prices = found.get_prices(dt.datetime.now(dt.UTC))
    if getattr(prices, "requests_kcount", None):  # by the request, which tokens do not tell
        return None
    return _price(prices, embeds=embeds)


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host


def _price(prices: Any, *, embeds: bool) -> Price | None:
    given = {name: getattr(prices, field, None) for name, field in _FIELDS.items()}
    if embeds and given["output"] is None:
        given["output"] = 0  # a vector is no output
    if given["input"] is None or given["output"] is None:
        return None
    starts = {
        int(tier.start)
        for value in given.values()
        for tier in getattr(value, "tiers", ())
        if value is not None
    }
    tiers = tuple((start, Price(**_at(given, start + 1))) for start in sorted(starts))
    return Price(**_at(given, 0), tiers=tiers)


def _at(given: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """The dollars of each kind of token in a prompt of so many."""
    return {name: _dollars(value, tokens) for name, value in given.items() if value is not None}


def _dollars(value: Any, tokens: int) -> float:
    price = getattr(value, "base", value)
    for tier in getattr(value, "tiers", ()):
        if tokens > tier.start:
            price = tier.price
    return float(price)
