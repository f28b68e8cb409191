"""Optimizers, one file each; `lmc.optimizers.compilation.catalog` lists them."""
