"""Makes the pictures of docs/howto/newcomer.md anew: `make pictures`.

    python -m tests.test_docs.pictures

The commands are those of the page. A terminal is drawn by rich; the pages by a Chromium that is
installed (`CHROMIUM`, /usr/bin/chromium), through Playwright.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.test_docs.pages import COMMANDS, ROOT

FOLDER = ROOT / "docs" / "assets" / "newcomer"
COLUMNS = 92

FAILS = "lmc check wrong.lmp"
# What each picture shows: the last commands of the page, in the order of the page.
TERMINALS = {
    "check": (FAILS,),
    "graph": ("lmc check --cost main.lmp", "lmc graph main.lmp | head -14"),
    "prompt": ('lmc run main.lmp -t route --message "I cannot log in to my account." --prompt',),
    "test": ("lmc test main.lmp",),
    "compile": ('lmc compile main.lmp --optimizer "labeled(demos=4)" --budget calls=500',),
    "traces": ("lmc traces list",),
}
REPORT = "lmc report .lmc/runs/main-* -o report.html"
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # they would come from another host


def terminal(command: str, folder: Path) -> str:
    """What a command prints on a terminal, with its colours."""
    import pty  # not on Windows

    ours, its = pty.openpty()
    env = os.environ | {
        "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "LMC_CACHE_DIR": str(folder / "cache"),
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
    }
    with subprocess.Popen(["bash", "-c", command], cwd=folder, env=env, stdin=its, stdout=its,
                          stderr=its) as process:  # fmt: skip
        os.close(its)
        printed = b""
        while piece := _read(ours):
            printed += piece
    os.close(ours)
    assert (process.returncode != 0) == (command == FAILS), printed.decode("utf-8", "replace")
    return printed.decode("utf-8", "replace").replace("\r\n", "\n")


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 1 << 16)
    except OSError:  # the other end is closed
        return b""


def drawn(name: str, printed: dict[str, str]) -> str:
    """An SVG of commands and what they printed. Nothing in it comes from another host."""
    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    for command, output in printed.items():
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi("\n".join(_as_seen(output))))
    return _FONT.sub("", console.export_svg(title="lmc", unique_id=f"lmc-{name}"))


_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+")


def _as_seen(output: str) -> list[str]:
    """The lines that a reader sees at the end: a bar of progress was written over, and is gone."""
    lines, row, fresh = [""], 0, False
    for token in _TOKEN.finditer(output.rstrip("\n")):
        match token[2]:
            case "A":
                row, fresh = max(0, row - int(token[1] or 1)), True
            case "K":
                lines[row] = ""
            case None if token[0] == "\n":
                row, fresh = row + 1, False
                lines += [""] * (row + 1 - len(lines))
            case None if token[0] == "\r":
                fresh = True
            case None | "m":
                lines[row] = ("" if fresh else lines[row]) + token[0]
                fresh = False
    return lines


def photograph(address: str, to: Path, height: int = 900, wait_for: str = "body") -> None:
    """A picture of the top of a page, when something is on it."""
    from playwright.sync_api import sync_playwright

    browser_path = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1100, "height": height}, color_scheme="light")
        view.goto(address)
        view.wait_for_selector(wait_for)
        view.screenshot(path=str(to))
        browser.close()


def photograph_studio(folder: Path, to: Path) -> None:
    """A picture of the program of a folder on the page of `lmc studio`."""
    command = [str(COMMANDS / "lmc"), "studio", "main.lmp", "--port", "0"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=env, stdout=pipe, encoding="utf-8") as studio:
        assert studio.stdout is not None
        address = studio.stdout.readline().split()[-1]
        photograph(address, to, 760, ".prompts .prompt")
        studio.terminate()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        terminal("lmc new desks", Path(place))
        desks = Path(place) / "desks"
        terminal("sed 's/sample: route/sample: rout/' main.lmp > wrong.lmp", desks)
        for name, commands in TERMINALS.items():
            printed = {command: terminal(command, desks) for command in commands}
            (FOLDER / f"{name}.svg").write_text(drawn(name, printed), "utf-8")
            print(f"{name}.svg", file=sys.stderr)
        terminal(REPORT, desks)
        photograph((desks / "report.html").as_uri(), FOLDER / "report.png")
        photograph_studio(desks, FOLDER / "studio.png")


if __name__ == "__main__":
    main()
