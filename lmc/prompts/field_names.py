"""Find fields that a text names outside of their place: a field that is given twice, or quoted."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import lru_cache

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_QUOTES = re.compile(
    r"(?:\b(?:says?|said|has|holds?|contains?|containing|wrote|writes?|quotes?|reads?|mentions?|claims?)"
    r"\b[^\n]{0,30}|^[ \t]*>[ \t>]*)\Z",
    re.IGNORECASE | re.MULTILINE,
)
_STRANGE_MARK = re.compile(r"\n[ \t*#>-]*+\[\[[ \t]*+[^\W\d][^\]\n]{0,80}+\]\]")


def named_field(names: Iterable[str], text: str) -> str:
    """The first field that a text gives in any layout, perhaps in a quotation; empty if none.

    These count: `name:`, `[name]` and `> [[name]]` at the start of a line, and `<name>` and the
    JSON key `"name":` anywhere. So do names with other case, invisible characters or entities.
    """
    found = _named(tuple(names)).search(_plain(text))
    return "" if found is None else next(name for name in found.groups() if name)


def marked_field(names: Iterable[str], text: str) -> str:
    """The first field whose mark or tag stands anywhere in a text; empty if there is none."""
    found = _marked(tuple(names)).search(_plain(text))
    return "" if found is None else found[1]


def quotes(before: str) -> bool:
    """Whether a text announces a quotation of what follows: "the draft has …", "> "."""
    return bool(_QUOTES.search(before, max(0, len(before) - 80)))


def broken_mark(name: str, text: str) -> bool:
    """Whether a text begins like a mark or a tag of a field."""
    return bool(re.match(rf"\W{{0,20}}[\[<【][ \t]*+{re.escape(name)}\b", text, re.IGNORECASE))


def strange_mark(text: str) -> str:
    """A mark `[[…]]` at the start of a later line; empty if there is none."""
    found = _STRANGE_MARK.search(text)
    return "" if found is None else found[0].strip()


def _plain(text: str) -> str:
    return _INVISIBLE.sub("", html.unescape(text) if "&" in text else text)


def _one_of(names: tuple[str, ...]) -> str:
    words = (r"[\s_-]+".join(map(re.escape, filter(None, name.split("_")))) for name in names)
    return "|".join(word for word in words if word) or r"(?!)"


@lru_cache(maxsize=256)
def _named(names: tuple[str, ...]) -> re.Pattern[str]:
    name = _one_of(names)
    return re.compile(
        rf"^[ \t>*#+•\d.()\"'`_-]*+(?:[\[【]{{1,2}}[ \t]*+\[?({name})\b[ \t]*+[\]】]"
        rf"|({name})[\"'`*_]*+[ \t]*+[:=](?!=)[ \t*]*+(?!```)[^\s*])"
        rf"|<[ \t]*+({name})\b[^<>\n]{{0,80}}+>|[\"'“]({name})[\"'”][ \t]*+:",
        re.IGNORECASE | re.MULTILINE,
    )


@lru_cache(maxsize=256)
def _marked(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(
        rf"(?:\[\[[ \t]*+|<[ \t]*+)({_one_of(names)})[ \t]*+(?:\]\]|>)", re.IGNORECASE
    )
