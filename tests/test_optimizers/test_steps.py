"""Steps as text, read by the language's own parser and checker."""

import pytest

from lmc.check.optimizers import OPTIMIZERS
from lmc.check.program import Step
from lmc.diagnostics import LmcError
from lmc.optimizers.base import REGISTRY
from lmc.optimizers.compilation.steps import check_steps, parse_steps, steps_text


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("bootstrap", ("bootstrap()",)),
        ("bootstrap(demos=4) >> labeled", ("bootstrap(demos=4)", "labeled()")),
        ("bootstrap( threshold = 0.5 )", ("bootstrap(threshold=0.5)",)),
        ('bootstrap(teacher="openai/a>>b")', ('bootstrap(teacher="openai/a>>b")',)),
    ],
)
def test_steps_are_read(text: str, steps: tuple[str, ...]) -> None:
    assert steps_text(parse_steps(text)) == steps


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("bootstrp", "unknown-optimizer"),
        ("bootstrap(demos=999)", "type-mismatch"),
        ("bootstrap(demo=4)", "unknown-argument"),
        ("bootstrap(", "unclosed-bracket"),
        ("__import__('os')", None),
    ],
)
def test_mistakes_are_diagnostics(text: str, code: str | None) -> None:
    with pytest.raises(LmcError) as caught:
        parse_steps(text)
    assert code is None or caught.value.code == code


def test_what_is_not_there_yet_is_said_to_be() -> None:
    unknown = Step("evolve", {"rounds": 1}, None)  # type: ignore[arg-type]
    with pytest.raises(LmcError, match=r"evolve.*not supported yet"):
        check_steps([unknown])


def test_the_checker_knows_the_same_options() -> None:
    for name, entry in REGISTRY.items():
        assert OPTIMIZERS[name] == entry.signature


def test_every_optimizer_declares_its_options() -> None:
    for name, entry in REGISTRY.items():
        assert entry.signature.name == name
        assert entry.summary.endswith(".")
        assert "arXiv" in entry.paper
