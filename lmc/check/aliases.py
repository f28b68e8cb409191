"""Checks the names that fields and variants have for the model's eye: `type as "@type"`."""

from __future__ import annotations

from collections.abc import Sequence

from lmc.check.scope import CheckContext
from lmc.diagnostics import Label
from lmc.syntax import nodes

MOST_CHARS = 200  # of one name
_MARKS = ("[[", "]]", "<", ">", "`")  # layouts write them around the names of fields
Aliased = Sequence[nodes.FieldDecl] | Sequence[nodes.VariantDecl]


def check_aliases(ctx: CheckContext, parts: Aliased, what: str) -> None:
    """Report aliases that cannot be read back, and those that another part has too.

    Data may use an alias or the name itself, so that an alias is no other part's name either.
    """
    names = {part.name.name: part.name.span for part in parts}
    seen = dict(names)
    for part in parts:
        if part.alias is None:
            continue
        alias, place = part.alias.value, part.alias.span
        if problem := _problem(alias, what):
            message = f"`{alias[:60]}` cannot be the name of a {what} for the model: {problem}"
            ctx.report("bad-alias", message, place)
        elif alias in seen and alias != part.name.name:
            message = f"the {what} `{alias}` is there already, so that a model could not tell"
            ctx.report("duplicate-name", message, place, Label(seen[alias], "first here"))
        else:
            seen[alias] = place


def is_alias(text: str, what: str) -> bool:
    """Whether a model can be shown a text as the name of a field or a variant."""
    return _problem(text, what) is None


def _problem(alias: str, what: str) -> str | None:
    if not alias or alias != alias.strip() or not alias.isprintable():
        return "it must be one line, with no space around it"
    if len(alias) > MOST_CHARS:
        return f"it has more than {MOST_CHARS} characters"
    if what == "field" and (marks := [mark for mark in _MARKS if mark in alias]):
        return f"it has the mark `{marks[0]}` of a layout"
    return None
