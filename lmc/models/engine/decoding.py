"""Continuous batching: rows join a running batch between any two tokens, and leave when they end.

A prompt consists of a shared prefix and a rest. The prefix is what the prompts of a module begin
with: instruction, demonstrations, and the start of the last turn. It is computed once for all
requests, and kept. The rest is computed once for all samples. Samples share one row as long as
their tokens are equal. Rows differ in length, and all new tokens of a step go through the model as
one packed sequence: a prompt, one token, or several that a grammar forces. One batch can hold rows
with different prefixes and adapters. The number of kept tokens is bounded.
Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple

import torch

from lmc.models.base import (
    Answer,
    ModelFailure,
    Request,
    SampledTokens,
    continued,
    cut_at_stop,
)
from lmc.models.engine import constraints, sampling
from lmc.models.engine.chat_tokens import ChatTokens, Ids
from lmc.models.engine.forward import Forward, PackedForward, PaddedForward
from lmc.models.engine.lookup import MOST_GUESSED, Lookup, within_grammar
from lmc.models.engine.lora_switch import LoraSwitch
from lmc.models.engine.pretrained import context_of
from lmc.models.engine.sample_rows import BatchRow, Draw
from lmc.models.engine.shared_prefix import Lane, Prefix, PrefixStore, install
from lmc.models.engine.worker import Job

_DEFAULT_MAX_TOKENS = 256
_MOST_ROWS = 192
_CACHE_BYTES = 1 << 30  # of keys and values on a CPU
_PREFIX_SHARE = 4  # one in so many of the kept tokens may belong to prefixes
_COMPACT_BELOW = 0.75  # below this share of live rows, dead rows are dropped
_MOST_TRIED = 32  # guessed tokens of all rows in a pass; more would take time of their own
_JOIN_SHARE, _JOIN_STEPS = 0.25, 8  # rows join if they are so many, or after so many tokens


class Written(NamedTuple):
    """A token that a row wrote, and the place in the batch of the row or of its parent."""

    row: BatchRow
    place: int
    token: int


class Engine:
    """A loaded model and tokenizer with a running batch. One thread uses it.

    With `lookup`, the next tokens of greedy rows are guessed from their texts, and several that are
    right are computed in one pass.
    """

    def __init__(self, model: Any, tokenizer: Any, *, lookup: bool = False) -> None:
        config = model.config
        self.tokenizer = tokenizer
        self.context = context_of(config)
        self.eos_ids = _eos_ids(model, tokenizer)
        self._most_tokens = _most_cached_tokens(model)
        # Caches of other kinds of attention cannot be joined. Then batches run to the end, one
        # after another, and each row has all of its keys.
        self._continuous = install(model)
        self._forward: Forward[Any] = (PackedForward if self._continuous else PaddedForward)(model)
        self._vocabulary = int(config.vocab_size)
        self._prefixes = PrefixStore(self._most_tokens // _PREFIX_SHARE)
        self._lanes: dict[Lane, Prefix | None] = {}  # of the rows in the batch
        self._chat = ChatTokens(tokenizer, heads=self._continuous)
        self._grammars: constraints.Grammars | None = None
        self._waiting: list[BatchRow] = []
        self._rows: list[BatchRow] = []
        self._state: Any = None  # of self._rows
        self._since_join = 0
        self._lookup = lookup and self._continuous

    @property
    def lora(self) -> LoraSwitch:
        """The model with its adapters, which may be trained while no row is running."""
        return self._forward.lora

    @property
    def idle(self) -> bool:
        """Whether no row is running or waiting."""
        return not self._rows and not self._waiting

    def admit(self, job: Job) -> None:
        """Accept a request. Its samples join the batch when there is room."""
        try:
            self._forward.lora.load(job.request.adapter)
        except Exception as e:  # peft raises anything for a broken folder
            job.fail(_failure("not_found", f"cannot load the adapter {job.request.adapter}: {e}"))
            return
        try:
            self._waiting.append(self._new_row(job))
        except constraints.BadSchema as problem:
            job.fail(_failure("bad_request", f"the schema cannot be enforced: {problem}"))
        except ModelFailure as failure:
            job.fail(failure)

    def step(self) -> None:
        """Let waiting rows join if that pays, then write one token of every row."""
        with torch.inference_mode():
            self._leave()
            if new := self._who_joins():
                self._join(new)
            if self._state is None:
                return
            written = self._write(self._state.logits)
            live = [part for part in written if part.row.live]
            if len(written) > len(self._rows) or len(live) < _COMPACT_BELOW * len(written):
                written = self._within_memory(live)
                self._keep([part.row for part in written], [part.place for part in written])
            if self._state is not None:
                tokens = [row.take_pending() for row in self._rows]
                guesses = self._guesses(tokens)
                if any(guesses):
                    self._try_out(tokens, guesses)
                elif any(tokens):  # else all of them were cancelled just now
                    self._forward.advance(self._state, self._rows, tokens, self._lanes)
                self._since_join += 1

    def fail(self, failure: ModelFailure) -> None:
        """Fail all requests in progress."""
        for row in (*self._rows, *self._waiting):
            row.job.fail(failure)
        self._rows, self._waiting, self._state = [], [], None

    # --- rows of the batch ---

    def _leave(self) -> None:
        """Drop the rows that nobody waits for."""
        self._waiting = [row for row in self._waiting if row.live]
        if self._rows and not any(row.live for row in self._rows):
            self._keep([], [])

    def _keep(self, rows: list[BatchRow], places: Sequence[int]) -> None:
        """Continue with these rows, each from the state at its place."""
        self._rows = rows
        lanes = {row.lane for row in self._rows}
        self._lanes = {lane: prefix for lane, prefix in self._lanes.items() if lane in lanes}
        if not places:
            self._state = None
        elif self._state is not None:
            self._state.select(places)

    def _who_joins(self) -> list[BatchRow]:
        """The waiting rows that fit, oldest first; none while they are too few for a prefill."""
        waiting = self._waiting
        if not waiting or (self._rows and not self._continuous):
            return []
        few = len(waiting) < _JOIN_SHARE * len(self._rows) and self._since_join < _JOIN_STEPS
        if self._rows and few:
            return []
        longest = max((row.most_tokens for row in self._rows), default=0)
        joining: list[BatchRow] = []
        for row in waiting:
            length, count = max(longest, row.most_tokens), len(self._rows) + len(joining) + 1
            if count > 1 and (count > _MOST_ROWS or length * count > self._most_tokens):
                break
            joining.append(row)
            longest = length
        self._waiting = waiting[len(joining) :]
        return joining

    def _within_memory(self, live: list[Written]) -> list[Written]:
        """The rows that fit into memory. Other branches wait, and are prefilled again later."""
        longest = max((part.row.most_tokens for part in live), default=1)
        excess = len(live) - max(1, self._most_tokens // longest)
        if excess <= 0:
            return live
        branches = [part.row for before, part in pairwise(live) if part.place == before.place]
        out = sorted(branches, key=lambda row: len(row.ids))[:excess]
        self._waiting = [*out, *self._waiting]
        return [part for part in live if part.row not in out]

    def _join(self, new: list[BatchRow]) -> None:
        """Prefill the new prompts and add the rows to the batch, lane by lane."""
        now_s = time.perf_counter()
        for row in new:
            row.begun_s = row.begun_s or now_s
            row.shared = row.head.shared_by(row.prompt) if row.head else 0
            row.pending = []  # the prefill computes all known tokens
        single = self._single(new)
        new.sort(key=attrgetter("order"))
        self._lanes |= {row.lane: self._prefix(row.lane) for row in new}
        state = self._prefill(new)
        for row, lane in single.items():
            self._prefixes.keep(lane, state.beginning(new.index(row), len(lane[1])))
        self._since_join = 0
        if self._state is None:
            self._rows, self._state = new, state
            return
        rows = [*self._rows, *new]
        self._state.join(state)
        order = sorted(range(len(rows)), key=lambda i: rows[i].order)
        self._rows = [rows[i] for i in order]
        self._state.select(order)

    def _single(self, new: Sequence[BatchRow]) -> dict[BatchRow, Lane]:
        """The only rows with a prefix that is not kept, which they then compute as their own.

        One pass over a whole prompt is faster than one for its prefix and one for its rest.
        """
        if not self._continuous:
            return {}
        lanes = Counter(row.lane for row in new)
        single = {
            row: row.lane
            for row in new
            if row.shared and lanes[row.lane] == 1 and not self._prefixes.has(row.lane)
        }
        for row in single:
            row.shared = 0
        return single

    def _prefill(self, rows: Sequence[BatchRow]) -> Any:
        """The state of rows in their order. Rows with identical tokens are computed once."""
        firsts = [next(group) for _, group in groupby(rows, key=attrgetter("order"))]
        # Attention takes rows of about equal length together, and so needs them in that order.
        firsts.sort(key=lambda row: (row.order[:2], len(row.known)))
        state = self._forward.prefill(firsts, self._lanes)
        places = {row.order: i for i, row in enumerate(firsts)}
        state.select([places[row.order] for row in rows])
        return state

    def _prefix(self, lane: Lane) -> Prefix | None:
        """The keys and values of the prefix that the rows of a lane share."""
        make = partial(self._forward.prefix, lane)
        return self._prefixes.get(lane, make) if lane[1] else None

    # --- tokens ---

    def _write(self, logits: torch.Tensor) -> list[Written]:
        """Write one token of every row, in order. A row branches if its samples differ."""
        logits = logits.float()
        if bound := {i: r.constraint for i, r in enumerate(self._rows) if r.live and r.constraint}:
            assert self._grammars is not None
            logits = self._grammars.mask(logits, bound)
        written = [
            Written(branch, place, token)
            for place, (row, chosen) in enumerate(zip(self._rows, self._choose(logits)))
            for branch, token in row.branches(chosen)
        ]
        if wanted := [part for part in written if part.row.live and part.row.request.logprobs]:
            logprobs = logits[[part.place for part in wanted]].log_softmax(-1)
            chosen_ids = torch.tensor([[part.token] for part in wanted], device=logits.device)
            of_chosen = logprobs.gather(-1, chosen_ids)[:, 0].tolist()
            for part, logprob, sure in zip(
                wanted, of_chosen, sampling.certainty(logprobs).tolist()
            ):
                part.row.logprobs.append(logprob)
                part.row.certainty += sure
        for part in written:
            if part.row.live:
                self._accept(part.row, part.token)
                self._accept_forced(part.row)
        return written

    def _choose(self, logits: torch.Tensor) -> list[list[int]]:
        """A token for each sample of each row, from logits (B, V)."""
        rows = self._rows
        chosen = [[0] * len(row.draws) for row in rows]
        heats = {i: row.heat for i, row in enumerate(rows) if row.live}
        greedy = [i for i in heats if any(draw.temperature == 0 for draw in rows[i].draws)]
        if greedy:
            some = logits if len(greedy) == len(rows) else logits[greedy]
            for i, best in zip(greedy, some.argmax(-1).tolist()):
                chosen[i] = [best] * len(rows[i].draws)
        if hot := [i for i, heat in heats.items() if heat > 0]:
            drawn = sampling.draw(
                logits[hot],
                [heats[i] for i in hot],
                [rows[i].request.sampling.top_p for i in hot],
                [[draw.random.random() for draw in rows[i].draws] for i in hot],
            )
            for i, tokens in zip(hot, drawn):
                for j, draw in enumerate(rows[i].draws):
                    if draw.temperature > 0:
                        chosen[i][j] = tokens[j]
        return chosen

    def _accept(self, row: BatchRow, token: int) -> None:
        """Append a token to a row, and end the row and its job if they are complete."""
        if token in self.eos_ids:
            row.finish_reason, row.end = "stop", token
        else:
            row.append(token)
            self._say(row)
            if row.constraint is not None:
                row.constraint.accept(token)
            if self._at_stop(row) or (row.constraint is not None and row.constraint.at_end):
                row.finish_reason = "stop"
            elif len(row.ids) >= row.max_new:
                row.finish_reason = "length"
        if row.finish_reason:
            row.answers.update((draw.index, self._answer(row, draw)) for draw in row.draws)
            if len(row.answers) == row.request.n:
                row.job.succeed([row.answers[i] for i in sorted(row.answers)])

    def _accept_forced(self, row: BatchRow) -> None:
        """Append the tokens that the grammar leaves no choice about, up to the next choice.

        They need no logits, so all of them go through the model in one pass. The rest of the
        answer is as if they had been drawn one by one, each with probability 1.
        """
        if not self._continuous or not row.live or row.constraint is None:
            return
        for token in row.constraint.forced():
            row.skip_draw()
            self._accept(row, token)
            if not row.live:
                return

    # --- guesses ---

    def _guesses(self, tokens: Sequence[Sequence[int]]) -> list[list[int]]:
        """What each row may go on with after its new tokens. Large batches guess nothing."""
        each = min(MOST_GUESSED, _MOST_TRIED // max(1, sum(map(bool, tokens))))
        if not self._lookup or not each:
            return []
        return [self._guess(row, each) if some else [] for row, some in zip(self._rows, tokens)]

    def _guess(self, row: BatchRow, most: int) -> list[int]:
        most = min(most, row.max_new - len(row.ids) - 1)
        if row.lookup is None or not row.lookup.pays or most < 1:
            return []
        return within_grammar(row.lookup.guess(most), row.constraint, self.eos_ids)

    def _try_out(self, tokens: list[list[int]], guesses: list[list[int]]) -> None:
        """Compute the new tokens and the guesses, and accept the guesses that are right."""
        assert isinstance(self._forward, PackedForward)
        found = self._forward.try_out(self._state, self._rows, tokens, guesses, self._lanes)
        used = [
            self._accept_guess(row, guess, logits) if guess else 0
            for row, guess, logits in zip(self._rows, guesses, found)
        ]
        empty = self._state.logits[0]
        wrong = [len(guess) - count for guess, count in zip(guesses, used)]
        ends = [logits[count] if len(logits) else empty for logits, count in zip(found, used)]
        self._forward.keep(self._state, wrong, ends)

    def _accept_guess(self, row: BatchRow, guess: list[int], logits: torch.Tensor) -> int:
        """Accept what the model says too. Returns how many of the guessed tokens that are."""
        assert row.lookup is not None
        said, used = logits.argmax(-1).tolist(), 0
        while used < len(guess) and row.live:
            if said[used] != guess[used] and self._best(row, logits[used]) != guess[used]:
                break
            before = len(row.ids)
            self._accept(row, guess[used])
            self._accept_forced(row)  # the guess has the same tokens
            used += max(1, len(row.ids) - before)
        row.pending = []
        row.lookup.guessed += len(guess)
        row.lookup.right += used
        return used

    def _best(self, row: BatchRow, logits: torch.Tensor) -> int:
        """The most probable token that the row's grammar allows."""
        if row.constraint is None:
            return int(logits.argmax())
        assert self._grammars is not None
        return int(self._grammars.mask(logits.float()[None].clone(), {0: row.constraint}).argmax())

    # --- answers ---

    def _say(self, row: BatchRow) -> None:
        """Pass new text to the listener. With stop strings, all text comes at the end."""
        listen = row.request.on_text
        if listen is None or row.request.n > 1 or row.request.sampling.stop:
            return
        text = self._text(row.ids)
        if len(text) > row.said and not text.endswith("\ufffd"):  # it ends in a whole character
            listen(text[row.said :])
            row.said = len(text)

    def _at_stop(self, row: BatchRow) -> bool:
        stop = row.request.sampling.stop
        if not stop:
            return False
        reach = max(len(mark.encode()) for mark in stop) + 8  # no token is shorter than a byte
        tail = self._text(row.ids[-reach:])
        return any(mark in tail for mark in stop)

    def _answer(self, row: BatchRow, draw: Draw) -> Answer:
        wanted = row.request.logprobs
        logprobs = tuple(row.logprobs) if wanted else None
        return Answer(
            cut_at_stop(self._text(row.ids), row.request.sampling.stop),
            len(row.prompt) if draw.index == row.request.index else 0,
            len(row.ids),
            finish_reason=row.finish_reason or "stop",
            logprobs=logprobs,
            certainty=row.certainty / len(row.logprobs) if wanted and row.logprobs else None,
            latency_ms=(time.perf_counter() - row.begun_s) * 1000 if row.begun_s else 0.0,
            sampled=self._sampled(row, logprobs) if logprobs is not None else None,
        )

    def _sampled(self, row: BatchRow, logprobs: tuple[float, ...]) -> SampledTokens:
        own = () if row.constraint is not None else logprobs
        begin = continued(row.request.messages)
        return SampledTokens(self._chat.digest, row.sampled, own, begin)

    # --- requests ---

    def _new_row(self, job: Job) -> BatchRow:
        """The first row of a request. Raises: ModelFailure[context_length], BadSchema."""
        request = job.request
        prompt, head = self._chat.prompt(request)
        room = self.context - len(prompt)
        if room < 1:
            message = f"the prompt has {len(prompt)} tokens, the model's context {self.context}"
            hint = "shorten the prompt, or use fewer demonstrations"
            raise _failure("context_length", message, hint)
        max_new = min(request.sampling.max_tokens or _DEFAULT_MAX_TOKENS, room)
        draws = [
            Draw(i, request.heat(i), sampling.noise(request, prompt, i))
            for i in range(request.index, request.index + request.n)
        ]
        bound = self._constraint(request, prompt)
        greedy = not request.logprobs and all(draw.temperature == 0 for draw in draws)
        known = Lookup([*prompt]) if self._lookup and greedy else None
        row = BatchRow(job, {}, draws, prompt, head, max_new, bound, known)
        self._accept_forced(row)
        return row

    def _constraint(self, request: Request, prompt: Ids) -> constraints.Constraint | None:
        grammar = constraints.grammar_of(request, self.tokenizer, prompt)
        if grammar is None or not constraints.available():
            return None
        if self._grammars is None:
            self._grammars = constraints.Grammars(self.tokenizer, self._vocabulary, self.eos_ids)
        try:
            return self._grammars.constraint(grammar)
        except constraints.BadSchema:
            if request.grammar is None:
                raise
            return None  # a type beyond the library's limits, which is validated after all

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))


def _most_cached_tokens(model: Any) -> int:
    """The most positions of all rows together whose keys and values fit."""
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


def _failure(kind: str, message: str, hint: str = "") -> ModelFailure:
    return ModelFailure(kind, message, retryable=False, hint=hint)
