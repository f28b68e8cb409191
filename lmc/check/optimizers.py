"""Signatures of the optimizers as the checker knows them when its caller gives none."""

from __future__ import annotations

from lmc.check.scope import OptimizerSignature
from lmc.check.types import BOOL, INT, FloatType, IntType, LiteralType, Type

METRICS = ("accuracy", "f1", "contains", "numeric")
_COUNT, _ROUNDS, _SHARE = IntType(1, None), IntType(1, 100), FloatType(0.0, 1.0)


def _signature(name: str, **params: tuple[Type, object]) -> OptimizerSignature:
    return OptimizerSignature(name, params)


_KNOWN = (
    _signature("labeled", demos=(IntType(0, 64), 8), seed=(INT, 0)),
    _signature(
        "bootstrap",
        demos=(IntType(0, 64), 4),
        labeled=(IntType(0, 64), 0),
        candidates=(IntType(1, 1000), 8),
        rounds=(_ROUNDS, 1),
        threshold=(_SHARE, 1.0),
        seed=(INT, 0),
    ),
    _signature("instructions", candidates=(IntType(1, 1000), 8), rounds=(_ROUNDS, 1)),
    _signature("reflect", candidates=(IntType(1, 1000), 8), rounds=(_ROUNDS, 1)),
    _signature("choices", candidates=(IntType(1, 1000), 16)),
    _signature(
        "lora",
        rank=(IntType(1, 1024), 8),
        epochs=(_COUNT, 1),
        rate=(FloatType(0.0, 1.0), 2e-4),
        rounds=(_ROUNDS, 1),
        merge=(BOOL, False),
        loss=(LiteralType(("sft", "dpo", "kto")), "sft"),
    ),
)
OPTIMIZERS = {signature.name: signature for signature in _KNOWN}
