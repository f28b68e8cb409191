"""Models that are served by themselves: the local engine with its adapters, or any other model.

A request goes to the backend as it is: once, without the cache, and an answer that was cut at its
limit is an answer. Clients of OpenAI's API expect that.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lmc.consent import Consent
from lmc.diagnostics import LmcError, suggestion
from lmc.frozen import frozen
from lmc.models.adapters import adapter_store
from lmc.models.base import SAID, Answer, ModelFailure, Request, Sampling
from lmc.models.embedding import embedding_request
from lmc.models.registry import open_backend
from lmc.requests.bound import BoundModel, bind
from lmc.requests.payers import payers
from lmc.requests.reservations import UNLIMITED, reserve
from lmc.requests.usage import Usage
from lmc.tasks.loop import run_async

_CLIENTS = ("bad_request", "context_length", "media", "no_tools")  # kinds that the client caused
MOST_TEXTS = 2048  # of one request for embeddings


@frozen
class EngineModel:
    """A model under the name that clients use, with the weights that are put on it."""

    name: str
    bound: BoundModel
    adapter: str | None = None

    @property
    def embeds(self) -> bool:
        """Whether it gives vectors in place of answers."""
        return self.bound.backend.capabilities.embeds


class Engines:
    """The models that a server serves by themselves. Adapters belong to the first one."""

    def __init__(self, names: Sequence[str], adapters: Mapping[str, str | Path]) -> None:
        """Raises: LmcError, as `open_backend`, or LmcError[not-an-adapter]."""
        self._names = list(names)
        self._adapters = {
            name: adapter_store().add(Path(folder)).id for name, folder in adapters.items()
        }
        if self._names:
            _ = self._models

    @cached_property
    def _models(self) -> dict[str, EngineModel]:
        settings = {"consent": Consent(models=frozenset(self._names)), "users": True}
        found: dict[str, EngineModel] = {}
        for name in self._names:
            backend, model = open_backend(name, {**settings, "base_dir": Path()})
            found[name] = EngineModel(name, bind(name, backend, model, settings, None))
        for name, adapter in self._adapters.items():
            found[name] = replace(found[self._names[0]], name=name, adapter=adapter)
        return found

    def __iter__(self) -> Any:
        return iter(self._models if self._names else ())

    def find(self, name: str) -> EngineModel | None:
        """A model by the name that clients use."""
        return self._models.get(name) if self._names else None

    def require(self, name: str, known: Sequence[str]) -> LmcError:
        """What to tell a client that names no model."""
        names = [*known, *self]
        help = suggestion(name, names, f"there are {', '.join(names[:20]) or 'none'}")
        return LmcError.of("unknown-model", f"no model is called `{name[:80]}`", help=help)

    async def close(self) -> None:
        """Let connections and weights go."""
        if "_models" in self.__dict__:
            backends = {id(m.bound.backend): m.bound.backend for m in self._models.values()}
            for backend in backends.values():
                await run_async(backend.close())


async def generate(
    engine: EngineModel, request: Request, on_text: Callable[[str], None] | None = None
) -> list[Answer]:
    """The answers of one request, on lmc's loop. Raises: LmcError."""
    bound = engine.bound
    whole = replace(
        request, model=bound.model, adapter=engine.adapter, on_text=on_text,
        sampling=_seeded(bound, request.sampling), timeout_s=bound.timeout_s,
    )  # fmt: skip
    held = UNLIMITED
    if wholes := payers():
        if whole.sampling.max_tokens is None:
            from lmc.requests.bound import BUDGETED_MAX_TOKENS

            most = replace(whole.sampling, max_tokens=BUDGETED_MAX_TOKENS)
            whole = replace(whole, sampling=most)
        held = await reserve(bound, wholes, bound.worst_case(whole))
    with held:
        await bound.gate.enter(first=False)
        try:
            answers = [bound.priced(a) for a in await bound.backend.generate(whole)]
        except ModelFailure as failure:
            if not (failure.kind in SAID and len(failure.paid) == whole.n):
                raise _failed(engine, failure) from None
            answers = [bound.priced(a) for a in failure.paid]
        finally:
            bound.gate.leave()
        held.settle(Usage.of(answers))
    return answers


async def embed(engine: EngineModel, texts: Sequence[str]) -> list[Answer]:
    """The vectors of texts, on lmc's loop. Raises: LmcError."""
    parts = await asyncio.gather(*(generate(engine, embedding_request(text)) for text in texts))
    return [answer for part in parts for answer in part]


def _seeded(bound: BoundModel, sampling: Sampling) -> Sampling:
    """A client that wants chance and names no seed gets another answer each time."""
    if sampling.seed is None and sampling.temperature and bound.backend.capabilities.seed:
        return replace(sampling, seed=secrets.randbits(31))
    return sampling


def _failed(engine: EngineModel, failure: ModelFailure) -> LmcError:
    if failure.kind in _CLIENTS:
        return LmcError.of("bad-request", failure.message, help=failure.hint or None)
    slug = "call-failed" if failure.kind in SAID else "infrastructure-failure"
    message = f"`{engine.name}` gave no answer: {failure.message}"
    return LmcError.of(slug, message)
