"""Names for what a JSON Schema declares: of records, of fields and of variants."""

from __future__ import annotations

import re
from collections.abc import Sequence


def pascal(text: str) -> str:
    """`line_item` as `LineItem`: a name for a declaration."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if not name[:1].isdigit() else f"N{name}"


def singular(hint: str) -> str:
    """The name of an item from that of its list."""
    if len(hint) > 3 and hint.endswith("ies"):
        return hint[:-3] + "y"
    return hint[:-1] if len(hint) > 2 and hint[-1] == "s" and hint[-2] != "s" else f"{hint}Item"


def free_names(texts: Sequence[str]) -> list[str]:
    """Names of fields or variants, all distinct, and no text of another one."""
    used = {text for text in texts if _NAME.fullmatch(text)}
    found = []
    for text in texts:
        name = text
        if not _NAME.fullmatch(text):
            base = name = _plain(text)
            number = 1
            while name in used or name in texts:
                number += 1
                name = f"{base}_{number}"
            used.add(name)
        found.append(name)
    return found


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def _plain(text: str) -> str:
    word = re.sub(r"[^A-Za-z0-9_]+", "_", text.replace("+", "p").replace("#", "sharp")).strip("_")
    return word if word[:1].isalpha() else f"n{word}" if word else "value"
