"""The passages of the handbook, for `rag.lmp`."""

import re
from pathlib import Path

HANDBOOK = Path(__file__).with_name("handbook.txt")


def passages() -> list[dict[str, str]]:
    """One passage a line, with its id in square brackets."""
    found = re.findall(r"^\[(\w+)\] (.+)$", HANDBOOK.read_text("utf-8"), re.MULTILINE)
    return [{"id": name, "text": text} for name, text in found]
