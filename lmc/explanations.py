"""The long texts about diagnostics, by their slugs, from the files `explanations.md`."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources

PACKAGES = (
    *("lmc.syntax", "lmc.check", "lmc.runtime", "lmc.serve", "lmc.studio", "lmc.cli"),
    "lmc.editor",
)


@lru_cache(maxsize=1)
def explanations() -> dict[str, str]:
    """The long texts by slug. Each is a section of Markdown."""
    texts: dict[str, str] = {}
    for package in PACKAGES:
        file = resources.files(package) / "explanations.md"
        if file.is_file():
            sections = re.split(r"^## ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
            texts |= {
                head.strip(): body.strip()
                for head, _, body in (s.partition("\n") for s in sections)
            }
    return texts
