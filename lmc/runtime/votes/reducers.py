"""Reduce samples to one result by scores or comparisons instead of a count of equal ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from lmc.runtime.votes.ballot import ballot_key
from lmc.tasks.together import for_all

Wins = Callable[[int, int], Awaitable[float]]  # 1 if the first candidate wins, 0 if the second


def shared_steps(samples: Sequence[Sequence[str]]) -> list[float]:
    """For each chain of steps, the mean share of other chains that have its steps, from 0 to 1.

    This is the intersection of chains of SSC-CoT (Zhao et al. 2024, arXiv 2402.17786). A step that
    several chains reach independently is likely right.
    """
    chains = [{ballot_key(step, normalize=True) for step in steps} for steps in samples]
    return [_shared(chain, chains) for chain in chains]


def _shared(chain: set[str], chains: Sequence[set[str]]) -> float:
    if len(chains) < 2 or not chain:
        return 0.0
    found = sum(step in other for step in chain for other in chains) - len(chain)  # without itself
    return found / (len(chain) * (len(chains) - 1))


def weighted(keys: Sequence[str | None], weights: Sequence[float]) -> dict[str, float]:
    """The sum of weights for each key, in order of first sample."""
    sums: dict[str, float] = {}
    for key, weight in zip(keys, weights):
        if key is not None:
            sums[key] = sums.get(key, 0.0) + weight
    return sums


async def tournament(count: int, wins: Wins) -> int:
    """The winner of a knockout. The pairs of a round are compared at once; an odd one rests."""
    alive = list(range(count))
    while len(alive) > 1:
        pairs = list(zip(alive[::2], alive[1::2]))

        async def better(_: int, pair: tuple[int, int]) -> int:
            return pair[0] if await wins(*pair) >= 0.5 else pair[1]

        alive = [*await for_all(pairs, better), *(alive[-1:] if len(alive) % 2 else ())]
    return alive[0]


async def win_rates(count: int, wins: Wins) -> list[float]:
    """The share of comparisons that each candidate wins against all others. A tie is half a win.

    The first position alternates from pair to pair, since judges favour a position.
    """
    pairs = [(i, j) if (i + j) % 2 else (j, i) for i in range(count) for j in range(i + 1, count)]

    async def met(_: int, pair: tuple[int, int]) -> float:
        return await wins(*pair)

    sums = [0.0] * count
    for (first, second), won in zip(pairs, await for_all(pairs, met)):
        sums[first] += won
        sums[second] += 1 - won
    return [total / max(1, count - 1) for total in sums]


VERDICTS: Mapping[Any, float] = {True: 1.0, False: 0.0, "first": 1.0, "second": 0.0, "tie": 0.5}
