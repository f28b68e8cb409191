"""Remove secrets from everything that lmc reports. One function redacts each message.

A secret is the value of an environment variable whose name says so (`OPENAI_API_KEY`, `HF_TOKEN`),
or of a variable that a model's settings name (`remember`). It is removed in plain form, in base64
at any offset of the encoded text, and percent-encoded. Passwords in URLs and the text after
`Authorization:` are removed too.
"""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus

SHORTEST = 8  # characters of a secret; shorter values occur in harmless words
_NAME = re.compile(r"(?:^|_)(KEYS?|TOKENS?|SECRETS?|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_HEADER = re.compile(
    r"(authorization|api[-_]key)([\"']?\s*[:=]\s*[\"']?)((?:bearer|basic)\s+)?[^\s\"',;}]{4,}",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer)\s+[A-Za-z0-9._~+/=-]{16,}", re.IGNORECASE)
_IN_URL = re.compile(r"(://[^\s/:@]*):[^\s/@]+@")
_remembered: dict[str, str] = {}  # secrets by the name of their variable


def remember(name: str, secret: str | None) -> None:
    """Treat a value as a secret from now on, under any variable name."""
    if secret and len(secret) >= SHORTEST:
        _remembered[name] = secret


def redact(text: str) -> str:
    """Remove the secrets that this process knows from a text."""
    found = _pattern(frozenset(_secrets()))
    if found is not None:
        pattern, names = found
        text = pattern.sub(lambda match: f"[{names[match.group()]}]", text)
    text = _HEADER.sub(r"\1\2***", text)
    text = _BEARER.sub(r"\1 ***", text)
    return _IN_URL.sub(r"\1:***@", text)


def logger(name: str) -> logging.Logger:
    """The logger of a module, whose records go through `redact`."""
    made = logging.getLogger(name)
    if not any(isinstance(known, _Redacting) for known in made.filters):
        made.addFilter(_Redacting())
    return made


class _Redacting(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), ()
        return True


def _secrets() -> Iterator[tuple[str, str]]:
    yield from _remembered.items()
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and _NAME.search(name):
            yield name, value


@lru_cache(maxsize=8)
def _pattern(
    secrets: frozenset[tuple[str, str]],
) -> tuple[re.Pattern[str], dict[str, str]] | None:
    """A pattern for the forms of all secrets, the longest first, and the name of each form."""
    names = {form: name for name, secret in sorted(secrets) for form in _forms(secret)}
    if not names:
        return None
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))), names


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield repr(secret)[1:-1]
    for coded in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield coded
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), coded)
    data = secret.encode("utf-8", "surrogateescape")
    for before in range(3):  # bytes before it in its first group of three
        coded = base64.b64encode(b"\0" * before + data).decode()
        # The characters that encode bits of the secret only, with any text around it.
        inner = coded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        if len(inner) >= SHORTEST:
            yield inner
            yield inner.replace("+", "-").replace("/", "_")
