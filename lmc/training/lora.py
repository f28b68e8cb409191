"""LoRA: trains an adapter on rows under a loss, with checkpoints.

Source: LoRA, Hu et al. 2021, arXiv 2106.09685. It targets every linear layer inside the blocks, as
in QLoRA, Dettmers et al. 2023, arXiv 2305.14314, section 4. It uses the Trainer of transformers
with peft; a step reads the common beginning of its prompts once (`packing`). TRL's trainer would
need `datasets`, and does not support weights of single rows.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from lmc.diagnostics import LmcError
from lmc.files import MAKE_ROOM, is_full
from lmc.frozen import frozen
from lmc.models.adapters import Adapter, AdapterStore
from lmc.models.engine.openmp import wait_without_spinning
from lmc.models.engine.pretrained import context_of
from lmc.training.bases import (
    Quantize,
    load_base,
    require_quantizer,
    require_splittable,
    split_rest,
)
from lmc.training.encoding import Example, encode_rows, without_old
from lmc.training.losses import ADDED_UP, SUPERVISED, LossSettings
from lmc.training.processes import process_count, splits_model, train_shared
from lmc.training.rows import Row, TaughtRow, digest
from lmc.training.shares import ALONE, Shares
from lmc.training.steps import costs_for, packed_trainer, with_reference
from lmc.training.teaching import Teacher, with_choices

Kind = Literal["lora", "rslora", "dora"]
SMALL_MODEL_PARAMETERS = 50_000_000
CHECKPOINTS = 10  # in a run
GENTLER = 5  # so many times lower is the rate of losses that push answers away
# What safetensors and torch say when they cannot write a file.
_NOT_WRITTEN = ("No space left", "File too large", "inline_container", "PytorchStreamWriter")


@frozen
class LoraSettings:
    """How an adapter is trained. A field that is None is set by the size of the model.

    `rate` is the peak learning rate. `batch_rows` is the number of rows in a step. The kind
    `rslora` divides by the root of the rank (Kalajdzievski 2023, arXiv 2312.03732). The scale of
    both is the same at rank 16 by default. The kind `dora` also learns how long the rows of each
    matrix are (Liu et al. 2024, arXiv 2402.09353). `quantize` holds the frozen model in 4 bits.
    """

    rank: int = 16
    alpha: int | None = None  # default: twice the rank
    dropout: float = 0.0
    epochs: int | None = None  # default: 12 for models under 50 million parameters, else 3
    # default: from 5e-3 at a million parameters down to 2e-4 at hundreds of billions
    rate: float | None = None
    # Losses other than `sft` and `kl` have defaults of their own: 3 epochs and a fifth of the rate.
    batch_rows: int = 16
    seed: int = 0
    kind: Kind = "lora"
    quantize: Quantize | None = None


@frozen
class TrainingJob:
    """Everything that determines the trained adapter: the base model, rows, settings and loss.

    `source` is a folder or the name of a hub model. `base` identifies its weights. `start` is an
    adapter to continue from. `dtype` is what matrices are multiplied in; by default it is float32
    on a CPU and bfloat16 on a GPU. `after` is the key of the job whose optimizer goes on, in a live
    training; its first job has "". `teacher` is the model whose probabilities the loss `kl` learns.
    """

    source: str
    base: str
    rows: tuple[Row, ...]
    settings: LoraSettings = LoraSettings()
    start: Adapter | None = None
    dtype: str | None = None
    loss: LossSettings = SUPERVISED
    after: str | None = None
    teacher: Teacher | None = None

    @property
    def teaches_nothing(self) -> bool:
        """Whether the teacher is the model itself, and sees what it sees."""
        start = self.start.id if self.start else None
        return (
            self.teacher is not None
            and self.teacher.key == (self.base, start)
            and all(isinstance(row, TaughtRow) and row.asked == row.messages for row in self.rows)
        )

    @property
    def key(self) -> str:
        """A digest that is equal for equal jobs, whatever folder the model is in."""
        start = self.start.id if self.start else None
        settings = asdict(self.settings)
        if self.settings.quantize is None:
            del settings["quantize"]
        parts: list[Any] = [self.base, digest(self.rows), settings, start]  # `base` has the type
        if self.loss != SUPERVISED:
            parts.append(asdict(self.loss))
        if self.after is not None:
            parts.append(["after", self.after])
        if self.teacher is not None:
            parts.append(["teacher", *self.teacher.key])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@frozen
class TrainingProgress:
    """The progress of a training. `left_s` is an estimate; `tokens_per_s` excludes padding."""

    step: int
    steps: int
    loss: float
    tokens_per_s: float
    left_s: float


Report = Callable[[TrainingProgress], None]
Stop = Callable[[], bool]


class TrainingStopped(Exception):
    """Raised when `stop` ends a training. Started again, it resumes from its checkpoint."""


def train_adapter(
    job: TrainingJob,
    folder: Path,
    store: AdapterStore,
    report: Report | None = None,
    stop: Stop = lambda: False,
) -> Adapter:
    """Train an adapter, or return the one that an equal job made before.

    A job that was killed resumes from its last checkpoint. `folder` holds the checkpoints, by the
    keys of jobs. `stop` is called after every step.
    Raises: LmcError[missing-extra, no-training-rows, cannot-train, cannot-write], TrainingStopped.
    """
    if not job.rows:
        raise LmcError.of("no-training-rows", "there are no rows to train on")
    _require_packages(job)
    if known := store.recall(job.key):
        return known
    place = folder / job.key
    with calm(), told_if_full(place):
        adapter = store.add(_trained(job, place, report or (lambda _: None), stop))
    store.remember(job.key, adapter)
    drop_checkpoints(place)
    return adapter


def default_rate(parameters: int) -> float:
    """The learning rate for a number of parameters.

    It is 5e-3 at 1 million, 2e-3 at 4 million, 1e-3 at 135 million and 4.5e-4 at 7 billion: a run
    has tens of steps, and adapters take ten times the rate of whole models.
    """
    of_small, of_large = 5e-3 * (1e6 / parameters) ** 0.66, 2e-3 * (4e6 / parameters) ** 0.2
    return float(min(5e-3, max(2e-4, of_small, of_large)))


def _require_packages(job: TrainingJob) -> None:
    from importlib.util import find_spec

    needed = ("torch", "transformers", "peft", "accelerate")
    if missing := [name for name in needed if find_spec(name) is None]:
        message = f"training adapters requires {', '.join(missing)}"
        raise LmcError.of("missing-extra", message, help='pip install "lmc-lang[local]"')
    if job.settings.quantize is not None:
        require_quantizer()


def _trained(job: TrainingJob, place: Path, report: Report, stop: Stop) -> Path:
    """The folder of the adapter, trained by one process or by several on this machine."""
    if splits_model():
        require_splittable(job.settings.kind, job.start, taught=job.teacher is not None)
    if (count := process_count()) == 1:
        return train_share(job, place, report, stop)
    train_shared(job, place, count, lambda now: report(TrainingProgress(**now)), stop)
    if stop():
        raise TrainingStopped
    return place / "adapter"


def train_share(
    job: TrainingJob, place: Path, report: Report, stop: Stop, shares: Shares = ALONE
) -> Path:
    """Train in this process, alone or with others. Returns the folder of the adapter.

    The first process tells the progress, and writes the checkpoints and the adapter.
    Raises: LmcError[cannot-train], TrainingStopped.
    """
    wait_without_spinning()
    import torch
    from transformers import AutoTokenizer, PrinterCallback

    settings = job.settings
    tokenizer = AutoTokenizer.from_pretrained(job.source)
    model = load_base(job.source, settings.quantize, shares)
    torch.manual_seed(settings.seed)  # of the adapter, however the model was loaded
    size = model.num_parameters()
    small, supervised = size < SMALL_MODEL_PARAMETERS, job.loss.name in ADDED_UP
    epochs = settings.epochs or (12 if small and supervised else 3)
    context = context_of(model.config)
    pad = tokenizer.pad_token_id or 0
    data: Sequence[Example] = encode_rows(tokenizer, job.rows, context)
    if settings.quantize is not None:
        data = without_old(data)
    if job.teacher is not None:
        data = with_choices(job.teacher, model, job.base, data, pad)
    steps = epochs * -(-len(data) // settings.batch_rows)
    costs = costs_for(model, [row for example in data for row in example.rows], pad)
    learner = _with_lora(model, job)
    split_rest(model, learner, shares)
    data = with_reference(learner, data, costs, pad, job.loss)
    first = shares.rank == 0
    trainer = packed_trainer(costs, pad, job.loss, shares)(
        model=learner,
        args=_arguments(job, place, size, epochs, steps, shares),
        train_dataset=data,
        callbacks=[_callback(report if first else None, stop, data, epochs, shares)],
    )
    trainer.remove_callback(PrinterCallback)
    begin = last_checkpoint(place)
    shares.agreed(value=False)  # nobody writes a checkpoint before all have seen the last one
    trainer.train(resume_from_checkpoint=begin)
    if shares.agreed(stop()):
        raise TrainingStopped
    if first:
        trainer.save_model(str(place / "adapter"))
        made_portable(place / "adapter")
    return place / "adapter"


def _arguments(
    job: TrainingJob, place: Path, size: int, epochs: int, steps: int, shares: Shares
) -> Any:
    """The Trainer's arguments for so many steps of a model of `size` parameters."""
    import torch
    from transformers import TrainingArguments

    settings, on_gpu = job.settings, torch.cuda.is_available()
    gentler = 1 if job.loss.name in ADDED_UP else GENTLER
    rate = settings.rate or default_rate(size) / gentler
    return TrainingArguments(
        output_dir=str(place),
        num_train_epochs=epochs,
        per_device_train_batch_size=settings.batch_rows,
        learning_rate=rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, steps // 20),
        max_grad_norm=1.0,
        bf16=on_gpu if job.dtype is None else job.dtype == "bfloat16",
        use_cpu=not on_gpu,
        gradient_checkpointing=size > 1_000_000_000,
        seed=settings.seed,
        logging_steps=max(1, steps // 50),
        save_steps=max(1, steps // CHECKPOINTS),
        save_strategy="no" if shares.rank else "steps",
        save_total_limit=2,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
    )


def _with_lora(model: Any, job: TrainingJob) -> Any:
    from peft import PeftModel, get_peft_model

    if job.start is not None:
        return PeftModel.from_pretrained(model, str(job.start.folder), is_trainable=True)
    return get_peft_model(model, _config(job.settings))


def add_adapter(model: Any, name: str, job: TrainingJob) -> Any:
    """Add the adapter that a job begins with to a model, which may have others. Returns it."""
    from peft import PeftModel, get_peft_model

    has_others = isinstance(model, PeftModel)
    if job.start is None:
        config = _config(job.settings)
        if not has_others:
            return get_peft_model(model, config, adapter_name=name)
        model.add_adapter(name, config)
        return model
    folder = str(job.start.folder)
    if not has_others:
        return PeftModel.from_pretrained(model, folder, adapter_name=name, is_trainable=True)
    model.load_adapter(folder, adapter_name=name, is_trainable=True)
    return model


def _config(settings: LoraSettings) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha or _alpha(settings),
        use_rslora=settings.kind == "rslora",
        use_dora=settings.kind == "dora",
        lora_dropout=settings.dropout,
        target_modules="all-linear",  # except the head, which may be tied to the embeddings
        task_type="CAUSAL_LM",
    )


def _alpha(settings: LoraSettings) -> int:
    """Twice the rank; of rslora, what gives the same scale at the default rank."""
    return 8 if settings.kind == "rslora" else 2 * settings.rank


def _callback(
    report: Report | None, stop: Stop, data: Sequence[Example], epochs: int, shares: Shares
) -> Any:
    from transformers import TrainerCallback

    tokens = sum(example.tokens for example in data) * epochs
    began = time.monotonic()
    first: list[int] = []

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if shares.agreed(stop()):
                control.should_training_stop = True
                control.should_save = shares.rank == 0

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any
        ) -> None:
            if report is None or not logs or "loss" not in logs:
                return
            first.append(state.global_step)
            seconds = time.monotonic() - began
            done = max(1, state.global_step - (first[0] - args.logging_steps))
            left_s = seconds / done * (state.max_steps - state.global_step)
            rate = tokens * done / state.max_steps / max(seconds, 1e-6)
            report(
                TrainingProgress(
                    state.global_step, state.max_steps, float(logs["loss"]), rate, left_s
                )
            )

    return Watch()


def drop_checkpoints(place: Path) -> None:
    """Remove the checkpoints of a training that is over."""
    for left in place.glob("checkpoint-*"):
        shutil.rmtree(left, ignore_errors=True)


def last_checkpoint(place: Path) -> str | None:
    """The newest complete checkpoint. Its state, which is written last, must be readable."""

    def whole(folder: Path) -> bool:
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return True

    found = sorted(place.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    return next((str(folder) for folder in reversed(found) if whole(folder)), None)


def made_portable(folder: Path) -> None:
    """Remove the names of this machine from the configuration, so that equal weights are equal."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = None
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, sort_keys=True, indent=1), encoding="utf-8")


@contextmanager
def told_if_full(place: Path) -> Iterator[None]:
    """Each library that writes checkpoints has its own errors. Raises: LmcError[cannot-write]."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        if not is_full(problem) and not any(words in str(problem) for words in _NOT_WRITTEN):
            raise
        message = f"cannot write the checkpoints in {place}: {problem}".partition("\n")[0]
        raise LmcError.of("cannot-write", message, help=MAKE_ROOM) from None


@contextmanager
def calm() -> Iterator[None]:
    """Silence the libraries' own warnings and progress bars."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
