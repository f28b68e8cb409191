"""What the Python functions of a stranger's program do to lmc: nothing."""

import asyncio
import json
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.cli.main import cli
from lmc.diagnostics import LmcError
from lmc.measure import metric_functions
from lmc.models.scripted import Scripted
from lmc.runtime import loading
from lmc.runtime import tools as tools_module
from lmc.tasks.loop import event_loop, run_sync

PROGRAM = """
tool act(q: str) -> int from "hostile_tools:{function}" {{ timeout: {timeout} }}
pipeline main(q: str) -> int {{ return act(q) }}
"""
TOOLS = """
import asyncio, sys, time, threading, os
def leave(q): sys.exit(3)
def press(q): raise KeyboardInterrupt
def cancel(q): raise asyncio.CancelledError
def stop(q): raise StopIteration
def generator_exit(q): raise GeneratorExit
def unspeakable(q):
    class Bad(Exception):
        def __str__(self): raise SystemExit(4)
    raise Bad
def group(q): raise BaseExceptionGroup("g", [SystemExit(1)])
def none(q): return None
def thing(q): return object()
def nan(q): return float("nan")
def huge(q): return 10 ** 5000
def cyclic(q):
    a = []
    a.append(a)
    return a
def liar(q):
    class Liar:
        dtype = 1
        def tolist(self): raise SystemExit(5)
    return Liar()
def forever(q):
    while True: time.sleep(0.01)
async def leave_async(q): sys.exit(3)
async def press_async(q): raise KeyboardInterrupt
async def cancel_async(q): raise asyncio.CancelledError
async def block_async(q):
    while True: time.sleep(0.01)
async def cancels_all(q):
    for task in asyncio.all_tasks(): task.cancel()
    await asyncio.sleep(1)
    return 1
async def stops_loop(q):
    async def bomb(): sys.exit(6)
    asyncio.ensure_future(bomb())
    await asyncio.sleep(10)
def huge(q): return 10**5000
def spends(q):
    from lmc.requests.budget import Budget
    from lmc.requests.usage import Usage
    Budget(calls=0).charge(Usage(calls=1))
def says_nothing(q):
    import lmc
    raise lmc.LmcError
def good(q): return 7
async def good_async(q): return 8
"""


def program(folder: Path, function: str, timeout: float = 5.0) -> lmc.Program:
    (folder / "hostile_tools.py").write_text(TOOLS)
    path = folder / f"{function}.lmp"
    path.write_text(PROGRAM.format(function=function, timeout=timeout))
    return lmc.load(path, cache=False)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("leave", "raised SystemExit: 3"), ("press", "raised KeyboardInterrupt"),
        ("cancel", "raised CancelledError"), ("stop", "raised StopIteration"),
        ("generator_exit", "raised GeneratorExit"),
        ("unspeakable", "raised Bad, whose message cannot be read"),
        ("group", "raised BaseExceptionGroup"), ("none", "does not fit `int`"),
        ("thing", "does not fit `int`"), ("nan", "does not fit `int`"),
        ("huge", "at most 8,192 bits"), ("spends", "raised BudgetExceeded"),
        ("says_nothing", "raised LmcError"), ("cyclic", "nested too deeply"),
        ("liar", "raised SystemExit: 5"),
        ("leave_async", "raised SystemExit: 3"), ("press_async", "raised KeyboardInterrupt"),
        ("cancel_async", "raised CancelledError"), ("cancels_all", "raised CancelledError"),
    ],
)  # fmt: skip
def test_a_tool_fails_by_name_and_lmc_goes_on(tmp_path: Path, function: str, words: str) -> None:
    with pytest.raises(LmcError, match=f"tool-failed.*the tool `act` .*{words}"):
        program(tmp_path, function).main(q="x")
    assert run_sync(asyncio.sleep(0, "alive")) == "alive"
    assert program(tmp_path, "good").main(q="x") == 7
    assert program(tmp_path, "good_async").main(q="x") == 8


@pytest.mark.parametrize("function", ["forever", "block_async", "stops_loop"])
def test_a_tool_that_never_returns_loses_its_row_only(tmp_path: Path, function: str) -> None:
    loop = event_loop()
    with pytest.raises(LmcError, match=r"the tool `act` took more than 0\.1 s"):
        program(tmp_path, function, 0.1).main(q="x")
    assert event_loop() is loop
    # a loop that was blocked is left within a second or so
    run_sync(asyncio.sleep(1.2))
    assert program(tmp_path, "good_async").main(q="x") == 8


def test_a_tool_without_a_timeout_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools_module, "DEFAULT_TIMEOUT_S", 0.1)
    program(tmp_path, "forever")
    text = (tmp_path / "forever.lmp").read_text().replace("{ timeout: 5.0 }", "")
    (tmp_path / "forever.lmp").write_text(text)
    loaded = lmc.load(tmp_path / "forever.lmp", cache=False)
    with pytest.raises(LmcError, match=r"the tool `act` took more than 0\.1 s"):
        loaded.main(q="x")


@pytest.mark.parametrize("function", ["forever", "block_async", "leave", "press_async"])
def test_what_a_tool_left_behind_does_not_hold_up_the_end(tmp_path: Path, function: str) -> None:
    program(tmp_path, function, 0.1)
    code = f"""
        import lmc
        try:
            lmc.load({str(tmp_path / f"{function}.lmp")!r}, cache=False).main(q="x")
        except lmc.LmcError as failure:
            print(failure.code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode) == ("tool-failed\n", 0), done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(q:", "SyntaxError"), ("raise SystemExit(3)", "SystemExit: 3"),
        ("import lmc_there_is_no_such_module", "ModuleNotFoundError"),
        ("1 / 0", "ZeroDivisionError"), ("x = 1", "has no attribute 'f'"), ("\x00", "null bytes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad_file.py").write_text(text)
    (tmp_path / "p.lmp").write_text(
        'tool act(q: str) -> int from "bad_file:f"\npipeline main(q: str) -> int { return act(q) }'
    )
    with pytest.raises(LmcError, match=f"tool-not-found.*the tool `act`.*{words}"):
        lmc.load(tmp_path / "p.lmp", cache=False).main(q="x")


FOREVER = "import time\n\ndef act(q): return 7\n\nwhile not done: time.sleep(0.01)\n"


@pytest.mark.parametrize("text", [FOREVER, "import slow_sibling\n"], ids=["itself", "sibling"])
def test_a_module_that_never_ends_its_import_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(loading, "MOST_IMPORT_S", 0.2)
    done: list[int] = []
    monkeypatch.setattr("builtins.done", done, raising=False)
    (tmp_path / "slow_sibling.py").write_text(FOREVER)
    (tmp_path / "slow_tools.py").write_text(text)
    path = tmp_path / "p.lmp"
    path.write_text(PROGRAM.format(function="act", timeout=5).replace("hostile_", "slow_"))
    words = r"the tool `act`: cannot import `slow_tools:act`: importing the module took more than"
    for _ in range(2):  # it is waited for once
        with pytest.raises(LmcError, match=rf"tool-not-found.*{words} 0\.2 s"):
            lmc.load(path, cache=False).main(q="x")
    rows = [{"q": "x", "answer": 1}] * 3
    with pytest.raises(LmcError, match=words):
        lmc.evaluate(path, rows, "accuracy", cache=False)
    with pytest.raises(LmcError, match=r"the metric `slow_tools:act`: .* took more than"):
        lmc.evaluate(path, rows, "slow_tools:act", cache=False)
    assert run_sync(asyncio.sleep(0, "alive")) == "alive"
    assert program(tmp_path, "good").main(q="x") == 7
    done.append(1)


def test_a_module_that_ends_late_can_be_used_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr("builtins.done", done, raising=False)
    monkeypatch.setattr(loading, "MOST_IMPORT_S", 0.01)
    (tmp_path / "late_tools.py").write_text("done.wait()\n\ndef act(q): return 7\n")
    path = tmp_path / "p.lmp"
    path.write_text(PROGRAM.format(function="act", timeout=5).replace("hostile_", "late_"))
    with pytest.raises(LmcError, match="took more than"):
        lmc.load(path, cache=False).main(q="x")
    monkeypatch.setattr(loading, "MOST_IMPORT_S", 60)
    stuck = [*loading._stuck.values()]
    done.set()
    wait(stuck)
    assert lmc.load(path, cache=False).main(q="x") == 7


def test_values_of_numpy_are_values(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    (tmp_path / "np_tools.py").write_text(
        "import numpy as np\ndef one(q): return np.int64(3)\ndef many(q): return np.arange(3)\n"
    )
    (tmp_path / "p.lmp").write_text("""
tool one(q: str) -> int from "np_tools:one"
tool many(q: str) -> list[int] from "np_tools:many"
pipeline main(q: str) -> list[int] { return many(q) + [one(q)] }
""")
    assert numpy.__name__ == "numpy"
    assert lmc.load(tmp_path / "p.lmp", cache=False).main(q="x") == [0, 1, 2, 3]


# --- metrics ---

MEASURED = """
record Row {{ q: str, answer: str }}
metric m(gold: Row, pred: str) -> {gives} from "hostile_metrics:{function}"
generate main(q: str) -> str {{ \"\"\"Answer.\"\"\" }}
"""
METRICS = """
import asyncio, sys, time
def leave(gold, pred): sys.exit(3)
def press(gold, pred): raise KeyboardInterrupt
def cancel(gold, pred): raise asyncio.CancelledError
async def leave_async(gold, pred): sys.exit(3)
def spends(gold, pred):
    from lmc.requests.budget import Budget
    from lmc.requests.usage import Usage
    Budget(calls=0).charge(Usage(calls=1))
def none(gold, pred): return None
def nan(gold, pred): return float("nan")
def infinite(gold, pred): return float("inf")
def words(gold, pred): return "1.0"
def thing(gold, pred): return object()
def yes(gold, pred): return True
def half(gold, pred): return 0.5
def pair(gold, pred): return 0.5, "so so"
def array(gold, pred):
    import numpy
    return numpy.array([1.0, 2.0])
def scalar(gold, pred):
    import numpy
    return numpy.float32(0.5)
def forever(gold, pred):
    while True: time.sleep(0.01)
"""


def measured(folder: Path, function: str, gives: str = "Score") -> Path:
    (folder / "hostile_metrics.py").write_text(METRICS)
    path = folder / "m.lmp"
    path.write_text(MEASURED.format(function=function, gives=gives))
    rows = [{"q": f"q{i}", "answer": "a"} for i in range(120)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("function", "gives", "words"),
    [
        ("leave", "Score", "raised SystemExit: 3"), ("press", "Score", "raised KeyboardInterrupt"),
        ("cancel", "Score", "raised CancelledError"), ("spends", "Score", "raised BudgetExceeded"),
        ("leave_async", "Score", "raised SystemExit: 3"), ("none", "Score", "returned 'None'"),
        ("nan", "float", "returned 'nan'"), ("infinite", "float", "returned 'inf'"),
        ("words", "Score", "returned '1.0'"), ("thing", "Score", "which is not a finite number"),
        ("array", "Score", "which is not a finite number"),
        ("forever", "Score", "took more than 0.2 s"),
        ("half", "bool", "returned '0.5', which is not a bool"),
        ("yes", "float", "returned 'True', which is not a finite number"),
        ("pair", "float", "which is not a finite number"),
    ],
)  # fmt: skip
def test_a_metric_fails_by_name_on_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, gives: str, words: str
) -> None:
    if function == "forever":
        monkeypatch.setattr(metric_functions, "TIMEOUT_S", 0.2)
    loaded = lmc.load(measured(tmp_path, function, gives), cache=False, backend=Scripted(["a"] * 9))
    found = lmc.evaluate(loaded, tmp_path / "rows.jsonl", limit=3)
    assert found.failed_metric == 3 and not found.values
    assert all("the metric `m`" in str(r.error) for r in found.results)
    assert all(words in str(r.error) for r in found.results)


@pytest.mark.parametrize(
    ("function", "gives", "score"),
    [("yes", "bool", 1.0), ("half", "float", 0.5), ("scalar", "float", 0.5), ("pair", "Score", 0.5),
     ("yes", "Score", 1.0)],
)  # fmt: skip
def test_a_metric_gives_what_it_declares(
    tmp_path: Path, function: str, gives: str, score: float
) -> None:
    loaded = lmc.load(measured(tmp_path, function, gives), cache=False, backend=Scripted(["a"] * 9))
    assert lmc.evaluate(loaded, tmp_path / "rows.jsonl", limit=2).mean == score


@pytest.mark.parametrize("function", ["none", "leave", "nan"])
def test_a_metric_that_always_fails_stops_compile_before_a_model_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[Any] = []

    def answer(request: Any) -> str:
        asked.append(request)
        return "a"

    path = measured(tmp_path, function)
    with pytest.raises(LmcError, match=r"no-scores.*the rows' own answers.*the metric `m`"):
        lmc.compile(
            path, data=tmp_path / "rows.jsonl", optimizer="bootstrap()", metric="m",
            backend=Scripted(answer), cache=False, accept="better",
        )  # fmt: skip
    assert not asked


def test_one_that_fails_on_answers_only_stops_after_a_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = measured(tmp_path, "only_gold")
    code = "\ndef only_gold(gold, pred):\n    return 1.0 if pred == gold.answer else None\n"
    (tmp_path / "hostile_metrics.py").write_text(METRICS + code)
    asked: list[Any] = []

    def answer(request: Any) -> str:
        asked.append(request)
        return "something else"

    with pytest.raises(LmcError, match=r"no-scores.*all of the first"):
        lmc.compile(
            path, data=tmp_path / "rows.jsonl", optimizer="bootstrap()", metric="m",
            backend=Scripted(answer), cache=False, accept="better",
        )  # fmt: skip
    assert 0 < len(asked) <= 4


def test_an_eval_that_scored_no_row_fails(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(["a"] * 120))
    for function, code in (("none", 1), ("yes", 0)):
        path = measured(tmp_path, function)
        args = ["eval", str(path), "--data", str(tmp_path / "rows.jsonl"), "--no-cache"]
        done = CliRunner().invoke(cli, [*args, "-m", f"scripted/{tmp_path / 'a.json'}"])
        assert done.exit_code == code, done.output


# --- what stands beside a program ---

WATCHED = ("json", "ssl", "aiohttp", "jinja2", "numpy", "tools_of_nobody")


@pytest.fixture
def shadows(tmp_path: Path) -> Path:
    """A folder of files that take the place of libraries where they can."""
    for name in WATCHED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'SHADOWED')!r}, 'a')\n")
    (tmp_path / "lmc").mkdir()
    (tmp_path / "lmc" / "__init__.py").write_text(f"open({str(tmp_path / 'SHADOWED')!r}, 'a')\n")
    return tmp_path


def test_a_file_beside_a_program_takes_no_library_s_place(shadows: Path) -> None:
    (shadows / "mine.py").write_text(
        "import json, sys\ndef f(q):\n    import ssl, aiohttp\n    return len(json.dumps(q))\n"
    )
    (shadows / "p.lmp").write_text("""
from "lmc/program_of_thought" import calculate
tool own(q: str) -> int from "mine:f"
model m { name: "hosted_vllm/x", base_url: "http://127.0.0.1:1/v1", retry: {max: 0} }
generate g(q: str) -> str { \"\"\"G.\"\"\" model: m }
pipeline main(q: str) -> str { return g(calculate("1+1") + str(own(q))) }
""")
    code = f"""
        import lmc, sys
        try:
            lmc.load({str(shadows / "p.lmp")!r}, cache=False).main(q="x")
        except lmc.LmcError as failure:
            print(failure.code)
        assert {str(shadows)!r} not in sys.path
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True, text=True, timeout=60, cwd=Path(lmc.__file__).parents[1],
    )  # fmt: skip
    assert done.stdout == "infrastructure-failure\n", done.stderr
    assert not (shadows / "SHADOWED").exists()


def test_a_name_of_the_standard_library_is_that_library(shadows: Path) -> None:
    (shadows / "p.lmp").write_text(
        'tool f(s: str) -> int from "json:f"\npipeline main(q: str) -> int { return f(q) }'
    )
    with pytest.raises(LmcError, match=r"is a library, not the `json.py` beside the program"):
        lmc.load(shadows / "p.lmp", cache=False).main(q="1")
    assert not (shadows / "SHADOWED").exists()


def test_two_programs_with_modules_of_one_name_each_run_their_own(tmp_path: Path) -> None:
    for name in ("left", "right"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tools.py").write_text(f"from names import f\ndef g(q): return {name!r} + f()\n")
        (folder / "names.py").write_text(f"def f(): return ' of {name}'\n")
        (folder / "p.lmp").write_text(
            'tool g(q: str) -> str from "tools:g"\npipeline main(q: str) -> str { return g(q) }'
        )
    programs = [lmc.load(tmp_path / n / "p.lmp", cache=False) for n in ("left", "right", "left")]
    said = [loaded.main(q="x") for loaded in programs]
    assert said == ["left of left", "right of right", "left of left"]
    assert "tools" not in sys.modules and "names" not in sys.modules


@pytest.mark.parametrize(
    "text",
    [
        "from helpers import deep\ndef f(q): return deep()",
        "from .helpers import deep\ndef f(q): return deep()",
        "import helpers\ndef f(q): return helpers.deep()",
        "from parts.inner import deep\ndef f(q): return deep()",
        "import parts.inner\ndef f(q): return parts.inner.deep()",
        "from parts import inner\ndef f(q): return inner.deep()",
        "def f(q):\n    from helpers import deep\n    return deep()",
    ],
)
def test_a_tool_imports_its_siblings(tmp_path: Path, text: str) -> None:
    (tmp_path / "siblings.py").write_text(text)
    (tmp_path / "helpers.py").write_text("from base_of_all import one\ndef deep(): return one\n")
    (tmp_path / "base_of_all.py").write_text("one = 1\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "inner.py").write_text("from helpers import deep\n")
    (tmp_path / "p.lmp").write_text(
        'tool f(q: str) -> int from "siblings:f"\npipeline main(q: str) -> int { return f(q) }'
    )
    assert lmc.load(tmp_path / "p.lmp", cache=False).main(q="x") == 1


def test_a_sibling_that_is_missing_is_named_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "lonely.py").write_text("import helpers_that_are_gone")
    (tmp_path / "p.lmp").write_text(
        'tool f(q: str) -> int from "lonely:f"\npipeline main(q: str) -> int { return f(q) }'
    )
    with pytest.raises(LmcError, match="No module named 'helpers_that_are_gone'"):
        lmc.load(tmp_path / "p.lmp", cache=False).main(q="x")


def test_a_script_and_the_tools_beside_it_share_one_module(tmp_path: Path) -> None:
    (tmp_path / "shared_tools.py").write_text("box = []\ndef f(q): return len(box)\n")
    (tmp_path / "p.lmp").write_text(
        'tool f(q: str) -> int from "shared_tools:f"\npipeline main(q: str) -> int { return f(q) }'
    )
    (tmp_path / "app.py").write_text(
        "import lmc, shared_tools\nshared_tools.box.append(1)\n"
        "print(lmc.load('p.lmp', cache=False).main(q='x'))\n"
    )
    done = subprocess.run(
        [sys.executable, "app.py"], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={"PYTHONPATH": str(Path(lmc.__file__).parents[1]), "PATH": ""},
    )  # fmt: skip
    assert done.stdout == "1\n", done.stderr
