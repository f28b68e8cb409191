"""Finds how a program makes rows, and the rows that they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmc.check.made_rows import MADE, Making
from lmc.check.optimizers import SIGNATURES
from lmc.diagnostics import LmcError, suggestion
from lmc.measure.rows import Row, dataset_file, load_dataset

if TYPE_CHECKING:
    from lmc.check.program import Step
    from lmc.program.task import Target


def made_by(step: Step) -> str | None:
    """The dataset whose rows a step has made, if it names one."""
    known = SIGNATURES[step.name].options
    names = [v for k, v in step.kwargs.items() if k in known and known[k].names == "dataset"]
    return next((name for name in names if name is not None), None)


def find_making(target: Target, name: str) -> Making:
    """How the rows of a dataset are made. Raises: LmcError[unknown-dataset, bad-made-rows]."""
    if name not in target.datasets:
        help = suggestion(name, target.datasets)
        raise LmcError.of("unknown-dataset", f"there is no dataset `{name}`", help=help)
    making = target.datasets[name].settings.get(MADE)
    if not isinstance(making, Making):
        message = f"`{name}` is read from a file; `rows` takes a dataset that a program makes"
        raise LmcError.of("bad-made-rows", message, target.datasets[name].span)
    return making


def seed_rows(target: Target, making: Making, train: Sequence[Row], seed: int) -> Sequence[Row]:
    """The rows that others are made of: never rows that choose, confirm or test.

    Raises: LmcError if their file cannot be read.
    """
    declared = target.declared
    if making.over is None or (declared is not None and declared.data == making.over):
        return train
    dataset, program = target.datasets[making.over], target.program
    if "split" not in dataset.settings:
        return tuple(dataset_file(dataset, program.base_dir, program.consent))
    return load_dataset(dataset, program.base_dir, seed=seed, consent=program.consent).train
