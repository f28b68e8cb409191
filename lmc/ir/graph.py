"""The typed execution graph. Passes rewrite it, and the executor runs it.

A program is a set of graphs, one for each declaration that can be called. A `call` node runs
another graph. Within a graph every value is bound once, and each node comes after its inputs.
Values at run time are plain JSON values: a record is a dict, an enum variant is its name.

`lmc.ir.ops` is the table of the operations with their inputs, attributes and bodies. A body is also
a Graph. Its `input` nodes are values from outside and values that its region binds.
`lmc.ir.functions` implements the functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Literal, TypeVar

from lmc.frozen import frozen
from lmc.source import Span
from lmc.types import Type

FORMAT_VERSION = 2  # 1 is before unions, recursive records, dates, samples, stores and effects
MOST_NODES = 100_000  # most nodes of a program, including bodies
T = TypeVar("T")

Op = Literal[
    "input", "const", "choice", "op", "model", "call", "tool", "map", "samples", "weigh", "loop",
    "cond", "refine", "vote", "search", "agent", "route", "store", "find", "keep", "assert",
    "return",
]  # fmt: skip
OPTION = "to."  # prefix of the keys of a route's options
Role = Literal["generate", "critique", "revise", "adjudicate", "act"]


@frozen
class Slots:
    """The parts of a model call, some of which an optimizer may set.

    `settings` are the module's own settings merged over the program's defaults (values or Choices):
    model, temperature, top_p, max_tokens, stop, seed, reasoning, strict, cache_prompt, cache,
    retry, fallback, repair, template, layout, adapter, demos (how many, from a `demos:` setting),
    reason, begin, keep (in tokens).
    """

    module: str
    instruction: str
    frozen: bool
    settings: Mapping[str, Any]
    demos: tuple[tuple[Mapping[str, Any], Any], ...] = ()  # from `example`: (inputs, result)
    train_only: tuple[str, ...] = ()  # `train` parameters: hidden when deployed
    requirements: tuple[str, ...] = ()  # source text of `require:`
    notes: Mapping[str, str] = field(default_factory=dict)  # on parameters, by name


@frozen
class Node:
    """One operation and its value. `inputs` are ids of earlier nodes of the same graph."""

    id: str
    op: Op
    type: Type
    inputs: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    bodies: Mapping[str, Graph] = field(default_factory=dict)
    span: Span | None = field(default=None, compare=False, repr=False)


@frozen
class Port:
    """A named, typed input of a graph. `default` is a JSON value if `has_default` is True.

    `note` is for the models that fill the input in or see it.
    """

    name: str
    type: Type
    has_default: bool = False
    default: Any = None
    train: bool = False
    note: str = ""


@frozen
class Graph:
    """Nodes in order. The last one is a `return`."""

    name: str
    inputs: tuple[Port, ...]
    result: Type
    nodes: tuple[Node, ...]
    kind: str = "body"  # a kind of module, pipeline, metric, test, body
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@frozen
class Tool:
    """A Python function, or a tool of an MCP server, that the program calls.

    `doc` is for models. A `server` stands for all tools of a server: it takes the name of one and
    its arguments.
    """

    name: str
    target: str
    inputs: tuple[Port, ...]
    result: Type
    settings: Mapping[str, Any]
    doc: str = ""
    server: bool = False


@frozen
class Offer:
    """A tool, module or pipeline as the model of an agent sees it."""

    name: str
    inputs: tuple[Port, ...]
    result: Type
    doc: str = ""
    server: bool = False


@frozen
class Store:
    """What a program keeps between its runs: records, the newest `keep` of them.

    `key` is the field that names a record. `embedder` is the model by whose vectors `find`
    compares, None for words. `place` has `path` or `url`, or neither.
    """

    name: str
    record: Type  # or a union of records
    key: str | None
    embedder: str | None
    keep: int
    place: Mapping[str, str] = field(default_factory=dict)


@frozen
class Test:
    """A test: its graph (only asserts) and the stubbed result of each stubbed module.

    Of those `in_order`, which are stubbed several times, it is a list: a result for each call.
    """

    __test__ = False  # not a pytest class

    title: str
    graph: Graph
    stubs: Mapping[str, Graph]
    in_order: tuple[str, ...] = ()


@frozen
class DeclaredMetric:
    """A metric of the program: a graph over (gold, pred), or a Python target."""

    name: str
    inputs: tuple[Port, ...]
    result: Type
    graph: Graph | None
    target: str | None


@frozen
class ProgramGraph:
    """The whole program after lowering. `lmc.ir.serialize` writes it as JSON."""

    graphs: Mapping[str, Graph]
    tools: Mapping[str, Tool]
    models: Mapping[str, Mapping[str, Any]]  # settings, by the name of the declared model
    metrics: Mapping[str, DeclaredMetric]
    tests: tuple[Test, ...]
    default: Mapping[str, Any]
    main: str | None
    exports: tuple[str, ...]
    stores: Mapping[str, Store] = field(default_factory=dict)
    version: int = FORMAT_VERSION


def route_options(bodies: Mapping[str, T]) -> dict[str, T]:
    """The options of a route in order: the bodies whose key starts with `to.`."""
    return {k.removeprefix(OPTION): v for k, v in bodies.items() if k.startswith(OPTION)}


def all_nodes(graph: Graph) -> Iterator[Node]:
    """The nodes of a graph and of the bodies inside it."""
    for node in graph.nodes:
        yield node
        for body in node.bodies.values():
            yield from all_nodes(body)
