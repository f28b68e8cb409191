"""Train the model: `python -m examples.tiny.train --tokens 24e6 --seed 0 --out DIR`.

It starts from scratch, or with `--after` from the weights of an earlier run; drills and short texts
are then left out. The run goes on from its last checkpoint where DIR has one. DIR gets the model as
transformers reads it (`model/`), the log (`log.jsonl`) and the checkpoint.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from examples.tiny.beginnings import begin
from examples.tiny.corpus import ANSWER, Encoder, PackedRow
from examples.tiny.course import STAGES, Stage, batches, stage_at
from examples.tiny.tokenizer import load_tokenizer, train_tokenizer
from lmc.frozen import frozen

PROMPT_SHARE = 0.15  # of the prompts' tokens counts in a step
WARM_UP = 50  # steps
COOL_DOWN = 0.3  # share of the run, at its end, in which the learning rate falls
SAVE_EVERY_S = 60.0


@frozen
class TrainingPlan:
    """What a run is made of; the shape of the model and the length of the training."""

    tokens: float
    seed: int
    out: Path
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 384
    rate: float = 5e-3
    workers: int = 2
    after: Path | None = None


@dataclass(slots=True)
class Progress:
    """How far a run is; kept in the checkpoint."""

    block: int = 0
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


def build_model(plan: TrainingPlan, tokenizer: Any) -> Any:
    """Make a fresh Llama with tied embeddings and the vocabulary of the tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=plan.hidden,
        num_hidden_layers=plan.layers,
        num_attention_heads=plan.heads,
        num_key_value_heads=plan.heads,
        intermediate_size=plan.inner,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def build_optimizers(model: Any, rate: float) -> list[Any]:
    """Use Muon for the matrices inside the layers, AdamW for the embeddings and the norms."""
    import torch

    from examples.tiny.muon import Muon

    inner = [p for p in model.model.layers.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if all(p is not q for q in inner)]
    return [
        Muon(inner, rate),
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_at(step: int, share: float) -> float:
    """Give the factor of the learning rate: up, flat, then down to 1 % at the end."""
    down = min(1.0, 0.01 + (1 - share) / COOL_DOWN)
    return min(1.0, (step + 1) / WARM_UP) * down


def loss_of(model: Any, rows: list[PackedRow], pad: int) -> Any:
    """Take the mean cross-entropy of all answers, and of a sample of the prompts' tokens."""
    import torch

    width = max(len(tokens) for tokens, _ in rows)
    # Padding is on the right, where causality hides it.
    ids = torch.tensor([tokens + [pad] * (width - len(tokens)) for tokens, _ in rows])
    weights = torch.tensor([w + [0.0] * (width - len(w)) for _, w in rows])[:, 1:]
    states = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    sampled = torch.rand(weights.shape) < PROMPT_SHARE
    chosen = (weights == ANSWER) | ((weights > 0) & sampled)
    losses = torch.nn.functional.cross_entropy(
        model.lm_head(states[chosen]), ids[:, 1:][chosen], reduction="none"
    )
    return (losses * weights[chosen]).sum() / weights[chosen].sum()


class TrainingRun:
    """One worker's part of a training run: model, optimizers, and how far they are."""

    def __init__(self, plan: TrainingPlan, rank: int) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(plan.seed)
        self.plan, self.rank = plan, rank
        self.folder = plan.out / "model"
        self.tokenizer = load_tokenizer(self.folder)
        self.encoder = Encoder(self.tokenizer)
        self.model = build_model(plan, self.tokenizer)
        if plan.after is None:
            begin(self.model)
        else:
            self._take_over(plan.after)
        self.optimizers = build_optimizers(self.model, plan.rate)
        self.progress = Progress()
        self._restore()

    def train(self) -> None:
        """Train until the tokens are used up; the first worker saves on the way."""
        saved = noted = began = time.monotonic()
        losses: list[float] = []
        for rows in self._batches():
            now = time.monotonic()
            losses.append(self._step(rows, now - began))
            began = now
            if now - noted > 20:
                self._note(losses)
                losses, noted = [], now
            if now - saved > SAVE_EVERY_S:
                self.save()
                saved = now
            if self._share() >= 1 or _orphaned():
                break
        self.save()

    def save(self) -> None:
        """Write the checkpoint and the model; each file is put in place whole."""
        import torch

        if self.rank > 0:
            return
        state = {
            "model": self.model.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "progress": asdict(self.progress),
        }
        partial = self.plan.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.plan.out / "checkpoint.pt")
        self.model.save_pretrained(self.folder)

    def _batches(self) -> Iterator[list[PackedRow]]:
        workers = self.plan.workers
        while True:
            block = self.progress.block * workers + self.rank
            yield from batches(self.encoder, self.plan.seed, block, self._stage(), workers)
            self.progress.block += 1

    def _stage(self) -> Stage:
        return stage_at(self.progress.tokens) if self.plan.after is None else STAGES[-1]

    def _step(self, rows: list[PackedRow], seconds: float) -> float:
        import torch

        torch.manual_seed(self.plan.seed + self.progress.step * self.plan.workers + self.rank)
        factor = rate_at(self.progress.step, self._share())
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.plan.rate * factor
            optimizer.zero_grad(set_to_none=True)
        loss = loss_of(self.model, rows, self.tokenizer.pad_token_id)
        loss.backward()
        tokens = sum(len(tokens) for tokens, _ in rows)
        mean_tokens, mean_seconds, mean_loss = self._share_gradients(
            [float(tokens), seconds, float(loss.detach())]
        )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.progress.step += 1
        self.progress.tokens += round(mean_tokens * self.plan.workers)
        self.progress.seconds += mean_seconds
        return mean_loss

    def _share_gradients(self, figures: list[float]) -> list[float]:
        """Average gradients and figures over the workers, so that all take the same step."""
        import torch
        from torch.nn.utils import parameters_to_vector

        gradients = [p.grad for p in self.model.parameters()]
        flat = torch.cat([parameters_to_vector(gradients), torch.tensor(figures)])
        torch.distributed.all_reduce(flat)
        flat /= self.plan.workers
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()
        return [float(x) for x in flat[start:]]

    def _share(self) -> float:
        return self.progress.tokens / self.plan.tokens

    def _note(self, losses: list[float]) -> None:
        if self.rank > 0:
            return
        p = self.progress
        line = {
            "step": p.step,
            "tokens": p.tokens,
            "seconds": round(p.seconds),
            "loss": round(sum(losses) / len(losses), 4),
            "tokens_per_s": round(p.tokens / p.seconds),
        }
        click.echo(json.dumps(line))
        with (self.plan.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")

    def _take_over(self, folder: Path) -> None:
        from safetensors.torch import load_file

        self.model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        self.model.tie_weights()

    def _restore(self) -> None:
        import torch

        path = self.plan.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(kept)
        self.progress = Progress(**state["progress"])


def _orphaned() -> bool:
    """Whether the process that started this worker is gone."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def work(rank: int, plan: TrainingPlan) -> None:
    """Be one of the workers of a run; they meet at a file in the folder of the run."""
    import torch

    meeting = f"file://{(plan.out / 'meeting').resolve()}"
    torch.distributed.init_process_group(
        "gloo", init_method=meeting, rank=rank, world_size=plan.workers
    )
    TrainingRun(plan, rank).train()
    torch.distributed.destroy_process_group()


def start(plan: TrainingPlan) -> None:
    """Make the tokenizer where there is none, then let the workers train."""
    import torch

    folder = plan.out / "model"
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if plan.after is None:
            train_tokenizer(plan.seed).save_pretrained(folder)
        else:
            load_tokenizer(plan.after).save_pretrained(folder)
    (plan.out / "meeting").unlink(missing_ok=True)
    torch.multiprocessing.spawn(work, (plan,), nprocs=plan.workers)


@click.command()
@click.option("--tokens", default=24e6, help="Tokens to train on, over all restarts.")
@click.option("--seed", default=0, help="Seed of data, tokenizer and weights.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.option("--workers", default=2, help="Processes of one thread each.")
@click.option("--rate", default=5e-3, help="Highest learning rate.")
@click.option(
    "--after",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder with the weights and the tokenizer to go on from.",
)
def main(
    tokens: float, seed: int, out: Path, workers: int, rate: float, after: Path | None
) -> None:
    """Train the bundled model."""
    start(TrainingPlan(tokens, seed, out, rate=rate, workers=workers, after=after))


if __name__ == "__main__":
    main()
