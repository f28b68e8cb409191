"""The code in an answer: what stands in its fenced blocks, as Markdown writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"([ \t]*)(?:[-*>][ \t]+)?(`{3,}|~{3,})[ \t]*([^`\r\n]*)")


def code_of(text: str, language: str = "") -> str:
    """The first fenced block, or the first one of a language; the whole text if there is none.

    A block that nothing closes goes to the end of the text, as in an answer that was cut off.
    Source: the fenced code blocks of CommonMark 0.31, section 4.5. Unlike there, a fence may be
    indented by any space, since models write code in lists.
    """
    wanted, first = language.strip().lower(), None
    for info, block in _blocks(text):
        if not wanted or info == wanted:
            return block
        first = block if first is None else first
    return text.strip() if first is None else first


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The language of each block in lower case, and its text without the indentation."""
    lines = iter(text.splitlines())
    for line in lines:
        opened = _FENCE.fullmatch(line)
        if opened is None:
            continue
        indent, fence, info = len(opened[1]), opened[2], opened[3].split()
        inside = []
        for inner in lines:
            mark = inner.strip()
            if len(mark) >= len(fence) and mark == fence[0] * len(mark):
                break
            space = len(inner) - len(inner.lstrip(" \t"))
            inside.append(inner[min(indent, space) :])
        yield info[0].lower() if info else "", "\n".join(inside)
