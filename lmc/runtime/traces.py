"""The trace of one run: every model call, and the regions around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lmc.ir.graph import Role
from lmc.models.base import SampledTokens
from lmc.prompts.spec import Message
from lmc.requests.usage import Usage

Place = tuple[int, ...]  # numbers of node, item, sample, round … from the root


def place_id(place: Place) -> str:
    """A place as text, such as `/0/3/2`. The whole run is `/`."""
    return "/" + "/".join(map(str, place))


@dataclass(slots=True)
class CallTrace:
    """One model call, with its repairs and retries.

    `outputs` has the fields as the model wrote them, with `reasoning`; it is None after a failure.
    `raw` is every text that the model gave; the last one counted. `parent` is the id of the
    enclosing region.
    """

    place: Place
    parent: str | None
    module: str
    role: Role
    inputs: dict[str, Any]
    sample: int = 0
    outputs: dict[str, Any] | None = None
    result: Any = None
    model: str = ""
    messages: list[Message] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    logprobs: tuple[float, ...] | None = None
    attempts: int = 0
    usage: Usage = field(default_factory=Usage)
    latency_ms: float = 0.0
    error: str | None = None
    infrastructure: bool = False  # the model did not cause the error
    check: Any = None  # the result of `check:`, which changes nothing
    adapter: str | None = None  # the LoRA weights that answered
    dropped: int = 0  # turns of a conversation that `keep:` left out of `inputs`
    finish_reason: str = ""  # of the last answer, in the words of the server
    thoughts: str = ""  # of the last answer, where a server sends them beside the text
    sampled: SampledTokens | None = None  # the last of `raw` as tokens, if the engine told them

    @property
    def id(self) -> str:
        """The same in every run with the same inputs."""
        return place_id(self.place)


@dataclass(slots=True)
class RegionTrace:
    """One call of a module, pipeline or tool, or one refine or vote, as a whole.

    `detail` of a vote has `keys` (by sample), `winner` (its sample) and `counts`. That of a refine
    has `drafts` and `checks` in order, `chosen` (index of the draft) and `failed` (why it ended
    early).
    """

    place: Place
    parent: str | None
    kind: str  # generate, critique, refine, vote, pipeline, tool
    name: str
    inputs: dict[str, Any]
    result: Any = None
    detail: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def id(self) -> str:
        """The same in every run with the same inputs."""
        return place_id(self.place)


@dataclass(slots=True)
class Trace:
    """One run of a program: its model calls and its regions.

    A `brief` one is read for what the run used only.
    """

    calls: list[CallTrace] = field(default_factory=list)
    regions: list[RegionTrace] = field(default_factory=list)
    stores: dict[str, str] = field(default_factory=dict)  # hashes of the snapshots that it read
    found: Usage = field(default_factory=Usage)  # of looking into stores by meaning
    kept: list[tuple[str, Any]] = field(default_factory=list)  # by a run that ended, by store
    brief: bool = False

    @property
    def usage(self) -> Usage:
        """Calls, tokens and cost of the whole run."""
        return sum((call.usage for call in self.calls), self.found)

    def group_of(self, call: CallTrace) -> str | None:
        """Id of the innermost vote around a call. Its samples answer the same question."""
        votes = (r for r in self.regions if r.kind == "vote" and _within(call.place, r.place))
        innermost = max(votes, key=lambda region: len(region.place), default=None)
        return innermost.id if innermost else None

    def sort(self) -> None:
        """Sort the entries into the program's order, whichever finished first."""
        self.calls.sort(key=lambda call: call.place)
        self.regions.sort(key=lambda region: region.place)

    def __iter__(self) -> Any:
        return iter(self.calls)

    def __len__(self) -> int:
        return len(self.calls)


def _within(place: Place, outer: Place) -> bool:
    return place[: len(outer)] == outer
