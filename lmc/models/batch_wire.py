"""Batch APIs of OpenAI's form, and Mistral's, which differs in paths and words.

Source: https://platform.openai.com/docs/guides/batch and
https://docs.mistral.ai/capabilities/batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from lmc.models import quick_json
from lmc.models.batch_api import CHATS, BatchState, Outcome, read_line, request_line
from lmc.models.batch_http import FILE_S, BatchHttp
from lmc.models.batch_journal import JournaledBatch

_MARK = "lmc"  # the key of the metadata that tells a batch of ours
_LISTED = 100


class BatchWire(BatchHttp):
    """A server with OpenAI's batch API."""

    batches = "batches"  # the path

    async def prepare(self, bodies: Sequence[bytes]) -> tuple[str, bytes]:
        """Send a file of requests; its id and one of the requests. Raises: ModelFailure."""
        lines = b"".join(self._line(i, body) for i, body in enumerate(bodies))
        with aiohttp.MultipartWriter("form-data") as form:
            form.append("batch").set_content_disposition("form-data", name="purpose")
            part = form.append(lines, {"Content-Type": "application/jsonl"})
            part.set_content_disposition("form-data", name="file", filename="requests.jsonl")
        headers = {"Content-Type": form.headers["Content-Type"]}
        told = await self.json("POST", "files", data=form, headers=headers, limit_s=FILE_S)
        return self.id_in(told), bodies[0]

    async def create(self, prepared: tuple[str, bytes], batch: JournaledBatch) -> str:
        """Submit a file as a batch with our mark, and return its id. Raises: ModelFailure."""
        asked = self._asking(*prepared) | {"metadata": {_MARK: batch.token}}
        return self.id_in(await self.json("POST", self.batches, data=quick_json.encode(asked)))

    async def find(self, batch: JournaledBatch) -> str | None:
        """The id of the batch with our mark; None if there is none. Raises: ModelFailure."""
        told = await self.json("GET", self.batches, query=self._listing())
        for one in told.get("data") or ():
            if isinstance(one, Mapping) and _mark(one) == batch.token:
                return self.id_in(one)
        return None

    async def state(self, id: str) -> BatchState:
        """How far a batch is. Raises: ModelFailure."""
        return self._read_state(await self.json("GET", f"{self.batches}/{id}"))

    async def cancel(self, id: str) -> None:
        """Have the server answer no more of a batch. Raises: ModelFailure."""
        await self.json("POST", f"{self.batches}/{id}/cancel")

    async def each_line(self, file: str, take: Callable[[bytes], None]) -> None:
        """Have the lines of a file taken. Raises: ModelFailure."""
        await self.lines(f"files/{file}/content", take)

    def read(self, line: bytes) -> tuple[int, Outcome]:
        """Read a line of answers. Raises: ValueError, KeyError, TypeError."""
        return read_line(line)

    def _line(self, number: int, body: bytes) -> bytes:
        return request_line(number, body)

    def _asking(self, file: str, body: bytes) -> dict[str, Any]:
        return {"input_file_id": file, "endpoint": CHATS, "completion_window": "24h"}

    def _listing(self) -> dict[str, str]:
        return {"limit": str(_LISTED)}

    def _read_state(self, told: Mapping[str, Any]) -> BatchState:
        files = self._files(told, "output_file_id", "error_file_id")
        return BatchState(str(told.get("status")), files, _problem(told.get("errors")))

    def _files(self, told: Mapping[str, Any], *names: str) -> tuple[str, ...]:
        return tuple(self.id_in({"id": told[name]}) for name in names if told.get(name))


class MistralBatches(BatchWire):
    """Mistral's batch API: a batch is a job of one model."""

    batches = "batch/jobs"
    _WORDS: Mapping[str, str] = {
        "SUCCESS": "completed", "FAILED": "failed", "TIMEOUT_EXCEEDED": "expired",
        "CANCELLED": "cancelled",
    }  # fmt: skip

    def _line(self, number: int, body: bytes) -> bytes:
        return b'{"custom_id":"%d","body":%s}\n' % (number, body)

    def _asking(self, file: str, body: bytes) -> dict[str, Any]:
        model = json.loads(body)["model"]
        return {"input_files": [file], "endpoint": CHATS, "model": model, "timeout_hours": 24}

    def _listing(self) -> dict[str, str]:
        return {"page_size": str(_LISTED)}  # the newest first

    def _read_state(self, told: Mapping[str, Any]) -> BatchState:
        files = self._files(told, "output_file", "error_file")
        status = self._WORDS.get(str(told.get("status")), "in_progress")
        return BatchState(status, files, _problem({"data": told.get("errors")}))


def _mark(batch: Mapping[str, Any]) -> Any:
    metadata = batch.get("metadata")
    return metadata.get(_MARK) if isinstance(metadata, Mapping) else None


def _problem(errors: Any) -> str:
    """What a failed batch says about itself."""
    listed = errors.get("data") if isinstance(errors, Mapping) else None
    told = [e for e in listed or () if isinstance(e, Mapping)]
    return "; ".join(f"{e.get('code', 'error')}: {e.get('message')}" for e in told[:3])
