"""What of each prompt is the same in every call, told before any call is made."""

from lmc.passes.pipeline import run_passes
from lmc.program.prefix import prefix_shares
from lmc.program.program import Program
from tests.programs import lowered

TEXT = """
generate read(passage: str, question: str) -> str {{ "{instruction}" }}
critique judge(question: str, draft: str) -> Verdict {{ "Judge." subject: draft }}
refine better(question: str) -> str {{
  "Revise." draft: read("", question) check: judge(question, draft) rounds: 1
}}
"""


def shares(instruction: str) -> dict[str, float]:
    program = Program(run_passes(lowered(TEXT.format(instruction=instruction))))
    return {found.module: found.share for found in prefix_shares(program)}


def test_every_model_call_is_told_of() -> None:
    assert set(shares("Read.")) == {"read", "judge", "better.revise"}


def test_a_longer_instruction_is_a_longer_prefix() -> None:
    short, long = shares("Read."), shares("Read. " * 100)
    assert 0 < short["read"] < 0.2 < 0.5 < long["read"] < 1
    assert short["judge"] == long["judge"]
