"""Grammars of whole answers: what a backend that constrains decoding lets a model write.

Each sentence of a grammar can be read by its layout. Each answer that the layout writes is a
sentence. A free text ends at the next mark of the layout. A mark inside of a text has a backslash,
as in prompts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lmc.frozen import frozen
from lmc.prompts.grammar_rules import Rules, literal
from lmc.prompts.spec import CallSpec
from lmc.types import RecordType, StrType, written_size

MOST_PARTS = 2_000  # of the outputs; larger ones are validated only
_THOUGHTS = r"<\/?(?i:think|thinking)>"  # see `lmc.prompts.thinking`
_THOUGHTS_LINE = rf"\n[ \t]*{_THOUGHTS}"


@frozen
class Marks:
    """What a layout writes around a field, and the regular expression of all its marks."""

    opening: Callable[[str], str]
    closing: Callable[[str], str]
    pattern: Callable[[str], str]  # from the names, as alternatives
    inside_json: bool  # whether a mark in a JSON string counts too


CHAT = Marks(
    lambda name: f"[[{name}]] ",
    lambda name: "",
    lambda names: rf"\n[ \t*#-]*\[\[[ \t]*(?i:{names})[ \t]*\]\]",
    inside_json=False,
)
XML = Marks(
    lambda name: f"<{name}>",
    lambda name: f"</{name}>",
    lambda names: rf"<\/?[ \t]*(?i:{names})[ \t]*>",
    inside_json=True,
)


def marked_grammar(spec: CallSpec, marks: Marks) -> str | None:
    """The grammar of fields between marks, in order.

    None for a plain string without bounds, for no field, and for more parts than `MOST_PARTS`.
    """
    if spec.plain_text:
        return _plain_grammar(spec)
    if not spec.outputs or _size(spec) > MOST_PARTS:
        return None
    names = "|".join(re.escape(f.name) for f in spec.outputs)
    rules = Rules(f"{marks.pattern(names)}|{_THOUGHTS_LINE}", in_json=marks.inside_json)
    if spec.bare and not marks.closing(""):
        return rules.alone(spec.result)
    return rules.grammar(_Sequence(spec, marks, rules).start())


def object_grammar(spec: CallSpec) -> str | None:
    """The grammar of a JSON object with the fields in order. None as in `marked_grammar`."""
    if spec.plain_text:
        return _plain_grammar(spec)
    if not spec.outputs or _size(spec) > MOST_PARTS:
        return None
    rules = Rules()
    members = [(f.name, f.type, f.name in _left_out(spec)) for f in spec.outputs]
    return rules.grammar(rules.members(members))


def _plain_grammar(spec: CallSpec) -> str | None:
    """The grammar of a bare string, if its type has bounds."""
    if spec.result == StrType():
        return None
    rules = Rules(_THOUGHTS)
    return rules.alone(spec.result)


def _size(spec: CallSpec) -> int:
    return sum(written_size(f.type) for f in spec.outputs)


def _left_out(spec: CallSpec) -> set[str]:
    """The fields that an answer may lack: those with a default, if it needs any other."""
    fields = spec.result.fields if isinstance(spec.result, RecordType) else ()
    optional = {f.name for f in fields if f.has_default}
    return optional if any(f.name not in optional for f in fields) else set()


class _Sequence:
    """The rules for marked fields in order, of which some may be left out."""

    def __init__(self, spec: CallSpec, marks: Marks, rules: Rules) -> None:
        self.fields, self.marks, self.rules = spec.outputs, marks, rules
        self.left_out = _left_out(spec)

    def start(self) -> str:
        """The body of the start rule."""
        after: dict[int, str] = {}  # what follows the opening mark of a field, from the last one on
        for place in reversed(range(len(self.fields))):
            after[place] = self._after(place, after)
        return " | ".join(f"{literal(self._opening(i))} {after[i]}" for i in self._followers(0))

    def _after(self, place: int, after: Mapping[int, str]) -> str:
        field, followers = self.fields[place], self._followers(place + 1)
        end, bodies = self.marks.closing(field.name), []
        for value in self.rules.text(field.type):
            for i in followers:
                mark = f"{end}\n{self._opening(i)}"
                bodies.append(f"{self._until(value, mark)} {after[i]}")
            if all(self.fields[i].name in self.left_out for i in followers):
                bodies.append(self._until(value, end))
        return self.rules.rule(" | ".join(bodies))

    def _until(self, value: str, mark: str) -> str:
        """A value with its mark. A text and its mark are one terminal, as the text has no end."""
        if not mark:
            return value
        whole = f"{value} {literal(mark)}"
        return self.rules.terminal(whole) if value[0] == "T" else whole

    def _followers(self, start: int) -> Sequence[int]:
        """The fields from a place on of which one may come next."""
        found = []
        for place in range(start, len(self.fields)):
            found.append(place)
            if self.fields[place].name not in self.left_out:
                break
        return found

    def _opening(self, place: int) -> str:
        return self.marks.opening(self.fields[place].name)
