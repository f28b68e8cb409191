"""Models that run in this process with vLLM: `vllm/<folder or hub name>` without a `base_url`.

vLLM's own scheduler batches continuously and caches prefixes. This file turns each sample into a
vLLM request. Its seed is derived from the request's seed, the prompt and the sample index.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from lmc.diagnostics import LmcError
from lmc.models.adapter_files import NotPlain, is_dora, plain_adapter
from lmc.models.base import Answer, Capabilities, ModelFailure, Request, cut_at_stop
from lmc.models.engine import sampling
from lmc.models.engine.chat_tokens import (
    chat_text,
    joined_messages,
    plain_messages,
    special_tokens,
)
from lmc.models.engine.constraints import grammar_of
from lmc.models.engine.worker import Job
from lmc.models.transformers_local import Transformers, open_transformers

_DEFAULT_MAX_TOKENS = 256
_MOST_LORA_RANK, _MOST_LORAS = 64, 4
_CPU_BLOCK = 32  # tokens; vLLM's default of 128 would reuse no shorter prefix
_CPU_CACHE_GIB = "1"


def open_vllm(model: str, settings: Mapping[str, Any]) -> Vllm:
    """Open a folder, looked up as for `hf/`, or a hub name. Raises: as `open_transformers`."""
    found = open_transformers(model, settings, prefix="vllm/")
    return Vllm(found.source, dtype=found.dtype)


class Vllm(Transformers):
    """A causal language model that vLLM runs, with the same thread and queue as `hf/`."""

    kind = "vllm"
    trains = False

    def __init__(self, source: str, *, dtype: str | None = None) -> None:
        super().__init__(source, dtype=dtype)
        self.capabilities = Capabilities(
            json_schema=True,
            logprobs=True,
            multiple_samples=True,
            adapters=True,
            seed=True,
            local=True,
            default_layout="json",
            grammar=True,
            continues=True,
        )

    @staticmethod
    def load(source: str, dtype: str | None = None, *, lookup: bool = False) -> VllmEngine:
        """Load the model. vLLM takes seconds for this, and guesses nothing here."""
        return VllmEngine(source, dtype)


@dataclass(eq=False, slots=True)
class _Asked:
    """A request in progress: its job, and its finished answers by sample."""

    job: Job
    prompt_tokens: int
    answers: dict[int, Answer] = field(default_factory=dict)


class VllmEngine:
    """vLLM's engine, stepped by one thread. Adapters slow it down, so it starts without them."""

    def __init__(self, source: str, dtype: str | None = None) -> None:
        self.source, self._dtype = source, dtype
        self._ids, self._loras = count(), dict[str, int]()
        self._asked: dict[str, tuple[_Asked, int]] = {}  # by vLLM's request id, with the sample
        self._held: list[Job] = []  # wait for an idle engine, to reload it with adapters
        self._with_lora = False
        self._start()

    @property
    def idle(self) -> bool:
        """Whether no request is in progress."""
        return not self._asked and not self._held

    def admit(self, job: Job) -> None:
        """Accept a request."""
        if job.request.adapter is not None and not self._with_lora:
            self._held.append(job)
            return
        try:
            self._add(job)
        except ModelFailure as failure:
            job.fail(failure)
        except (ValueError, TypeError, LmcError) as problem:  # a schema, a rank, an adapter
            job.fail(ModelFailure("bad_request", str(problem)[:600], retryable=False))

    def step(self) -> None:
        """Let vLLM write one token of every running request."""
        if not self._asked and self._held:
            self._with_lora = True
            self._end()
            self._start()
            held, self._held = self._held, []
            for job in held:
                self.admit(job)
        gone = [id for id, (asked, _) in self._asked.items() if asked.job.settled]
        if gone:
            self._engine.abort_request(gone)
            for id in gone:
                del self._asked[id]
        if not self._engine.has_unfinished_requests():
            return
        for output in self._engine.step():
            if output.finished and output.request_id in self._asked:
                self._take(*self._asked.pop(output.request_id), output)

    def fail(self, failure: ModelFailure) -> None:
        """Fail all requests in progress."""
        if self._asked:
            self._engine.abort_request(list(self._asked))
        for job in (*(asked.job for asked, _ in self._asked.values()), *self._held):
            job.fail(failure)
        self._asked, self._held = {}, []

    def _start(self) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # this thread runs the engine
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", _CPU_CACHE_GIB)
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform

        options: dict[str, Any] = {"enable_prefix_caching": True, "disable_log_stats": True}
        if current_platform.is_cpu():
            # Chunked prefill with seeds crashes the engine on a CPU (vLLM 0.32).
            options |= {"dtype": "float32", "block_size": _CPU_BLOCK}
            options |= {"enable_chunked_prefill": False, "enforce_eager": True}
        if self._dtype:
            options["dtype"] = self._dtype
        if self._with_lora:
            options |= {"enable_lora": True, "max_loras": _MOST_LORAS}
            options |= {"max_lora_rank": _MOST_LORA_RANK}
        structured = {"backend": "guidance"}  # llguidance; the others read another form of grammar
        arguments = EngineArgs(self.source, structured_outputs_config=structured, **options)
        self._engine: Any = LLMEngine.from_engine_args(arguments)
        self._tokenizer = self._engine.get_tokenizer()

    def _end(self) -> None:
        """Release the engine, with everything that vLLM keeps for the process."""
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._engine.engine_core.shutdown()
        self._engine = None
        gc.collect()  # a later collection would damage the next engine
        cleanup_dist_env_and_memory()

    def _add(self, job: Job) -> None:
        request = job.request
        prompt = self._prompt(request)
        asked, lora = _Asked(job, len(prompt)), self._lora(request.adapter)
        for index in range(request.index, request.index + request.n):
            id = str(next(self._ids))
            self._asked[id] = asked, index
            try:
                self._engine.add_request(
                    id,
                    {"prompt_token_ids": prompt},
                    _parameters(request, self._tokenizer, prompt, index),
                    lora_request=lora,
                )
            except BaseException:
                del self._asked[id]
                raise

    def _prompt(self, request: Request) -> list[int]:
        messages = plain_messages(request.messages, special_tokens(self._tokenizer))
        if self._tokenizer.chat_template:
            text = chat_text(self._tokenizer, messages)
            ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            text = joined_messages(messages)
            ids = self._tokenizer(text)["input_ids"]
        room = self._engine.model_config.max_model_len
        if len(ids) >= room:
            message = f"the prompt has {len(ids)} tokens, the model's context {room}"
            hint = "shorten the prompt, or use fewer demonstrations"
            raise ModelFailure("context_length", message, retryable=False, hint=hint)
        return list(ids)

    def _lora(self, adapter: str | None) -> Any:
        if adapter is None:
            return None
        found = plain_adapter(adapter)
        if is_dora(found):
            raise NotPlain("vLLM does not take DoRA; train `lora` or `rslora` for it")
        from vllm.lora.request import LoRARequest

        folder = str(found.folder)
        number = self._loras.setdefault(adapter, len(self._loras) + 1)
        return LoRARequest(adapter, number, folder)

    def _take(self, asked: _Asked, index: int, output: Any) -> None:
        request, made = asked.job.request, output.outputs[0]
        logprobs = None
        if request.logprobs and made.logprobs is not None:
            pairs = zip(made.token_ids, made.logprobs)
            logprobs = tuple(float(step[token].logprob) for token, step in pairs)
        asked.answers[index] = Answer(
            cut_at_stop(made.text, request.sampling.stop),
            asked.prompt_tokens if index == request.index else 0,
            len(made.token_ids),
            finish_reason="length" if made.finish_reason == "length" else "stop",
            logprobs=logprobs,
            latency_ms=(time.perf_counter() - asked.job.start_s) * 1000,
        )
        if len(asked.answers) == request.n:
            asked.job.succeed([asked.answers[i] for i in sorted(asked.answers)])


def _parameters(request: Request, tokenizer: Any, prompt: list[int], index: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    given, heat = request.sampling, request.heat(index)
    grammar = grammar_of(request, tokenizer, prompt)
    bound = None if grammar is None else StructuredOutputsParams(grammar=grammar)
    return SamplingParams(
        temperature=heat,
        top_p=1.0 if given.top_p is None else given.top_p,
        max_tokens=given.max_tokens or _DEFAULT_MAX_TOKENS,
        stop=list(given.stop) or None,
        seed=sampling.noise(request, prompt, index).getrandbits(31) if heat else None,
        logprobs=0 if request.logprobs else None,
        structured_outputs=bound,
    )
