"""Golden cases in Markdown: a title, programs with their intents, and the text that is shown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lmc.check import check_program
from lmc.diagnostics import Diagnostic, render
from lmc.source import Source

BLOCK = re.compile(r"```lmp(?: (?P<name>\S+))?\n(?P<text>.*?)```\n", re.DOTALL)
SHOWN = re.compile(r"```text\n(.*?)```\n", re.DOTALL)
INTENT = re.compile(r"^# (error|warning): (\S+) @(\d+):(\d+)$", re.MULTILINE)

Intent = tuple[str, str, str, int, int]  # file, severity, slug, line, column


@dataclass(frozen=True)
class Case:
    """One `## title` section of a file."""

    file: Path
    title: str
    body: str

    @property
    def sources(self) -> dict[str, Source]:
        """The programs by name; the first is `main.lmp`."""
        blocks = ((m["name"] or "main.lmp", m["text"]) for m in BLOCK.finditer(self.body))
        return {name: Source(name, text) for name, text in blocks}

    @property
    def intents(self) -> list[Intent]:
        """What must be found, and where."""
        return sorted(
            (name, severity, slug, int(line), int(column))
            for name, source in self.sources.items()
            for severity, slug, line, column in INTENT.findall(source.text)
        )

    @property
    def shown(self) -> str | None:
        """The recorded text, if there is one."""
        found = SHOWN.search(self.body)
        return found[1].rstrip("\n") if found else None

    def check(self) -> list[Diagnostic]:
        """Check the first program, the others being what it can import."""
        sources = self.sources

        def read(name: str) -> Source:
            if name not in sources:
                raise FileNotFoundError(name)
            return sources[name]

        return check_program(sources["main.lmp"], read=read)[1]

    def record(self, found: list[Diagnostic]) -> None:
        """Write what is shown behind the programs; the programs, and so the intents, stay."""
        programs = self.body[: [m.end() for m in BLOCK.finditer(self.body)][-1]]
        new = f"{programs}\n```text\n{render(found)}\n```\n"
        text = self.file.read_text("utf-8")
        head = f"## {self.title}\n"
        start = text.index(head) + len(head)
        rest = text[start + len(self.body) :]
        self.file.write_text(text[:start] + new + ("\n" if rest else "") + rest, "utf-8")


def places(found: list[Diagnostic]) -> list[Intent]:
    """What was found, in the form of intents."""
    return sorted(
        (d.span.source.name, d.severity, d.code, *d.span.source.position(d.span.start))
        for d in found
        if d.span is not None
    )


def cases(folder: Path) -> list[Case]:
    """All cases of a folder, in order."""
    return [
        Case(file, title, body)
        for file in sorted(folder.glob("*.md"))
        for title, _, body in (
            section.partition("\n")
            for section in re.split(r"^## ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
        )
    ]
