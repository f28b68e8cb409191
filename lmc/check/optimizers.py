"""Signatures of the optimizers as the checker knows them when its caller gives none."""

from __future__ import annotations

from lmc.check.scope import OptimizerSignature
from lmc.types import BOOL, STR, FloatType, IntType, OptionalType, Type

METRICS = ("accuracy", "f1", "contains", "numeric", "preference")
_DEMOS, _ROUNDS = IntType(1, 64), IntType(1, 100)
_SHARE = FloatType(0.0, 1.0)
_NAME = (OptionalType(STR), None)
_TEMPERATURE = (OptionalType(FloatType(0.0, 2.0)), 0.7)
_ENTROPY = (FloatType(0.0, 8.0), 0.0)
_TRAINING: dict[str, tuple[Type, object]] = {
    "rank": (IntType(1, 256), 16),
    "epochs": (OptionalType(IntType(1, 1000)), None),
    "rate": (OptionalType(_SHARE), None),
}
_LORA: dict[str, tuple[Type, object]] = {
    **_TRAINING,
    "threshold": (_SHARE, 1.0),
    "teacher": _NAME,
    "demos": (BOOL, False),
    "module": _NAME,
}


def _signature(name: str, **params: tuple[Type, object]) -> OptimizerSignature:
    return OptimizerSignature(name, params)


_KNOWN = (
    _signature("labeled", demos=(_DEMOS, 8)),
    _signature(
        "bootstrap",
        demos=(_DEMOS, 4),
        candidates=(IntType(1, 256), 16),
        rounds=(IntType(1, 64), 2),
        threshold=(_SHARE, 1.0),
        teacher=_NAME,
    ),
    _signature(
        "knn",
        demos=(_DEMOS, 4),
        pool=(IntType(1, 1000), 64),
        threshold=(_SHARE, 1.0),
        teacher=_NAME,
        embedder=_NAME,
    ),
    _signature(
        "instructions",
        candidates=(IntType(1, 64), 6),
        demos=(IntType(0, 64), 4),
        trials=(IntType(1, 1000), 30),
        threshold=(_SHARE, 1.0),
        teacher=_NAME,
        proposer=_NAME,
    ),
    _signature(
        "reflect",
        rounds=(IntType(1, 200), 30),
        width=(IntType(1, 32), 3),
        minibatch=(IntType(1, 64), 4),
        merge=(BOOL, True),
        proposer=_NAME,
    ),
    _signature("auto", weights=(OptionalType(BOOL), None)),
    _signature("ablate", drop=(BOOL, False), margin=(_SHARE, 0.05)),
    _signature(
        "spo",
        rounds=(IntType(1, 100), 8),
        rows=(IntType(1, 64), 4),
        proposer=_NAME,
        judge=_NAME,
    ),
    _signature("sec", demos=(IntType(1, 16), 4), candidates=(_DEMOS, 4), proposer=_NAME),
    _signature("structure", candidates=(IntType(1, 16), 3), evolve=(BOOL, False), proposer=_NAME),
    _signature("tune", trials=(IntType(1, 1000), 32)),
    _signature("lora", **_LORA),
    _signature("finetune", **_LORA),
    _signature(
        "star",
        rounds=(IntType(1, 8), 2),
        **_TRAINING,
        threshold=(_SHARE, 1.0),
        hints=(BOOL, True),
        module=_NAME,
    ),
    _signature(
        "rest_em",
        rounds=(IntType(1, 8), 2),
        samples=(IntType(1, 64), 4),
        keep=(IntType(1, 64), 2),
        temperature=_TEMPERATURE,
        threshold=(_SHARE, 1.0),
        entropy=_ENTROPY,
        adapt=(BOOL, False),
        hints=(BOOL, False),
        diverse=(BOOL, False),
        **_TRAINING,
        module=_NAME,
    ),
    _signature(
        "lmsi",
        rounds=(IntType(1, 8), 1),
        samples=(IntType(2, 64), 8),
        keep=(IntType(1, 64), 2),
        temperature=_TEMPERATURE,
        agreement=(_SHARE, 0.6),
        entropy=_ENTROPY,
        diverse=(BOOL, False),
        **_TRAINING,
        module=_NAME,
    ),
    _signature(
        "distill",
        threshold=(OptionalType(_SHARE), 1.0),
        margin=(_SHARE, 0.05),
        teacher=_NAME,
        **_TRAINING,
    ),
)
OPTIMIZERS = {signature.name: signature for signature in _KNOWN}
