"""Optimizers: each file registers one, and `lmc.optimizers.base.REGISTRY` holds them."""

from lmc.optimizers import bootstrap, labeled, lora, star

__all__ = ["bootstrap", "labeled", "lora", "star"]
