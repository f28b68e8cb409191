"""The commands as a user types them, on scripted models: output, files, exit codes."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lmc.cli.main import COMMANDS, cli, main
from lmc.ir.graph import ProgramGraph
from tests.lora_files import adapter_files

PROGRAM = """
record Row { message: str, desk: str }
enum Desk { amber, cobalt }
model clerk { name: "scripted/script.json" }
default { model: clerk }
generate route(message: str) -> Desk { "Which desk?" }
vote main(message: str) -> Desk { sample: route(message), n: 3 }
dataset mail: Row { source: "mail.jsonl" }
metric right(gold: Row, pred: Desk) -> bool { return str(pred) == gold.desk }
optimize main { data: mail, metric: right, steps: [bootstrap(demos=2)] }
test "stubbed" { stub route -> Desk.amber  assert main("?") == Desk.amber }
"""
SCRIPT = {
    "rules": [
        {"match": r"(?m)^\[\[message\]\] broken$", "answer": "no desk at all"},
        {"match": r"\[\[message\]\] [a-m][^\n]*$", "answer": "amber"},
    ],
    "default": "cobalt",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a program, its scripted model and its rows, as the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LMC_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "desk.lmp").write_text(PROGRAM)
    (tmp_path / "script.json").write_text(json.dumps(SCRIPT))
    rows = [
        {"message": f"{c} message", "desk": "amber" if c < "k" else "cobalt"}
        for c in "abcdefghijklmnopqrst"
    ]
    (tmp_path / "mail.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    """Run the command through its entry point, exit code included."""
    runner = CliRunner()
    with runner.isolation() as (out, err, _):
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        result = Result(
            runner, out.getvalue(), err.getvalue(), b"", None, int(stop.value.code or 0), None
        )  # fmt: skip
    assert result.exit_code == code, result.stdout + result.stderr
    return result


def test_the_end_of_a_command_searches_no_garbage() -> None:
    """Behind torch that search takes longer than most commands."""
    code = (
        "import atexit, gc\nfrom lmc.cli.main import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 1000))\n"
        "main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


def test_help_lists_all_commands_without_importing_them() -> None:
    code = (
        "import sys\nfrom lmc.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('lmc.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {name}" in done.stdout for name in COMMANDS)
    loaded = set(json.loads(done.stderr.replace("'", '"')))
    assert loaded == {
        "lmc.cli",
        "lmc.cli.main",
        "lmc.diagnostics",
        "lmc.frozen",
        "lmc.redaction",
        "lmc.regular",
        "lmc.source",
        "lmc.version",
    }


def test_every_command_has_a_summary() -> None:
    assert all(cli.get_command(None, name).help for name in COMMANDS)  # type: ignore[arg-type, union-attr]


def test_run_streams_text_and_nothing_else(folder: Path) -> None:
    (folder / "say.lmp").write_text(
        'model clerk { name: "scripted/script.json" }\ndefault { model: clerk }\n'
        'generate say(message: str) -> str { "Say it." }\n'
        'generate count(message: str) -> list[str] { "Count." }\n'
    )
    (folder / "script.json").write_text(json.dumps({"rules": [], "default": '["a", "b"]'}))
    said = run("run", "say.lmp", "-t", "say", "--message", "x", "--stream").stdout
    assert said == '["a", "b"]\n'
    counted = run("run", "say.lmp", "-t", "count", "--message", "x", "--stream").stdout
    assert json.loads(counted) == ["a", "b"]
    changes = run("run", "say.lmp", "-t", "count", "--message", "x", "--stream", "--json").stdout
    assert json.loads(changes.splitlines()[-1]) == {"path": [], "value": ["a", "b"]}
    both = run("run", "say.lmp", "-t", "say", "--message", "x", "--stream", "--trace", code=2)
    assert "leave out --stream" in both.stderr


def test_check_reports_and_exits_1(folder: Path) -> None:
    assert "no errors" in run("check", "desk.lmp").stdout
    (folder / "bad.lmp").write_text("generate g(x: strr) -> int\n")
    found = run("check", "bad.lmp", code=1)
    assert "unknown-type" in found.stderr
    assert "did you mean `str`" in found.stderr
    assert (
        json.loads(run("check", "--format", "json", "bad.lmp", code=1).stdout)[0]["severity"]
        == "error"
    )
    assert run("check", "--format", "concise", "bad.lmp", code=1).stderr.startswith(
        "bad.lmp:1:15: error["
    )


def test_check_cost(folder: Path) -> None:
    assert "main: at most 3 model calls = 3 × route" in run("check", "--cost", "desk.lmp").stdout


def test_a_missing_file_is_told(folder: Path) -> None:
    for command in ("check", "run", "eval", "compile", "graph", "test", "stubs", "fmt", "show"):
        assert "error[" in run(command, "nowhere.lmp", code=1).stderr, command


def test_run(folder: Path) -> None:
    assert run("run", "desk.lmp", "--message", "a parcel").stdout == "amber\n"
    assert run("run", "desk.lmp", "--message=zebra", "--json").stdout == '"cobalt"\n'
    assert run("run", "desk.lmp", "--input", '{"message": "hello"}').stdout == "amber\n"
    traced = run("run", "desk.lmp", "--message", "a parcel", "--trace", "--no-cache")
    assert traced.stderr.count("route (generate") == 3
    assert (
        "[[message]] a parcel" in run("run", "desk.lmp", "--message", "a parcel", "--prompt").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs --message"),
        (["--mesage", "x"], "did you mean --message"),
        (["--message"], "--message needs a value"),
        (["--input", "{"], "not JSON"),
        (["--input", "[" * 100_000], "not JSON"),
        (["--input", '{"message": ' + "9" * 5000 + "}"], "not JSON"),
        (["--input", "@."], "cannot read .: Is a directory"),
        (["--input", "@nowhere.json"], "cannot read nowhere.json"),
        (["--input", "[]"], "JSON object"),
    ],
)
def test_run_usage(folder: Path, arguments: list[str], words: str) -> None:
    assert words in run("run", "desk.lmp", *arguments, code=2).stderr


@pytest.mark.parametrize("day", ["2026-01-31", '"2026-01-31"'])
def test_a_date_may_be_in_quotes(day: str, tmp_path: Path) -> None:
    path = tmp_path / "next.lmp"
    path.write_text('pipeline main(day: date, at: time) -> str { return f"{day + 1} {at}" }')
    done = run("run", str(path), "--day", day, "--at", '"14:30"')
    assert done.stdout.strip() == "2026-02-01 14:30:00"


def test_an_input_of_other_bytes_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(b'{"message": "\xff"}')
    given = run("run", "desk.lmp", "--input", f"@{tmp_path}/in.json", code=2)
    assert "in.json: 'utf-8' codec" in given.stderr


def test_an_answer_that_cannot_be_read_is_told_with_its_place(folder: Path) -> None:
    failure = run("run", "desk.lmp", "-t", "route", "--message", "broken", code=1).stderr
    assert "desk.lmp:6" in failure
    assert "no desk at all" in failure
    assert "Traceback" not in failure


def test_eval_prints_figures_and_writes_rows(folder: Path) -> None:
    report = json.loads(run("eval", "desk.lmp", "--split", "all", "--json").stdout)
    assert (report["rows"], report["score"], report["failed"]) == (20, 0.85, 0)
    assert report["low"] < 0.85 < report["high"]
    lines = (folder / "desk.results.jsonl").read_text().splitlines()
    assert len(lines) == 20
    assert sum(json.loads(line)["score"] for line in lines) == 17
    shown = run("eval", "desk.lmp", "--split", "all", "-o", "rows.jsonl").stdout
    assert "0.850" in shown
    assert (folder / "rows.jsonl").is_file()


def test_eval_counts_failures_apart(folder: Path) -> None:
    rows = [{"message": "a", "desk": "amber"}, {"message": "broken", "desk": "amber"}]
    (folder / "two.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    report = json.loads(
        run(
            "eval", "desk.lmp", "--data", "two.jsonl", "--metric", "accuracy(desk)", "--json"
        ).stdout
    )
    assert (report["rows"], report["failed_model"], report["score"]) == (2, 1, 0.5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "acuracy"], "did you mean `accuracy`"),
        (["--data", "nowhere.jsonl"], "cannot read"),
        (["--model", "openai/gpt-4o-mini"], "OPENAI_API_KEY"),
        (["-t", "mian"], "did you mean `main`"),
    ],
)
def test_eval_mistakes(
    folder: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert words in run("eval", "desk.lmp", *arguments, code=1).stderr


@pytest.fixture
def more_rows(folder: Path) -> Path:
    """The folder with rows enough to improve the program."""
    lines = (folder / "mail.jsonl").read_text().splitlines()
    rows = [line.replace(" message", f" message {i}") for i in range(5) for line in lines]
    (folder / "mail.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def test_compile_show_and_run_the_artifact(more_rows: Path) -> None:
    done = run("compile", "desk.lmp", "--budget", "calls=2000", "-o", "desk.lmpc")
    assert "wrote desk.lmpc" in done.stdout
    (more_rows / "desk.lmp").unlink()
    assert "main" in run("show", "desk.lmpc").stdout
    assert json.loads(run("show", "--json", "desk.lmpc").stdout)["manifest"]["target"] == "main"
    assert run("run", "desk.lmpc", "--message", "a parcel").stdout == "amber\n"
    assert "vote main" in run("graph", "desk.lmpc").stdout


def test_budget_must_make_sense(folder: Path) -> None:
    assert "is not a number" in run("compile", "desk.lmp", "--budget", "calls=many", code=2).stderr
    assert "write calls=" in run("eval", "desk.lmp", "--budget", "cals=3", code=2).stderr


def test_tests_of_programs(folder: Path) -> None:
    assert "1 test passed, 0 failed" in run("test", "desk.lmp").stdout
    (folder / "bad.lmp").write_text(
        PROGRAM.replace('assert main("?") == Desk.amber', 'assert main("?") == Desk.cobalt')
    )
    failed = run("test", "bad.lmp", code=1)
    assert "FAIL" in failed.stdout
    assert "assertion-failed" in failed.stderr


def test_graph_formats(folder: Path) -> None:
    assert "vote n=3" in run("graph", "desk.lmp").stdout
    assert run("graph", "desk.lmp", "--format", "mermaid").stdout.startswith("flowchart TD")
    run("graph", "desk.lmp", "-o", "graph.json")
    assert json.loads((folder / "graph.json").read_text())["version"] == 2


def test_a_graph_is_verified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "and after inline, " in run("graph", "desk.lmp", "--verify").stdout

    def careless(program: ProgramGraph, context: object) -> ProgramGraph:
        main = program.graphs["main"]
        return replace(program, graphs={"main": replace(main, nodes=main.nodes[:-1])})

    monkeypatch.setattr("lmc.passes.pipeline.PASSES", (careless,))
    told = run("graph", "desk.lmp", "--verify", code=1).stderr
    assert "error[broken-graph]" in told
    assert "after careless" in told


def test_fmt(folder: Path) -> None:
    (folder / "messy.lmp").write_text("generate   g( x:str )->str  # keep me\n")
    assert "would change: messy.lmp" in run("fmt", "--check", "messy.lmp", code=1).stderr
    assert "-generate   g" in run("fmt", "--diff", "messy.lmp", code=1).stdout
    run("fmt", "messy.lmp")
    assert (folder / "messy.lmp").read_text() == "generate g(x: str) -> str  # keep me\n"
    assert "already formatted" in run("fmt", "messy.lmp").stderr
    (folder / "broken.lmp").write_text("generate g(\n")
    run("fmt", "broken.lmp", code=1)
    assert (folder / "broken.lmp").read_text() == "generate g(\n"


def test_explain() -> None:
    assert run("explain", "unknown-field").stdout.startswith("unknown-field")
    assert "did you mean `unknown-field`" in run("explain", "unknown-feild", code=1).stderr
    assert "unknown-field" in run("explain").stdout


def test_new_makes_a_project_that_works(folder: Path) -> None:
    run("new", "first")
    assert "no errors" in run("check", "first/main.lmp").stdout
    assert "0 failed" in run("test", "first/main.lmp").stdout
    run("fmt", "--check", "first/main.lmp")
    assert "not empty" in run("new", "first", code=1).stderr


def test_stubs_are_python_that_type_checkers_read(folder: Path) -> None:
    run("stubs", "desk.lmp")
    text = (folder / "desk.pyi").read_text()
    compile(text, "desk.pyi", "exec")
    assert "class Desk(StrEnum)" in text
    assert "def __call__(self, message: str) -> Desk" in text


SHAPES = """
enum Lang { cpp "compiled" as "C++", py }
record Item { price: decimal(0..) lang: Lang = Lang.cpp }
record Order { kind: str as "@type" due: date? = none items: list[Item](1..) }
generate read_order(mail: str) -> Order { "Read it." }
"""


def test_records_go_out_as_a_schema_and_come_back(folder: Path) -> None:
    (folder / "shapes.lmp").write_text(SHAPES)
    schema = json.loads(run("export", "shapes.lmp", "--record", "Order").stdout)
    assert list(schema["properties"]) == ["@type", "due", "items"]
    assert schema["$defs"]["Lang"]["oneOf"][0] == {"const": "C++", "description": "compiled"}
    assert set(json.loads(run("export", "shapes.lmp").stdout)["$defs"]) == {"Lang", "Item", "Order"}
    run("export", "shapes.lmp", "--record", "Order", "-o", "order.json")
    run("import", "order.json", "-o", "order.lmp")
    text = (folder / "order.lmp").read_text()
    assert 'type: str as "@type"' in text
    assert "items: list[Item](1..)" in text
    run("check", "order.lmp")
    run("fmt", "--check", "order.lmp")
    assert "did you mean `Order`?" in run("export", "shapes.lmp", "--record", "Oder", code=1).stderr


def test_a_class_of_python_is_imported(folder: Path) -> None:
    (folder / "shapes_in_python.py").write_text(
        "from pydantic import BaseModel\nclass Point(BaseModel):\n  x: int\n  label: str = 'a'\n"
    )
    assert 'label: str = "a"' in run("import", "shapes_in_python:Point").stdout
    for wrong in ("shapes_in_python:Nothing", "no_such_module:X", "shapes_in_python:BaseModel.x"):
        run("import", wrong, code=1)


def test_what_is_no_schema_is_refused(folder: Path) -> None:
    for text in ("[]", "{", "{}", "5"):
        (folder / "wrong.json").write_text(text)
        assert "bad-schema" in run("import", "wrong.json", code=1).stderr
    assert "cannot-read" in run("import", "nothing.json", code=1).stderr
    (folder / "odd.json").write_text('{"properties": {"a": {"not": {}}}}')
    told = run("import", "odd.json")
    assert "note: #/properties/a/not: `not` cannot be said" in told.stderr
    assert "# #/properties/a/not: `not` cannot be said" in told.stdout


def test_models() -> None:
    assert "lmc/" in run("models").stdout


def test_cache(folder: Path) -> None:
    run("run", "desk.lmp", "--message", "a parcel")
    assert "3 answers" in run("cache", "stats").stdout
    assert "3 answers deleted" in run("cache", "clear", "--yes").stdout
    assert "0 answers" in run("cache", "stats").stdout


def test_a_fault_of_lmc_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmc.cli.explain.explanations", lambda: 1 / 0)
    failure = run("explain", "unknown-field", code=3)
    assert "this is a bug in lmc" in failure.stderr
    assert "Traceback" not in failure.stderr


def test_traces_of_a_compilation_are_listed_shown_and_exported(more_rows: Path) -> None:
    run("compile", "desk.lmp", "-o", "desk.lmpc")
    (job,) = json.loads(run("traces", "list", "--json").stdout)
    assert (job["target"], job["program"]) == ("main", "desk.lmp")
    assert job["calls"] == 3 * job["runs"]
    assert job["job"] in run("traces", "list").stdout
    shown = run("traces", "show", "--module", "route", "--min-score", "1", "--limit", "1").stdout
    assert "message = " in shown
    assert shown.count("-> result") == 3
    run("traces", "export", "--format", "chat", "--min-score", "1", "-o", "chat.jsonl")
    chats = [json.loads(line) for line in Path("chat.jsonl").read_text().splitlines()]
    assert {c["messages"][-1]["content"] for c in chats} == {"amber", "cobalt"}
    whole = run("traces", "export", "--stage", "final test").stdout.splitlines()
    assert {json.loads(line)["stage"] for line in whole} == {"final test"}
    run("traces", "export", "--select", "votes", code=2)
    run("compile", "desk.lmp", "-o", "desk.lmpc", "--fresh")
    assert json.loads(run("traces", "list", "--json").stdout)[0]["runs"] == job["runs"]
    run("traces", "remove", job["job"])
    assert "no traces yet" in run("traces", "list").stdout


def test_compare_prints_ways_side_by_side(more_rows: Path) -> None:
    ways = ["--optimizer", "bootstrap(demos=2)", "--optimizer", "labeled(demos=2)"]
    shown = run("compare", "desk.lmp", *ways).stdout
    assert "as written" in shown
    assert "labeled(demos=2)" in shown
    found = json.loads(run("compare", "desk.lmp", *ways, "--json").stdout)["desk.lmp"]
    assert [way["way"] for way in found] == ["as written", "bootstrap(demos=2)", "labeled(demos=2)"]
    assert found[1]["calls"] == 3
    assert found[1]["against"]["as written"]["rows"] == found[1]["rows"]


def test_set_puts_what_came_from_elsewhere_into_an_artifact(more_rows: Path) -> None:
    run("compile", "desk.lmp", "-o", "desk.lmpc")
    adapter = more_rows / "weights"
    adapter.mkdir()
    for name, data in adapter_files().items():
        (adapter / name).write_bytes(data)
    run(
        "set",
        "desk.lmpc",
        "--module",
        "route",
        "--adapter",
        "weights",
        "--drop-demos",
        "-o",
        "b.lmpc",
    )
    shown = json.loads(run("show", "--json", "b.lmpc").stdout)
    module = shown["parameters"]["modules"]["route"]
    assert len(module["adapter"]) == 32
    assert module["demos"] == []
    assert shown["manifest"]["test"] is None
    run("set", "desk.lmpc", "--module", "route", "--model", "openai/ft:mine")
    changed = json.loads(run("show", "--json", "desk.lmpc").stdout)["parameters"]["modules"][
        "route"
    ]
    assert changed["model"] == "openai/ft:mine"
    assert (
        "did you mean `route`"
        in run("set", "b.lmpc", "--module", "rout", "--model", "x", code=1).stderr
    )
    assert "give at least one of" in run("set", "b.lmpc", "--module", "route", code=2).stderr


@pytest.mark.parametrize("name", ["a[x]", "[", "[bold]"])
def test_paths_with_brackets_are_printed_as_they_are(name: str, folder: Path) -> None:
    """They would be markup of the terminal's."""
    (folder / f"{name}.lmp").write_text((folder / "desk.lmp").read_text())
    for command in ("batch", "eval"):
        found = run(command, f"{name}.lmp", "--data", "mail.jsonl", "-o", f"{name}[/r].jsonl")
        assert f"wrote {name}[" in found.stdout


@pytest.mark.parametrize("read", ["mail.jsonl", "desk.lmp"])
@pytest.mark.parametrize("command", ["batch", "eval"])
def test_results_do_not_replace_what_is_read(command: str, read: str, folder: Path) -> None:
    before = (folder / read).read_bytes()
    (folder / "link").symlink_to(read)
    for out in (read, "link"):
        found = run(command, "desk.lmp", "--data", "mail.jsonl", "-o", out, code=1)
        assert "would replace" in found.stdout + found.stderr
    assert (folder / read).read_bytes() == before
