"""What ships: the packages, the wheel, and what `import lmc` and `lmc check` load."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
HEAVY = (
    *("torch", "transformers", "peft", "litellm", "vllm", "ray", "mcp", "xllamacpp"),
    *("pyarrow", "pandas", "polars", "datasets", "genai_prices"),
    *("opentelemetry", "mlflow"),
)


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def packages_on_disk() -> set[str]:
    outside = ("grammars", "programs", "optimizers")
    tops = [ROOT / "lmc", *(ROOT / name for name in outside)]
    files = [file for top in tops for file in top.rglob("__init__.py")]
    real = [file for file in files if not any(p.is_symlink() for p in file.parents)]
    names = [".".join(file.parent.relative_to(ROOT).parts) for file in real]
    return {name if name.split(".")[0] == "lmc" else f"lmc.{name}" for name in names}


def test_every_package_is_listed() -> None:
    """A package missing from the list would be absent from the wheel without a word."""
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages_on_disk()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel unpacked in it, built from a clean copy of what git tracks."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tracked = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")[:-1]
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            (tree / name).symlink_to(os.readlink(ROOT / name))
        elif (ROOT / name).exists():
            (tree / name).write_bytes((ROOT / name).read_bytes())
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "-o",
        str(folder),
        str(tree),
    ]
    run(*build, cwd=folder)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "-q"]
    run(*pip, "--target", str(folder / "site"), *map(str, folder.glob("*.whl")), cwd=folder)
    return folder / "site"


def test_the_wheel_works_from_another_folder(site: Path, tmp_path: Path) -> None:
    (tmp_path / "a.lmp").write_text('from "lmc/chain_of_thought" import answer\n')
    run(sys.executable, "-c", "import lmc; print(lmc.__file__)", cwd=tmp_path, PYTHONPATH=str(site))
    done = run(
        sys.executable, "-c", "import sys; from lmc.cli.main import main; main(sys.argv[1:])",
        "check", "a.lmp", cwd=tmp_path, PYTHONPATH=str(site),
    )  # fmt: skip
    assert "1 file checked" in done.stdout


def test_a_project_is_made_by_an_installed_lmc(site: Path, tmp_path: Path) -> None:
    """pip leaves compiled files in folders that lmc copies."""
    (site / "lmc/cli/scaffold/__pycache__").mkdir(exist_ok=True)
    run(sys.executable, "-m", "lmc", "new", "desks", cwd=tmp_path, PYTHONPATH=str(site))
    assert {file.name for file in (tmp_path / "desks").iterdir()} == {
        "mail.jsonl",
        "main.lmp",
        "use.py",
    }


def test_the_wheel_has_all_that_git_tracks_and_nothing_else(site: Path) -> None:
    """Data files are listed by their endings, so one of another kind could be absent."""
    folders = ("lmc", "grammars", "programs", "optimizers")
    tracked = run("git", "ls-files", "-z", *folders, cwd=ROOT).stdout.split("\0")[:-1]
    files = {name for name in tracked if (ROOT / name).is_file()}
    packed = [file for file in (site / "lmc").rglob("*") if file.is_file()]
    names = {str(file.relative_to(site)) for file in packed if file.suffix != ".pyc"}
    assert names == {name if name.startswith("lmc/") else f"lmc/{name}" for name in files}
    assert len(list(site.glob("lmc_lang-*.dist-info/licenses/LICENSE"))) == 1


@pytest.mark.parametrize("code", ["import lmc", "import lmc; lmc.load; lmc.compile; lmc.evaluate"])
def test_import_loads_no_heavy_library(code: str) -> None:
    names = f"{code}; import sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(sys.executable, "-c", names, cwd=ROOT).stdout.strip() == "[]"


def test_import_lmc_loads_almost_nothing() -> None:
    """`import lmc` is to take under 150 ms; what it loads is what takes the time."""
    code = (
        "import importlib, sys, typing\n"  # how much of these is there already is Python's affair
        "before = set(sys.modules); import lmc; print(len(set(sys.modules) - before))"
    )
    assert int(run(sys.executable, "-c", code, cwd=ROOT).stdout) < 5


def test_models_behind_a_server_need_no_heavy_library() -> None:
    """They are there with the light install, which has no torch."""
    code = (
        "import sys\nfrom lmc.models.registry import open_backend\n"
        "for kind in ('openai', 'hosted_vllm', 'vllm', 'ollama', 'llama.cpp'):\n"
        "    open_backend(kind + '/x', {'base_url': 'http://localhost:1/v1'})\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    env = {"OPENAI_API_KEY": "k"}
    assert run(sys.executable, "-c", code, cwd=ROOT, **env).stdout.strip() == "[]"


def test_check_loads_no_runtime_library(tmp_path: Path) -> None:
    (tmp_path / "a.lmp").write_text("generate answer(question: str) -> str\n")
    code = (
        "import sys\nfrom lmc.cli.main import cli\n"
        "cli.main(['check', 'a.lmp'], standalone_mode=False)\n"
        "heavy = {'pydantic', 'aiohttp', 'jinja2', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert done.stderr.strip() == "[]"
