"""The findings of all programs that are open, by document and each once."""

from __future__ import annotations

from collections.abc import Iterator

from lmc.diagnostics import Diagnostic
from lmc.editor.inspected import Inspected, Inspector
from lmc.redaction import logger
from lmc.source import Source

_log = logger(__name__)

Found = dict[str, list[tuple[Diagnostic, Source]]]


def findings(inspector: Inspector) -> Found:
    """What is found in each document, by URI.

    A program that imports a file tells its findings again, perhaps in other words. Those of the
    file's own check count, then those of the first program.
    """
    found: Found = {buffer.uri: [] for buffer in inspector.texts.buffers.values()}
    told: dict[tuple[object, ...], Inspected] = {}
    programs = list(_programs(inspector))
    for own in (True, False):
        for program in programs:
            for one in program.found:
                source = one.span.source if one.span else program.source
                if (source is program.source) is not own or inspector.texts.is_library(source):
                    continue
                place = (source.name, one.code, one.span and (one.span.start, one.span.end))
                if told.setdefault(place, program) is program:
                    found.setdefault(inspector.texts.uri_of(source), []).append((one, source))
    return found


def _programs(inspector: Inspector) -> Iterator[Inspected]:
    for name in list(inspector.texts.buffers):
        try:
            seen = inspector.of(name)
        except Exception:  # the others must not lose their findings
            _log.exception("the check of %s failed; please report this", name)
            continue
        if seen is not None:
            yield seen
