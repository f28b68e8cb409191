"""Every example in README and docs/ is run: programs are checked, commands and Python executed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from lmc.check import check_program
from lmc.source import Source

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^(`{3,})(\w+)([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
COMMANDS = Path(sys.executable).parent


class Example(NamedTuple):
    """One fenced block."""

    page: str
    line: int
    info: str
    text: str


def examples(language: str) -> list[Example]:
    """The fenced blocks of a language, in order of pages."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in FENCE.finditer(text):
            if match[2] == language and "not-run" not in match[3]:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Example(page.name, line, match[3].strip(), match[4]))
    return found


def name(example: Example) -> str:
    return f"{example.page}:{example.line}"


@pytest.mark.parametrize("example", examples("lmp"), ids=name)
def test_programs_check_clean(example: Example) -> None:
    program, diagnostics = check_program(Source(name(example), example.text))
    assert [str(d) for d in diagnostics if d.severity == "error"] == []
    assert program is not None


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the examples, as a reader who follows the page would have them."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "examples", folder, dirs_exist_ok=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "LMC_CACHE_DIR": str(folder / ".cache"),
    }


def run(command: list[str], cwd: Path, env: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", sorted({e.page for e in examples("console") + examples("python")}))
def test_commands_and_python_run(page: str, workplace: Path) -> None:
    """In order of the page, so that a later example may use the files of an earlier one."""
    env = environment(workplace)
    blocks = [e for e in examples("console") + examples("python") if e.page == page]
    for block in sorted(blocks, key=lambda e: e.line):
        folder = workplace / "triage"
        if block.info.startswith("in="):
            folder = workplace / block.info.removeprefix("in=")
        if block in examples("python"):
            run([sys.executable, "-c", block.text], folder, env)
        else:
            for line in re.findall(r"^\$ (.+)$", block.text, re.MULTILINE):
                run(["bash", "-c", line], folder, env)
