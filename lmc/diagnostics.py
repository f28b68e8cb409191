"""Diagnostics as values, their three renderings, and the one exception that carries them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from lmc.frozen import frozen
from lmc.redaction import redact
from lmc.source import Source, Span

Severity = Literal["error", "warning"]
Format = Literal["text", "concise", "json"]

_COLUMNS = 80  # of a source line with its number


@frozen
class Label:
    """A place with a short note, which may be empty."""

    span: Span
    text: str = ""


@frozen
class Diagnostic:
    """One finding: a slug, a message that is clear on its own, and labels that show the places.

    `labels[0]` is the primary place. `help` is given only if it is almost certainly right.
    """

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    help: str | None = None
    severity: Severity = "error"

    @property
    def span(self) -> Span | None:
        """The primary place, if there is one."""
        return self.labels[0].span if self.labels else None


class LmcError(Exception):
    """A failure that is shown to the user: one or more diagnostics, never a bare traceback.

    `run` is the `RunReport` of a traced run that failed.
    """

    run: Any = None

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__(*diagnostics)
        self.diagnostics = diagnostics

    @classmethod
    def of(
        cls, code: str, message: str, *places: Span | Label | None, help: str | None = None
    ) -> LmcError:
        """Build the failure of a single error. The arguments are those of `error`."""
        return cls(error(code, message, *places, help=help))

    @property
    def code(self) -> str:
        """Slug of the first error."""
        return self.diagnostics[0].code

    def __str__(self) -> str:
        return "\n".join(render_concise(d) for d in self.diagnostics)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args, self.__dict__)


def _again(cls: type[LmcError], args: tuple[Any, ...], state: dict[str, Any]) -> LmcError:
    """A failure as it was, in another process; subclasses take other arguments than they keep."""
    failure = cls.__new__(cls, *args)
    failure.__dict__.update(state)
    return failure


def error(
    code: str, message: str, *places: Span | Label | None, help: str | None = None
) -> Diagnostic:
    """Build an error; a bare span becomes a label without text, None is skipped.

    Secrets are taken out of its words: a server may have put a key into them.
    """
    return Diagnostic(code, redact(message), _labels(places), help and redact(help))


def warning(
    code: str, message: str, *places: Span | Label | None, help: str | None = None
) -> Diagnostic:
    """Build a warning; places as in `error`."""
    return Diagnostic(code, redact(message), _labels(places), help and redact(help), "warning")


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest to a misspelt one, or None if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return near[0] if near else None


def suggestion(name: str, known: Iterable[str], otherwise: str | None = None) -> str | None:
    """The help for a misspelt name: `did you mean …?`, or `otherwise` if no known name is near."""
    near = did_you_mean(name, known)
    return f"did you mean `{near}`?" if near else otherwise


def sort_key(diagnostic: Diagnostic) -> tuple[str, int, str]:
    """The order of diagnostics: by file, then place, then code."""
    span = diagnostic.span
    return (span.source.name, span.start, diagnostic.code) if span else ("", -1, diagnostic.code)


def render(diagnostics: Sequence[Diagnostic], format: Format = "text") -> str:
    """Render diagnostics, one after another, in one of the three formats."""
    if format == "json":
        return json.dumps([to_json(d) for d in diagnostics], indent=2, ensure_ascii=False)
    one = render_text if format == "text" else render_concise
    return ("\n\n" if format == "text" else "\n").join(one(d) for d in diagnostics)


def render_concise(diagnostic: Diagnostic) -> str:
    """`file:line:column: severity[code]: message`, on one line."""
    place = f"{diagnostic.span}: " if diagnostic.span else ""
    tail = f" ({diagnostic.help})" if diagnostic.help else ""
    return f"{place}{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}{tail}"


def to_json(diagnostic: Diagnostic) -> dict[str, object]:
    """A JSON-ready object; lines and columns count from 1, ends are exclusive."""
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "labels": [
            {
                "file": label.span.source.name,
                "start": dict(
                    zip(("line", "column"), label.span.source.position(label.span.start))
                ),
                "end": dict(zip(("line", "column"), label.span.source.position(label.span.end))),
                "text": label.text,
            }
            for label in diagnostic.labels
        ],
    }


def render_text(diagnostic: Diagnostic) -> str:
    """Headline, source lines with carets under the primary place and dashes under the others."""
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    width = max((len(str(_line_of(label))) for label in diagnostic.labels), default=1)
    gutter = " " * width + " |"
    by_source: dict[Source, list[Label]] = {}
    for label in diagnostic.labels:
        by_source.setdefault(label.span.source, []).append(label)
    for i, (source, labels) in enumerate(by_source.items()):
        arrow = "-->" if i == 0 else ":::"
        lines += [f"{' ' * width}{arrow} {labels[0].span}", gutter]
        for label in sorted(labels, key=_line_of):
            lines += _snippet(source, label, width, "^" if label is diagnostic.labels[0] else "-")
    if diagnostic.help:
        lines.append(f"{' ' * width} = help: {diagnostic.help}")
    return "\n".join(lines)


def _labels(places: Iterable[Span | Label | None]) -> tuple[Label, ...]:
    return tuple(Label(p) if isinstance(p, Span) else p for p in places if p is not None)


def _line_of(label: Label) -> int:
    return label.span.source.position(label.span.start)[0]


def _around(line: str, column: int, length: int, room: int) -> tuple[str, int]:
    """The part of a line around a span that fits on a screen, and the column in this part."""
    if len(line) <= room:
        return line, column
    most = room - 2  # the marks of what is left out
    before = max(most // 3, most - length - 10) if length < most else most // 6
    start = max(0, min(column - 1 - before, len(line) - most))
    start = 0 if column - 1 + length <= most else start  # from its beginning, if all of it fits
    left, right = "…" if start else "", "…" if start + most < len(line) else ""
    return f"{left}{line[start : start + most]}{right}", column - start + len(left)


def _snippet(source: Source, label: Label, width: int, mark: str) -> list[str]:
    line, column = source.position(label.span.start)
    length = label.span.end - label.span.start
    raw, column = _around(source.line(line), column, length, _COLUMNS - width - 3)
    length = max(1, min(length, len(raw) - column + 1))
    indent = "".join("\t" if c == "\t" else " " for c in raw[: column - 1])
    note = f" {label.text}" if label.text else ""
    return [f"{line:>{width}} | {raw}", f"{' ' * width} | {indent}{mark * length}{note}"]
