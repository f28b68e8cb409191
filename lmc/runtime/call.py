"""Prepared model calls: the parts of prompt, request and reader that no input changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from logging import INFO, WARNING
from typing import TYPE_CHECKING, Any

from lmc.check.program import Choice
from lmc.check.width import project
from lmc.ir.actions import offered
from lmc.ir.graph import Node, Offer, Slots
from lmc.media.content import Media
from lmc.models.base import Answer, ModelFailure, Request, Sampling
from lmc.models.prompt_caches import Shared, wished
from lmc.prompts.border import as_text, whole_text
from lmc.prompts.growth import ABSENT, Growth
from lmc.prompts.layouts import layout_for
from lmc.prompts.marks import shown_media, used_media
from lmc.prompts.nearest import Nearest
from lmc.prompts.spec import (
    BARE,
    REASONING,
    CallSpec,
    Demo,
    FieldSpec,
    Message,
    ParseFailure,
    Prompt,
)
from lmc.prompts.thinking import answer_so_far, without_thoughts
from lmc.redaction import logger
from lmc.requests.bound import fallbacks
from lmc.runtime.failures import Attempts, CallFailure, no_answer, no_continuation
from lmc.runtime.fitting import AUTO, fit_layout
from lmc.runtime.gates import chosen_adapter
from lmc.runtime.labels import (
    LastUsed,
    fit_schema,
    sources_of_labels,
    validator_of,
    with_labels,
)
from lmc.runtime.parameters import ModuleParameters
from lmc.runtime.plan import Plan, PlannedNode, compute_plan
from lmc.types import ERROR, STR, RecordType, Type
from lmc.values import InvalidValue, validate

if TYPE_CHECKING:
    from lmc.runtime.machine import Machine
    from lmc.runtime.retrieval import NearestByMeaning

_log = logger(__name__)

DEFAULT_REPAIR = 1
SAMPLING = (
    *("temperature", "top_p", "max_tokens", "stop", "seed"),
    *("reasoning", "strict"),
)


class ModuleCall:
    """A prepared model node: signature, layout, demonstrations, model and sampling are fixed."""

    def __init__(self, machine: Machine, planned: PlannedNode) -> None:
        node = planned.node
        slots: Slots = node.attrs["slots"]
        self.machine, self.node, self.bodies, self.slots = machine, node, planned.bodies, slots
        parameters = machine.parameters.modules.get(slots.module, ModuleParameters())
        self.settings = {key: machine.resolve(value) for key, value in slots.settings.items()}
        self.own = _own(self.settings, machine.program.default)
        self.model = machine.model or parameters.model or self.settings.get("model")
        self.bound = machine.pool.bind(self.model)
        self.hidden = () if machine.training else slots.train_only
        self.role = Role.of(planned.bodies.get("role"), templated="template" in self.settings)
        self.unseen = (*self.hidden, *(self.role.names if self.role else ()))
        reasons = bool(self.settings.get("reason"))
        self.begin: str = self.settings.get("begin") or ""
        self._begin = Role.of(planned.bodies.get("begin"), templated=True)
        if self.begin or self._begin:
            parameters = replace(parameters, steps=())  # the beginning comes first
        self.spec = call_spec(
            planned, parameters, self.unseen, reason=reasons, result=self._result(node)
        )
        self.read_as = self.spec.seen  # with the labels of a `one_of` only in a call for inputs
        self.validate: Callable[[Type, Any], Any] = partial(validate, lenient=True)
        self.labels = sources_of_labels(self.spec.result)
        self._given: LastUsed[ModuleCall] = LastUsed()
        self.layout = layout_for(self._layout(), self.settings.get("template"))
        self.awaits_layout = self._awaits_layout()
        self.demos = self._demos(parameters.demos)
        self.keep: int | None = self.settings.get("keep")
        self._demo_media = _known(m for d in self.demos for m in shown_media(self.spec, d.inputs))
        self._told = False  # whether it was said that turns are left out
        count = parameters.nearest
        self.nearest = None if count is None else Nearest(self.demos, count)
        self.embedder = parameters.embedder
        self.by_meaning = self._by_meaning(count)
        self.gates = parameters.gates
        self.request = self._request(parameters.adapter)
        self.repair = _count(self.setting("repair"), DEFAULT_REPAIR)
        self.policy: dict[str, Any] = {
            "retry": self.own.get("retry"),
            "fallback": () if machine.model else self.own.get("fallback"),
            "cache": self.own.get("cache"),
        }
        self.steady = "steady" in node.attrs and self._is_steady()
        self.retry = _answer_retries(self.own.get("retry", self.bound.settings.get("retry")))
        # The model, then its fallbacks. A fallback is tried after an unusable answer. A model that
        # replaces all others also replaces the fallbacks.
        others = [] if machine.model else fallbacks(self.setting("fallback"))
        self.models: tuple[str | None, ...] = (self.model, *others)

    def _result(self, node: Node) -> Type:
        """The type of the answer. That of an agent's step names the tools that it may use."""
        offers: tuple[Offer, ...] = node.attrs.get("offers", ())
        chosen = self.machine.resolve(node.attrs.get("tools"))
        if chosen is None or not isinstance(node.type, RecordType):
            return node.type
        return offered(node.type, [offer for offer in offers if offer.name in chosen])

    def offering(self, offers: Sequence[Offer]) -> ModuleCall:
        """The same call for other tools than the source names."""
        assert isinstance(self.spec.result, RecordType)
        call = copy(self)
        call.__dict__.pop("_same_for_all", None)
        result = offered(self.spec.result, offers)
        thoughts = [f for f in self.spec.outputs if f.name in self.spec.thoughts]
        outputs = (*thoughts, *_output_fields(result))
        call.spec = replace(self.spec, outputs=outputs, result=result)
        call.read_as, call._given = call.spec.seen, LastUsed()
        call.request = call._request(self.request.adapter)
        return call

    def setting(self, name: str) -> Any:
        """A setting of the module; else that of its model; else that of the program."""
        return self.own.get(name, self.bound.settings.get(name))

    def _layout(self) -> str:
        """The layout that the program names, else the one that the model can best follow."""
        fitting = "chat" if self.spec.plain_text else self.bound.backend.capabilities.default_layout
        named = self.setting("layout") or fitting
        return self.machine.pool.layouts.get(self.bound.name, fitting) if named == AUTO else named

    def _awaits_layout(self) -> bool:
        known = self.bound.name in self.machine.pool.layouts
        return self.setting("layout") == AUTO and not self.spec.plain_text and not known

    async def fit(self) -> None:
        """Measure what the model does best, and lay the call out so."""
        await fit_layout(self.machine.pool, self.model)
        self.layout = layout_for(self._layout(), self.settings.get("template"))
        self.request = self._request(self.request.adapter)
        self._given.clear()
        self.__dict__.pop("_same_for_all", None)
        self.awaits_layout = False

    def require_continuing(self, model: str | None) -> None:
        """Raises: LmcError[no-continuation] if a model cannot go on with the given beginning."""
        bound = self.bound if model == self.model else self.machine.pool.bind(model)
        if self.begin and not bound.backend.capabilities.continues:
            raise no_continuation(self.slots.module, bound.name, self.node.span)

    def given(self, inputs: Mapping[str, Any]) -> ModuleCall:
        """The call for some inputs, which may give labels for the answer, or its beginning.

        They also choose among adapters. Raises: CallFailure if there is no label.
        """
        adapter = self.request.adapter
        if self.gates:
            adapter = chosen_adapter(self.gates, self.shown(inputs))
        if not self.labels and self._begin is None and adapter == self.request.adapter:
            return self
        labels = {name: tuple(dict.fromkeys(inputs[name])) for name in self.labels}
        if empty := next((name for name, values in labels.items() if not values), None):
            message = f"`{self.slots.module}` must answer with one of `{empty}`, which is empty"
            help = "give at least one, or test `len(…) > 0` before the call"
            raise CallFailure(self.slots.module, self.node.span, message, Attempts(), help=help)
        begin = self._begin.text(inputs).rstrip() if self._begin else self.begin
        key = (*labels.values(), (begin, adapter))
        return self._given.get(key, lambda: self._with(labels, begin, adapter))

    def _with(
        self, labels: Mapping[str, tuple[str, ...]], begin: str, adapter: str | None
    ) -> ModuleCall:
        made = self._with_labels(labels) if labels else copy(self)
        made.request = replace(made.request, adapter=adapter)
        made.begin = self.layout.safe(self.spec, {"begin": begin})["begin"] if begin else ""
        return made

    def _with_labels(self, labels: Mapping[str, tuple[str, ...]]) -> ModuleCall:
        made, can = copy(self), self.bound.backend.capabilities
        made.read_as = spec = with_labels(self.spec, labels).seen
        made.validate = validator_of(spec.result)
        schema = self.request.schema
        if schema is not None and fit_schema(labels.values()):
            schema = self.layout.response_schema(spec)
        grammar = self.layout.grammar(spec) if can.grammar else None
        made.request = replace(self.request, schema=schema, grammar=grammar)
        return made

    async def ask(self, model: str | None, request: Request, *, batched: bool = False) -> Answer:
        """Draw one sample, alone or batched with others of its prompt. Raises: ModelFailure.

        A request with tools is for this model alone: another may need another form.
        """
        self.require_continuing(model)
        policy = {**self.policy, "fallback": ()} if request.tools else self.policy

        def send(request: Request) -> Awaitable[list[Answer]]:
            return self.machine.pool.ask(model, request, **policy)

        if batched and self.bound.backend.capabilities.multiple_samples and model == self.model:
            return await self.machine.batcher.ask(self, request, send)
        (answer,) = await send(request)
        return answer

    def prompt(self, inputs: Mapping[str, Any]) -> list[Message]:
        """The messages for some inputs.

        No model is asked, so `nearest` demonstrations are chosen by shared words.
        """
        shown = self.shown(inputs)
        spec = self.spec_for(inputs)
        if self.nearest is None and spec is self.spec:
            return self._same_for_all(shown)
        demos = self.demos if self.nearest is None else self.nearest.pick(shown)
        return self.layout.prompt(spec, demos)(shown)

    def spec_for(self, inputs: Mapping[str, Any]) -> CallSpec:
        """The signature with a role before its instruction, no word of which can be a mark."""
        role = self.role.text(inputs).strip() if self.role else ""
        if not role:
            return self.spec
        safe = self.layout.safe(self.spec, {"role": role})["role"]
        instruction = "\n\n".join(text for text in (safe, self.spec.instruction) if text)
        return replace(self.spec, instruction=instruction)

    @cached_property
    def _same_for_all(self) -> Prompt:
        """The prompt of a module that shows the same demonstrations for all inputs."""
        return self.layout.prompt(self.spec, self.demos)

    async def prompt_by_meaning(
        self, nearest: NearestByMeaning, inputs: Mapping[str, Any]
    ) -> tuple[list[Message], Answer | None]:
        """The messages, and the paid embedding of the inputs that chose the demonstrations."""
        demos, paid = await self.demos_by_meaning(nearest, inputs)
        return self.layout.prompt(self.spec_for(inputs), demos)(self.shown(inputs)), paid

    async def demos_by_meaning(
        self, nearest: NearestByMeaning, inputs: Mapping[str, Any]
    ) -> tuple[tuple[Demo, ...], Answer | None]:
        """The demonstrations nearest to some inputs, and the paid embedding that chose them."""
        try:
            demos, answer = await nearest.pick(self.shown(inputs))
        except ModelFailure as failure:
            name, module = f"`{self.embedder}`", self.slots.module
            raise no_answer(module, name, self.node.span, failure, Attempts()) from failure
        return demos, answer if self.machine.pool.counts(self.embedder) else None

    def media(self, messages: Sequence[Message], inputs: Mapping[str, Any]) -> tuple[Media, ...]:
        """The media that messages made from some inputs show."""
        if not self.spec.media_fields:
            return ()
        known = self._demo_media | _known(shown_media(self.spec, inputs))
        return used_media(messages, known) if known else ()

    def first_time(self, message: str) -> tuple[int, str]:
        """A message with its level in the log: a warning the first time, then only information."""
        level = INFO if self._told else WARNING
        self._told = True
        return level, message

    def shown(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs that the prompt shows to the model. A step has only what its type says."""
        shown = {f.name: inputs[f.name] for f in self.spec.inputs}
        if "offers" in self.node.attrs:
            types = {f.name: f.type for f in self.spec.inputs}
            return {name: project(types[name], value) for name, value in shown.items()}
        return shown

    def read(self, text: str) -> dict[str, Any]:
        """Read an answer into validated output values, by field. Raises: ParseFailure.

        No answer ends a run, not even one that shows a fault of the reader. The fault is logged.
        """
        try:
            return self._validated(text)
        except (ParseFailure, MemoryError):
            raise
        except Exception as fault:
            _log.exception("lmc could not read an answer; please report this")
            _log.debug("the answer that lmc could not read: %r", text[:2000])
            raise ParseFailure(f"it cannot be read ({type(fault).__name__})") from None

    def _validated(self, text: str) -> dict[str, Any]:
        spec = self.read_as
        outputs = self.layout.parse(spec, without_thoughts(spec, as_text(text)))
        try:
            value = self.validate(spec.result, self.value(outputs))
        except InvalidValue as problem:
            raise ParseFailure(str(problem)) from None
        typed = value if isinstance(spec.result, RecordType) else {BARE: value}
        thoughts = {name: outputs[name] for name in spec.thoughts if name in outputs}
        return self.spec.named_outputs(thoughts | typed)

    def so_far(self, text: str, growth: Growth) -> Any:
        """The result that an unfinished answer has given, else ABSENT. Raises: ParseFailure."""
        text = whole_text(answer_so_far(text))
        paths = (self.spec.seen_path(path) for path in growth.whole)
        growth = replace(growth, whole=frozenset(paths))
        outputs = self.spec.named_outputs(self.layout.so_far(self.read_as, text, growth))
        if not isinstance(self.spec.result, RecordType):
            return outputs.get(BARE, ABSENT)
        return {f.name: outputs[f.name] for f in self.spec.result.fields if f.name in outputs}

    def value(self, outputs: Mapping[str, Any]) -> Any:
        """The module's result, built from its output fields."""
        if not isinstance(self.spec.result, RecordType):
            return outputs[BARE]
        return {k: v for k, v in outputs.items() if k not in self.spec.thoughts}

    def _by_meaning(self, count: int | None) -> NearestByMeaning | None:
        """The index that asks the embedding model, if `nearest` uses one."""
        if count is None or self.embedder is None:
            return None
        from lmc.models.embedding import embedding_request
        from lmc.runtime.retrieval import NearestByMeaning

        async def embed(text: str) -> Answer:
            (answer,) = await self.machine.pool.ask(self.embedder, embedding_request(text))
            return answer

        return NearestByMeaning(self.demos, count, embed)

    def _demos(self, given: tuple[Demo, ...] | None) -> tuple[Demo, ...]:
        """The optimizer's demonstrations, else the examples of the source.

        `demos:` limits their number. A `demos: tune[…]` without a choice does not limit those of
        an optimizer.
        """
        limit = self.slots.settings.get("demos")
        if isinstance(limit, Choice) and given is not None:
            limit = self.machine.parameters.choices.get(limit.id)
        count = self.machine.resolve(limit)
        demos = given if given is not None else tuple(map(self._example, self.slots.demos))
        return tuple(map(self._declared, demos if count is None else demos[:count]))

    def _declared(self, demo: Demo) -> Demo:
        """A demonstration with the fields that the signature declares, at any depth.

        One made of a row may have more: a record of the row that tells the label, say.
        """
        types = {f.name: f.type for f in (*self.spec.inputs, *self.spec.outputs)}
        inputs = {k: project(types.get(k, ERROR), v) for k, v in demo.inputs.items()}
        outputs = {k: project(types.get(k, ERROR), v) for k, v in demo.outputs.items()}
        return replace(demo, inputs=inputs, outputs=outputs)

    def _example(self, example: tuple[Mapping[str, Any], Any]) -> Demo:
        inputs, result = example
        outputs = result if isinstance(self.spec.result, RecordType) else {BARE: result}
        return Demo({k: v for k, v in inputs.items() if k not in self.hidden}, outputs)

    def _request(self, adapter: str | None) -> Request:
        can = self.bound.backend.capabilities
        stop = self.own.get("stop") or ()
        return Request(
            model=self.bound.model,
            messages=(),
            sampling=Sampling(
                **self._decoding(),
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
                cache_prompt=wished(self.setting("cache_prompt"), self._shared()),
            ),
            schema=self.layout.response_schema(self.spec.seen) if can.json_schema else None,
            grammar=None if self.labels or not can.grammar else self.layout.grammar(self.spec.seen),
            # The source may name an adapter that exists on a server only. A local one is trained.
            adapter=adapter or (None if can.local else self.settings.get("adapter")),
            timeout_s=self.own.get("timeout"),
        )

    def _shared(self) -> Shared | None:
        """What the prompts of all calls begin with: all turns but the last, or only the first."""
        if self.role is not None:
            return None  # it comes first, and depends on the inputs
        return "turns" if self.nearest is None and not self.spec.history else "head"

    def _is_steady(self) -> bool:
        """Whether a repeated call gets the same answer and is allowed to."""
        temperature = self.request.sampling.temperature
        if temperature is None:
            temperature = self.bound.settings.get("temperature")
        return temperature == 0 and bool(self.bound.keeping(self.own.get("cache")))

    def _decoding(self) -> dict[str, Any]:
        own = {k: self.own[k] for k in SAMPLING if k in self.own and k != "stop"}
        anew = self.machine.vary in (None, self.slots.module)
        if self.machine.temperature is not None and anew and self.node.attrs["role"] == "generate":
            own["temperature"] = self.machine.temperature
        return own


def _known(media: Iterable[Media]) -> dict[str, Media]:
    return {item.mark: item for item in media}


class Role:
    """A text before the instruction that the inputs of a call make, such as a persona's.

    The inputs that it is made of are shown there only, unless a template shows them.
    """

    def __init__(self, plan: Plan, names: tuple[str, ...], *, templated: bool) -> None:
        self._plan, self._needs = plan, names
        self.names = () if templated else names

    @classmethod
    def of(cls, plan: Plan | None, *, templated: bool) -> Role | None:
        """The role of a module, if it has one."""
        if plan is None:
            return None
        used = [p.node.attrs["name"] for p in plan.nodes if p.node.op == "input"]
        return cls(plan, tuple(used), templated=templated)

    def text(self, inputs: Mapping[str, Any]) -> str:
        """The role for some inputs; empty where they do not have what makes it."""
        if not all(name in inputs for name in self._needs):
            return ""
        return compute_plan(self._plan, inputs) or ""


def call_spec(
    planned: PlannedNode,
    parameters: ModuleParameters,
    hidden: Sequence[str],
    *,
    reason: bool,
    result: Type,
) -> CallSpec:
    """The signature of a model node. A frozen instruction is not replaced."""
    node = planned.node
    slots: Slots = node.attrs["slots"]
    instruction = parameters.instruction
    thoughts = [FieldSpec(name, STR, note) for name, note in parameters.steps or ()]
    if reason and not thoughts:
        thoughts = [FieldSpec(REASONING, STR, "think step by step")]
    return CallSpec(
        instruction=slots.instruction if instruction is None or slots.frozen else instruction,
        inputs=tuple(
            FieldSpec(name, type, slots.notes.get(name, ""))
            for name, type in zip(node.attrs["names"], planned.types)
            if name not in hidden
        ),
        outputs=(*thoughts, *_output_fields(result)),
        result=result,
        requirements=slots.requirements,
    )


def _output_fields(result: Type) -> tuple[FieldSpec, ...]:
    if isinstance(result, RecordType):
        return tuple(FieldSpec(f.name, f.type, f.note) for f in result.fields)
    return (FieldSpec(BARE, result),)


def _own(settings: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """A module's own settings. Those of the program rank below those of its model."""
    missing = object()
    return {k: v for k, v in settings.items() if default.get(k, missing) != v}


def _count(value: Any, default: int) -> int:
    return default if value is None else int(value)


def _answer_retries(retry: Any) -> int:
    """How many more samples to draw when the answer is not usable."""
    if isinstance(retry, Mapping):
        kinds = retry.get("on")
        return int(retry.get("max", 0)) if kinds is None or "invalid" in kinds else 0
    return _count(retry, 0)
