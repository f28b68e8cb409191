"""Decide which key goes to which host. A program cannot send a key to a foreign host.

A key goes to its provider, to a server that the user named, or to a host that the user allowed. It
travels by https, or stays on this machine. The docs' page on security has the rules.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from lmc.consent import HOSTS_VARIABLE, OWN, Consent
from lmc.diagnostics import LmcError, error
from lmc.frozen import frozen
from lmc.models.passed_on import passes_on

# Hosts that belong to one provider completely, with the first words of its variables. Hosts on
# which customers have their own names or pages (Azure, hosted endpoints) are left out.
_PROVIDERS: Mapping[str, str] = {
    "api.openai.com": "OPENAI",
    "eu.api.openai.com": "OPENAI",
    "us.api.openai.com": "OPENAI",
    "api.anthropic.com": "ANTHROPIC",
    "openrouter.ai": "OPENROUTER",
    "api.groq.com": "GROQ",
    "api.mistral.ai": "MISTRAL",
    "api.deepseek.com": "DEEPSEEK",
    "api.together.xyz": "TOGETHER TOGETHERAI",
    "api.together.ai": "TOGETHER TOGETHERAI",
    "api.fireworks.ai": "FIREWORKS",
    "generativelanguage.googleapis.com": "GEMINI GOOGLE_API GOOGLE_AI",
    "api.x.ai": "XAI",
    "api.cerebras.ai": "CEREBRAS",
    "integrate.api.nvidia.com": "NVIDIA",
    "router.huggingface.co": "HF HUGGINGFACE HUGGING_FACE",
    "api.perplexity.ai": "PERPLEXITY PERPLEXITYAI",
    "api.deepinfra.com": "DEEPINFRA",
    "api.sambanova.ai": "SAMBANOVA",
    "api.moonshot.ai": "MOONSHOT",
    "dashscope.aliyuncs.com": "DASHSCOPE",
    "dashscope-intl.aliyuncs.com": "DASHSCOPE",
    "api.cohere.com": "COHERE CO",
    "api.cohere.ai": "COHERE CO",
    "models.github.ai": "GITHUB",
    "ollama.com": "OLLAMA",
}
# Keys of servers that users run themselves. They may go to this machine.
_SELF_HOSTED = "HOSTED_VLLM VLLM OLLAMA SGLANG LLAMA LM_STUDIO"
# Addresses that all URL parsers read the same way.
_PLAIN_URL = re.compile(
    r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:\d+)?(/[\w./~%+-]*)?", re.ASCII | re.IGNORECASE
)


@frozen
class Address:
    """The server of a model. `users`: the user or the provider chose it, not the program."""

    url: str
    users: bool

    @classmethod
    def of(cls, settings: Mapping[str, Any], usual: str | None) -> Address | None:
        """The user's address, else the program's, else the provider's usual one.

        Raises: LmcError[bad-base-url].
        """
        consent: Consent = settings.get("consent") or OWN
        if consent.base_url is not None:
            return cls(consent.base_url, users=True)
        if named := settings.get("base_url"):
            own = bool(settings.get("users"))
            if not own and not _PLAIN_URL.fullmatch(str(named)):
                raise LmcError(_bad_url(str(named)))
            return cls(str(named), users=own)
        return cls(usual, users=True) if usual else None

    @property
    def parts(self) -> SplitResult:
        """The parts of the URL."""
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """The host with its port, as messages show it."""
        return self.parts.netloc.rpartition("@")[2] or self.url


def key_to_send(
    address: Address, provider: str, usual: str, settings: Mapping[str, Any]
) -> str | None:
    """The environment variable whose value goes to a server. None means that no key is sent.

    `provider` is the first word of the provider's variables. `usual` is the variable if the program
    does not name one. Raises: LmcError[host-not-allowed, key-not-allowed].
    """
    consent: Consent = settings.get("consent") or OWN
    named = settings.get("api_key_env")
    variable = str(named or usual)
    if address.users and (named is None or _begins(variable, provider) or settings.get("users")):
        return variable
    allowed, known = is_allowed(address, consent), _is_known(address, variable)
    if consent.stranger and not address.users and not allowed:
        _require_host(address)
    if known:
        return variable
    if named is None:
        return None
    if allowed or (is_loopback(address.parts.hostname) and _begins(variable, _SELF_HOSTED)):
        return variable
    raise LmcError(_refused_key(variable, address))


def require_address(address: Address, consent: Consent) -> None:
    """Require consent for a host if lmc cannot know which keys are sent.

    Raises: LmcError[host-not-allowed].
    """
    if not address.users and not is_allowed(address, consent):
        raise LmcError(_refused_host(address))


def require_variable(variable: str, provider: str, consent: Consent) -> None:
    """Require that a variable belongs to a provider whose host lmc does not know.

    Raises: LmcError[key-not-allowed].
    """
    words = f"{provider} {provider.replace('_', '')}"  # TOGETHERAI_API_KEY of together_ai
    if not _begins(variable, words) and provider not in consent.allowed_hosts():
        raise LmcError(_refused_key(variable, Address(f"//{provider}", users=True)))


def require_passing(host: str, allowed: bool, settings: Mapping[str, Any]) -> None:
    """Require consent if an artifact's settings steer a server: they may cost, or lead elsewhere.

    Raises: LmcError[settings-not-allowed].
    """
    consent: Consent = settings.get("consent") or OWN
    names = passes_on(settings)
    if not names or not consent.stranger or settings.get("users") or allowed:
        return
    told = " and ".join(f"`{name}`" for name in names)
    message = f"the artifact would steer {host} by {told} of its own"
    help = f"if you trust it: `--allow-host {host}`, `hosts=[{host!r}]` in Python"
    raise LmcError.of("settings-not-allowed", message, help=f"{help}, or {HOSTS_VARIABLE}")


def is_allowed(address: Address, consent: Consent) -> bool:
    """Whether the user allows a program to send keys to an address."""
    return any(_matches(entry, address.parts) for entry in consent.allowed_hosts())


def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _require_host(address: Address) -> None:
    """Require that an artifact names only providers: this machine has private servers too."""
    parts = address.parts
    if parts.scheme != "https" or parts.hostname not in _PROVIDERS:
        raise LmcError(_refused_host(address))


def _is_known(address: Address, variable: str) -> bool:
    parts = address.parts
    words = _PROVIDERS.get(parts.hostname or "")
    return bool(words) and parts.scheme == "https" and _begins(variable, str(words))


def _matches(entry: str, url: SplitResult) -> bool:
    """Whether an entry allows an address. Plain http needs `http://` there, or this machine."""
    wanted = urlsplit(entry if "://" in entry else f"//{entry}")
    safe = url.scheme == "https" or is_loopback(url.hostname)
    return (
        wanted.hostname == url.hostname
        and (wanted.port is None or wanted.port == url.port)
        and (safe or url.scheme == wanted.scheme)
    )


def _begins(variable: str, words: str) -> bool:
    """Whether a variable belongs to a provider, since its name begins with one of the words."""
    name = f"{_letters(variable)}_"
    return any(name.startswith(f"{_letters(word)}_") for word in words.split())


def _letters(word: str) -> str:
    return word.upper().replace("-", "_")


def _refused_key(variable: str, address: Address) -> Any:
    message = f"the program would send the value of {variable} to {address.host}"
    return error("key-not-allowed", message, help=_help(address))


def _refused_host(address: Address) -> Any:
    message = f"the program would connect to {address.host}, which you did not name"
    return error("host-not-allowed", message, help=_help(address))


def _bad_url(url: str) -> Any:
    shown = url.rpartition("@")[2]  # a password may stand before it
    message = f"the program's base URL `{shown}` is not a plain address of a server"
    return error("bad-base-url", message, help="write it as `https://host:8000/v1`")


def _help(address: Address) -> str:
    plain = address.parts.scheme == "http" and not is_loopback(address.parts.hostname)
    host = f"http://{address.host}" if plain else address.host
    return (
        f"if you trust that host: `--allow-host {host}`, `hosts=[{host!r}]` in Python,"
        f" or {HOSTS_VARIABLE}"
    )
