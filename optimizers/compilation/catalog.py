"""The optimizers that a step can call, in the order in which they are listed."""

from __future__ import annotations

from collections.abc import Mapping

from lmc.optimizers.ablate import ablate
from lmc.optimizers.auto import auto
from lmc.optimizers.base import Optimizer
from lmc.optimizers.bootstrap import bootstrap
from lmc.optimizers.distill import distill
from lmc.optimizers.instructions import instructions
from lmc.optimizers.knn import knn
from lmc.optimizers.labeled import labeled
from lmc.optimizers.lmsi import lmsi
from lmc.optimizers.lora import lora
from lmc.optimizers.presets import PRESETS
from lmc.optimizers.reflect import reflect
from lmc.optimizers.remember import remember
from lmc.optimizers.rest_em import rest_em
from lmc.optimizers.route_adapters import route_adapters
from lmc.optimizers.sec import sec
from lmc.optimizers.spo import spo
from lmc.optimizers.star import star
from lmc.optimizers.structure import structure
from lmc.optimizers.train import train
from lmc.optimizers.tune import tune

OPTIMIZERS: tuple[Optimizer, ...] = (
    auto,
    labeled,
    bootstrap,
    knn,
    remember,
    sec,
    instructions,
    reflect,
    spo,
    structure,
    tune,
    lora,
    star,
    rest_em,
    lmsi,
    train,
    *PRESETS,
    distill,
    route_adapters,
    ablate,
)
BY_NAME: Mapping[str, Optimizer] = {
    name: optimizer for optimizer in OPTIMIZERS for name in optimizer.signature.names
}
