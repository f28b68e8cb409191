"""Small pieces of HTML for notebooks: tables and values, with all text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

MOST_CHARS = 2000  # of a text that is shown
MOST_ITEMS = 50  # of a list or an object that is shown
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. The cells are HTML already."""
    heads = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in head)
    lines = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    top = f"<thead><tr>{heads}</tr></thead>" if head else ""
    return f'<table style="border-collapse:collapse">{top}<tbody>{lines}</tbody></table>'


def value(found: Any, depth: int = 0) -> str:
    """A JSON value: objects and lists as tables in one another."""
    if depth < 6:
        match found:
            case Mapping() if found:
                items = list(found.items())[:MOST_ITEMS]
                rows = [(f"<b>{text(str(key))}</b>", value(one, depth + 1)) for key, one in items]
                return table((), rows) + _rest(len(found))
            case list() if any(isinstance(one, Mapping | list) for one in found):
                rows = [(str(n), value(one, depth + 1)) for n, one in enumerate(found[:MOST_ITEMS])]
                return table((), rows) + _rest(len(found))
            case list() if found:
                return ", ".join(text(_plain(one)) for one in found[:MOST_ITEMS]) + _rest(
                    len(found)
                )
    return text(_plain(found))


def text(words: str) -> str:
    """A text, cut if it is long; its line breaks stay."""
    shown = words if len(words) <= MOST_CHARS else words[:MOST_CHARS] + "…"
    return f'<span style="white-space:pre-wrap">{escape(shown)}</span>'


def _plain(found: Any) -> str:
    if found is None or isinstance(found, bool):
        return {None: "none", True: "true", False: "false"}[found]
    return str(found)


def _rest(count: int) -> str:
    return f" … {count - MOST_ITEMS} more" if count > MOST_ITEMS else ""
