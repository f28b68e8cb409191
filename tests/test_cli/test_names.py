"""Any name that the language allows works on the command line, from Python and in stubs."""

import ast
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lmc
from lmc.check import check_program
from lmc.check.templates import TAKEN
from lmc.models.scripted import Scripted
from lmc.source import Source
from lmc.syntax.tokens import RESERVED
from tests.nasty_names import NASTY, POOLS
from tests.test_cli.test_commands import run

MODEL = 'model m { name: "scripted/script.json" }\ndefault { model: m }\n'


class Names:
    """A program with names of every kind: fields, variants, parameters, modules and types."""

    def __init__(
        self, names: list[str], module: str = "ask", record: str = "Reply", enum: str = "Kind"
    ) -> None:
        self.names, self.module, self.record, self.enum = names, module, record, enum
        self.values = {name: f"value {i}" for i, name in enumerate(names)}
        fields = ", ".join(f"{name}: str" for name in names)
        self.text = (
            f"{MODEL}record {record} {{ {fields} }}\nenum {enum} {{ {' '.join(names)} }}\n"
            f"record Holder {{ list: list[{record}], held: {record}, {record}: {enum} }}\n"
            f'generate {module}({fields}) -> {record} {{ "Do." }}\n'
            f'generate pick_one(one: {enum}, all: {record}) -> {enum} {{ "Do." }}\n'
            f'generate hold_all(batch: {enum}, str: Holder) -> Holder {{ "Do." }}\n'
        )

    def refused(self) -> bool:
        """Whether `check` refuses the program. It must quote a name that is wrong then."""
        _, diagnostics = check_program(Source("names.lmp", self.text))
        errors = [d for d in diagnostics if d.severity == "error"]
        used = [*self.names, self.module, self.record, self.enum]
        for found in errors:
            assert any(f"`{name}`" in found.message for name in used), self.text + str(found)
        return bool(errors)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


def _works_everywhere(names: Names, folder: Path) -> None:
    (folder / "names.lmp").write_text(names.text)
    (folder / "script.json").write_text(
        json.dumps({"rules": [], "default": json.dumps(names.values)})
    )
    _works_on_the_command_line(names, folder)
    _works_from_python(names, folder)
    for name in names.names:
        (folder / "script.json").write_text(json.dumps({"rules": [], "default": name}))
        told = run("run", str(folder / "names.lmp"), "--no-cache", "-t", "pick_one",
                   "--one", name, "--all", json.dumps(names.values), "--json")  # fmt: skip
        assert json.loads(told.stdout) == name


def _works_on_the_command_line(names: Names, folder: Path) -> None:
    start = ["run", str(folder / "names.lmp"), "--no-cache", "--json", "-t", names.module]
    options = [word for name, value in names.values.items() for word in (f"--{name}", value)]
    assert json.loads(run(*start, "--", *options).stdout) == names.values
    assert json.loads(run(*start, "-i", json.dumps(names.values)).stdout) == names.values


def _works_from_python(names: Names, folder: Path) -> None:
    run("stubs", str(folder / "names.lmp"), "-o", str(folder / "names_of.pyi"))
    text = (folder / "names_of.pyi").read_text()
    compile(text, "names_of.pyi", "exec")
    classes = {c.name: c for c in ast.parse(text).body if isinstance(c, ast.ClassDef)}
    program = lmc.load(
        folder / "names.lmp",
        backend=Scripted(lambda request: json.dumps(names.values)),
        cache=False,
    )
    # The stubs say what Python callers write. They follow the order of the program.
    attribute, *_ = _members(classes["Program"])
    call = classes[f"_{attribute}_call"].body[0]
    assert isinstance(call, ast.FunctionDef)
    keywords = [argument.arg for argument in call.args.args[1:]]
    ask = getattr(program, attribute)
    result = ask(**dict(zip(keywords, names.values.values(), strict=True)))
    assert ask(**names.values) == result == ask.batch([names.values])[0]
    assert program[names.module](*names.values.values()) == result
    returned = ast.unparse(call.returns or ast.Constant(None))
    fields = _members(classes[returned.removeprefix("_").removesuffix("_type")])
    assert [getattr(result, field) for field in fields] == list(names.values.values())
    assert result.model_dump() == names.values


def _members(body: ast.ClassDef) -> list[str]:
    return [
        s.target.id
        for s in body.body
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
    ]


@pytest.mark.parametrize("pool", POOLS)
def test_names_of_one_kind_work_or_are_refused(pool: str, folder: Path) -> None:
    worked = [name for name in POOLS[pool] if not Names([name]).refused()]
    assert worked
    for start in range(0, len(worked), 40):
        _works_everywhere(Names(worked[start : start + 40]), folder)


@pytest.mark.parametrize("name", ["_x", "__x__", "9x", "a-b", "é"])
def test_the_language_has_no_other_names(name: str) -> None:
    _, diagnostics = check_program(Source("names.lmp", Names([name]).text))
    assert any(d.severity == "error" for d in diagnostics)


@settings(derandomize=True, max_examples=40)
@example(["class", "class_", "class__"], "graph", "Program", "Any")
@example(["Reply", "Kind", "str", "list"], "Reply", "Kind", "BaseModel")
@given(
    st.lists(st.sampled_from(NASTY), min_size=1, max_size=4, unique=True),
    *[st.sampled_from(NASTY)] * 3,
)
def test_names_work_together_or_are_refused(
    names: list[str], module: str, record: str, enum: str
) -> None:
    program = Names(names, module, record, enum)
    if not program.refused():
        with TemporaryDirectory() as folder:
            _works_everywhere(program, Path(folder))


CLASHES = "prompt: str, model: str, base_url: str, question: str"


def _script(folder: Path, parameters: str, answer: str = "done") -> str:
    (folder / "script.json").write_text(json.dumps({"rules": [], "default": answer}))
    (folder / "main.lmp").write_text(f'{MODEL}generate main({parameters}) -> str {{ "Do." }}\n')
    return str(folder / "main.lmp")


def test_options_of_run_come_first_and_parameters_after_two_dashes(folder: Path) -> None:
    file = _script(folder, CLASHES)
    shown = run("run", file, "--prompt", "--question", "q", "--base_url", "u", "--",
                "--model", "small", "--prompt", "-p").stdout  # fmt: skip
    assert "[[prompt]] -p\n[[model]] small\n[[base_url]] u\n[[question]] q\n" in shown


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--question", "q"], "`main` needs --prompt and --model and --base_url"),
        (["--prompt", "x"], "unexpected argument `x`"),
    ],
)
def test_an_error_about_a_parameter_named_like_an_option_says_what_to_type(
    options: list[str], told: str, folder: Path
) -> None:
    failure = run("run", _script(folder, CLASHES), *options, code=2).stderr
    assert told in failure
    assert "are options of `lmc run` itself" in failure
    assert "`-- --prompt VALUE --model VALUE --base_url VALUE`" in failure


def test_errors_about_other_parameters_do_not_speak_of_options(folder: Path) -> None:
    file = _script(folder, CLASHES)
    rest = ["--", "--prompt", "p", "--model", "m", "--base_url", "u"]
    failure = run("run", file, *rest, code=2).stderr
    assert "`main` needs --question;" in failure
    assert "itself" not in failure


@pytest.mark.parametrize(
    "value", ["-t", "-t hello", "--json", "--prompt", "-5", "-", "--", "---", "a=b", "--x=1", ""]
)
@pytest.mark.parametrize("between", [" ", "="])
def test_a_value_may_start_with_a_dash(value: str, between: str, folder: Path) -> None:
    file = _script(folder, "question: str, tail: str")
    given = ["--question", value] if between == " " else [f"--question={value}"]
    shown = run("run", file, *given, "--tail", "end", "--prompt").stdout
    assert f"[[question]] {value}\n[[tail]] end" in shown


@pytest.mark.parametrize(
    ("type", "text", "value"),
    [
        ("str", "5", "5"),
        ("str", '"5"', '"5"'),
        ("str?", "5", "5"),
        ("str?", "null", "null"),
        ("int?", "5", "5"),
        ("float", "-5", "-5.0"),
        ('"1" | "2"', "1", "1"),
        ("Odd", "null", "null"),
        ("Odd", "NaN", "NaN"),
        ("Odd", "True", "True"),
        ("list[Odd]", '["NaN"]', '["NaN"]'),
        ("int | str", "5", "5"),
        ("int | str", '"5"', '"5"'),
        ("int | str", "five", '"five"'),
        ("(int | str)?", "true", '"true"'),
        ("A | B", '{"kind": "b"}', '{"kind": "b", "y": 1}'),
        ("list[A | B]", '[{"kind": "a"}]', '[{"kind": "a"}]'),
        ("dict[str, int]", '{"a": 1}', '{"a": 1}'),
        ("list[int](unique)", "[1, 2]", "[1, 2]"),
        ("Tree", '{"of": [{"of": []}]}', '{"of": [{"of": []}]}'),
    ],
)
def test_a_value_is_read_by_the_type_of_its_parameter(
    type: str, text: str, value: str, folder: Path
) -> None:
    file = _script(folder, f"x: {type}")
    with (folder / "main.lmp").open("a") as program:
        program.write(
            "enum Odd { null NaN True }\n"
            'record A { kind: "a" }\nrecord B { kind: "b" y: int = 1 }\n'
            "record Tree(depth: 2) { of: list[Tree] }\n"
        )
    assert f"[[x]] {value}\n" in run("run", file, "--x", text, "--prompt").stdout


def test_stubs_of_a_file_have_a_name_that_python_can_import(folder: Path) -> None:
    text = Path(_script(folder, "q: str")).read_text()
    for name in ("my-prog.lmp", "json.lmp", 'quo"""te\\.lmp'):
        (folder / name).write_text(text)
        run("stubs", str(folder / name))
    found = sorted(file.name for file in folder.glob("*.pyi") if file.stem != "names_of")
    assert found == ["json_.pyi", "my_prog.pyi", "quo___te_.pyi"]
    for file in found:
        compile((folder / file).read_text(), file, "exec")


@pytest.mark.parametrize("name", [*TAKEN, *sorted(RESERVED)])
def test_a_parameter_that_a_template_cannot_show_is_refused(name: str) -> None:
    text = f'generate main({name}: str) -> str {{ template: {{user: "{{{{ {name} }}}}"}} }}'
    _, (refused, *_) = check_program(Source("names.lmp", text))
    assert refused.code == ("reserved-word" if name in RESERVED else "shadowed-name")
    assert f"`{name}`" in refused.message


def test_templates_show_all_other_names(folder: Path) -> None:
    names = [name for name in NASTY if name not in (*TAKEN, *RESERVED)]
    values = {name: f"v{i}" for i, name in enumerate(names)}
    parameters = ", ".join(f"{name}: str" for name in names)
    shown = [" ".join(f"{{{{ {of}{name} }}}}" for name in names) for of in ("", "r.")]
    (folder / "templates.lmp").write_text(
        f"record R {{ {parameters} }}\n"
        f'generate ask({parameters}) -> str {{ template: {{user: "{shown[0]}"}} }}\n'
        f'generate main(r: R) -> str {{ template: {{user: "{shown[1]}"}} }}\n'
    )
    program = lmc.load(folder / "templates.lmp", model="lmc/tiny")
    for found in (program.ask.prompt(**values), program.main.prompt(r=values)):
        assert found == [{"role": "user", "content": " ".join(values.values())}]
