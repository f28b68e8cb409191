"""Tokenize requests: the prompt of a chat, and its head, which other requests may share."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from typing import Any

from lmc.models.base import Message, Request, continued
from lmc.models.tool_calls import without_tool_turns
from lmc.special_tokens import without_tokens

_SHARED_PREFIX_TOKENS = 16  # a shorter prefix saves no time
_MARK_TOKENS = 16  # more than the mark of thoughts has
_KNOWN_HEADS = 256  # heads whose tokens are remembered

Ids = tuple[int, ...]


@dataclass(slots=True)
class Head:
    """The common beginning of prompts, which each further one may shorten, and how many have it.

    `outer` is that of prompts with the same first turn but other demonstrations.
    """

    ids: Ids
    outer: Head | None = None
    times: int = 0

    def meet(self, prompt: Ids) -> None:
        """Count a further prompt."""
        self.times += 1
        if prompt[: len(self.ids)] != self.ids:
            alike = takewhile(lambda pair: pair[0] == pair[1], zip(self.ids, prompt))
            self.ids = tuple(token for token, _ in alike)

    def shared_by(self, prompt: Ids) -> int:
        """How many tokens of a prompt others begin with. The last one is never among them."""
        if self.times > 1:
            return min(len(self.ids), len(prompt) - 1)
        return self.outer.shared_by(prompt) if self.outer else 0


def plain_messages(messages: Sequence[Message], tokens: Sequence[str]) -> list[Message]:
    """Remove a tokenizer's special tokens from the contents of messages.

    Only the chat template may begin and end turns. In prompts, the tokens of known model families
    are disarmed already, but the tokenizer may have others.
    """
    told = without_tool_turns(messages)
    return [m | {"content": without_tokens(m["content"], tokens)} for m in told]


def joined_messages(messages: Sequence[Message]) -> str:
    """The prompt for a model without a chat template."""
    begin = continued(messages)
    turns = messages[:-1] if begin else messages
    return "".join(message["content"] + "\n\n" for message in turns) + begin


def chat_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """The prompt that a chat template makes. It ends in the beginning that the answer has.

    Where the template opens thoughts, they are closed before the beginning, which is no thought.
    """
    begin = continued(messages)
    turns = messages[:-1] if begin else messages
    text = templated(tokenizer, turns, add_generation_prompt=True)
    opened = re.search(r"<(think|thinking)>\s*\Z", text) if begin else None
    return text + (f"</{opened[1]}>\n\n" if opened else "") + begin


def templated(tokenizer: Any, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
    """Messages as the chat template of a model lays them out."""
    return str(
        tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=add_generation_prompt, tokenize=False
        )
    )


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts that a tokenizer reads as special tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    own = {str(token) for token in added if getattr(token, "special", False)}
    return tuple(sorted(own | set(getattr(tokenizer, "all_special_tokens", ()))))


def tokenizer_digest(tokenizer: Any) -> str:
    """A digest of a tokenizer and its chat template: equal ones read and write the same tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = sorted(tokenizer.get_vocab().items())
    else:
        rules = json.loads(backend.to_str())
        rules.update(truncation=None, padding=None)  # which change with its use
    text = json.dumps([rules, str(tokenizer.chat_template or "")], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def knows_thoughts(tokenizer: Any) -> bool:
    """Whether a model writes thoughts before its answers, as its chat template tells."""
    return "<think" in str(tokenizer.chat_template or "")


def opens_thoughts(tokenizer: Any, prompt: Sequence[int]) -> bool:
    """Whether a prompt ends in the opening mark of thoughts, so that an answer begins inside."""
    end = str(tokenizer.decode(prompt[-_MARK_TOKENS:])) if knows_thoughts(tokenizer) else ""
    return re.search(r"<(think|thinking)>\s*\Z", end) is not None


class ChatTokens:
    """A tokenizer with its chat template. With `heads`, it looks for shared heads of prompts."""

    def __init__(self, tokenizer: Any, *, heads: bool) -> None:
        self._tokenizer, self._wants_heads = tokenizer, heads
        self._special = special_tokens(tokenizer)
        self._heads: OrderedDict[Ids, Head] = OrderedDict()  # by their first tokens
        self._turns: OrderedDict[str, Ids] = OrderedDict()

    @cached_property
    def digest(self) -> str:
        """Identifies the tokenizer."""
        return tokenizer_digest(self._tokenizer)

    def prompt(self, request: Request) -> tuple[Ids, Head | None]:
        """The tokens of a prompt, and its head, which it may share with others.

        Prompts of one module have all turns but the last in common, and often some tokens more. If
        each input has its own demonstrations, they have the first turn in common.
        """
        messages = plain_messages(request.messages, self._special)
        if not self._tokenizer.chat_template:
            text = joined_messages(messages)
            return tuple(self._tokenizer(text)["input_ids"]), None
        text = chat_text(self._tokenizer, messages)
        prompt = self._tokens(text)
        return prompt, self._head(messages, text, prompt) if self._wants_heads else None

    def _head(self, messages: Sequence[Message], text: str, prompt: Ids) -> Head | None:
        outer = None
        if len(messages) > 2 and (size := self._turns_tokens(messages[:1], text, prompt)):
            outer = self._head_behind(size, prompt)
        return self._head_behind(self._turns_tokens(messages[:-1], text, prompt), prompt, outer)

    def _head_behind(self, size: int, prompt: Ids, outer: Head | None = None) -> Head | None:
        """The head of the prompts with the same first tokens, which this one has met."""
        size = max(_SHARED_PREFIX_TOKENS, size)
        if len(prompt) <= size:
            return outer
        start = prompt[:size]
        head = self._heads.setdefault(start, Head(prompt, outer=outer))
        self._heads.move_to_end(start)
        if len(self._heads) > _KNOWN_HEADS:
            self._heads.popitem(last=False)
        if head is not outer:
            head.meet(prompt)
        return head

    def _turns_tokens(self, turns: Sequence[Message], text: str, prompt: Ids) -> int:
        """How many tokens the first turns are; 0 if the prompt does not begin with them."""
        if not turns:
            return 0
        try:
            words = templated(self._tokenizer, turns, add_generation_prompt=False)
        except Exception:  # a template may refuse such a chat
            return 0
        if not text.startswith(words):
            return 0
        if words not in self._turns:
            self._turns[words] = self._tokens(words)
            if len(self._turns) > _KNOWN_HEADS:
                self._turns.popitem(last=False)
        self._turns.move_to_end(words)
        ids = self._turns[words]
        return len(ids) if prompt[: len(ids)] == ids else 0

    def _tokens(self, text: str) -> Ids:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])
