"""What a model is told of a condition: in the names that it sees."""

import pytest

from lmc.ir.graph import Slots, all_nodes
from tests.programs import lowered

TEXT = """
let MOST = 7
let WORD = "two words"
enum Language { cpp as "C++", python }
record Part { size: int as "size in cm" }
record Case { kind: "a" as "@kind" }
record Other { kind: "b" as "@kind" }
record Snippet {
  type: str as "@type"
  language: Language
  part: Part?
  first: Part as "1st"
  case: Case | Other
}
"""


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('out.type != ""', 'out["@type"] != ""'),
        ("out.language == Language.cpp", 'out.language == "C++"'),
        ("out.language in [Language.cpp, Language.python]", 'out.language in ["C++", "python"]'),
        ("(out.part?.size ?? 1) < MOST", '(out.part["size in cm"] ?? 1) < 7'),
        ("(out.part ?? out.first).size > 0", '(out.part ?? out["1st"])["size in cm"] > 0'),
        ("out.first.size > len(WORD)", 'out["1st"]["size in cm"] > len("two words")'),
        ('out.case.kind == "a"', 'out.case["@kind"] == "a"'),
        ("len(q) > 1", "len(q) > 1"),
    ],
)
def test_a_condition_is_told_in_the_names_that_a_model_sees(condition: str, told: str) -> None:
    graph = lowered(f"{TEXT} generate g(q: str) -> Snippet {{ require: {condition} }}")
    (slots,) = [n.attrs["slots"] for n in all_nodes(graph.graphs["g"]) if "slots" in n.attrs]
    assert isinstance(slots, Slots)
    assert slots.requirements == (told,)


def test_an_instruction_from_the_signature_names_what_the_model_writes() -> None:
    graph = lowered(f"{TEXT} generate g(q: str) -> Part")
    (slots,) = [n.attrs["slots"] for n in all_nodes(graph.graphs["g"]) if "slots" in n.attrs]
    assert slots.instruction == "G: from q, write size in cm."
