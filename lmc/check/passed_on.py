"""What a program may pass on to a server as it is, in `extra` and `headers` of a model.

lmc controls the rest of a request: who is asked, for what, for how much, and with which key. None
of that can be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What bounds the costs, names the model, or changes the form of the answer.
_OWN_BODY = (
    *("model", "models", "messages", "prompt", "n", "best_of", "n_predict", "stream"),
    *("stream_options", "tools", "tool_choice", "functions", "function_call", "response_format"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "temperature", "top_p", "stop"),
    *("seed", "random_seed", "logprobs", "lora_path"),
)
_SETTINGS = {
    "max_completion_tokens": "max_tokens", "max_output_tokens": "max_tokens",
    "n_predict": "max_tokens", "random_seed": "seed", "lora_path": "adapter", "models": "fallback",
}  # fmt: skip
_AS_SETTINGS = (
    *("max_tokens", "temperature", "top_p", "stop", "seed", "logprobs", "adapter", "fallback"),
)
# Headers that hold keys, or say how the body is to be read and by whom.
_OWN_HEADERS = re.compile(
    r"(proxy-)?authorization|.*api-?key.*|.*[-_]token|cookie2?|set-cookie|host|content-.*"
    r"|accept-encoding|transfer-encoding|te|trailer|connection|keep-alive|upgrade|expect"
    r"|proxy-.*|forwarded|x-forwarded-.*|x-real-ip",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e]{0,4000}")
PASSED_ON = ("extra", "headers")
STEERING = (*PASSED_ON, "load_adapters")  # settings of a server that need the user's word


def misplaced(setting: str, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """What is wrong with `extra` or `headers`, and the help; None if it can be passed on."""
    for name, value in given.items():
        if setting == "extra" and name in _OWN_BODY:
            own = _SETTINGS.get(name, name)
            help = f"write the setting `{own}`" if own in _AS_SETTINGS else "lmc sets it itself"
            return f"`extra` cannot hold `{name}`, which lmc controls", help
        if setting == "headers" and _OWN_HEADERS.fullmatch(name):
            help = "a key goes into the variable that `api_key_env` names; the rest is lmc's own"
            return f"`headers` cannot hold `{name}`, which lmc controls", help
        if setting == "headers" and not (_NAME.fullmatch(name) and _VALUE.fullmatch(value)):
            help = "a name has letters, digits and `-`, and a value is one line of ASCII"
            return f"`{name[:60]}` in `headers` is not a header that can be sent", help
    return None
