"""The stubs of programs with taken names, as mypy and pyright see them.

In place of lmc stands a stub with the attributes of `lmc.Program`, which checkers read in seconds.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lmc.check import check_program
from lmc.ir.lower import lower
from lmc.program.program import Program, attributes
from lmc.source import Source
from lmc.values.stubs import stub_text
from tests.nasty_names import NASTY
from tests.test_structure.test_public_types import lines_of_pyright

SMALL = """
enum Kind { None mro title name }
record Node(depth: 3) { label: str, children: list[Node], either: (Node | Leaf | str)? }
record Leaf { value: int }
record Program { class: str, str: int, copy: Kind, Kind: Kind? }
record Any { list: list[Program], BaseModel: json, json: json }
record Visit {
  date: date, time: time?, decimal: list[decimal], kind: str as "@kind"
  datetime: datetime = datetime("2026-01-31T10:00:00")
}
generate visit(day: date, labels: list[str]) -> Visit { "Do." }
generate pick(labels: list[str]) -> list[one_of(labels)] { "Do." }
generate class(self: str, if_: int = 3, from: str = "") -> Program { "Do." }
generate graph(batch: list[Program], last: str = "", int: int) -> Any { "Do." }
generate stream(Literal: "a" | "b") -> Kind { "Do." }
tool due(day: date, days: int = 1) -> Visit? from "shop:due"
generate grow(node: Node | Leaf, seen: dict[str, int | bool] = {}) -> list[Node](unique) { "Do." }
"""
USER = """
import datetime as dt
from decimal import Decimal
from typing import assert_type, cast

import lmc
import small

program = cast("small.Program", lmc.load("small.lmp"))
found = program.class_(self="a", from_="b")
assert_type(found, small.Program_)
assert_type(found.class_, str)
assert_type(found.str, int)
assert_type(found.copy, small.Kind)
assert_type(found.Kind, small.Kind | None)
whole = program.graph_([found], int=3)
assert_type(whole, small.Any)
assert_type(whole.list, list[small.Program_])
assert_type(program.stream("a"), small.Kind)
assert_type(program.stream.batch([{"Literal": "a"}]), list[small.Kind])
grown = program.grow(small.Leaf(value=1), {"a": 1, "b": True})
assert_type(grown, list[small.Node])
assert_type(grown[0].children[0], small.Node)
assert_type(grown[0].either, small.Node | small.Leaf | str | None)
for grows in program.grow.stream(small.Leaf(value=1)):
    assert_type(grows[0].children, list[small.NodePartial] | None)
    assert_type(grows[0].either, small.NodePartial | small.LeafPartial | str | None)
if isinstance(grown[0].either, small.Leaf):
    assert_type(grown[0].either.value, int)
assert_type(program.class_.stream("a"), lmc.Stream[small.ProgramPartial, small.Program_])
assert_type(program.class_.stream("a").result.copy, small.Kind)
assert_type(program.class_.traced("a"), tuple[small.Program_, lmc.RunReport])
for part in program.graph_.whole("list").stream([], int=3):
    assert_type(part.list, list[small.ProgramPartial] | None)
print(small.Kind.None_, small.Kind.mro_, small.Kind.title, small.Kind.name)

assert_type(program.due(dt.date(2026, 1, 31)), small.Visit | None)
assert_type(program.due.batch([{"day": "2026-01-31"}]), list[small.Visit | None])
bare = program.stream.batch(["a", "b"], return_exceptions=True)
assert_type(bare, list[small.Kind | lmc.LmcError])
visit = program.visit(dt.date(2026, 1, 31), ["a"])
assert_type(visit.date, dt.date)
assert_type(visit.time, dt.time | None)
assert_type(visit.decimal, list[Decimal])
assert_type(visit.datetime, dt.datetime)
assert_type(visit.kind, str)
assert_type(program.pick(["a"]), list[str])

program.visit("2026-01-31", ["a"])  # wrong
program.class_(self=3)  # wrong
program.grow("a")  # wrong
grown[0].either.value  # wrong
program.graph_([], "", 3)  # wrong
program.graph(batch=[])  # wrong
program.stream("c")  # wrong
program.stream.batch(["c"])  # wrong
program.class_(self="a").no  # wrong
small.Kind.nothing  # wrong
"""
STREAM = """
from collections.abc import Iterator
from typing import Generic, TypeVar
P = TypeVar("P")
R = TypeVar("R")
class RunReport: ...
class LmcError(Exception): ...
class Stream(Generic[P, R]):
    @property
    def result(self) -> R: ...
    def __iter__(self) -> Iterator[P]: ...
"""
WRONG = [n for n, line in enumerate(USER.split("\n"), 1) if line.endswith("# wrong")]


def lines_of_mypy(*files: Path) -> dict[str, list[int]]:
    """The lines with errors of each file in one folder, by the names of the files."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    options = ["--no-error-summary", "--cache-dir", os.devnull]
    done = subprocess.run(
        [*command, *options, *(file.name for file in files)],
        cwd=files[0].parent, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, set[int]] = {file.name: set() for file in files}
    for name, line in re.findall(r"^([^:\n]+):(\d+): error", done.stdout, re.MULTILINE):
        found[name].add(int(line))
    return {name: sorted(lines) for name, lines in found.items()}


def write_stubs(text: str, file: Path) -> str:
    """Write the stubs of a program, and return those of lmc that they need."""
    checked, diagnostics = check_program(Source(f"{file.stem}.lmp", text))
    assert checked is not None, diagnostics
    program = Program(lower(checked))
    file.write_text(stub_text(program.graph, "x.lmp", file.stem, attributes(program)))
    own = {name for name in (*vars(program), *dir(Program)) if not name.startswith("_")}
    members = "".join(f"    {name}: object\n" for name in sorted(own))
    return f"{STREAM}class Program:\n{members}\ndef load(path: str) -> Program: ...\n"


def allowed(form: str) -> list[str]:
    """The names that can stand at a place of a program."""
    return [n for n in NASTY if check_program(Source("x.lmp", form % n))[0] is not None]


def members() -> str:
    """A program with fields, variants, parameters and modules of every name."""
    names = allowed('generate x(%s: str) -> str { "Do." }')
    modules = allowed('generate %s(x: str) -> str { "Do." }')
    fields, variants = (between.join(names) for between in (": str, ", " "))
    return (
        f"record Members {{ {fields}: str }}\nenum Variants {{ {variants} }}\n"
        f'generate x0({fields}: str) -> Members {{ "Do." }}\n'
        'generate x2(one: Variants) -> list[Variants] { "Do." }\n'
    ) + "".join(f'generate {name}(x: str) -> str {{ "Do." }}\n' for name in modules)


def types() -> str:
    """A program with types of every name, which are the fields of a record."""
    names = allowed("record %s { x0: str }")
    records = "".join(f"record {name} {{ x0: str }}\n" for name in names)
    fields = ", ".join(f"{name}: {name}" for name in names)
    return f'{records}record Types {{ {fields} }}\ngenerate main(x: Types) -> Types {{ "Do." }}\n'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Stubs of programs and a user of one, in a folder: a checker reads pydantic once for all."""
    folder = tmp_path_factory.mktemp("stubs")
    programs = {"every_member.pyi": members(), "every_type.pyi": types(), "small.pyi": SMALL}
    [of_lmc] = {write_stubs(text, folder / name) for name, text in programs.items()}
    (folder / "lmc.pyi").write_text(of_lmc)
    (folder / "user.py").write_text(USER)
    return [*(folder / name for name in programs), folder / "user.py"]


@pytest.mark.parametrize("checker", [lines_of_mypy, lines_of_pyright])
def test_checkers_accept_stubs_of_every_name_and_know_the_types(checker, written) -> None:  # type: ignore[no-untyped-def]
    clean = {"every_member.pyi": [], "every_type.pyi": [], "small.pyi": []}
    assert checker(*written) == {**clean, "user.py": WRONG}
