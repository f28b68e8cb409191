"""Rows as tokens, exactly as the local engine sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.frozen import frozen
from lmc.models.base import SampledTokens
from lmc.models.engine.chat_tokens import (
    chat_text,
    joined_messages,
    plain_messages,
    special_tokens,
    tokenizer_digest,
)
from lmc.special_tokens import without_tokens
from lmc.training.rows import PairRow, Row, ScoredRow, TaughtRow, TrainingRow

if TYPE_CHECKING:
    from lmc.training.losses import Choices


@frozen
class EncodedRow:
    """A row as tokens: the first `prompt` of them are given, the others are learnt.

    `old` are the log-probabilities with which the answer was sampled, if they are known.
    """

    ids: tuple[int, ...]
    prompt: int
    weight: float = 1.0
    old: tuple[float, ...] = ()

    @property
    def answer(self) -> tuple[int, ...]:
        """The tokens that are learnt."""
        return self.ids[self.prompt :]


@frozen
class Example:
    """What one row of the training material is learnt from, as tokens.

    `rows` is one row, or the better and the worse of a pair. `reference` has the log-probabilities
    of their answers' tokens before the first step, where the loss asks for them. `taught` is the
    row as a teacher reads it, and `choices` what it would choose in place of each answer token.
    """

    rows: tuple[EncodedRow, ...]
    score: float = 0.0
    baseline: float = 0.0
    pull: float = 0.0
    reference: tuple[tuple[float, ...], ...] = ()
    doubt: float = 0.0
    taught: EncodedRow | None = None
    choices: Choices | None = None

    @property
    def tokens(self) -> int:
        """The tokens of all its rows."""
        return sum(len(row.ids) for row in self.rows)


def encode_row(tokenizer: Any, row: TrainingRow, *, sampled: bool = False) -> EncodedRow:
    """The tokens of prompt and answer. The answer ends with the end of a turn.

    An answer that was `sampled` stands as it was, right after the prompt: what the model's template
    writes before an answer, such as a space, the model has written itself.
    """
    special = special_tokens(tokenizer)
    messages = plain_messages(row.messages, special)
    said = without_tokens(row.answer, special)
    if tokenizer.chat_template:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        whole = tokenizer.apply_chat_template(
            [*messages, {"role": "assistant", "content": said}], tokenize=False
        )
        written = whole.startswith(prompt) and not sampled
        answer = whole[len(prompt) :] if written else said
        given = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    else:
        answer = said
        given = tokenizer("".join(m["content"] + "\n\n" for m in messages))["input_ids"]
    end = tokenizer.eos_token or ""
    answer = answer.partition(end)[0] if end else answer
    learnt = tokenizer(answer, add_special_tokens=False)["input_ids"]
    ends = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    ids = (*given, *learnt, *ends)
    return EncodedRow(ids, max(1, len(given)), row.weight)  # nothing predicts the first token


def encode_rows(tokenizer: Any, rows: Sequence[Row], context: int) -> list[Example]:
    """Rows as tokens. Rows that do not fit into the model's context are left out.

    Raises: LmcError[cannot-train] if no row fits.
    """
    digest = tokenizer_digest(tokenizer) if any(map(_has_tokens, rows)) else ""
    encoded = [_example(tokenizer, row, digest) for row in rows]
    fitting = [e for e in encoded if all(len(row.ids) <= context for row in e.rows)]
    if not fitting:
        message = f"all {len(rows)} training rows are longer than the model's context"
        help = f"the context has {context} tokens; shorten the prompts"
        raise LmcError.of("cannot-train", message, help=help)
    return fitting


def without_old(examples: Sequence[Example]) -> list[Example]:
    """The examples as if it were not known how likely their answers were when they were sampled.

    Where the model that is trained rounds its weights, it has other probabilities than the engine.
    """
    return [replace(e, rows=tuple(replace(row, old=()) for row in e.rows)) for e in examples]


def _has_tokens(row: Row) -> bool:
    if isinstance(row, TaughtRow):
        return False
    if isinstance(row, PairRow):
        return row.chosen_tokens is not None or row.rejected_tokens is not None
    return row.sampled is not None


def _example(tokenizer: Any, row: Row, digest: str) -> Example:
    def encoded(answer: str, sampled: bool, tokens: SampledTokens | None) -> EncodedRow:
        if tokens is not None and tokens.tokenizer == digest and tokens.ids:
            return _as_sampled(tokenizer, row, tokens)
        plain = TrainingRow(row.messages, answer, row.weight)
        return encode_row(tokenizer, plain, sampled=sampled)

    match row:
        case TrainingRow():
            return Example((_ended(tokenizer, encoded(row.answer, False, row.sampled)),))
        case TaughtRow():
            own = encoded(row.answer, False, None)
            asked = encode_row(tokenizer, TrainingRow(row.asked, row.answer))
            ids = (*asked.ids[: asked.prompt], *own.answer)
            return Example((own,), taught=EncodedRow(ids, asked.prompt))
        case PairRow():
            better = encoded(row.chosen, not row.gold, row.chosen_tokens)
            worse = encoded(row.rejected, True, row.rejected_tokens)
            return Example((better, worse), doubt=row.doubt)
        case ScoredRow():
            only = encoded(row.answer, True, row.sampled)
            return Example((only,), row.score, row.baseline, row.pull)


def _as_sampled(tokenizer: Any, row: Row, tokens: SampledTokens) -> EncodedRow:
    """A prompt as the engine made it, with the tokens that were sampled for it."""
    messages = plain_messages(row.messages, special_tokens(tokenizer))
    if tokens.begin:
        messages.append({"role": "assistant", "content": tokens.begin})
    if tokenizer.chat_template:
        given = tokenizer(chat_text(tokenizer, messages), add_special_tokens=False)["input_ids"]
    else:
        given = tokenizer(joined_messages(messages))["input_ids"]
    old = tokens.logprobs if given and len(tokens.logprobs) == len(tokens.ids) else ()
    return EncodedRow((*given, *tokens.ids), max(1, len(given)), row.weight, old)


def _ended(tokenizer: Any, row: EncodedRow) -> EncodedRow:
    """A row to imitate, with the end of the turn, which a grammar or a limit may have left out."""
    end = tokenizer.eos_token_id
    if end is None or row.ids[-1] == end:
        return row
    return replace(row, ids=(*row.ids, end), old=())
