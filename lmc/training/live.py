"""Training in the engine: weights and optimizer stay loaded, and samples and steps alternate.

The engine's own copy of the model is trained, so there is one in memory. New weights answer at
once, under the id of their contents, and are not read from disk. After a kill, steps that were
made are recalled by their keys, and the next one goes on from the optimizer that the last one
saved.
Source: on-policy steps as in GRPO, Shao et al. 2024, arXiv 2402.03300, algorithm 1, with one update
for each sampled batch. It differs in that the rate rises over the first steps and then stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from lmc.diagnostics import LmcError
from lmc.models.adapters import Adapter, AdapterStore
from lmc.training.encoding import encode_rows
from lmc.training.lora import (
    GENTLER,
    Report,
    Stop,
    TrainingJob,
    TrainingProgress,
    TrainingStopped,
    add_adapter,
    calm,
    default_rate,
    made_portable,
    told_if_full,
)
from lmc.training.packing import Costs
from lmc.training.steps import costs_for, step_gradients, with_reference

if TYPE_CHECKING:
    from lmc.models.engine.decoding import Engine

WARM_UP = 5  # steps until the rate is whole
MOST_CHAINS = 16  # whose optimizers stay loaded
_MOMENTS = ("exp_avg", "exp_avg_sq")
_STATE = "optimizer.safetensors"
_trainers: WeakKeyDictionary[Engine, LiveTrainer] = WeakKeyDictionary()


def train_live(
    engine: Engine, job: TrainingJob, folder: Path, store: AdapterStore, report: Report, stop: Stop
) -> Adapter:
    """Train an adapter on the rows of a job in the engine, or recall what an equal job made.

    `job.after` is the key of the job whose optimizer goes on. It runs in the engine's own thread.
    Raises: LmcError[no-training-rows, cannot-train, cannot-write], TrainingStopped.
    """
    if not job.rows:
        raise LmcError.of("no-training-rows", "there are no rows to train on")
    if known := store.recall(job.key):
        return known
    trainer = _trainers.setdefault(engine, LiveTrainer(engine))
    with calm(), told_if_full(folder):
        return trainer.train(job, folder, store, report, stop)


@dataclass(slots=True)
class _Chain:
    """Steps that go on from each other: an adapter in the engine with its optimizer."""

    name: str  # of the adapter in the engine
    optimizer: Any
    costs: Costs
    id: str | None = None  # of the weights as they are now
    steps: int = 0


class LiveTrainer:
    """Trains adapters of one engine. A chain of jobs keeps its adapter and optimizer loaded."""

    def __init__(self, engine: Engine) -> None:
        self._lora, self._tokenizer, self._context = engine.lora, engine.tokenizer, engine.context
        self._chains: dict[str, _Chain] = {}  # by the key of the last job

    def train(
        self, job: TrainingJob, folder: Path, store: AdapterStore, report: Report, stop: Stop
    ) -> Adapter:
        """Make the steps of a job.

        Raises: LmcError[cannot-train, cannot-write], TrainingStopped.
        """
        data = encode_rows(self._tokenizer, job.rows, self._context)
        pad = self._tokenizer.pad_token_id or 0
        chain = self._chains.pop(job.after or "", None)
        if chain is None or chain.id != (job.start.id if job.start else None):
            chain = self._opened(job, folder, [row for e in data for row in e.rows], pad)
        with self._lora.training(chain.name) as model:
            examples = with_reference(model, data, chain.costs, pad, job.loss)
            epochs = job.settings.epochs or 1
            for number in range(epochs):
                if stop():
                    raise TrainingStopped
                chain.optimizer.zero_grad()
                loss = step_gradients(
                    model, examples, chain.costs, pad, job.loss, computing=_computing(job, model)
                )
                self._update(chain, job)
                report(TrainingProgress(number + 1, epochs, float(loss), 0.0, 0.0))
        adapter = self._saved(chain, job, folder, store)
        self._chains[job.key] = chain
        while len(self._chains) > MOST_CHAINS:
            self._chains.pop(next(iter(self._chains)))
        return adapter

    def _opened(self, job: TrainingJob, folder: Path, rows: Sequence[Any], pad: int) -> _Chain:
        """A chain from the adapter of a job, with the optimizer that the job before it saved."""
        import torch

        torch.manual_seed(job.settings.seed)
        name = self._lora.add(lambda model, name: add_adapter(model, name, job))
        with self._lora.training(name) as model:
            rate = job.settings.rate or default_rate(model.num_parameters()) / GENTLER
            trained = [weights for weights in model.parameters() if weights.requires_grad]
            optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
            costs = costs_for(model, rows, pad)
        chain = _Chain(name, optimizer, costs)
        if job.after:
            _restore(chain, folder / job.after / _STATE)
        return chain

    def _update(self, chain: _Chain, job: TrainingJob) -> None:
        import torch

        (group,) = chain.optimizer.param_groups
        whole = group.setdefault("whole", group["lr"])
        group["lr"] = whole * min(1.0, (chain.steps + 1) / WARM_UP)
        torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        chain.optimizer.step()
        chain.steps += 1

    def _saved(self, chain: _Chain, job: TrainingJob, folder: Path, store: AdapterStore) -> Adapter:
        """Store the adapter, let it answer, and keep the optimizer for a step after a kill."""
        place = folder / job.key
        self._lora.model.save_pretrained(str(place), selected_adapters=[chain.name])
        made_portable(place / chain.name)
        adapter = store.add(place / chain.name)
        shutil.rmtree(place / chain.name)
        _keep(chain, place / _STATE)
        store.remember(job.key, adapter)
        if job.after:
            shutil.rmtree(folder / job.after, ignore_errors=True)
        self._lora.name(chain.name, adapter.id)
        chain.id = adapter.id
        return adapter


def _computing(job: TrainingJob, model: Any) -> Callable[[], Any]:
    """What a pass computes in: bfloat16 on a GPU, unless the job says otherwise."""
    import torch

    kind = model.device.type
    low = kind != "cpu" if job.dtype is None else job.dtype == "bfloat16"
    if not low:
        return nullcontext
    return lambda: torch.autocast(kind, dtype=torch.bfloat16)


def _keep(chain: _Chain, path: Path) -> None:
    """Write the moments of the optimizer, completely or not at all."""
    from safetensors.torch import save_file

    (group,) = chain.optimizer.param_groups
    state = chain.optimizer.state
    tensors = {
        f"{name}.{i}": state[weights][name].contiguous()
        for i, weights in enumerate(group["params"])
        for name in _MOMENTS
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"steps": str(chain.steps)})
    os.replace(partial, path)


def _restore(chain: _Chain, path: Path) -> None:
    """Go on with saved moments, if they are there and fit."""
    import torch
    from safetensors import safe_open

    if not path.is_file():
        return
    (group,) = chain.optimizer.param_groups
    with safe_open(path, "pt") as file:
        chain.steps = int((file.metadata() or {}).get("steps", "0"))
        for i, weights in enumerate(group["params"]):
            moments = {name: file.get_tensor(f"{name}.{i}").to(weights.device) for name in _MOMENTS}
            count = torch.tensor(float(chain.steps))
            chain.optimizer.state[weights] = {"step": count, **moments}
