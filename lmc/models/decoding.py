"""Batched decoding with a key-value cache, each row with random numbers of its own.

Prompts of a batch are padded on the left, behind the prefix that they all share, which is computed
and kept once (see `shared_prefix`); samples of one prompt share its prefill.
Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import hashlib
import random
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.utils.logging import disable_progress_bar

from lmc.models.adapters import adapter_store, is_adapter_id
from lmc.models.base import Answer, ModelFailure, Request, cut_at_stop
from lmc.models.shared_prefix import Prefix, in_use, install

if TYPE_CHECKING:
    from lmc.models.transformers_local import Job

_DEFAULT_MAX_TOKENS = 256
_DEFAULT_TEMPERATURE = 0.7  # of further samples, where none is given
_MOST_ROWS = 128
_CACHE_BYTES = 1 << 30  # of keys and values on a CPU
_SHARED_PREFIX_TOKENS = 16  # below this one prefill is as quick
_BEGINNING_TOKENS, _GROUP_ROWS = 64, 4  # prompts that begin alike, if enough, form batches
_COMPACT_BELOW = 0.75  # share of live rows at which the dead ones are dropped
_SMALL_MODEL_PARAMETERS = 20_000_000


@dataclass(eq=False, slots=True)
class Row:
    """One sample being written; `request` and `job` are shared by all samples of a request."""

    job: Job
    siblings: list[Row] = field(repr=False)  # this one included, by sample index
    prompt: tuple[int, ...]
    max_new: int
    temperature: float
    random: random.Random
    ids: list[int] = field(default_factory=list)
    said: int = 0  # characters passed on to a listener
    logprobs: list[float] = field(default_factory=list)
    finish_reason: str | None = None

    @property
    def request(self) -> Request:
        """What is asked."""
        return self.job.request

    @property
    def live(self) -> bool:
        """Whether tokens are still wanted."""
        return self.finish_reason is None and not self.job.settled


@dataclass(slots=True)
class State:
    """Where the rows of a batch stand."""

    cache: DynamicCache  # of what comes behind the prefix
    prefix: Prefix | None
    mask: torch.Tensor  # (B, T), 0 at padding; without the prefix
    positions: torch.Tensor  # of the next tokens: (B, T) before the prefill, then (B, 1)
    logits: torch.Tensor  # (B, V) of the last tokens

    def select(self, places: Sequence[int]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        index = torch.tensor(places, device=self.mask.device)
        self.cache.batch_select_indices(index)
        self.mask, self.positions = self.mask[index], self.positions[index]
        self.logits = self.logits[index]


class Engine:
    """A loaded model and tokenizer; used by one thread."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device
        self.context = int(getattr(model.config, "max_position_embeddings", None) or 4096)
        self.eos_ids = _eos_ids(model, tokenizer)
        self._shares_prefixes = install(model)
        self._most_cached_tokens = _most_cached_tokens(model)
        self._adapters: dict[str, str] = {}  # name in peft, by id or folder

    def answer(self, jobs: Sequence[Job]) -> None:
        """Answer all jobs, batch by batch, those of one adapter together."""
        by_adapter = sorted(jobs, key=lambda job: job.request.adapter or "")
        for adapter, group in groupby(by_adapter, key=lambda job: job.request.adapter):
            jobs = list(group)
            try:
                self._load_adapter(adapter)
            except Exception as e:  # whatever peft meets first in a broken folder
                _fail(jobs, "not_found", f"cannot load the adapter {adapter}: {e}")
                continue
            with torch.inference_mode(), self._adapted(adapter):
                for batch in self._batches([row for job in jobs for row in self._rows(job)]):
                    self._decode(batch)

    def _rows(self, job: Job) -> list[Row]:
        """One row for each sample; none, and the job failed, where the prompt is too long."""
        request, prompt = job.request, self._prompt(job.request)
        room = self.context - len(prompt)
        if room < 1:
            message = f"the prompt has {len(prompt)} tokens, the model's context {self.context}"
            _fail(
                [job], "context_length", message, "shorten the prompt, or use fewer demonstrations"
            )
            return []
        max_new = min(request.sampling.max_tokens or _DEFAULT_MAX_TOKENS, room)
        rows: list[Row] = []
        for i in range(request.index, request.index + request.n):
            noise = _noise(request, prompt, i)
            rows.append(Row(job, rows, prompt, max_new, _temperature(request, i), noise))
        return rows

    def _prompt(self, request: Request) -> tuple[int, ...]:
        if self.tokenizer.chat_template:
            text = self.tokenizer.apply_chat_template(
                list(request.messages), add_generation_prompt=True, tokenize=False
            )
            return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        text = "".join(message["content"] + "\n\n" for message in request.messages)
        return tuple(self.tokenizer(text)["input_ids"])

    def _batches(self, rows: list[Row]) -> Iterator[list[Row]]:
        """Rows of like beginning and length together, as many as the memory for keys takes."""
        batch: list[Row] = []
        longest = 0
        for group in _alike(rows):
            for row in sorted(group, key=lambda row: (len(row.prompt), row.prompt)):
                longest = max(longest, len(row.prompt) + row.max_new)
                full = longest * (len(batch) + 1) > self._most_cached_tokens
                if batch and (full or len(batch) >= _MOST_ROWS):
                    yield batch
                    batch, longest = [], len(row.prompt) + row.max_new
                batch.append(row)
            if batch:
                yield batch
            batch, longest = [], 0

    def _decode(self, rows: list[Row]) -> None:
        """Write all rows of a batch to their ends."""
        rows = [row for row in rows if row.live]
        state = self._prefill(rows) if rows else None
        while state is not None:
            tokens = self._choose(rows, state.logits)
            for row, token in zip(rows, tokens):
                self._accept(row, token)
            live = [i for i, row in enumerate(rows) if row.live]
            if not live:
                return
            if len(live) < _COMPACT_BELOW * len(rows):
                rows, tokens = [rows[i] for i in live], [tokens[i] for i in live]
                state.select(live)
            self._step(state, tokens)

    def _prefill(self, rows: Sequence[Row]) -> State:
        """Run the model over each different prompt once, and spread the result over the rows."""
        prompts = sorted({row.prompt for row in rows})
        shared = _shared_prefix(prompts) if self._shares_prefixes and len(rows) > 1 else 0
        prefix = self._prefix(prompts[0][:shared]) if shared else None
        longest = max(len(prompt) for prompt in prompts)
        pads = [longest - len(prompt) for prompt in prompts]
        mask = self._tensor([[0] * p + [1] * (longest - shared - p) for p in pads])
        positions = shared + (mask.cumsum(-1) - 1).clamp(min=0)  # (B, T)
        ids = self._tensor([[0] * p + list(prompt[shared:]) for p, prompt in zip(pads, prompts)])
        cache = DynamicCache(config=self.model.config)
        state = State(cache, prefix, mask, positions, torch.empty(0))
        self._advance(state, ids)
        places = {prompt: i for i, prompt in enumerate(prompts)}
        state.select([places[row.prompt] for row in rows])
        return state

    def _prefix(self, ids: Sequence[int]) -> Prefix:
        cache = DynamicCache(config=self.model.config)
        self.model(self._tensor([ids]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        return [(layer.keys[0], layer.values[0]) for layer in cache.layers]

    def _step(self, state: State, tokens: Sequence[int]) -> None:
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], dim=1)
        self._advance(state, self._tensor([[token] for token in tokens]))

    def _advance(self, state: State, ids: torch.Tensor) -> None:
        """Run the model over further tokens (B, T) of all rows."""
        with in_use(state.prefix):
            out = self.model(
                ids,
                attention_mask=state.mask,
                position_ids=state.positions,
                past_key_values=state.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        state.positions = state.positions[:, -1:] + 1
        state.logits = out.logits[:, -1]

    def _choose(self, rows: Sequence[Row], logits: torch.Tensor) -> list[int]:
        """Choose a token for each row, noting its log-probability where wanted; logits (B, V)."""
        logits = logits.float()
        chosen = logits.argmax(-1)
        hot = [i for i, row in enumerate(rows) if row.live and row.temperature > 0]
        if hot:
            chosen[hot] = _draw(logits[hot], [rows[i] for i in hot])
        wanted = [i for i, row in enumerate(rows) if row.live and row.request.logprobs]
        if wanted:
            logprobs = logits[wanted].log_softmax(-1).gather(-1, chosen[wanted, None])
            for i, logprob in zip(wanted, logprobs[:, 0].tolist()):
                rows[i].logprobs.append(logprob)
        tokens: list[int] = chosen.tolist()
        return tokens

    def _accept(self, row: Row, token: int) -> None:
        """Append a token to a live row and see whether the row, and its job, end there."""
        if not row.live:
            return
        if token in self.eos_ids:
            row.finish_reason = "stop"
        else:
            row.ids.append(token)
            self._say(row)
            if self._at_stop(row):
                row.finish_reason = "stop"
            elif len(row.ids) >= row.max_new:
                row.finish_reason = "length"
        if row.finish_reason and all(sibling.finish_reason for sibling in row.siblings):
            row.job.succeed([self._answer(sample) for sample in row.siblings])

    def _say(self, row: Row) -> None:
        """Pass on what is new to whoever listens; with stop strings all of it comes at the end."""
        listen = row.request.on_text
        if listen is None or row.request.n > 1 or row.request.sampling.stop:
            return
        text = self._text(row.ids)
        if len(text) > row.said and not text.endswith("\ufffd"):  # not half a character
            listen(text[row.said :])
            row.said = len(text)

    def _at_stop(self, row: Row) -> bool:
        stop = row.request.sampling.stop
        if not stop:
            return False
        reach = max(len(mark.encode()) for mark in stop) + 8  # no token is shorter than a byte
        tail = self._text(row.ids[-reach:])
        return any(mark in tail for mark in stop)

    def _answer(self, row: Row) -> Answer:
        return Answer(
            cut_at_stop(self._text(row.ids), row.request.sampling.stop),
            len(row.prompt) if row is row.siblings[0] else 0,
            len(row.ids),
            finish_reason=row.finish_reason or "stop",
            logprobs=tuple(row.logprobs) if row.request.logprobs else None,
            latency_ms=(time.perf_counter() - row.job.start_s) * 1000,
        )

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _tensor(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    def _load_adapter(self, adapter: str | None) -> None:
        if adapter is None or adapter in self._adapters:
            return
        from peft import PeftModel

        folder = str(adapter_store().find(adapter).folder) if is_adapter_id(adapter) else adapter
        name = f"adapter{len(self._adapters)}"  # peft takes no dots in names
        with warnings.catch_warnings():  # peft asks transformers in ways that are deprecated
            warnings.simplefilter("ignore", FutureWarning)
            if self._adapters:
                self.model.load_adapter(folder, adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, folder, adapter_name=name)
        self.model.eval()
        self._adapters[adapter] = name

    @contextmanager
    def _adapted(self, adapter: str | None) -> Iterator[None]:
        if adapter is not None:
            self.model.set_adapter(self._adapters[adapter], inference_mode=True)
            yield
        elif self._adapters:
            with self.model.disable_adapter():
                yield
        else:
            yield


def load_engine(source: str) -> Engine:
    """Load a model for decoding: bfloat16 on a GPU if there is one, else float32; no pickle."""
    on_gpu = torch.cuda.is_available()
    disable_progress_bar()  # for the moment that loading takes it only spoils the output
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.bfloat16 if on_gpu else torch.float32, use_safetensors=True
    )
    if not on_gpu and model.num_parameters() < _SMALL_MODEL_PARAMETERS:
        # Threads gain little on small matrices, and lose much by their barriers on a busy machine.
        torch.set_num_threads(1)
    return Engine(model.to("cuda" if on_gpu else "cpu").eval(), tokenizer)


def _draw(logits: torch.Tensor, rows: Sequence[Row]) -> torch.Tensor:
    """One token a row by inverting the cumulative distribution at the row's own random number."""
    temperature = logits.new_tensor([row.temperature for row in rows])[:, None]
    probs = (logits / temperature).softmax(-1).double()  # (B, V)
    top_p = [row.request.sampling.top_p for row in rows]
    if any(p is not None and p < 1 for p in top_p):
        bound = probs.new_tensor([1.0 if p is None else p for p in top_p])[:, None]
        probs = _nucleus(probs, bound)
    mass = probs.cumsum(-1)
    drawn = probs.new_tensor([row.random.random() for row in rows])[:, None] * mass[:, -1:]
    return torch.searchsorted(mass, drawn, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)


def _nucleus(probs: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    """Zero all but the most probable tokens that together reach the bound (at least one)."""
    ordered, order = probs.sort(descending=True, dim=-1)
    outside = ordered.cumsum(-1) - ordered >= bound
    outside[:, 0] = False
    return probs.masked_fill(outside.gather(-1, order.argsort(-1)), 0.0)


def _noise(request: Request, prompt: Sequence[int], index: int) -> random.Random:
    """Random numbers that depend on seed, prompt and sample index only."""
    text = f"{request.sampling.seed or 0} {index} {prompt}"
    return random.Random(hashlib.sha256(text.encode()).digest())


def _temperature(request: Request, index: int) -> float:
    given = request.sampling.temperature
    if given is None:
        return 0.0 if index == 0 else _DEFAULT_TEMPERATURE
    return given if given > 1e-4 else 0.0


def _alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by the beginnings of their prompts; those with few of their kind all in one group."""
    groups: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.prompt[:_BEGINNING_TOKENS], []).append(row)
    few = [row for group in groups.values() if len(group) < _GROUP_ROWS for row in group]
    return [few, *(group for group in groups.values() if len(group) >= _GROUP_ROWS)]


def _shared_prefix(prompts: Sequence[tuple[int, ...]]) -> int:
    """Count the tokens that all prompts begin with, at least one left over; 0 if hardly any."""
    first, last = min(prompts), max(prompts)  # in order, so all others share what these share
    limit = min(len(prompt) for prompt in prompts) - 1
    same = next((i for i in range(limit) if first[i] != last[i]), limit)
    return same if same >= _SHARED_PREFIX_TOKENS else 0


def _most_cached_tokens(model: Any) -> int:
    """How many positions of all rows together the keys and values may take."""
    config, parameter = model.config, next(model.parameters())
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token_bytes = 2 * config.num_hidden_layers * heads * width * parameter.element_size()
    if parameter.is_cuda:
        free_bytes, _ = torch.cuda.mem_get_info()
        return int(min(free_bytes // 2 // token_bytes, 1 << 18))
    return int(min(_CACHE_BYTES // token_bytes, 1 << 16))


def _eos_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    ids = given if isinstance(given, list) else [given, tokenizer.eos_token_id]
    return frozenset(i for i in ids if i is not None)


def _fail(jobs: Sequence[Job], kind: str, message: str, hint: str = "") -> None:
    for job in jobs:
        job.fail(ModelFailure(kind, message, retryable=False, hint=hint))
