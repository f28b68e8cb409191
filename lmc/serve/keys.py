"""API keys: who asks. Only digests are kept, and they are compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable
from pathlib import Path

from lmc.diagnostics import LmcError
from lmc.redaction import remember
from lmc.regular import read_text

VARIABLE = "LMC_SERVE_KEYS"
SHORTEST = 16  # characters of a key; shorter ones can be guessed
EVERYBODY = ""  # the owner of what is asked without keys
_MOST_FILE_BYTES = 1 << 20


class ApiKeys:
    """The keys of a server, and the names of their owners.

    Each is `KEY` or `NAME:KEY`. Raises: LmcError[bad-keys].
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._owners: dict[bytes, str] = {}
        for number, line in enumerate(keys, 1):
            name, _, key = line.rpartition(":")
            key = key.strip()
            if len(key) < SHORTEST or not key.isascii() or not key.isprintable() or " " in key:
                message = f"API key {number} must be {SHORTEST} or more printable ASCII characters"
                help = 'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one'
                raise LmcError.of("bad-keys", message, help=help)
            digest = hashlib.sha256(key.encode()).digest()
            self._owners[digest] = name.strip() or digest.hex()[:12]
            remember(f"API key of {self._owners[digest]}", key)

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, given: str) -> str | None:
        """The owner of a key; None if it is not known."""
        digest, found = hashlib.sha256(given.encode("utf-8", "replace")).digest(), None
        for known, name in self._owners.items():  # all of them, whichever it is
            if hmac.compare_digest(known, digest):
                found = name
        return found


def given_keys(file: Path | None) -> list[str]:
    """The keys of a file, one a line, else those of the environment, with commas between them.

    Raises: LmcError[cannot-read, bad-keys].
    """
    if file is None:
        return [key for key in os.environ.get(VARIABLE, "").split(",") if key.strip()]
    try:
        lines = read_text(file, _MOST_FILE_BYTES).split("\n")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise LmcError.of("cannot-read", f"cannot read the keys in {file}: {reason}") from None
    keys = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not keys:
        raise LmcError.of("bad-keys", f"{file} has no API keys", help="write one key a line")
    return keys
