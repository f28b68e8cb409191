"""Optimizers: each file registers one, and `lmc.optimizers.base.REGISTRY` holds them."""

from lmc.optimizers import (
    bootstrap,
    distill,
    instructions,
    knn,
    labeled,
    lmsi,
    lora,
    reflect,
    rest_em,
    star,
)

__all__ = [
    "bootstrap",
    "distill",
    "instructions",
    "knn",
    "labeled",
    "lmsi",
    "lora",
    "reflect",
    "rest_em",
    "star",
]
