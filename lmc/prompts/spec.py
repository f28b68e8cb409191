"""The data for layouts: the signature of one model call and its demonstrations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Any, Protocol

from lmc.frozen import frozen
from lmc.prompts.growth import Growth
from lmc.types import (
    DictType,
    ListType,
    OptionalType,
    RecordType,
    StrType,
    Type,
    has_aliases,
    has_media,
    is_messages,
)
from lmc.values.aliases import from_seen, seen_type, to_seen

# {"role": "system" | "user" | "assistant" | "tool", "content": text}, and calls of tools
Message = dict[str, Any]
REASONING = "reasoning"  # name of the hidden field that `reason: true` puts first
BARE = "result"  # field name of a result that is not a record


@frozen
class FieldSpec:
    """One input or output field: its name, type, and the note for the model."""

    name: str
    type: Type
    note: str = ""


@frozen
class CallSpec:
    """The signature of one model call.

    `outputs` are the fields that the model writes, in order. The `thoughts` come first: `reasoning`
    if the module asks for it, or steps that an optimizer composed. Then come the record's fields,
    or one field `result` if the result is not a record.
    """

    instruction: str
    inputs: tuple[FieldSpec, ...]
    outputs: tuple[FieldSpec, ...]
    result: Type
    requirements: tuple[str, ...] = ()  # `require:` expressions as written
    # The outputs that are not part of the result. An answer may lack them.
    thoughts: tuple[str, ...] = field(init=False, compare=False)
    # The outputs that an answer must have: neither thoughts nor fields with a default.
    needed: tuple[FieldSpec, ...] = field(init=False, compare=False)
    bare: bool = field(init=False, compare=False)  # one value without marks around it
    plain_text: bool = field(init=False, compare=False)  # a bare string, taken unchanged
    history: str | None = field(init=False, compare=False)  # the input that is a conversation
    fields: tuple[FieldSpec, ...] = field(init=False, compare=False)  # the other inputs
    media_fields: tuple[FieldSpec, ...] = field(init=False, compare=False)  # that hold media
    # The same as the model sees it: where fields and variants have aliases, layouts use those.
    seen: CallSpec = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        fields = self.result.fields if isinstance(self.result, RecordType) else None
        own = {BARE} if fields is None else {f.name for f in fields}
        thoughts = tuple(f.name for f in self.outputs if f.name not in own)
        optional = {*thoughts, *(f.name for f in fields or () if f.has_default)}
        bare = fields is None and len(self.outputs) == 1
        object.__setattr__(self, "thoughts", thoughts)
        object.__setattr__(self, "needed", tuple(f for f in self.outputs if f.name not in optional))
        object.__setattr__(self, "bare", bare)
        object.__setattr__(self, "plain_text", bare and isinstance(self.result, StrType))
        history = next((f.name for f in self.inputs if is_messages(f.type)), None)
        object.__setattr__(self, "history", history)
        object.__setattr__(self, "fields", tuple(f for f in self.inputs if f.name != history))
        object.__setattr__(self, "media_fields", tuple(f for f in self.inputs if has_media(f.type)))
        object.__setattr__(self, "seen", self._seen())

    def _seen(self) -> CallSpec:
        types = [self.result, *(f.type for f in (*self.inputs, *self.outputs))]
        if not any(map(has_aliases, types)):
            return self
        aliases = self._aliases()
        inputs = (replace(f, type=seen_type(f.type)) for f in self.inputs)
        outputs = (
            FieldSpec(aliases.get(f.name, f.name), seen_type(f.type), f.note) for f in self.outputs
        )
        result = seen_type(self.result)
        return replace(self, inputs=tuple(inputs), outputs=tuple(outputs), result=result)

    def _aliases(self) -> dict[str, str]:
        """The aliases of the outputs that are fields of the result, by name."""
        fields = self.result.fields if isinstance(self.result, RecordType) else ()
        return {f.name: f.alias for f in fields if f.alias and f.name not in self.thoughts}

    def seen_path(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The path of a value in the result, by the names that the model writes."""
        at: Type | None = self.result if self.seen is not self else None
        found = []
        for name in path:
            while isinstance(at, OptionalType | ListType):
                at = at.item
            field = at.get(name) if isinstance(at, RecordType) else None
            found.append((field.alias if field else "") or name)
            at = field.type if field else at.item if isinstance(at, DictType) else None
        return tuple(found)

    def seen_inputs(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Inputs as the model sees them."""
        if self.seen is self:
            return values
        types = {f.name: f.type for f in self.inputs}
        return {k: to_seen(types[k], v) if k in types else v for k, v in values.items()}

    def seen_outputs(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Outputs as the model writes them."""
        if self.seen is self:
            return values
        types, aliases = {f.name: f.type for f in self.outputs}, self._aliases()
        return {
            aliases.get(k, k): to_seen(types[k], v) if k in types else v for k, v in values.items()
        }

    def named_outputs(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Outputs by the names of the program, from those that the model wrote."""
        if self.seen is self:
            return dict(values)
        types = {f.name: f.type for f in self.outputs}
        names = {alias: name for name, alias in self._aliases().items()}
        named = {names.get(k, k): v for k, v in values.items()}
        return {k: from_seen(types[k], v) if k in types else v for k, v in named.items()}


@frozen
class Demo:
    """One demonstration: JSON values of the inputs and of the outputs by field name.

    `outputs` has the keys of `CallSpec.outputs`. A missing `reasoning` is left out of the prompt.
    `origin` is "example", or the id of the row and trace that the demonstration comes from.
    """

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    origin: str = field(default="example", compare=False)


Prompt = Callable[[Mapping[str, Any]], list[Message]]  # from JSON values by parameter name


class ParseFailure(Exception):
    """A model's text does not give the outputs. The message is written for the model.

    `path` is the unreadable field (`items[2].kind`), or empty for the whole answer.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.message, self.path = message, path

    def __str__(self) -> str:
        return f"`{self.path}`: {self.message}" if self.path else self.message

    def within(self, step: str | int) -> ParseFailure:
        """The same failure, with the path from the enclosing record or list."""
        step = f"[{step}]" if isinstance(step, int) else step
        joint = "." if self.path and not self.path.startswith("[") else ""
        return ParseFailure(self.message, f"{step}{joint}{self.path}")


class Layout(Protocol):
    """Lays a call out as messages and reads the answer back.

    `prompt` is given the signature of the program. All else is given that which the model sees
    (`CallSpec.seen`), and values with its names.
    """

    name: str

    def prompt(self, spec: CallSpec, demos: tuple[Demo, ...]) -> Prompt:
        """What lays calls out as messages; what does not hang on their inputs is laid out once."""
        ...

    def parse(self, spec: CallSpec, text: str) -> dict[str, Any]:
        """Read the output values by field name, not validated yet. Raises: ParseFailure."""
        ...

    def so_far(self, spec: CallSpec, text: str, growth: Growth) -> dict[str, Any]:
        """The outputs that an unfinished answer has begun. Raises: ParseFailure."""
        ...

    def response_schema(self, spec: CallSpec) -> dict[str, Any] | None:
        """JSON Schema of the whole answer where this layout asks for JSON, else None."""
        ...

    def grammar(self, spec: CallSpec) -> str | None:
        """What the answer may be, in llguidance's Lark form. None where any text is an answer."""
        ...

    def format_text(self, spec: CallSpec) -> str:
        """Words that ask for the outputs; empty for a plain string."""
        ...

    def inputs_text(self, spec: CallSpec, values: Mapping[str, Any]) -> str:
        """Text of the inputs that have a value."""
        ...

    def answer_text(self, spec: CallSpec, outputs: Mapping[str, Any]) -> str:
        """Text of the answer as the model is to write it."""
        ...

    def safe(self, spec: CallSpec, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values whose texts hold neither marks of this layout nor special tokens.

        `parse` gives the texts back as they were; texts without any stay as they are.
        """
        ...


def told_inputs(spec: CallSpec) -> str:
    """What the notes say about the inputs, in words for the model."""
    told = [f"{f.name}: {' '.join(f.note.split())}" for f in spec.inputs if f.note]
    return "The inputs:\n" + "\n".join(told) if told else ""


def told_requirements(spec: CallSpec) -> str:
    """What the answer must satisfy, in words for the model."""
    return "The answer must satisfy: " + "; ".join(spec.requirements) if spec.requirements else ""
