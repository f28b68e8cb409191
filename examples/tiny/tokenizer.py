"""The tokenizer: byte-level BPE over all 256 bytes, digits single, with the chat's own marks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from examples.tiny.families import draw_training_instance
from examples.tiny.words import ALL_WORDS

VOCABULARY = 2560
WORD_WEIGHT = 12  # times each word of the lists is added, so that most become one token
PAD, END = "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")
SPECIAL = (PAD, END, *(f"<|{r}|>" for r in ROLES))
# Only answers have an end mark: what is asked stands right before what is answered, which two heads
# of attention can bridge. A space goes before the content, so that a word is the same token
# everywhere; marks that a value contains are broken up, so that data cannot start a turn.
CHAT_TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no such role: ' + m.role) }}{% endif %}"
    "{{ '<|' + m.role + '|> ' + m.content | replace('<|', '< |') }}"
    "{% if m.role == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(seed: int, documents: int = 6000) -> Any:
    """Learn the merges from generated text; a `PreTrainedTokenizerFast`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_texts(seed, documents), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_tokenizer(path: Path) -> Any:
    """Load the tokenizer of a model folder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(path), local_files_only=True)


def _texts(seed: int, documents: int) -> Iterable[str]:
    rng = Random(f"tokenizer/{seed}")
    for _ in range(documents):
        instance = draw_training_instance(rng)
        for message in instance.messages():
            yield " " + message["content"]
        yield " " + instance.answer()
    yield from (" " + word for word in ALL_WORDS for _ in range(WORD_WEIGHT))
