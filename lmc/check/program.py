"""The typed program, which the checker gives to lowering. All names are resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmc.frozen import frozen, frozen_identity
from lmc.source import Source, Span
from lmc.syntax import nodes
from lmc.types import EnumType, RecordType, Type


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()  # a parameter without default


@frozen
class Choice:
    """A `tune[…]` slot: its options as JSON values, the baseline first.

    The id is stable: `declaration.key` of a setting, `declaration.parameter` of an argument,
    `declaration.name` of a `let`, `declaration.for` of a loop's bound. Repeated ids get the suffix
    `_2`, `_3` and so on. An option that names a declared model is its qualified name.
    """

    id: str
    options: tuple[Any, ...]
    span: Span = field(compare=False, repr=False)

    @property
    def baseline(self) -> Any:
        """The value before any tuning."""
        return self.options[0]


def options_of(value: Any) -> tuple[Any, ...]:
    """The possible values of a setting: the options of a choice, or the one constant."""
    return value.options if isinstance(value, Choice) else (value,)


@frozen
class Param:
    """A parameter; `default` is a JSON value or MISSING, and `note` is for models."""

    name: str
    type: Type
    default: Any
    train: bool
    span: Span = field(compare=False, repr=False)
    note: str = ""


@frozen
class Signature:
    """Parameters and result of anything that can be called.

    `asked` is the result as a model must write it: with the labels of a `one_of(options)`, which
    is a `str` in `result`.
    """

    params: tuple[Param, ...]
    result: Type
    asked: Type


# A setting is a JSON value (a model is named by its qualified name) or a Choice.
Settings = Mapping[str, Any]


@frozen_identity
class Def:
    """Base of definitions. `name` is unique: plain in the entry file, `stem.name` elsewhere."""

    name: str
    span: Span


@frozen_identity
class ConstantDef(Def):
    """`let NAME = value` outside of bodies: its type and its JSON value."""

    type: Type
    value: Any


@frozen_identity
class ModelDef(Def):
    """`model m { … }`: settings as constants."""

    settings: Settings


@frozen_identity
class ToolDef(Def):
    """A function behind a typed signature; `target` is `pkg.mod:fn` or `mcp:…`.

    `doc` is for models. A `server` stands for all tools of an MCP server: its parameters are the
    name of one and the arguments.
    """

    signature: Signature
    target: str
    settings: Settings
    doc: str = ""
    server: bool = False


@frozen_identity
class ExampleDef:
    """A demonstration: the JSON values of the inputs by name, and of the result."""

    inputs: Mapping[str, Any]
    result: Any
    span: Span


# By the field `score`, the model's certainty, the steps that samples share, or comparisons.
WAYS_TO_VOTE = ("score", "certainty", "steps", "tournament", "win_rate")


@frozen_identity
class ModuleDef(Def):
    """generate, critique, refine, vote, search, agent, route.

    `settings` holds the constant settings by key (see `settings.TABLE`), without the `default`.
    `min_agree` is a number of samples if it is an int, or a share of `n` if it is a float. With it,
    a call of the vote has the type `R?`, though `signature.result` is `R`.

    `exprs` holds the settings that are expressions: draft, check, until, sample, require, by,
    weight, compare, difficulty, to. A generate may have `check` too.

    `by` is how a vote decides. It is the fields of the result to count by (`.answer`), `()` for the
    whole value, or one of `WAYS_TO_VOTE`. It is "model" for a docstring without `by`. It is "expr"
    if `exprs["by"]` computes a number over `out`; the greatest wins.

    `subject` is the parameter that a critique judges, also if the source does not name it.
    """

    kind: nodes.ModuleKind
    signature: Signature
    instruction: str | None  # None: no docstring
    frozen: bool
    settings: Settings
    exprs: Mapping[str, nodes.Expr]
    by: tuple[str, ...] | str = ()
    subject: str | None = None  # critique: the judged parameter
    examples: list[ExampleDef] = field(default_factory=list)


@frozen_identity
class PipelineDef(Def):
    """A pipeline: statements that call modules and tools."""

    signature: Signature
    doc: str
    body: nodes.Block


@frozen_identity
class MetricDef(Def):
    """A metric, with either a body or a Python target."""

    signature: Signature
    body: nodes.Block | None
    target: str | None


@frozen_identity
class DatasetDef(Def):
    """A dataset: the type of its rows, and the settings source, columns and split.

    One whose rows a program makes has the setting `from` in their place, a `Making`.
    """

    row: RecordType
    settings: Settings


@frozen_identity
class StoreDef(Def):
    """A store: the records that a program keeps between its runs.

    `key` is the field that names a record. `embedder` is the model by whose vectors `find`
    compares, None for words. `keep` is the most records. `place` has `path` or `url`, or neither.
    """

    record: Type  # or a union of records
    key: str | None
    embedder: str | None
    keep: int
    place: Settings


@frozen
class Step:
    """One optimizer step: `bootstrap(demos=4)`."""

    name: str
    kwargs: Mapping[str, Any]
    span: Span = field(compare=False, repr=False)


@frozen_identity
class OptimizeDef(Def):
    """`optimize p { … }`: target, data, metric and steps by qualified name, budget as constants."""

    target: str
    data: str | None
    metric: str | None
    steps: tuple[Step, ...]
    budget: Settings
    settings: Settings  # all other keys


@frozen_identity
class TestDef:
    """A test block; its stubs are `nodes.Stub` statements in the body."""

    __test__ = False  # not a pytest class

    title: str
    body: nodes.Block
    span: Span


# --- the meaning of a name or call target, by id(node) of the Var, Attr, Call … ---


@frozen
class Local:
    """A parameter, let, loop state, comprehension variable, `out`, `draft` or `check`."""

    name: str
    type: Type


@frozen
class Builtin:
    """A built-in pure function."""

    name: str


@frozen
class Variant:
    """`Relevance.direct`."""

    enum: EnumType
    name: str


Callable = ModuleDef | PipelineDef | ToolDef | MetricDef
Referent = (
    Local | Builtin | Variant | RecordType | EnumType | ModelDef | ConstantDef | StoreDef | Callable
)


@dataclass(slots=True, eq=False)
class CheckedProgram:
    """A program without errors, with the `warnings` about it.

    `types[id(expr)]` is the type of an expression. `referents[id(node)]` is what a `Var`, a
    `Call.target`, an enum `Attr` or the target of a stub refers to. `bindings[id(call)]` gives the
    arguments of a call in the order of its parameters or fields, None if the default applies.
    `choices[id(tune)]` is the Choice of a `tune` in an expression or a loop's bound.
    `weighed[id(call)]` of a call of `certainty`, `logprob` or `turns` is the call that it is about,
    and of that call, itself; `asked[id(call)]` are the names of what is asked about its answer.
    `default` has the settings of the entry file's `default` block.
    """

    source: Source
    trees: list[nodes.FileTree]
    types: dict[int, Type]
    referents: dict[int, Referent]
    bindings: dict[int, tuple[nodes.Expr | None, ...]]
    choices: dict[int, Choice]
    default: Settings
    models: dict[str, ModelDef]
    tools: dict[str, ToolDef]
    modules: dict[str, ModuleDef]
    pipelines: dict[str, PipelineDef]
    metrics: dict[str, MetricDef]
    datasets: dict[str, DatasetDef]
    optimizes: list[OptimizeDef]
    tests: list[TestDef]
    named_types: dict[str, Type]
    stores: dict[str, StoreDef] = field(default_factory=dict)
    warnings: list[Any] = field(default_factory=list)  # Diagnostic
    weighed: dict[int, nodes.Call] = field(default_factory=dict)
    asked: dict[int, set[str]] = field(default_factory=dict)
    exports: list[str] = field(
        default_factory=list
    )  # modules and pipelines of the entry file, in order
    media: dict[int, dict[str, Any]] = field(default_factory=dict)  # by id(call): `image("…")`

    @property
    def main(self) -> str | None:
        """What `lmc run` runs by default: `main`, else the last module or pipeline."""
        return "main" if "main" in self.exports else (self.exports[-1] if self.exports else None)
