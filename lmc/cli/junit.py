"""JUnit files, in which CI systems show what passed and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Literal

from lmc.cli.terminal import clean
from lmc.files import write_atomically
from lmc.frozen import frozen

_NO_XML = str.maketrans({"\ufffe": "\\ufffe", "\uffff": "\\uffff"})


@frozen
class JunitCase:
    """One test: passed, unless `problem` says why not. An `error` could not be judged."""

    name: str
    problem: str = ""
    details: str = ""
    kind: Literal["failure", "error"] = "failure"
    seconds: float = 0.0


@frozen
class JunitSuite:
    """The tests of one file, with figures beside them."""

    name: str
    cases: Sequence[JunitCase]
    properties: Mapping[str, object] = field(default_factory=dict)


def write_junit(path: Path, suites: Sequence[JunitSuite]) -> None:
    """Write suites to a file. Keys and control characters are taken out of all texts.

    Raises: LmcError[cannot-write].
    """
    from xml.etree import ElementTree as Xml

    root = Xml.Element("testsuites", _counts([case for suite in suites for case in suite.cases]))
    for suite in suites:
        told = {"name": _text(suite.name), **_counts(suite.cases)}
        part = Xml.SubElement(root, "testsuite", told)
        if suite.properties:
            figures = Xml.SubElement(part, "properties")
            for name, value in suite.properties.items():
                Xml.SubElement(figures, "property", name=name, value=_text(str(value)))
        for case in suite.cases:
            seconds = f"{case.seconds:.3f}"
            made = Xml.SubElement(
                part, "testcase", name=_text(case.name), classname=_text(suite.name), time=seconds
            )
            if case.problem:
                problem = Xml.SubElement(made, case.kind, message=_text(case.problem))
                problem.text = _text(case.details or case.problem)
    Xml.indent(root)
    write_atomically(path, Xml.tostring(root, "utf-8", xml_declaration=True) + b"\n")


def _counts(cases: Sequence[JunitCase]) -> dict[str, str]:
    kinds = [case.kind for case in cases if case.problem]
    return {
        "tests": f"{len(cases)}",
        "failures": f"{kinds.count('failure')}",
        "errors": f"{kinds.count('error')}",
        "time": f"{sum(case.seconds for case in cases):.3f}",
    }


def _text(text: str) -> str:
    """A text without keys, and without characters that XML does not have."""
    return clean(text).translate(_NO_XML)
