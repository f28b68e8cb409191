"""Remove the thoughts that reasoning models write before their answer, in their own marks."""

from __future__ import annotations

import re

from lmc.prompts.spec import CallSpec, ParseFailure

_NAMES = ("think", "thinking")
_OPENING = re.compile(r"\s*<(think|thinking)>", re.IGNORECASE)
# Some chat templates open the block in the prompt, so the answer has only its end.
_LONE_END = re.compile(r"^[ \t]*</(think|thinking)>[ \t]*$", re.IGNORECASE | re.MULTILINE)


def without_thoughts(spec: CallSpec, text: str) -> str:
    """Drop the block of thoughts at the start of an answer. The trace keeps the original text.

    A field of that name is not a block of thoughts, although the XML layout marks fields alike.
    Raises: ParseFailure if the block does not end, so that no answer follows. Also if only its end
    occurs and may be a quotation: after fields, or twice.
    """
    if "<" not in text or any(f.name in _NAMES for f in spec.outputs):
        return text
    opening = _OPENING.match(text)
    if opening is None:
        return _after_lone_end(spec, text)
    end = re.compile(rf"</{opening[1]}>", re.IGNORECASE).search(text, opening.end())
    if end is None:
        raise ParseFailure("the thoughts do not end, and no answer follows; raise `max_tokens`")
    return text[end.end() :].lstrip()


def thoughts_in(text: str) -> str:
    """The thoughts at the start of an answer, without their marks; empty if there are none."""
    opening = _OPENING.match(text)
    if opening is None:
        end = _LONE_END.search(text)
        return text[: end.start()].strip() if end else ""
    end = re.compile(rf"</{opening[1]}>", re.IGNORECASE).search(text, opening.end())
    return text[opening.end() : end.start() if end else None].strip()


def _after_lone_end(spec: CallSpec, text: str) -> str:
    end = _LONE_END.search(text)
    if end is None:
        return text
    names = "|".join(re.escape(f.name) for f in spec.outputs)
    marks = rf"^[ \t*#>-]*+\[\[\s*({names})\s*\]\]|<\s*({names})\s*>|\"({names})\"\s*:"
    fields = not spec.plain_text and re.search(marks, text[: end.start()], re.I | re.M)
    if fields or _LONE_END.search(text, end.end()):
        raise ParseFailure(f"{end[0].strip()} stands after a part of the answer; leave it out")
    return text[end.end() :].lstrip()


def answer_so_far(text: str) -> str:
    """The part of an unfinished text that is certainly not a thought."""
    begun = text.lstrip().lower()
    if begun and any(f"<{name}>".startswith(begun) for name in _NAMES):
        return ""
    opening = _OPENING.match(text)
    if opening is None:
        return text
    end = re.compile(rf"</{opening[1]}>", re.IGNORECASE).search(text, opening.end())
    return text[end.end() :].lstrip() if end else ""
