"""Early returns among other statements give what the same statements give in Python."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from lmc.ir.verify import verify
from lmc.passes.pipeline import run_passes
from tests.programs import lowered, run_echo


class Writer:
    """Writes random statements as a program and as Python. All names are ints."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.names = ["x"]
        self.program: list[str] = []
        self.python: list[str] = []

    def condition(self) -> str:
        modulus, rest = self.random.randint(2, 60), self.random.randint(0, 3)
        return f"{self.random.choice(self.names)} % {modulus} == {rest}"

    def value(self) -> str:
        return f"{self.random.choice(self.names)} + {self.random.randint(0, 9)}"

    def write(self, program: str, python: str) -> None:
        self.program.append(program)
        self.python.append(python)

    def statement(self, i: int) -> None:
        c, d, e, f = self.condition(), self.condition(), self.value(), self.value()
        kind = self.random.choice(("let", "record", "maybe", "if", "if", "inner", "else", "both"))
        match kind:
            case "let":
                self.write(f"let v{i} = {e}", f"v{i} = {e}")
            case "record":
                self.write(f"let r{i} = R(a={e}) let v{i} = r{i}.a", f"v{i} = {e}")
            case "maybe":
                self.write(
                    f"let o{i}: int? = if {c} then {e} else none let v{i} = o{i} ?? 7",
                    f"v{i} = ({e}) if {c} else 7",
                )
            case "if":
                self.write(f"if {c} {{ return {e} }}", f"if {c}: return {e}")
            case "inner":
                self.write(f"if {c} {{ if {d} {{ return {e} }} }}", f"if {c} and {d}: return {e}")
            case "else":
                self.write(
                    f"if {c} {{ return {e} }} else if {d} {{ return {f} }}",
                    f"if {c}: return {e}\n  elif {d}: return {f}",
                )
            case "both":
                self.write(
                    f"if {c} {{ if {d} {{ return {e} }} else {{ return {f} }} }}",
                    f"if {c}: return ({e}) if {d} else ({f})",
                )
        if kind in ("let", "record", "maybe"):
            self.names.append(f"v{i}")


def python(lines: list[str]) -> Any:
    scope: dict[str, Any] = {}
    exec("def f(x):\n  " + "\n  ".join(lines), scope)
    return scope["f"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("inside", [False, True], ids=["whole body", "in a branch"])
def test_early_returns_are_those_of_python(seed: int, inside: bool) -> None:
    writer = Writer(seed)
    for i in range((10, 30, 60, 90)[seed % 4]):
        writer.statement(i)
    text = "\n".join(writer.program)
    text = f"if x > -9 {{ {text} }} return x" if inside else f"{text} return {writer.names[-1]}"
    expected = python([*writer.python, f"return {'x' if inside else writer.names[-1]}"])
    program = lowered(f"record R {{ a: int }}\npipeline main(x: int) -> int {{ {text} }}")
    for graph in (program, run_passes(program)):
        verify(graph)
        for x in range(0, 60, 7):
            assert run_echo(graph, "main", {"x": x})[0] == expected(x)
