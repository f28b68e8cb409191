"""Optimizers: each file registers one, and `lmc.optimizers.base.REGISTRY` holds them."""

from lmc.optimizers import (
    ablate,
    auto,
    bootstrap,
    distill,
    instructions,
    knn,
    labeled,
    lmsi,
    lora,
    reflect,
    rest_em,
    sec,
    spo,
    star,
    structure,
    tune,
)

__all__ = [
    "ablate",
    "auto",
    "bootstrap",
    "distill",
    "instructions",
    "knn",
    "labeled",
    "lmsi",
    "lora",
    "reflect",
    "rest_em",
    "sec",
    "spo",
    "star",
    "structure",
    "tune",
]
