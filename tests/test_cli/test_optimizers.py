"""`lmc optimizers`: its calls can be pasted, and it says all of the table."""

import json
import re

import pytest
from click.testing import CliRunner

from lmc.check import check_program
from lmc.check.optimizers import SIGNATURES
from lmc.cli.optimizers import command
from lmc.diagnostics import LmcError
from lmc.optimizers.compilation.steps import parse_steps, steps_text
from lmc.source import Source

NAMES = list(dict.fromkeys(signature.name for signature in SIGNATURES.values()))
CALL = re.compile(r"^\w+\([^)]*\)$", re.MULTILINE)


def printed(*args: str, columns: int = 80) -> str:
    done = CliRunner(env={"COLUMNS": str(columns)}).invoke(command, args)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def program(step: str) -> Source:
    return Source("pasted.lmp", f"generate it(x: str) -> str\noptimize it {{ steps: [{step}] }}\n")


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_can_be_pasted(name: str, columns: int) -> None:
    (call,) = CALL.findall(printed(name, columns=columns))
    checked, found = check_program(program(call))
    assert [d for d in found if d.severity == "error"] == []
    assert checked is not None
    options = SIGNATURES[name].options
    given = {key: o.default for key, o in options.items() if o.default is not None}
    assert checked.optimizes[0].steps[0].kwargs == given
    (step,) = parse_steps(call)
    assert (step.name, step.kwargs) == (name, given)
    assert parse_steps(steps_text([step])[0]) == (step,)


def test_what_is_printed_of_all_is_what_is_printed_of_each() -> None:
    everything = printed()
    assert everything == "\n".join(map(printed, NAMES))
    steps = CALL.findall(everything)
    assert len(steps) == len(NAMES)
    checked, _ = check_program(program(", ".join(steps)))
    assert checked is not None
    assert len(parse_steps(" >> ".join(steps))) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_its_line(name: str) -> None:
    text = printed(name)
    for key, option in SIGNATURES[name].options.items():
        (line,) = re.findall(rf"^  {key} .*$", text, re.MULTILINE)
        default = [] if option.default is None else [json.dumps(option.default)]
        *cells, _ = re.split(r" {2,}", line.strip())
        assert cells == [key, option.shown, *default]
        assert option.about in " ".join(text.split())


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_lines_fit_the_terminal(columns: int) -> None:
    lines = printed(columns=columns).splitlines()
    assert max(map(len, lines)) <= min(columns, 100)
    assert [line for line in lines if line != line.rstrip()] == []


def test_json_says_the_same() -> None:
    found = {entry["name"]: entry for entry in json.loads(printed("--json"))}
    assert list(found) == NAMES
    for name, entry in found.items():
        options = SIGNATURES[name].options
        assert parse_steps(entry["call"])[0].name == name
        assert entry["options"] == [
            {"name": key, "type": str(o.type), "default": o.default, "about": o.about}
            for key, o in options.items()
        ]
        assert "arXiv" in entry["paper"]


def test_an_alias_prints_what_it_stands_for() -> None:
    assert printed("finetune") == printed("lora")
    assert "Also called finetune." in printed("lora")


def test_an_unknown_name_is_told_the_near_one() -> None:
    with pytest.raises(LmcError, match="did you mean `bootstrap`"):
        printed("bootstrp")
