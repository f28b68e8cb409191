"""The pages of README and docs/, their fenced blocks, and how a block is run.

    lmp      a program, which is checked
    python   a script, which is run
    console  lines that begin with `$ ` are run; the rest is what they print

A block runs in a copy of examples/triage. After the language may stand `in=FOLDER` (another folder
of examples/), `output` (what is printed must be what stands there; LMC_UPDATE_GOLDEN=1 writes it),
`fails` (the last command must fail; all others succeed), or `not-run`.

Where a process can fork, scripts and plain commands of `lmc` run in forks of one that has imported
what they need. Bash runs all other commands.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.warm import WarmProcess, started

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,})(\w+)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ ([^\n]+)\n(.*?)(?=^\$ |\Z)", re.MULTILINE | re.DOTALL)
QUOTED = re.compile(r"""'[^']*'|"[^"$`\\]*\"""")
OF_BASH = re.compile(r"""[^\w\s.,:=/-]""")  # outside of quotes, in words that bash does not keep
COMMANDS = Path(sys.executable).parent
TIMEOUT_S = 300


class Block(NamedTuple):
    """One fenced block."""

    page: Path
    line: int
    language: str
    info: tuple[str, ...]
    text: str

    @property
    def folder(self) -> str:
        """The folder of examples/ in which it runs."""
        return next((w.removeprefix("in=") for w in self.info if w.startswith("in=")), "triage")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def block_name(block: Block) -> str:
    return f"{page_name(block.page)}:{block.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of a page that are not marked `not-run`."""
    text = page.read_text("utf-8")
    for match in FENCE.finditer(text):
        info = tuple(match[3].split())
        if "not-run" not in info:
            line = text.count("\n", 0, match.start()) + 1
            yield Block(page, line, match[2], info, match[4])


def prose_of(page: Path) -> str:
    """A page without its fenced blocks and the code within its lines."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text("utf-8")))


def run_page(page: Path, workplace: Path, cache: Path, warm: WarmProcess) -> None:
    """Run a page from top to bottom: a later block may use the files of an earlier one."""
    env = os.environ | {
        "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LMC_CACHE_DIR": str(cache),
    }
    for block in blocks_of(page):
        place = Place(workplace / block.folder, env, warm)
        if block.language == "python":
            place.run_script(block.text)
        elif block.language == "console":
            _run_console(block, place)


class Place(NamedTuple):
    """Where a block runs."""

    folder: Path
    env: dict[str, str]
    warm: WarmProcess

    def run_script(self, text: str) -> None:
        """Run a script, which must succeed."""
        done = self.warm.run(text, self.folder, self.env, TIMEOUT_S)
        assert done.returncode == 0, f"{text}\n{done.stdout}"

    def run_command(self, command: str, fails: bool) -> str:
        """What a command prints, without blanks at the ends of lines; it must succeed, or fail."""
        if is_plain(command):
            done = self.warm.run(shlex.split(command)[1:], self.folder, self.env, TIMEOUT_S)
        else:
            done = started(["bash", "-c", command], self.folder, self.env, TIMEOUT_S)
        assert (done.returncode != 0) == fails, f"{command}\n{done.stdout}"
        lines = [line.rstrip() for line in done.stdout.splitlines()]
        return "".join(f"{line}\n" for line in lines)


def is_plain(command: str) -> bool:
    """Whether a command is one of `lmc` with words that bash would not change."""
    return command.startswith("lmc ") and not OF_BASH.search(QUOTED.sub("", command))


def _run_console(block: Block, place: Place) -> None:
    got, commands = block.text, COMMAND.findall(block.text)
    for command, printed in commands:
        fails = "fails" in block.info and command == commands[-1][0]
        new = place.run_command(command, fails)
        if "output" in block.info and _comparable(new) != _comparable(printed):
            got = got.replace(f"$ {command}\n{printed}", f"$ {command}\n{new}")
    if got == block.text:
        return
    if not os.environ.get("LMC_UPDATE_GOLDEN"):
        assert block.text == got
    text = block.page.read_text("utf-8")
    block.page.write_text(text.replace(block.text, got), "utf-8")


def _comparable(printed: str) -> str:
    """Without what depends on what ran before: answers that came from the cache, blank lines."""
    return re.sub(r", \d+ of them from the cache", "", printed).strip()
