"""Golden cases in Markdown: `## title`, then blocks. LMC_UPDATE_GOLDEN=1 writes what was got."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Case:
    """One section: its title and its blocks by language."""

    path: Path
    title: str
    blocks: dict[str, str]

    def expect(self, language: str, got: str) -> None:
        """Compare with a block, or write it."""
        got = got.rstrip("\n") + "\n"
        if os.environ.get("LMC_UPDATE_GOLDEN") and self.blocks.get(language) != got:
            self._write(language, got)
            return
        assert got == self.blocks.get(language)

    def _write(self, language: str, got: str) -> None:
        text = self.path.read_text("utf-8")
        start = text.index(f"## {self.title}\n")
        end = text.find("\n## ", start)
        section = text[start:] if end < 0 else text[start:end]
        block = f"```{language}\n{got}```"
        old = re.compile(rf"^```{language}\n.*?^```$", re.MULTILINE | re.DOTALL)
        new = (
            old.sub(lambda _: block, section)
            if old.search(section)
            else f"{section.rstrip()}\n\n{block}\n"
        )
        self.path.write_text(text.replace(section, new), "utf-8")


def read_cases(path: Path) -> list[Case]:
    """All cases of a file."""
    sections = re.split(r"^## ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return [Case(path, s.partition("\n")[0].strip(), dict(FENCE.findall(s))) for s in sections]
