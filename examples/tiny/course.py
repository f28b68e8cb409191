"""The course of a training run: what is drawn when, and how much goes into a step.

Everything is counted in tokens from the start, so that a longer run begins like a shorter one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from examples.tiny.corpus import LONGEST, Encoder, PackedRow
from examples.tiny.drills import draw_drill
from examples.tiny.families import draw_easy_instance, draw_training_instance
from lmc.frozen import frozen


@frozen
class Stage:
    """Shares of drills and of easy instances, the rest being any instance, and tokens a step."""

    until: float  # tokens from the start
    drills: float
    easy: float
    batch_tokens: int
    plain: bool = False  # drills of single tokens alone


STAGES = (
    Stage(1.2e6, 1.0, 0.0, 2048, plain=True),
    Stage(4.0e6, 0.35, 0.45, 3072),
    Stage(10e6, 0.12, 0.25, 4096),
    Stage(float("inf"), 0.04, 0.10, 6144),
)
BLOCK_ROWS = 512  # drawn, sorted by length and cut into batches at a time


def stage_at(tokens: float) -> Stage:
    """Find the stage that a run is in after so many tokens."""
    return next(stage for stage in STAGES if tokens < stage.until)


def batches(
    encoder: Encoder, seed: int, block: int, stage: Stage, workers: int
) -> Iterator[list[PackedRow]]:
    """Cut one block into batches that fill a worker's part of a step when padded, shuffled."""
    rng = Random(f"corpus/{seed}/{block}")
    drawn = (_draw(rng, encoder, stage) for _ in range(BLOCK_ROWS))
    rows = sorted((r for r in drawn if len(r[0]) <= LONGEST), key=lambda r: len(r[0]))
    most = stage.batch_tokens // workers
    cut: list[list[PackedRow]] = [[]]
    for row in rows:
        if cut[-1] and len(row[0]) * (len(cut[-1]) + 1) > most:
            cut.append([])
        cut[-1].append(row)
    rng.shuffle(cut)
    yield from cut


def _draw(rng: Random, encoder: Encoder, stage: Stage) -> PackedRow:
    kind = rng.random()
    if kind < stage.drills:
        return draw_drill(rng, encoder, stage.plain)
    easy = kind < stage.drills + stage.easy
    return encoder.encode(draw_easy_instance(rng) if easy else draw_training_instance(rng))
