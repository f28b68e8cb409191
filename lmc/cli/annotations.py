"""Diagnostics for CI: SARIF 2.1.0 for code scanning, and commands of GitHub's workflows.

Sources: SARIF 2.1.0 (OASIS standard, 27 March 2020); "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lmc.cli.terminal import clean
from lmc.diagnostics import Diagnostic, Label
from lmc.version import __version__

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_INFORMATION = "https://pypi.org/project/lmc-lang/"


def github(diagnostics: Sequence[Diagnostic]) -> str:
    """One workflow command a finding: GitHub shows it at its line of the change."""
    return "\n".join(map(_command, diagnostics))


def _command(found: Diagnostic) -> str:
    text = found.message + (f"\nhelp: {found.help}" if found.help else "")
    parts = {**_github_place(found), "title": f"lmc: {found.code}"}
    written = ",".join(f"{name}={_property(value)}" for name, value in parts.items())
    return f"::{found.severity} {written}::{_data(text)}"


def _github_place(found: Diagnostic) -> dict[str, str]:
    if found.span is None:
        return {}
    start, end = _positions(found.labels[0])
    place = {"file": _relative(found.span.source.name), "line": str(start[0])}
    place |= {"endLine": str(end[0])}
    if start[0] == end[0]:  # GitHub ignores columns of findings over several lines
        place |= {"col": str(start[1]), "endColumn": str(end[1])}
    return place


def _data(text: str) -> str:
    """A message as the runner reads it: a line end would start a command of its own."""
    text = clean(text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.replace("%", "%25").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """A SARIF log with one run, whose rules are the slugs that were found, explained."""
    from lmc.explanations import explanations

    codes, texts = sorted({found.code for found in diagnostics}), explanations()
    driver = {
        "name": "lmc",
        "version": __version__,
        "informationUri": _INFORMATION,
        "rules": [_rule(code, texts.get(code)) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(found, codes) for found in diagnostics],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, ensure_ascii=False)


def _rule(code: str, text: str | None) -> dict[str, Any]:
    if not text:
        return {"id": code}
    first = text.partition("\n")[0]
    return {
        "id": code,
        "shortDescription": {"text": first},
        "help": {"text": text, "markdown": text},
    }


def _result(found: Diagnostic, codes: Sequence[str]) -> dict[str, Any]:
    text = clean(found.message + (f"\nhelp: {found.help}" if found.help else ""))
    result: dict[str, Any] = {
        "ruleId": found.code,
        "ruleIndex": codes.index(found.code),
        "level": found.severity,
        "message": {"text": text},
    }
    places = [_location(label) for label in found.labels]
    if places:
        result["locations"] = places[:1]
    if len(places) > 1:
        result["relatedLocations"] = [
            {"id": number, **place} for number, place in enumerate(places[1:], start=1)
        ]
    return result


def _location(label: Label) -> dict[str, Any]:
    start, end = _positions(label)
    region = dict(zip(("startLine", "startColumn", "endLine", "endColumn"), (*start, *end)))
    place = {"artifactLocation": {"uri": _uri(label.span.source.name)}, "region": region}
    message = {"message": {"text": clean(label.text)}} if label.text else {}
    return {"physicalLocation": place, **message}


def _positions(label: Label) -> tuple[tuple[int, int], tuple[int, int]]:
    source = label.span.source
    return source.position(label.span.start), source.position(label.span.end)


def _relative(name: str) -> str:
    """A path as seen from here, where CI has its checkout, or as it is."""
    path = Path(name)
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return (path.relative_to(Path.cwd()) if inside else Path(os.path.normpath(path))).as_posix()


def _uri(name: str) -> str:
    """A path as a URI reference: relative ones stay so."""
    path = _relative(name)
    return Path(path).as_uri() if Path(path).is_absolute() else quote(path)
