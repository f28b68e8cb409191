"""Every slug of the checker is explained, by a wrong program that gives it and a right one."""

import ast
import re
from pathlib import Path

import pytest

import lmc.check
from lmc.check import check_program
from lmc.diagnostics import render
from lmc.source import Source

PACKAGE = Path(lmc.check.__file__).parent
SLUG = re.compile(r"[a-z]+(-[a-z]+)+|unreachable")
REPORTERS = {"report", "warn", "_report", "_only_in_tests"}
SECTIONS = {
    head.strip(): body
    for head, _, body in (
        section.partition("\n")
        for section in re.split(
            r"^## ", (PACKAGE / "explanations.md").read_text("utf-8"), flags=re.MULTILINE
        )[1:]
    )
}


def emitted_slugs() -> set[str]:
    """The slugs that stand as constants in calls that report."""
    slugs = set()
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in REPORTERS:
                    slugs |= {
                        arg.value
                        for arg in node.args
                        if isinstance(arg, ast.Constant)
                        and isinstance(arg.value, str)
                        and SLUG.fullmatch(arg.value)
                    }
    return slugs


def test_each_slug_is_explained_and_no_other():
    assert emitted_slugs() == set(SECTIONS)


@pytest.mark.parametrize("slug", SECTIONS)
def test_examples_of_an_explanation(slug):
    wrong, right = re.findall(r"```lmp\n(.*?)```", SECTIONS[slug], flags=re.DOTALL)
    _, found = check_program(Source("example.lmp", wrong))
    assert {d.code for d in found} == {slug}, render(found)
    program, found = check_program(Source("example.lmp", right))
    assert program is not None, render(found)
    assert not found, render(found)
