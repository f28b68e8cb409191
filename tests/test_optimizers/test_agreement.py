"""Options of `train` that do not go together are refused, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from lmc.check.optimizers import SIGNATURES
from lmc.diagnostics import LmcError
from lmc.optimizers.lessons.agreement import require_agreement
from lmc.optimizers.lessons.recipe import Recipe


def recipe(**options: Any) -> Recipe:
    return Recipe.of(SIGNATURES["train"].complete(options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": 0.1, "loss": "pg"}, "`smoothing` is about pairs"),
        ({"consistency": True, "loss": "kto", "rounds": 2}, "`consistency` is about pairs"),
        ({"consistency": True}, "`consistency` looks at the rounds before, and there is one"),
        ({"consistency": True, "rounds": 2, "step_rows": 4}, "`step_rows` and `consistency`"),
        ({"optimism": 0.001, "loss": "ipo"}, "the loss `ipo` has no `optimism`"),
        ({"optimism": 0.001, "loss": "nft"}, "`optimism` is about pairs"),
        ({"optimism": 0.001, "select": "gold"}, "`optimism` is about samples"),
        ({"replay": 2, "rounds": 2}, "`replay` is for policy gradients"),
        ({"replay": 2, "loss": "pg"}, "`replay` looks at the rounds before, and there is one"),
        ({"replay": 2, "loss": "pg", "rounds": 2, "select": "judge"}, "`replay` is for policy"),
        ({"loss": "kl"}, "learns the probabilities of a `teacher`, and there is none"),
        ({"loss": "kl", "teacher": "m", "select": "values"}, "`select=values` gives nothing"),
        ({"loss": "kl", "teacher": "m", "step_rows": 4}, "`step_rows` trains the current"),
        (
            {"loss": "kl", "teacher": ""},
            "learns the probabilities of a `teacher`, and there is none",
        ),
        ({"loss": "kl", "teacher": "m", "samples": 2, "own": 0.75}, "`own=0.75` of `samples=2`"),
        (
            {"loss": "kl", "teacher": "m", "select": "right", "rows": "made", "propose": True},
            "`propose` rewards what makes rows",
        ),
        ({"replay": 2, "loss": "pg", "rounds": 2, "rows": "made"}, "`made` has new ones"),
        ({"jsd": 0.5}, "`jsd` is about probabilities of a teacher"),
        ({"even": 1.5, "loss": "kto"}, "`even` is about pairs"),
        ({"kind": "dora", "momentum": 0.5}, "`momentum` and adapters of the kind dora"),
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LmcError, match=message) as failure:
        require_agreement(recipe(**options))
    assert failure.value.code == "bad-option"
    assert failure.value.diagnostics[0].help


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smoothing": 0.1, "loss": "simpo"},
        {"smoothing": 0.1, "consistency": True, "optimism": 0.001, "rounds": 3},
        {"loss": "pg", "replay": 2, "rounds": 2, "step_rows": 8},
        {"loss": "kl", "teacher": "hf/other", "own": 0.0, "jsd": 1.0},
    ],
)
def test_what_goes_together_is_taken(options: dict[str, Any]) -> None:
    require_agreement(recipe(**options))
