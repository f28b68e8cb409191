"""The providers of well-known models, for names that lack one."""

from __future__ import annotations

_FAMILIES = {
    "gpt": "openai",
    "chatgpt": "openai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "claude": "anthropic",
    "gemini": "gemini",
    "mistral": "mistral",
    "command": "cohere",
    "deepseek": "deepseek",
    "llama": "ollama",
    "qwen": "ollama",
    "gemma": "ollama",
    "phi": "ollama",
}  # the beginnings of names, in lower case


def with_provider(name: str) -> str:
    """A model's name as `provider/name`; without a known provider, as a server would take it."""
    if "/" in name:
        return name
    known = (to for start, to in _FAMILIES.items() if name.lower().startswith(start))
    return f"{next(known, 'openai')}/{name}"
