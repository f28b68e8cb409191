"""Labels of pairs are softened where the weights of the round before prefer otherwise."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lmc.models.adapters import Adapter
from lmc.optimizers.lessons import consistency
from lmc.optimizers.lessons import groups as lessons_groups
from lmc.optimizers.lessons.groups import Group
from lmc.training.lora import LoraSettings
from lmc.training.rows import PairRow

ASKED = ({"role": "user", "content": "red"},)
PAIRS = [PairRow(ASKED, "warm", "cold"), PairRow(ASKED, "hot", "cold")]


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Groups whose adapter is the name of the parameters; what is asked of the weights."""
    asked: list[tuple[Any, ...]] = []

    def of(executor: str, *_: Any, **__: Any) -> list[Any]:
        slots = [SimpleNamespace(module=name) for name in ("main", "other")]
        backend = SimpleNamespace(source="folder")
        bound = SimpleNamespace(backend=backend, id=executor)
        return [Group(s.module, (SimpleNamespace(slots=s, bound=bound),)) for s in slots]  # type: ignore[arg-type]

    def adapter(group: Any, _: Any) -> Adapter | None:
        name = group.calls[0].bound.id
        return None if name == "none" else Adapter(name, Path(name))

    def agreement(source: str, pairs: Any, old: Any, now: Any, quantize: Any) -> float:
        asked.append((source, len(pairs), old and old.id, now.id))
        return 0.75

    monkeypatch.setattr(consistency, "groups", of)
    monkeypatch.setattr(lessons_groups, "adapter_of", adapter)
    monkeypatch.setattr(consistency, "agreement", agreement)
    return asked


async def softened(start: str, leader: str) -> tuple[list[float], list[str]]:
    told: list[str] = []
    context: Any = SimpleNamespace(target="main", open_executor=lambda it: it, tell=told.append)
    update: Any = SimpleNamespace(also=(), apart=False, settings=LoraSettings())
    given: Any = (start, leader)
    found = await consistency.softened({"main": PAIRS}, context, *given, update)
    return [row.doubt for row in found["main"]], told  # type: ignore[union-attr]


async def test_pairs_are_doubted_by_the_share_that_the_round_before_orders_otherwise(
    rates: list[tuple[Any, ...]],
) -> None:
    assert await softened("first", "second") == (
        [0.25, 0.25],
        ["main: the weights of the round before agree with 75% of pairs"],
    )
    assert rates == [("folder", 2, "first", "second")]


@pytest.mark.parametrize(("start", "leader"), [("first", "first"), ("none", "none")])
async def test_nothing_is_doubted_before_a_round_has_trained(
    start: str, leader: str, rates: list[tuple[Any, ...]]
) -> None:
    assert await softened(start, leader) == ([0.0, 0.0], [])
    assert rates == []
