"""Which constraints decoding enforces."""

from lmc.check import check_program
from lmc.check.targets import constraints
from lmc.source import Source

PROGRAM = """
record R { name: str, id: str(r"[A-Z]+"), scores: list[float(0..1)](1..3), sure: bool? }
generate read(text: str) -> R { layout: "json" require: out.name != "" }
generate grade(text: str) -> "good" | "bad"
vote graded(text: str) -> "good" | "bad" { sample: grade(text) }
"""


def found(json_schema: bool) -> list[tuple[str, str, str, bool]]:
    program, _ = check_program(Source("a.lmp", PROGRAM))
    assert program is not None
    listed = constraints(program, json_schema=json_schema)
    return [(c.module, c.path, c.what, c.decoded) for c in listed]


def test_constraints_of_each_module():
    assert found(json_schema=True) == [
        ("read", "id", 'str(r"[A-Z]+")', True),
        ("read", "scores", "list[float(0..1)](1..3)", True),
        ("read", "scores[]", "float(0..1)", True),
        ("read", "sure", "bool", True),
        ("read", "", 'out.name != ""', False),
        ("grade", "", '"good" | "bad"', False),
    ]


def test_a_module_without_a_layout_has_the_default_of_the_target():
    program, _ = check_program(Source("a.lmp", PROGRAM))
    assert program is not None
    listed = constraints(program, json_schema=True, default_layout="json")
    assert {c.module: c.decoded for c in listed if "out." not in c.what}["grade"]


def test_without_a_schema_all_is_validated():
    assert not any(decoded for *_, decoded in found(json_schema=False))
