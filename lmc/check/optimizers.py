"""Signatures of the optimizers as the checker knows them when its caller gives none."""

from __future__ import annotations

from lmc.check.scope import OptimizerSignature
from lmc.check.types import BOOL, STR, FloatType, IntType, OptionalType, Type

METRICS = ("accuracy", "f1", "contains", "numeric")
_DEMOS, _ROUNDS = IntType(1, 64), IntType(1, 100)


def _signature(name: str, **params: tuple[Type, object]) -> OptimizerSignature:
    return OptimizerSignature(name, params)


_KNOWN = (
    _signature("labeled", demos=(_DEMOS, 8)),
    _signature(
        "bootstrap",
        demos=(_DEMOS, 4),
        candidates=(IntType(1, 256), 16),
        rounds=(IntType(1, 8), 2),
        threshold=(FloatType(0.0, 1.0), 1.0),
        teacher=(OptionalType(STR), None),
    ),
    _signature("instructions", candidates=(IntType(1, 1000), 8), rounds=(_ROUNDS, 1)),
    _signature("reflect", candidates=(IntType(1, 1000), 8), rounds=(_ROUNDS, 1)),
    _signature("choices", candidates=(IntType(1, 1000), 16)),
    _signature(
        "lora",
        rank=(IntType(1, 256), 16),
        epochs=(OptionalType(IntType(1, 1000)), None),
        rate=(OptionalType(FloatType(0.0, 1.0)), None),
        threshold=(FloatType(0.0, 1.0), 1.0),
        teacher=(OptionalType(STR), None),
        demos=(BOOL, False),
    ),
    _signature(
        "star",
        rounds=(IntType(1, 8), 2),
        rank=(IntType(1, 256), 16),
        epochs=(OptionalType(IntType(1, 1000)), None),
        rate=(OptionalType(FloatType(0.0, 1.0)), None),
        threshold=(FloatType(0.0, 1.0), 1.0),
        hints=(BOOL, True),
    ),
)
OPTIMIZERS = {signature.name: signature for signature in _KNOWN}
