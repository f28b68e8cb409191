"""How the value of an unfinished answer may grow, and the mark of one that has not begun."""

from __future__ import annotations

import re
from typing import Final

from lmc.frozen import frozen
from lmc.special_tokens import SPECIAL_TOKENS


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
Path = tuple[str, ...]  # the names of the fields that lead to a value; items of a list have none


@frozen
class Growth:
    """How a value may grow. The values at the paths `whole` come when they are complete."""

    whole: frozenset[Path] = frozenset()
    marks: re.Pattern[str] = SPECIAL_TOKENS  # disarmed by the layout

    def of(self, name: str) -> Growth:
        """How the value of a field may grow."""
        inner = frozenset(path[1:] for path in self.whole if path[:1] == (name,))
        return Growth(inner, self.marks)

    @property
    def may(self) -> bool:
        """Whether the value itself may be given before it is complete."""
        return () not in self.whole
