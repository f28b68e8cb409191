"""The public functions have typed keyword parameters, as mypy and pyright see them.

basedpyright is pyright as a wheel: it needs no download when it runs.
"""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lmc
from lmc.optimizers.compilation.options import CompileOptions
from lmc.program.options import EvaluateOptions, LoadOptions

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "load": LoadOptions,
    "evaluate": EvaluateOptions,
    "aevaluate": EvaluateOptions,
    "compile": CompileOptions,
    "acompile": CompileOptions,
}
RIGHT = """
from pathlib import Path

import lmc

program: lmc.Program = lmc.load("a.lmp", model="openai/m", cache=False, speculate=4)
rows = [{"question": "1 + 1", "answer": 2}]
mean: float | None = lmc.evaluate(program, rows, "accuracy", part="test", limit=3).mean
lmc.evaluate(Path("a.lmp"), data="rows.jsonl", budget={"calls": 10}, progress=print)
improved: bool = lmc.compile("a.lmp", optimizer="bootstrap(demos=4)", accept="better").improved


async def main() -> None:
    score: float | None = (await lmc.aevaluate("a.lmp")).mean
    better: bool = (await lmc.acompile("a.lmp", guards=["f1"], resume=False)).improved
    print(score, better)
"""
WRONG = """
import lmc

lmc.load("a.lmp", modle="openai/m")
lmc.load("a.lmp", speculate="4")
lmc.evaluate("a.lmp", part="tests")
lmc.evaluate("a.lmp", limits=3)
lmc.compile("a.lmp", optimiser="lora")
lmc.compile("a.lmp", accept="good")
lmc.compile(3)
"""
WRONG_LINES = [4, 5, 6, 7, 8, 9, 10]


def lines_of_mypy(*files: Path) -> dict[str, list[int]]:
    """The lines with errors of each file, by the names of the files."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary"]
    done = subprocess.run(
        [*command, *options, *map(str, files)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {
        file.name: sorted(
            {
                int(line)
                for line in re.findall(
                    # What mypy remembers of equal files may have the folder of an earlier run.
                    rf"^.*/{re.escape(file.name)}:(\d+): error",
                    done.stdout,
                    re.MULTILINE,
                )
            }
        )
        for file in files
    }


def lines_of_pyright(*files: Path) -> dict[str, list[int]]:
    """The lines with errors of each file in one folder, by the names of the files."""
    folder = files[0].parent
    (folder / "pyrightconfig.json").write_text(
        json.dumps({"extraPaths": [str(ROOT)], "typeCheckingMode": "standard"})
    )
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, *(file.name for file in files)],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    told = json.loads(done.stdout)["generalDiagnostics"]
    found: dict[str, set[int]] = {file.name: set() for file in files}
    for error in told:
        if error["severity"] == "error":
            found[Path(error["file"]).name].add(error["range"]["start"]["line"] + 1)
    return {name: sorted(lines) for name, lines in found.items()}


@pytest.mark.parametrize("checker", [lines_of_mypy, lines_of_pyright])
def test_checkers_know_the_options(checker, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(RIGHT)
    wrong.write_text(WRONG)
    assert checker(right, wrong) == {"right.py": [], "wrong.py": WRONG_LINES}


@pytest.mark.parametrize("name", OPTIONS)
def test_help_shows_every_option(name: str) -> None:
    shown = inspect.signature(getattr(lmc, name)).parameters
    fields = inspect.signature(OPTIONS[name]).parameters
    assert list(shown)[1:] == list(fields)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_misspelt_option_names_the_near_one(name: str) -> None:
    with pytest.raises(lmc.LmcError) as caught:
        getattr(lmc, name)("a.lmp", modle="m")
    (told,) = caught.value.diagnostics
    assert told.code == "unknown-option"
    assert told.message == f"`{name}` has no option `modle`"
    assert told.help == "did you mean `model`?"
    assert isinstance(caught.value, TypeError)


def test_an_option_that_is_far_from_all_lists_them() -> None:
    names = (
        "model, cache, backend, base_url, record, tools, hosts, paths, urls, stores, on_call, "
        "on, otel, batch_api, speculate"
    )
    with pytest.raises(lmc.LmcError, match=f"it takes {names}"):
        lmc.load("a.lmp", zzz=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_docs_describe_every_option(name: str) -> None:
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").rglob("python.md")]
    rows = "\n".join(line for page in pages for line in page.splitlines() if line.startswith("|"))
    missing = [
        field for field in inspect.signature(OPTIONS[name]).parameters if f"`{field}`" not in rows
    ]
    assert missing == []


def test_an_option_that_a_loaded_program_cannot_take_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.lmp").write_text("generate main(q: str) -> str\n")
    program = lmc.load(tmp_path / "a.lmp")
    with pytest.raises(lmc.LmcError, match="`model` has no effect") as caught:
        lmc.evaluate(program, [{"q": "?"}], model="openai/m")
    assert caught.value.code == "already-loaded"
