"""Regular expressions of programs, matched in time linear in the text.

They run on the engine of Rust's `regex`, through pydantic-core. It does not support look-around and
back-references: matching those needs backtracking, which may take forever. The import takes longer
than a check, so it happens at the first pattern.
"""

from __future__ import annotations

import re
from functools import lru_cache

MOST_CHARS = 2000  # of a pattern


class Pattern:
    """A regular expression. Raises: ValueError, with the reason why it is not valid."""

    def __init__(self, text: str, *, whole: bool, across_lines: bool = False) -> None:
        from pydantic_core import SchemaError, SchemaValidator, core_schema

        if len(text) > MOST_CHARS:
            raise ValueError(f"it has more than {MOST_CHARS:,} characters")
        flags = "(?s)" if across_lines else ""
        written = rf"\A{flags}(?:{text})\z" if whole else flags + text
        try:
            schema = core_schema.str_schema(pattern=written, regex_engine="rust-regex")
            self._validator = SchemaValidator(schema)
        except SchemaError as problem:
            raise ValueError(_reason(str(problem))) from None

    def matches(self, text: str) -> bool:
        """Whether the pattern matches in the text, or with `whole` matches all of it."""
        from pydantic_core import ValidationError

        try:
            self._validator.validate_python(text)
        except ValidationError:
            return False
        return True


@lru_cache(maxsize=256)
def whole_pattern(text: str) -> Pattern:
    """A pattern that must match all of a text. Raises: ValueError."""
    return Pattern(text, whole=True)


def _reason(told: str) -> str:
    """The engine's error message, without its display of the pattern."""
    found = re.search(r"error: (.+)|(exceeds size limit.*)", told)
    return (found[1] or found[2]) if found else "it cannot be read"


def decodable(text: str) -> bool:
    r"""Whether constrained decoding can enforce a pattern that must match all of a text.

    It cannot look around, so `\b` and an anchor inside of the pattern are only validated. A `^` or
    `$` outside of brackets counts as inside unless it stands at an end.
    """
    inner = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", _kept, _ENDS.sub("", text), flags=re.DOTALL)
    return not re.search(r"[\^$]|\\[bBAz<>]|\(\?[a-zA-Z-]*[mRUx]", inner)


_ENDS = re.compile(r"\A(?:\^|\\A)|(?<!\\)(?:\$|\\z)\Z")


def _kept(part: re.Match[str]) -> str:
    """An escape that looks around stays; a class and other escapes go."""
    return part[0] if part[0][1:2] in "bBAz<>" and part[0][0] == "\\" else ""
