"""One LoRA step of lmc beside peft with transformers' Trainer, and TRL's, on the same rows.

`python bench/lora.py MODEL ROWS [--rows 64] [--apart] [--ways lmc,peft,TRL]`: MODEL is a folder
with a causal language model, ROWS has JSON lines of `text` and `intent`. Each way runs in a process
of its own, and the ways take turns. Printed are the seconds of a step (median, least, most), its
CPU time, the most memory of the process, and the losses of the first steps and of all. On a busy
machine, read the CPU time. With `--apart` the prompts have no common beginning. All ways have the
same rows in the same order, the same schedule of rates, and the loss by answer token.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

BATCH, RANK, RATE = 16, 16, 2e-4
Rows = list[dict[str, str]]


def training_rows(rows: Rows, intents: list[str], apart: bool) -> list[Any]:
    """What a program that classifies would be trained on."""
    import lmc
    from lmc.training.rows import TrainingRow

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "intents.lmp"
        path.write_text(
            f"type Intent = {' | '.join(json.dumps(name) for name in intents)}\n"
            'generate classify(message: str) -> Intent { """Name the customer\'s intent.""" }\n'
        )
        classify = lmc.load(path).classify
        found = []
        for number, row in enumerate(rows):
            first, *others = classify.prompt(message=row["text"])
            if apart:
                first = {**first, "content": f"{number * 7919 % 997} {first['content']}"}
            found.append(TrainingRow((first, *others), row["intent"]))
    return found


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


class Clock:
    """The ends of steps (by the wall, and in CPU time of this process) and their losses."""

    def __init__(self) -> None:
        self.at, self.losses = [_now()], []

    def __call__(self, loss: float) -> None:
        self.at.append(_now())
        self.losses.append(loss)


def with_lmc(model: str, rows: list[Any], epochs: int, dtype: str, clock: Clock) -> None:
    """The training of lmc as its optimizers call it, with checkpoints."""
    from lmc.models.adapters import AdapterStore
    from lmc.training.lora import LoraSettings, TrainingJob, train_adapter

    settings = LoraSettings(rank=RANK, epochs=epochs, rate=RATE, batch_rows=BATCH)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        job = TrainingJob(model, "base", tuple(rows), settings, dtype=dtype)
        train_adapter(job, folder, AdapterStore(folder / "store"), lambda now: clock(now.loss))


def with_lmc_alone(model: str, rows: list[Any], epochs: int, dtype: str, clock: Clock) -> None:
    """The same, but for common beginnings: each row computes its whole prompt."""
    from lmc.training import steps

    steps.shares_beginnings = lambda *_: False
    with_lmc(model, rows, epochs, dtype, clock)


def _examples(tokenizer: Any, rows: list[Any]) -> list[dict[str, list[int]]]:
    from lmc.training.encoding import encode_rows

    return [
        {
            "input_ids": list(row.ids),
            "attention_mask": [1] * len(row.ids),
            "labels": [-100] * row.prompt + list(row.answer),
        }
        for example in encode_rows(tokenizer, rows, 1 << 20)
        for row in example.rows
    ]


def _arguments(rows: int, epochs: int, dtype: str, place: str) -> dict[str, Any]:
    import torch

    steps = epochs * -(-rows // BATCH)
    return {
        "output_dir": place,
        "num_train_epochs": epochs,
        "per_device_train_batch_size": BATCH,
        "learning_rate": RATE,
        "lr_scheduler_type": "linear",
        "warmup_steps": max(1, steps // 20),  # as lmc's; without it a first step learns more
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": dtype == "bfloat16",
        "seed": 0,
    }


def _watch(clock: Clock) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any
        ) -> None:
            if "loss" in logs:
                clock(float(logs["loss"]))

    return Watch()


def _lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _load(model: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return loaded, AutoTokenizer.from_pretrained(model)


def with_trainer(model: str, rows: list[Any], epochs: int, dtype: str, clock: Clock) -> None:
    """Peft and transformers' Trainer with its padding collator, as their guides do it."""
    from peft import get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    loaded, tokenizer = _load(model)
    with tempfile.TemporaryDirectory() as place:
        Trainer(
            model=get_peft_model(loaded, _lora()),
            args=TrainingArguments(**_arguments(len(rows), epochs, dtype, place)),
            train_dataset=_examples(tokenizer, rows),
            data_collator=DataCollatorForSeq2Seq(tokenizer),
            callbacks=[_watch(clock)],
        ).train()


def with_trl(model: str, rows: list[Any], epochs: int, dtype: str, clock: Clock) -> None:
    """TRL's trainer for supervised fine-tuning, with the loss on answers only."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    loaded, tokenizer = _load(model)
    data = [
        {
            "input_ids": example["input_ids"],
            "completion_mask": [int(label != -100) for label in example["labels"]],
        }
        for example in _examples(tokenizer, rows)
    ]
    with tempfile.TemporaryDirectory() as place:
        SFTTrainer(
            model=loaded,
            args=SFTConfig(
                **_arguments(len(rows), epochs, dtype, place),
                completion_only_loss=True,
                max_length=None,
                gradient_checkpointing=False,
            ),
            train_dataset=Dataset.from_list(data),
            processing_class=tokenizer,
            peft_config=_lora(),
            callbacks=[_watch(clock)],
        ).train()


WAYS = {
    "lmc": with_lmc,
    "lmc, nothing shared": with_lmc_alone,
    "peft + Trainer": with_trainer,
    "TRL SFTTrainer": with_trl,
}


def one_way(way: str, model: str, rows: list[Any], epochs: int, dtype: str) -> dict[str, Any]:
    """Train, and say how long steps took, from the end of the first one on."""
    clock = Clock()
    WAYS[way](model, rows, epochs, dtype, clock)
    wall, cpu = zip(*clock.at, strict=True)
    return {
        "seconds": [b - a for a, b in pairwise(wall[1:])],
        "cpu": [b - a for a, b in pairwise(cpu[1:])],
        "all": wall[-1] - wall[0],
        "losses": clock.losses,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False))
@click.argument("data", type=click.Path(exists=True, dir_okay=False))
@click.option("--rows", "count", default=4 * BATCH, help="Rows, spread over the file.")
@click.option("--labels", default=77, help="So many intents; fewer make shorter prompts.")
@click.option("--epochs", default=1)
@click.option("--apart", is_flag=True, help="Prompts without a common beginning.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--threads", default=2)
@click.option("--rounds", default=1, help="Each way once a round, in turns.")
@click.option("--ways", default=",".join(WAYS), help="By their first words, with commas.")
@click.option("--way", hidden=True)
def main(
    model: str, data: str, count: int, labels: int, epochs: int, apart: bool, dtype: str,
    threads: int, rounds: int, ways: str, way: str | None,
) -> None:  # fmt: skip
    """Compare ways of training an adapter."""
    read = [json.loads(line) for line in Path(data).read_text().splitlines()]
    intents = sorted({row["intent"] for row in read})[:labels]
    read = [row for row in read if row["intent"] in intents]
    rows = training_rows(read[:: len(read) // count][:count], intents, apart)
    if way is not None:
        import torch

        torch.set_num_threads(threads)
        click.echo(json.dumps(one_way(way, model, rows, epochs, dtype)))
        return
    title = (
        f"{count} rows, {BATCH} in a step, rank {RANK}, {threads} threads, {dtype}, {rounds} rounds"
    )
    columns = ("seconds a step", "least to most", "CPU seconds", "times lmc's", "peak GiB")
    table = Table("way", *columns, "losses", "mean", title=title)
    names = [name for name in WAYS if any(map(name.startswith, ways.split(",")))]
    if find_spec("trl") is None:
        names = [name for name in names if not name.startswith("TRL")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):  # in turns, since a machine changes its speed
        for name in names:
            found[name].append(_in_process(name))
            click.echo(f"{name}: {json.dumps(found[name][-1])}", err=True)
    base = statistics.median(_all(found[names[0]], "cpu"))
    for name, results in found.items():
        seconds, cpu = _all(results, "seconds"), statistics.median(_all(results, "cpu"))
        table.add_row(
            name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}",
            f"{cpu:.1f}", f"{cpu / base:.1f}", f"{max(r['peak'] for r in results):.1f}",
            ", ".join(f"{loss:.4f}" for loss in results[0]["losses"][:2]),
            f"{statistics.mean(results[0]['losses']):.4f}",
        )  # fmt: skip
    Console(width=120).print(table)


def _in_process(name: str) -> dict[str, Any]:
    """Train in one way, in a process of its own, whose memory is its own too."""
    command = [sys.executable, *sys.argv, "--way", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _all(results: list[dict[str, Any]], name: str) -> list[float]:
    return [value for result in results for value in result[name]]


if __name__ == "__main__":
    main()
