"""Names that Python has taken, in calls from Python and of Python."""

import asyncio
import json
from pathlib import Path

import pytest

import lmc
from lmc.models.scripted import Scripted
from lmc.program.program import Program

PROGRAM = """
record Mail { from: str, class: str, self: str, model_dump: int }
record Row { class: str, self: str, from: str }
generate main(class: str, self: str = "me") -> Mail { "Do." }
generate say(inputs: str, args: str, self: str) -> str { "Say." }
generate graph(class_: str, class: str) -> str { "Say." }
generate import(x: str) -> str { "Say." }
tool join(class: str, self: str, mail: Mail) -> str from "names_of_tools:join"
pipeline joined(class: str, self: str) -> str { return join(class, self, main(class, self)) }
metric same(gold: Row, pred: Mail) -> bool from "names_of_tools:same"
"""
TOOLS = """
def join(class_, self, mail): return f"{class_} {self} {mail.from_} {mail.model_dump_}"
def same(gold, pred): return (gold.class_, gold.from_) == (pred.class_, pred.from_)
"""
MAIL = {"from": "ann", "class": "first", "self": "s", "model_dump": 3}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "names.lmp").write_text(PROGRAM)
    (tmp_path / "names_of_tools.py").write_text(TOOLS)
    answers = Scripted(
        lambda request: "said" if "Say." in str(request.messages) else json.dumps(MAIL)
    )
    return lmc.load(tmp_path / "names.lmp", backend=answers, cache=False)


def test_an_input_has_its_name_of_python_or_its_own(program: Program) -> None:
    mail = program.main(class_="a", self="b")
    assert (mail.from_, mail.class_, mail.self, mail.model_dump_) == ("ann", "first", "s", 3)
    assert mail.model_dump() == json.loads(mail.model_dump_json()) == MAIL
    assert program.main("a") == program.main(**{"class": "a"}) == mail
    assert asyncio.run(program.main.acall(class_="a", self="b")) == mail
    assert program.main.batch([{"class": "a"}, {"class_": "a", "self": "b"}]) == [mail, mail]
    assert program.say(inputs="i", args="a", self="s") == "said"
    (_, user) = program.say.prompt(inputs="i", args="a", self="s")
    assert user["content"] == "[[inputs]] i\n[[args]] a\n[[self]] s"


def test_a_stream_takes_every_input(program: Program) -> None:
    async def pieces() -> list[str]:
        return [piece async for piece in program.say.stream(inputs="i", args="a", self="s")]

    assert "".join(asyncio.run(pieces())) == "said"


def test_a_name_that_is_there_twice_goes_to_its_owner(program: Program) -> None:
    (_, user) = program.graph_.prompt(class_="own", class__="of class")
    assert user["content"] == "[[class_]] own\n[[class]] of class"


def test_an_input_under_both_names_is_given_twice(program: Program) -> None:
    for given in ({"class": "a", "class_": "b"}, {"class_": "b"}):
        with pytest.raises(lmc.LmcError, match="`main` got its input `class` twice"):
            program.main(*(["a"] if len(given) == 1 else []), **given)
    with pytest.raises(lmc.LmcError, match="`main` has no input `self_`"):
        program.main("a", self_="b")


def test_modules_are_attributes_that_dir_lists(program: Program) -> None:
    assert {"main", "say", "graph_", "import_", "joined"} <= {*dir(program)}
    assert "import" not in dir(program)
    assert program.import_(x="x") == program["import"](x="x") == getattr(program, "import")(x="x")
    assert program.graph_.graph.name == "graph"
    with pytest.raises(AttributeError, match="no module, pipeline or tool `say_`"):
        _ = program.say_


def test_functions_of_tools_and_metrics_get_names_of_python(program: Program) -> None:
    assert program.joined("a", "b") == "a b ann 3"
    rows = [
        {"class": "first", "self": "s", "from": "ann"},
        {"class": "first", "self": "s", "from": "ben"},
    ]
    assert lmc.evaluate(program, rows, "same", target="main").mean == 0.5
