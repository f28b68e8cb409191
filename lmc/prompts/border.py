"""The border for the text of models: refuse what is not text or far too long."""

from __future__ import annotations

from lmc.prompts.spec import ParseFailure
from lmc.prompts.tolerant_json import whole_characters

MAX_ANSWER = 4_000_000  # characters; far more than any model writes
MAX_QUOTED = 20_000  # characters of an answer in a repair prompt


def as_text(said: object) -> str:
    """A model's answer as valid Unicode. Half a surrogate pair and NUL become U+FFFD.

    Raises: ParseFailure for an answer that is not text or is too long.
    """
    if not isinstance(said, str):
        raise ParseFailure(f"the answer is not text but a {type(said).__name__}")
    if len(said) > MAX_ANSWER:
        raise ParseFailure(f"the answer has {len(said)} characters; at most {MAX_ANSWER} are read")
    return whole_text(said)


def whole_text(said: str) -> str:
    """A text as valid Unicode. Half a surrogate pair and NUL become U+FFFD."""
    return whole_characters(said).replace("\0", "\ufffd")


def quoted(said: str) -> str:
    """A model's answer for a repair prompt. The middle of a very long text is left out."""
    if len(said) <= MAX_QUOTED:
        return whole_characters(said)
    half = MAX_QUOTED // 2
    return whole_characters(f"{said[:half]}\n…\n{said[-half:]}")
