"""How much a model thinks before it answers, in the words of each kind of server.

`reasoning:` is a word or a number of tokens. A server that knows only the other form gets the
nearest of it. The tokens of the words are those that Gemini documents for its compatible endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lmc.models.server_kinds import ThinkingForm

OFF = "off"
TOKENS: Mapping[str, int] = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576}
_LEAST = 1024  # tokens of thoughts that Anthropic takes
_ROOM = 4096  # tokens of an answer after the thoughts, where a program sets no limit

# Whatever `thinking` may send. A server that refuses one of them is not sent it again.
PARAMETERS = (
    *("reasoning_effort", "thinking", "extra_body", "reasoning", "reasoning_format"),
    *("chat_template_kwargs", "thinking_token_budget", "thinking_budget_tokens"),
)


def thinking(
    form: ThinkingForm, wanted: str | int | None, model: str, most: int | None
) -> dict[str, Any]:
    """The parameters that ask for so much thinking. `most` is the limit of all tokens."""
    return {} if wanted is None else _FORMS[form](wanted, model, most)


def effort(wanted: str | int) -> str:
    """The word for an amount of thinking."""
    if isinstance(wanted, str):
        return wanted
    if wanted <= 0:
        return OFF
    return next((word for word, tokens in TOKENS.items() if wanted <= tokens), "high")


def tokens(wanted: str | int) -> int:
    """The tokens for an amount of thinking."""
    return TOKENS.get(wanted, 0) if isinstance(wanted, str) else wanted


def _word(wanted: str | int) -> str:
    """The word as most providers write it."""
    word = effort(wanted)
    return "none" if word == OFF else word


def _by_effort(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    return {"reasoning_effort": _word(wanted)}


def _by_switch(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    """Chat templates that think have one of two names for it."""
    on = effort(wanted) != OFF
    return {"chat_template_kwargs": {"enable_thinking": on, "thinking": on}}


def _by_template(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    """A switch, and an effort for templates that know one, such as that of gpt-oss."""
    word, found = effort(wanted), _by_switch(wanted, model, most)
    if word == OFF:
        return found
    told = "low" if word == "minimal" else word
    found["chat_template_kwargs"]["reasoning_effort"] = told
    return found


def _vllm(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    found = _by_template(wanted, model, most)
    exact = isinstance(wanted, int) and wanted > 0
    return found | ({"thinking_token_budget": wanted} if exact else {})


def _llamacpp(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    found = _by_template(wanted, model, most)
    exact = isinstance(wanted, int) and wanted > 0
    return found | ({"thinking_budget_tokens": wanted} if exact else {})


def _anthropic(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    """A budget within the limit of all tokens, which leaves room for the answer.

    Too small a limit leaves no room to think, so none is asked for.
    """
    budget = max(tokens(wanted), _LEAST) if effort(wanted) != OFF else 0
    if most is not None:
        budget = min(budget, most - min(_ROOM, most // 2))
    if budget < _LEAST:
        return {"thinking": {"type": "disabled"}}
    found: dict[str, Any] = {"thinking": {"type": "enabled", "budget_tokens": budget}}
    return found if most is not None else found | {"max_tokens": budget + _ROOM}


def _google(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    if isinstance(wanted, int) and wanted > 0:
        return {"extra_body": {"google": {"thinking_config": {"thinking_budget": wanted}}}}
    return _by_effort(wanted, model, most)


def _deepseek(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    word = effort(wanted)
    if word == OFF:
        return {"thinking": {"type": "disabled"}}
    return {"thinking": {"type": "enabled"}, "reasoning_effort": word}


def _groq(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    """gpt-oss takes three words, and sends its thoughts apart; Qwen is only switched."""
    word = effort(wanted)
    if "gpt-oss" in model:
        return {"reasoning_effort": "low" if word in (OFF, "minimal") else word}
    return {"reasoning_effort": "none" if word == OFF else "default", "reasoning_format": "parsed"}


def _mistral(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    off = effort(wanted) in (OFF, "minimal")
    return {"reasoning_effort": "none" if off else "high"}


def _openrouter(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    if isinstance(wanted, int) and wanted > 0:
        return {"reasoning": {"max_tokens": wanted}}
    word = effort(wanted)
    return {"reasoning": {"enabled": False} if word == OFF else {"effort": word}}


def _none(wanted: str | int, model: str, most: int | None) -> dict[str, Any]:
    return {}


_FORMS: Mapping[ThinkingForm, Callable[[str | int, str, int | None], dict[str, Any]]] = {
    "effort": _by_effort,
    "switch": _by_switch,
    "template": _by_template,
    "vllm": _vllm,
    "llama.cpp": _llamacpp,
    "anthropic": _anthropic,
    "google": _google,
    "deepseek": _deepseek,
    "groq": _groq,
    "mistral": _mistral,
    "openrouter": _openrouter,
    "none": _none,
}
