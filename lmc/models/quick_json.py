"""JSON of requests, replies and what is cached: pydantic-core takes a fifth of json's time.

It is imported at the first use. What it refuses and json takes (half of a surrogate pair) is left
to json.
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
    """The value that some JSON stands for. Raises: ValueError, also where it is nested too deep."""
    from pydantic_core import from_json

    try:
        return from_json(text)
    except ValueError as problem:
        if "recursion" in str(problem):
            raise ValueError("it is nested too deep") from None
        return json.loads(text)
