"""The local engine beside transformers' own ways: the same model, prompts and samples in one run.

`python bench/engine.py [--requests 64] [--samples 5] [--demos 8] [--rounds 3]`. Plain generate gets
all prompts as one padded batch with `num_return_sequences`, its best case. Figures are requests a
second, the median over the rounds with the least and the most beside it, and ratios.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Callable
from random import Random

import click
import torch
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
)

from examples.tiny.arithmetic import arithmetic
from examples.tiny.task import draw_case
from lmc.models.base import Request, Sampling
from lmc.models.transformers_local import Transformers
from lmc.prompts.chat import ChatLayout
from lmc.tiny import MODEL_DIR

TEMPERATURE, MAX_TOKENS = 0.8, 64
# What was quickest of those tried here for so small a model: pages that a prefix fills, few blocks
# (unused ones are read all the same without a GPU's kernels), and all that fits in a step.
PAGE, BLOCKS, BATCH_TOKENS = 32, 1024, 512
Prompts = list[tuple[dict[str, str], ...]]


def prompts(requests: int, demos: int) -> Prompts:
    """Prompts of one module: the same instruction and demonstrations, a case of its own each."""
    rng = Random(7)
    task = arithmetic(rng, form="reasoning")
    shown = [case for _ in range(demos) if (case := draw_case(rng, task))]
    layout, found = ChatLayout(), []
    while len(found) < requests:
        if case := draw_case(rng, task, unseen=True):
            found.append(tuple(layout.prompt(task.spec, shown)(case.inputs)))
    return found


def lmc_engine(asked: Prompts, samples: int) -> Callable[[], int]:
    """All requests at once, each for its samples."""
    backend = Transformers(str(MODEL_DIR))
    seed = iter(range(10_000))

    async def ask() -> int:
        sampling = Sampling(TEMPERATURE, max_tokens=MAX_TOKENS, seed=next(seed))
        requests = [Request("lmc/tiny", messages, sampling, n=samples) for messages in asked]
        answers = await asyncio.gather(*map(backend.generate, requests))
        return sum(answer.completion_tokens for some in answers for answer in some)

    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(ask())


def load() -> tuple[AutoModelForCausalLM, AutoTokenizer]:
    """The model as transformers loads it."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL_DIR, padding_side="left")
    return AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval(), tokenizer


def plain_generate(asked: Prompts, samples: int) -> Callable[[], int]:
    """One padded batch for transformers' generate."""
    model, tokenizer = load()
    texts = [
        tokenizer.apply_chat_template(list(m), tokenize=False, add_generation_prompt=True)
        for m in asked
    ]

    def run() -> int:
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                do_sample=True,
                temperature=TEMPERATURE,
                top_k=0,
                max_new_tokens=MAX_TOKENS,
                num_return_sequences=samples,
            )
        new = ids[:, batch["input_ids"].shape[1] :]
        return int((new != tokenizer.pad_token_id).sum())

    return run


def continuous_batching(asked: Prompts, samples: int) -> Callable[[], int]:
    """The scheduler of transformers with paged attention; each sample is a request."""
    model, tokenizer = load()
    model.set_attn_implementation("sdpa")
    inputs = [
        tokenizer.apply_chat_template(list(m), add_generation_prompt=True, return_dict=False)
        for m in asked
        for _ in range(samples)
    ]
    config = GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_k=0,
        max_new_tokens=MAX_TOKENS,
        eos_token_id=model.generation_config.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )

    settings = ContinuousBatchingConfig(
        page_size=PAGE, num_blocks=BLOCKS, max_batch_tokens=BATCH_TOKENS
    )

    def run() -> int:
        outputs = model.generate_batch(
            inputs=inputs,
            generation_config=config,
            continuous_batching_config=settings,
            persistent_manager=True,
            warmup=False,
        )
        return sum(len(output.generated_tokens) for output in outputs.values())

    return run


WAYS = {
    "lmc": lmc_engine,
    "transformers generate": plain_generate,
    "transformers continuous batching": continuous_batching,
}


@click.command()
@click.option("--requests", default=64)
@click.option("--samples", default=5)
@click.option("--demos", default=8)
@click.option("--rounds", default=3)
@click.option("--threads", default=1, help="Of torch, for all ways alike.")
def main(requests: int, samples: int, demos: int, rounds: int, threads: int) -> None:
    """Compare ways of answering many requests with a small model here."""
    logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
    asked = prompts(requests, demos)
    ways = {name: make(asked, samples) for name, make in WAYS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens: dict[str, int] = {}
    for turn in range(rounds + 1):
        for name, run in ways.items():
            torch.set_num_threads(threads)
            start = time.perf_counter()
            tokens[name] = run()
            if turn:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
    title = f"{requests} requests, {demos} shared demonstrations, {samples} samples each"
    table = Table("way", "requests/s", "least to most", "tokens", "lmc is faster by", title=title)
    rates = {name: [requests / s for s in some] for name, some in seconds.items()}
    ours = statistics.median(rates["lmc"])
    for name, some in rates.items():
        middle = statistics.median(some)
        spread = f"{min(some):.1f} to {max(some):.1f}"
        table.add_row(name, f"{middle:.1f}", spread, str(tokens[name]), f"{ours / middle:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
