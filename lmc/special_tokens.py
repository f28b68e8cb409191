r"""Special tokens of chat templates in text, disarmed by a backslash after the first character.

`<|im_start|>` becomes `<\|im_start|>`. A token with a backslash gets one more, so removing one
restores the text. Text without such tokens is unchanged, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

# The rest of a token, after its first character. Families: ChatML, Llama 2 to 4, Mistral, Gemma,
# Phi, Zephyr, DeepSeek, Cohere, Granite, gpt-oss, GLM, EXAONE, Nemotron, MiniMax, Seed, T5, BERT.
_AFTER = {
    "<": (
        r"\|[^\s|<>]{1,60}\|?>",
        r"[a-z_]{1,40}\|>",
        r"｜[^\n｜<>]{1,60}｜>",
        r"(?:start|end)_of_(?:turn|image)>",
        r"/?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|eom|eoh|eoa)>",
        r"</?SYS>>",
        r"/?(?:think|thinking|tool_call|tool_response)>",
        r"seed:[a-z_:]{1,40}>",
        r"(?:extra_id|unused|reserved|SPECIAL)_?\d{1,6}>",
        r"\|media:[a-z]{1,20}/[a-z0-9.+-]{1,40}:[0-9a-f]{64}\|>",  # of lmc: `lmc.media`
    ),
    r"\[": (
        r"/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_[A-Z]{1,20}|PREFIX|SUFFIX|MIDDLE)\]",
        r"/?(?:THINK|ARGS|CALL_ID|gMASK|sMASK|MASK|CLS|SEP|PAD|UNK|BOS|EOS|IMG[A-Z_]{0,10})\]",
        r"\|[a-z_]{1,40}\|\]",
        r"e~\[",
    ),
    r"\]": (r"~!?b[\[\]]",),
}
_FIRST = "<[]"


def disarming(rests: Mapping[str, Iterable[str]] = {}) -> re.Pattern[str]:
    """A pattern for the special tokens and for other marks, given by first character and rest."""
    firsts = dict.fromkeys([*_AFTER, *rests])
    parts = (
        rf"{first}\\*+(?=(?:{'|'.join([*_AFTER.get(first, ()), *rests.get(first, ())])}))"
        for first in firsts
    )
    return re.compile("|".join(parts))


SPECIAL_TOKENS = disarming()


def escaped(value: Any, marks: re.Pattern[str] = SPECIAL_TOKENS) -> Any:
    """Disarm all marks in the texts of a JSON value."""
    return _mapped(value, marks, _escape)


def unescaped(value: Any, marks: re.Pattern[str] = SPECIAL_TOKENS) -> Any:
    """Restore the JSON value that `escaped` disarmed."""
    return _mapped(value, marks, _unescape)


def plain_so_far(text: str) -> str:
    """The part of an unfinished text that `unescaped` leaves unchanged, whatever follows."""
    places = [at for first in _FIRST if (at := text.find(first + "\\")) >= 0]
    if places:
        return text[: min(places)]
    return text[:-1] if text.endswith(tuple(_FIRST)) else text


def without_tokens(text: str, tokens: Iterable[str]) -> str:
    """Disarm the tokens of one tokenizer, also those of unknown model families."""
    pattern = _exactly(tuple(tokens))
    return text if pattern is None else pattern.sub(lambda m: f"{m[0][0]}\\{m[0][1:]}", text)


@lru_cache(maxsize=16)
def _exactly(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    longest_first = sorted((t for t in tokens if len(t) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _mapped(value: Any, marks: re.Pattern[str], change: Any) -> Any:
    match value:
        case str():
            return change(value, marks)
        case list():
            return [_mapped(v, marks, change) for v in value]
        case dict():
            return {change(k, marks): _mapped(v, marks, change) for k, v in value.items()}
        case _:
            return value


def _escape(text: str, marks: re.Pattern[str]) -> str:
    if not any(first in text for first in _FIRST):
        return text
    return marks.sub(lambda m: m[0] + "\\", text)


def _unescape(text: str, marks: re.Pattern[str]) -> str:
    return marks.sub(lambda m: m[0][0] + m[0][2:], text) if "\\" in text else text
