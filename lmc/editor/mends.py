"""Code actions: the mends that diagnostics name in words, as edits.

A help such as `write `.name`` leaves open which characters change. So each edit that it may mean is
tried on the program, and only one that removes the diagnostic and adds no error is offered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lmc.diagnostics import Diagnostic
from lmc.editor.inspected import Inspected, Inspector
from lmc.editor.renaming import applied
from lmc.frozen import frozen
from lmc.source import Source, Span
from lmc.syntax import nodes

MOST_TRIED = 8  # edits for one diagnostic

_QUOTED = re.compile(r"``\s?(.+?)\s?``|`([^`]+)`")
_NEAR = re.compile(r"did you mean (?:`([^`]+)`|(\"[^\"]+\"))\?")
_REMOVED = re.compile(r"^(?:remove it|leave it out|leave one out|remove `[^`]+`)")
_DECLARED = re.compile(r"declare `(model .+?)`, and write `(\w+)` here")


@frozen
class Mend:
    """An edit of one file, and what it does in words."""

    title: str
    edits: tuple[tuple[int, int, str], ...]


def mends(inspector: Inspector, seen: Inspected, diagnostic: Diagnostic) -> Iterator[Mend]:
    """The edits of the entry file that mend a diagnostic, the likeliest first."""
    span = diagnostic.span
    if span is None or span.source is not seen.source:
        return
    tried: set[tuple[tuple[int, int, str], ...]] = set()
    for mend in _candidates(seen, diagnostic, span):
        if mend.edits in tried or len(tried) >= MOST_TRIED:
            continue
        tried.add(mend.edits)
        if _is_right(inspector, seen, diagnostic, mend):
            yield mend
            return


def _is_right(inspector: Inspector, seen: Inspected, diagnostic: Diagnostic, mend: Mend) -> bool:
    """Whether a program has one mistake less, and no other one, after an edit."""
    text = applied(seen.source.text, list(mend.edits))
    if text == seen.source.text:
        return False
    source = Source(seen.source.name, text, seen.source.path)
    after = inspector.with_texts({source.name: source}).inspect(source).found

    def counted(found: list[Diagnostic]) -> tuple[int, int]:
        errors = sum(d.severity == "error" for d in found)
        return errors, sum(1 for d in found if d.code == diagnostic.code)

    errors, same = counted(seen.found)
    errors_after, same_after = counted(after)
    if diagnostic.severity == "error":
        return errors_after < errors
    return errors_after <= errors and same_after < same


# --- what a help may mean ---


def _candidates(seen: Inspected, diagnostic: Diagnostic, span: Span) -> Iterator[Mend]:
    help = diagnostic.help or ""
    if diagnostic.code == "unused-import":
        yield from _without_import(seen, span)
    if diagnostic.code == "missing-comma":
        end = len(seen.source.text[: span.start].rstrip())
        yield Mend("Insert a comma", ((end, end, ","),))
    if (near := _NEAR.search(help)) is not None:
        new = near[1] or near[2]
        yield Mend(f"Change to {near[0][13:-1]}", ((span.start, span.end, new),))
        return
    if (declared := _DECLARED.search(help)) is not None:
        head = _line_start(seen.source.text, _declaration(seen, span.start))
        edits = ((head, head, f"{declared[1]}\n\n"), (span.start, span.end, declared[2]))
        yield Mend(f"Declare `{declared[1]}`", edits)
    if _REMOVED.match(help):
        yield from _removals(seen, span)
    for quoted in _QUOTED.finditer(help):
        yield from _written(seen, span, quoted[1] or quoted[2])


def _written(seen: Inspected, span: Span, new: str) -> Iterator[Mend]:
    """What "write `new`" may mean at a span."""
    text, title = seen.source.text, f"Write `{new}`"
    start, end, old = span.start, span.end, span.text
    if "…" in new:
        filled = new.replace("…", old.strip('"') if new.startswith(('f"', '"')) else old, 1)
        if "…" not in filled:
            yield Mend(f"Write `{_short(filled)}`", ((start, end, filled),))
        return
    if new.startswith((".", "?.")):
        before = start - (2 if text[start - 2 : start] == "?." else 1)
        if text[before:start] in (".", "?."):
            yield Mend(title, ((before, end, new),))
    if new.startswith(("!=", "==")):
        yield Mend(title, ((start, end, f"{old} {new}"),))
        return
    yield Mend(title, ((start, end, new),))
    key, colon, value = new.partition(": ")
    if colon and key.isidentifier():
        yield Mend(title, ((start, end, value),))
        yield from _inserted(seen, span, new)


def _inserted(seen: Inspected, span: Span, setting: str) -> Iterator[Mend]:
    """A setting put into the body of the declaration around a span."""
    decl = next((n for n in seen.path_to(span.start) if isinstance(n, nodes.Decl)), None)
    if decl is None:
        return
    title, text = f"Add `{setting}`", seen.source.text
    settings = getattr(decl, "settings", ())
    doc = getattr(decl, "doc", None)
    after = settings[-1].span.end if settings else doc.span.end if doc else None
    if after is not None:
        yield Mend(title, ((after, after, f"\n  {setting}"),))
        return
    if decl.span.text.rstrip().endswith("}"):
        brace = text.rindex("{", decl.span.start, decl.span.end) + 1
        yield Mend(title, ((brace, brace, f"\n  {setting}\n"),))
    else:
        yield Mend(title, ((decl.span.end, decl.span.end, f" {{\n  {setting}\n}}"),))


def _removals(seen: Inspected, span: Span) -> Iterator[Mend]:
    """The setting, the item or the part at a span taken out, with its comma or its line."""
    text = seen.source.text
    settings = [n for n in seen.path_to(span.start) if isinstance(n, nodes.Setting | nodes.Depth)]
    for place in (*(n.span for n in reversed(settings)), span):
        yield Mend(f"Remove `{_short(place.text)}`", (_cut(text, place.start, place.end),))
        if isinstance(settings[-1] if settings else None, nodes.Depth):
            start, end = text.rfind("(", 0, place.start), text.find(")", place.end) + 1
            if start >= 0 and end:
                yield Mend(f"Remove `{_short(place.text)}`", ((start, end, ""),))


def _cut(text: str, start: int, end: int) -> tuple[int, int, str]:
    """A part to take out: with the comma behind or before it, or with its line."""
    after = re.compile(r"[ \t]*,[ \t]*").match(text, end)
    if after:
        return start, after.end(), ""
    before = re.search(r",[ \t]*\Z", text[max(0, start - 20) : start])
    if before:
        return start - len(before[0]), end, ""
    line = text.rfind("\n", 0, start) + 1
    rest = re.compile(r"[ \t]*(?:\n|\Z)").match(text, end)
    if rest and not text[line:start].strip():
        return line, rest.end(), ""
    return start, end, ""


def _without_import(seen: Inspected, span: Span) -> Iterator[Mend]:
    decl = next((n for n in seen.path_to(span.start) if isinstance(n, nodes.Import)), None)
    if decl is None:
        return
    if len(decl.items) == 1:
        cut = _cut(seen.source.text, decl.span.start, decl.span.end)
    else:
        item = next(i for i in decl.items if i.span.start <= span.start <= i.span.end)
        cut = _cut(seen.source.text, item.span.start, item.span.end)
    yield Mend(f"Remove the import of `{span.text}`", (cut,))


def _declaration(seen: Inspected, offset: int) -> int:
    decl = next(iter(seen.path_to(offset)), None)
    return decl.span.start if decl is not None else 0


def _line_start(text: str, offset: int) -> int:
    return text.rfind("\n", 0, offset) + 1


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 50 else line[:50] + "…"
