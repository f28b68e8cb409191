"""Optimizers: each file registers one, and `lmc.optimizers.base.REGISTRY` holds them."""

from lmc.optimizers import bootstrap, labeled

__all__ = ["bootstrap", "labeled"]
