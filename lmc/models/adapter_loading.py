"""Load lmc's own adapters into a vLLM server, which must see their folders.

vLLM loads weights of LoRA at run time where it was started with `--enable-lora` and
VLLM_ALLOW_RUNTIME_LORA_UPDATING=True. An adapter is named by its id, a hash of its contents, so a
name never means other weights.

Source: https://docs.vllm.ai/en/latest/features/lora.html, "Dynamically serving LoRA Adapters".
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from lmc.diagnostics import LmcError
from lmc.models.adapters import adapter_store
from lmc.models.base import ModelFailure
from lmc.models.http_failures import error_message

VARIABLE = "LMC_LOAD_ADAPTERS"
NOT_LOADED = (
    "this is an adapter of lmc: `load_adapters: true` in the model, or the variable"
    f" {VARIABLE}=1, loads it into a vLLM server"
)
# A path, a body, and the reply to it: status, headers and body.
Send = Callable[[str, str, Mapping[str, str]], Awaitable[tuple[int, Mapping[str, str], bytes]]]

_THERE = re.compile(r"already (been )?loaded", re.IGNORECASE)
_NO_FOLDER = re.compile(r"no adapter found|no such file|does not exist|not found for", re.I)
_RANK = re.compile(r"rank (\d+) is greater than max_lora_rank|max_lora_rank", re.IGNORECASE)


class AdapterLoader:
    """The adapters that one server has loaded. Belongs to one event loop."""

    def __init__(self, endpoint: str, send: Send) -> None:
        self._endpoint, self._send = endpoint, send
        self._loaded: dict[str, asyncio.Task[None]] = {}

    async def load(self, id: str) -> None:
        """Load an adapter, once. Raises: ModelFailure."""
        if id not in self._loaded:
            self._loaded[id] = asyncio.create_task(self._load(id))
        task = self._loaded[id]
        try:
            await asyncio.shield(task)
        except ModelFailure:
            self.forget(id)
            raise

    def forget(self, id: str) -> None:
        """Load an adapter again before it is asked next, as the server has lost it."""
        self._loaded.pop(id, None)

    async def _load(self, id: str) -> None:
        try:
            folder = adapter_store().find(id).folder
        except LmcError as missing:
            raise ModelFailure("not_found", str(missing), retryable=False, sent=False) from None
        body = {"lora_name": id, "lora_path": str(folder.resolve())}
        status, _, raw = await self._send("POST", "load_lora_adapter", body)
        told = raw.decode("utf-8", "replace")
        if status == 200 or _THERE.search(told):
            return
        message = f"{self._endpoint} did not load the adapter {id}: {error_message(told)}"
        if status >= 500:
            raise ModelFailure("server", message, retryable=True, hint=_hint(status, told))
        raise ModelFailure("not_found", message, retryable=False, hint=_hint(status, told))


def _hint(status: int, told: str) -> str:
    if _NO_FOLDER.search(told):
        return f"the server must see the folder at the same path: {adapter_store().root}"
    if _RANK.search(told):
        return "start vLLM with a larger --max-lora-rank"
    if status in (401, 403):
        return "check the key of the server"
    if status in (404, 405):
        return "start vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
    return ""
