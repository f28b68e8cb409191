"""JSON for requests, replies and the cache by pydantic-core, which takes a fifth of json's time.

It is imported at the first use. json handles what pydantic-core refuses: half a surrogate pair.
"""

from __future__ import annotations

import json
from typing import Any


def encode(value: Any) -> bytes:
    """JSON without spaces, as UTF-8."""
    from pydantic_core import to_json

    try:
        return to_json(value)
    except ValueError:
        return json.dumps(value, separators=(",", ":")).encode()


def decode(text: bytes | str) -> Any:
    """Decode JSON. Raises: ValueError, also if it is nested too deep."""
    from pydantic_core import from_json

    try:
        return from_json(text)
    except ValueError as problem:
        if "recursion" in str(problem):
            raise ValueError("it is nested too deep") from None
        return json.loads(text)
