"""Other ways to answer the requests of `bench/engine.py`: transformers' own two, and llama.cpp."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
    LogitsProcessor,
)

from lmc.models.base import Request
from lmc.models.engine.constraints import Grammars, grammar_of

# What was quickest of those tried here for a small model: pages that a prefix fills, few blocks
# (unused ones are read all the same without a GPU's kernels), and all that fits in a step.
PAGE, BLOCKS, BATCH_TOKENS = 32, 1024, 512
SLOTS = 16
Answers = tuple[list[str], int]  # texts, and tokens of all
Way = Callable[[], Answers]


class Bound(LogitsProcessor):
    """Keep each row of `generate` to its grammar, by the same library as lmc."""

    def __init__(self, grammars: Grammars, answers: Sequence[str], end: int) -> None:
        self._grammars, self._end = grammars, end
        self._rows = [grammars.constraint(answer) for answer in answers]
        self._begun = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self._begun:
            for row, token in zip(self._rows, input_ids[:, -1].tolist()):
                if not row.at_end:
                    row.accept(token)
        self._begun = True
        open_rows = {i: row for i, row in enumerate(self._rows) if not row.at_end}
        scores = self._grammars.mask(scores.clone(), open_rows) if open_rows else scores.clone()
        for i, row in enumerate(self._rows):
            if row.at_end:
                scores[i] = float("-inf")
                scores[i, self._end] = 0.0
        return scores


class Plain:
    """The model as transformers loads it."""

    def __init__(self, folder: str, dtype: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype)
        ).eval()
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        ends = self.model.generation_config.eos_token_id or self.tokenizer.eos_token_id
        self.ends = set(ends if isinstance(ends, list) else [ends])

    def text_of(self, request: Request) -> str:
        """The prompt with the marks of its turns."""
        return str(
            self.tokenizer.apply_chat_template(
                list(request.messages), tokenize=False, add_generation_prompt=True
            )
        )

    def answer(self, ids: Sequence[int]) -> tuple[str, int]:
        """The text of some ids up to the first end, and how many they are."""
        ends = [i for i, token in enumerate(ids) if token in self.ends]
        kept = ids[: ends[0]] if ends else ids
        return self.tokenizer.decode(kept, skip_special_tokens=True), len(kept)

    def generate(self, asked: Sequence[Request], most: int | None = None) -> Answers:
        """One padded batch with `num_return_sequences`, the best case of `generate`."""
        texts = [self.text_of(request) for request in asked]
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        first = asked[0]
        options: dict[str, Any] = {"do_sample": False}
        if first.sampling.temperature:
            options = {"do_sample": True, "temperature": first.sampling.temperature, "top_k": 0}
        if first.schema is not None:
            grammars = Grammars(self.tokenizer, self.model.config.vocab_size, self.ends)
            bound = [str(grammar_of(request, self.tokenizer, ())) for request in asked]
            options["logits_processor"] = [Bound(grammars, bound, min(self.ends))]
        with torch.inference_mode():
            ids = self.model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=most or first.sampling.max_tokens,
                num_return_sequences=first.n,
                pad_token_id=self.tokenizer.pad_token_id,
                **options,
            )
        found = [self.answer(some) for some in ids[:, batch["input_ids"].shape[1] :].tolist()]
        return [text for text, _ in found], sum(count for _, count in found)


def continuous_batching(folder: str, dtype: str, asked: Sequence[Request]) -> Way | None:
    """transformers' scheduler with paged attention; each sample is a request. It has no schemas."""
    first = asked[0]
    if first.schema is not None or not first.sampling.temperature:
        return None
    plain = Plain(folder, dtype)
    plain.model.set_attn_implementation("sdpa")
    texts = [plain.text_of(request) for request in asked for _ in range(request.n)]
    inputs = [plain.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    config = GenerationConfig(
        do_sample=True,
        temperature=first.sampling.temperature,
        top_k=0,
        max_new_tokens=first.sampling.max_tokens,
        eos_token_id=sorted(plain.ends),
        pad_token_id=plain.tokenizer.pad_token_id,
    )
    settings = ContinuousBatchingConfig(
        page_size=PAGE, num_blocks=BLOCKS, max_batch_tokens=BATCH_TOKENS
    )

    def run() -> Answers:
        outputs = plain.model.generate_batch(
            inputs=inputs,
            generation_config=config,
            continuous_batching_config=settings,
            persistent_manager=True,
            warmup=False,
        )
        found = [plain.answer(output.generated_tokens) for output in outputs.values()]
        return [text for text, _ in found], sum(count for _, count in found)

    return run


class LlamaCpp:
    """A server of llama.cpp in another process, with some slots and its prompt cache."""

    def __init__(self, python: str, file: str, threads: int) -> None:
        side = Path(__file__).parent / "llamacpp_side.py"
        self._process = subprocess.Popen(
            [python, str(side), file, str(SLOTS), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self._url = self._process.stdout.readline().strip()

    def cpu_s(self) -> float:
        """The processor time of the server so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="utf-8").split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the server."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def ask(self, asked: Sequence[Request]) -> Answers:
        """All samples of all requests at once."""
        return asyncio.run(self._ask(asked))

    async def _ask(self, asked: Sequence[Request]) -> Answers:
        limit = aiohttp.TCPConnector(limit=SLOTS)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=limit, timeout=timeout) as session:
            found = await asyncio.gather(
                *(self._one(session, r, seed) for r in asked for seed in range(r.n))
            )
        return [text for text, _ in found], sum(count for _, count in found)

    async def _one(
        self, session: aiohttp.ClientSession, request: Request, seed: int
    ) -> tuple[str, int]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "messages": list(request.messages),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "seed": seed,
        }
        if request.schema is not None:
            schema = {"name": "answer", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        async with session.post(f"{self._url}/v1/chat/completions", json=body) as reply:
            said = await reply.json()
        return said["choices"][0]["message"]["content"], said["usage"]["completion_tokens"]
