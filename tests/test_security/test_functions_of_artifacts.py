"""An artifact runs no Python function that its loader did not allow."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import lmc
from lmc.check import check_program
from lmc.check.imports import read_source, standard_names
from lmc.cli.main import cli
from lmc.consent import LIBRARY_FUNCTIONS, Consent
from lmc.ir.serialize import graph_to_json
from lmc.models.scripted import Scripted
from lmc.optimizers.compilation.compare import compare
from lmc.program.artifact import Artifact, Manifest
from lmc.program.program import check_file, function_targets, lower_checked

TOOL = 'tool touch(path: str) -> str from "{target}"\n'
SHELL = (
    'tool touch(command: str) -> json from "os:system"\n'
    "pipeline main(q: str) -> json { return touch(q) }\n"
)
MODEL = 'model m { name: "scripted/answers.json" }\n'
LATE = (
    MODEL
    + TOOL.format(target="os:mkdir")
    + 'generate ask(q: str) -> str { """Answer.""" model: m }\n'
    + "pipeline main(q: str) -> str { return touch(ask(q)) }\n"
)
METRIC = (
    "record Row { q: str }\n"
    'metric close(gold: Row, pred: str) -> float from "spy:score"\n'
    'generate main(q: str) -> str { """Answer.""" }\n'
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.json").write_text('["made"]')


def pack(text: str, name: str = "p", **manifest: Any) -> Path:
    """An artifact of a program, as `lmc compile` would write it."""
    Path(f"{name}.lmp").write_text(text)
    graph = lower_checked(check_file(f"{name}.lmp"))
    known = Manifest(lmc=lmc.__version__, entry=f"{name}.lmp", target="main", **manifest)
    path = Path(f"{name}.lmpc")
    Artifact(known, graph, sources={f"{name}.lmp": text}).write(path)
    return path


def refusal(call: Callable[[], Any]) -> str:
    """The slug of the failure that a call ends with."""
    with pytest.raises(lmc.LmcError) as failure:
        call()
    return failure.value.code


def test_a_tool_of_an_artifact_is_not_run() -> None:
    program = lmc.load(pack(SHELL))
    assert refusal(lambda: program.main(q="touch PWNED")) == "tool-not-allowed"
    assert refusal(lambda: program.main.batch(["touch PWNED"])) == "tool-not-allowed"
    assert not Path("PWNED").exists()


def test_a_tool_that_python_calls_needs_consent_too() -> None:
    path = pack(SHELL.replace("touch(q)", "q"))  # nothing in the program reaches it
    program = lmc.load(path)
    assert program.main(q="x") == "x"
    assert refusal(lambda: program.touch("touch PWNED")) == "tool-not-allowed"
    assert refusal(lambda: program["touch"].batch(["touch PWNED"])) == "tool-not-allowed"
    assert not Path("PWNED").exists()
    assert lmc.load(path, tools={"touch": lambda command: command.upper()}).touch("x") == "X"


def test_what_is_refused_is_told_with_its_target() -> None:
    with pytest.raises(lmc.LmcError, match=r"`touch` \(os:system\)") as failure:
        lmc.load(pack(SHELL)).main(q="touch PWNED")
    assert "--allow-tool touch" in str(failure.value.diagnostics[0].help)


def test_it_is_refused_before_a_model_is_asked() -> None:
    asked = Scripted(["made"])
    program = lmc.load(pack(LATE), backend=asked, cache=False)
    assert refusal(lambda: program.main(q="?")) == "tool-not-allowed"
    assert not asked.requests
    rows = [{"q": "?", "answer": "x"}]
    assert refusal(lambda: lmc.evaluate(program, rows, "accuracy")) == "tool-not-allowed"
    assert not asked.requests
    assert not Path("made").exists()


@pytest.mark.parametrize("tools", ["touch", ["touch"], ("touch",), True])
def test_what_its_loader_allows_runs(tools: Any) -> None:
    text = TOOL.format(target="posixpath:basename") + (
        "pipeline main(q: str) -> str { return touch(q) }\n"
    )
    text = text.replace("path: str", "p: str")
    assert lmc.load(pack(text), tools=tools).main(q="a/b") == "b"


def test_other_names_do_not_allow_it() -> None:
    text = SHELL.replace("return touch(q)", "return touch(other(q))") + TOOL.format(
        target="os:mkdir"
    ).replace("tool touch", "tool other")
    path = pack(text)
    program = lmc.load(path, tools=["other"])
    assert refusal(lambda: program.main(q="touch PWNED")) == "tool-not-allowed"
    assert refusal(lambda: lmc.load(path, tools=["tuch"])) == "unknown-tool"
    assert refusal(lambda: lmc.load(path, tools={"tuch": print})) == "unknown-tool"


def test_a_function_of_the_loader_stands_in() -> None:
    path = pack(SHELL)

    def touch(command: str) -> str:
        return f"not run: {command}"

    for tools in (touch, [touch], {"touch": touch}):
        assert lmc.load(path, tools=tools).main(q="touch PWNED") == "not run: touch PWNED"
    assert lmc.load("p.lmp", tools=touch).main(q="x") == "not run: x"
    assert not Path("PWNED").exists()


def test_the_functions_of_the_library_run() -> None:
    text = (
        'from "lmc/program_of_thought" import calculate\n'
        "pipeline main(q: str) -> str { return calculate(q) }\n"
    )
    assert lmc.load(pack(text)).main(q="6 * 7") == "42"


@pytest.mark.parametrize(
    "target",
    [
        "lmc.programs.tools:subprocess.getoutput",
        "lmc.programs.tools:_run",
        "lmc.programs.sandboxed:main",
        "lmc.programs.tools.calculate:__globals__.get",
        "lmc.runtime.tools:load_function",
    ],
)
def test_nothing_else_passes_for_the_library(target: str) -> None:
    path = pack(SHELL)  # the checker would refuse some of these; a forger need not ask it
    forge(path, "graph.json", lambda text: text.replace("os:system", target))
    program = lmc.load(path)
    assert refusal(lambda: program.main(q="touch PWNED")) == "tool-not-allowed"


def test_the_library_has_no_other_functions() -> None:
    """So that all of its programs run from artifacts, and nothing more."""
    named: set[str] = set()
    for name in standard_names():
        program, _ = check_program(read_source(name))
        assert program is not None
        named |= {*function_targets(lower_checked(program)).values()}
    assert named == LIBRARY_FUNCTIONS


def test_a_metric_of_an_artifact_is_not_run() -> None:
    Path("spy.py").write_text(
        "open('PWNED', 'w').close()\n\n\ndef score(gold, pred):\n    return 1.0\n"
    )
    path, rows = pack(METRIC), [{"q": "a"}]
    options: Any = {"backend": Scripted(lambda r: "x"), "cache": False}
    for metric in (None, "close", "2 * close + 1 * close"):
        assert (
            refusal(lambda: lmc.evaluate(path, rows, metric, **options))  # noqa: B023
            == "tool-not-allowed"
        )
    assert not Path("PWNED").exists()
    assert lmc.evaluate(path, rows, "close", tools="close", **options).mean == 1.0
    given = {"close": lambda gold, pred: 0.5}
    assert lmc.evaluate(path, rows, "close", tools=given, **options).mean == 0.5


def test_the_metric_that_a_manifest_names_is_not_run() -> None:
    text = MODEL + 'generate main(q: str) -> str { """Answer.""" model: m }\n'
    path = pack(text, metric="2 * spy:score + 1 * spy:score")
    Path("spy.py").write_text("open('PWNED', 'w').close()\n")
    Path("rows.jsonl").write_text('{"q": "a", "answer": "b"}\n')
    done = CliRunner().invoke(cli, ["diff", str(path), str(path), "--data", "rows.jsonl"])
    assert isinstance(done.exception, lmc.LmcError)
    assert done.exception.code == "tool-not-allowed"
    assert not Path("PWNED").exists()


def test_a_program_of_its_user_runs_his_tools() -> None:
    Path("mine.py").write_text("def touch(command):\n    return command.upper()\n")
    Path("own.lmp").write_text(SHELL.replace("os:system", "mine:touch"))
    assert lmc.load("own.lmp").main(q="a") == "A"


@pytest.mark.parametrize(
    "command",
    [
        ["run", "p.lmpc", "--q", "touch PWNED"],
        ["eval", "p.lmpc", "--data", "rows.jsonl", "--metric", "accuracy"],
        ["diff", "p.lmpc", "p.lmpc", "--data", "rows.jsonl", "--metric", "accuracy"],
    ],
    ids=lambda command: command[0],
)
def test_commands_ask_for_consent_and_take_it(command: list[str]) -> None:
    Path("rows.jsonl").write_text('{"q": "touch PWNED", "answer": "x"}\n')
    pack(SHELL)
    done = CliRunner().invoke(cli, command)
    assert isinstance(done.exception, lmc.LmcError)
    assert done.exception.code == "tool-not-allowed"
    assert not Path("PWNED").exists()
    for allowed in ("touch", "all"):
        done = CliRunner().invoke(cli, [*command, "--allow-tool", allowed])
        assert done.exit_code == 0, done.exception


@pytest.mark.parametrize("command", ["run", "eval", "compile", "test", "diff", "compare"])
def test_every_command_that_runs_a_program_has_the_options(command: str) -> None:
    shown = CliRunner().invoke(cli, [command, "--help"]).output
    for option in ("--allow-tool", "--allow-host", "--allow-path", "--base-url", "--record"):
        assert option in shown


def test_compilations_take_the_consent_along() -> None:
    path = pack(LATE)
    Path("rows.jsonl").write_text("\n".join(f'{{"q": "{i}", "answer": "x"}}' for i in range(200)))
    options: Any = {"data": "rows.jsonl", "metric": "accuracy", "cache": False}
    assert refusal(lambda: lmc.compile(path, **options)) == "tool-not-allowed"
    assert refusal(lambda: compare(path, ["bootstrap"], **options)) == "tool-not-allowed"
    assert not Path("made").exists()


# --- artifacts whose graph is not what their sources say ---


def forge(path: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a part, and all hashes with it."""
    import hashlib

    with zipfile.ZipFile(path) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    parts[name] = change(parts[name].decode()).encode()
    manifest = json.loads(parts.pop("manifest.json"))
    manifest["parts"] = {n: hashlib.sha256(data).hexdigest() for n, data in parts.items()}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for n, data in parts.items():
            archive.writestr(n, data)


HONEST = (
    'tool touch(path: str) -> str from "lmc.programs.tools:calculate"\n'
    "pipeline main(q: str) -> str { return touch(q) }\n"
)


def show(path: Path) -> str:
    done = CliRunner().invoke(cli, ["show", str(path)])
    assert done.exit_code == 0, done.exception
    return done.output


def test_show_names_what_the_graph_runs() -> None:
    path = pack(SHELL)
    assert "python   touch (tool) runs os:system; it runs with --allow-tool touch only" in show(
        path
    )
    assert "warning" not in show(path)
    assert "allow-tool" not in show(pack(HONEST, "honest"))


def test_a_graph_that_is_not_its_sources_is_told() -> None:
    path = pack(HONEST)
    target = "lmc.programs.tools:calculate"

    def change(text: str) -> str:
        data = json.loads(text)
        tool = json.loads(json.dumps(data["tools"]).replace(target, "subprocess:getoutput"))
        return json.dumps({**data, "tools": tool})

    forge(path, "graph.json", change)
    told = show(path)
    assert "runs subprocess:getoutput" in told
    assert target not in told
    assert "warning: the graph is not shown to be what the sources say" in told
    shown = CliRunner().invoke(cli, ["show", "--json", str(path)])
    assert "another graph" in json.loads(shown.output)["warning"]
    program = lmc.load(path)
    assert refusal(lambda: program.main(q="touch PWNED")) == "tool-not-allowed"


def test_sources_that_do_not_compile_are_told() -> None:
    path = pack(HONEST)
    forge(path, "sources/p.lmp", lambda text: text + "generate {\n")
    assert "cannot be compiled here" in show(path)


def test_a_library_that_an_artifact_brings_is_not_believed() -> None:
    text = (
        'from "lmc/program_of_thought" import calculate\n'
        "pipeline main(q: str) -> str { return calculate(q) }\n"
    )
    evil = 'tool calculate(expression: str) -> str from "subprocess:getoutput" { timeout: 5 }\n'
    Path("lib.lmp").write_text(evil)
    Path("p.lmp").write_text(text.replace("lmc/program_of_thought", "lib.lmp"))
    graph = lower_checked(check_file("p.lmp"))
    sources = {"p.lmp": text, "lmc/program_of_thought": evil}
    known = Manifest(lmc=lmc.__version__, entry="p.lmp", target="main")
    Artifact(known, graph, sources=sources).write(Path("p.lmpc"))
    assert "another graph" in show(Path("p.lmpc"))


def test_diff_tells_what_the_graphs_reach() -> None:
    one, other = pack(HONEST, "a"), pack(HONEST, "b")
    forge(other, "graph.json", lambda text: text.replace("tools:calculate", "tools:run_python"))
    told = CliRunner().invoke(cli, ["diff", str(one), str(other)]).output
    assert "+ python   touch (tool) runs lmc.programs.tools:run_python" in told
    assert "warning: the second: the graph is not shown" in told


def test_what_is_compiled_is_what_its_sources_say(tmp_path: Path) -> None:
    """No false alarm: with imports from a folder beneath, the library, and one that was allowed."""
    from lmc.program.sources import strangeness

    (tmp_path / "in" / "lib").mkdir(parents=True)
    (tmp_path / "far.lmp").write_text('generate far(q: str) -> str { """Far.""" }\n')
    (tmp_path / "in/lib/near.lmp").write_text('generate near(q: str) -> str { """Near.""" }\n')
    (tmp_path / "in/main.lmp").write_text(
        'from "lib/near.lmp" import near\nfrom "../far.lmp" import far\n'
        'from "lmc/chain_of_thought" import answer\n'
        "record Row { q: str }\n"
        'dataset rows: Row { source: "rows.jsonl" }\n'
        "pipeline main(q: str) -> str { return near(far(answer(q))) }\n"
    )
    from lmc.optimizers.compilation.job import _sources

    program = lmc.load(tmp_path / "in/main.lmp", paths=[tmp_path])
    sources = _sources(program)
    known = Manifest(lmc=lmc.__version__, entry="main.lmp", target="main")
    artifact = Artifact(known, program.graph, sources=sources)
    artifact.write(Path("m.lmpc"))
    assert strangeness(Artifact.read(Path("m.lmpc"))) is None
    assert graph_to_json(program.graph)["tools"]["of"] == {}


def test_consent_is_of_names_not_of_targets() -> None:
    consent = Consent(stranger=True, tools=frozenset({"os:system"}))
    assert not consent.may_run("sh", "os:system")


def test_tests_of_an_artifact_run_no_function_either() -> None:
    text = SHELL + 'test "writes" { assert main("touch PWNED") == 0 }\n'
    path = pack(text)
    done = CliRunner().invoke(cli, ["test", str(path)])
    assert "tool-not-allowed" in done.output
    assert not Path("PWNED").exists()
    done = CliRunner().invoke(cli, ["test", str(path), "--allow-tool", "touch"])
    assert "1 test passed" in done.output
    assert Path("PWNED").exists()


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.lmp"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_no_example_is_taken_for_a_forgery(path: Path) -> None:
    from lmc.optimizers.compilation.job import _sources
    from lmc.program.sources import strangeness

    program = lmc.load(path)
    known = Manifest(lmc=lmc.__version__, entry=path.name, target="main")
    Artifact(known, program.graph, sources=_sources(program)).write(Path("x.lmpc"))
    assert strangeness(Artifact.read(Path("x.lmpc"))) is None


def test_no_program_of_the_library_is_taken_for_a_forgery() -> None:
    from lmc.program.sources import strangeness

    for name in standard_names():
        program, _ = check_program(read_source(name))
        assert program is not None
        known = Manifest(lmc=lmc.__version__, entry="x.lmp", target=None)
        sources = {"x.lmp": program.source.text}
        Artifact(known, lower_checked(program), sources=sources).write(Path("x.lmpc"))
        assert strangeness(Artifact.read(Path("x.lmpc"))) is None, name
