"""Optimizers: each file registers one, and `lmc.optimizers.base.REGISTRY` holds them."""

from lmc.optimizers import bootstrap, distill, labeled, lmsi, lora, rest_em, star

__all__ = ["bootstrap", "distill", "labeled", "lmsi", "lora", "rest_em", "star"]
