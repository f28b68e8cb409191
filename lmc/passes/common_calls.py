"""Common calls: runs equal calls, operations and regions on equal inputs once.

A call with the same inputs and sample index is the same request, and one request has one answer, so
sharing changes no result. A tool is shared only where it is declared `pure: true` or `cache: true`,
since only then once is as good as twice. What calls any other tool, at any depth, is not shared.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from hashlib import blake2b

from lmc.canonical import canonical
from lmc.ir.graph import Graph, Node, Port, ProgramGraph
from lmc.ir.ops import OF_BODIES, STEPS
from lmc.ir.reach import acting, acts, pure_tools
from lmc.passes.context import PassContext
from lmc.passes.rewrite import every_body, every_graph, reading, with_nodes


def common_calls(program: ProgramGraph, context: PassContext) -> ProgramGraph:
    """Share equal nodes within each graph."""
    cached = {name for name, tool in program.tools.items() if tool.settings.get("cache")}
    effects = acting(program, cached | pure_tools(program))
    return every_graph(program, lambda graph: _share(graph, effects, context))


def _share(graph: Graph, effects: frozenset[str], context: PassContext) -> Graph:
    graph = every_body(graph, lambda body: _share(body, effects, context))
    first: dict[Hashable, str] = {}
    renamed: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = reading(node, renamed)
        if node.op == "cond":
            node = _share_outer(graph, node, first, effects, context)
        key = _key(node, effects)
        if key is not None and key in first:
            renamed[node.id] = first[key]
            if node.op in STEPS:
                what = node.attrs.get("target", node.op)
                words = f"`{what}` runs once for equal inputs"
                context.remark(graph.name, words, "repeated runs", node.span)
            continue
        if key is not None:
            first[key] = node.id
        kept.append(node)
    return with_nodes(graph, kept)


def _share_outer(
    graph: Graph,
    node: Node,
    first: Mapping[Hashable, str],
    effects: frozenset[str],
    context: PassContext,
) -> Node:
    """A condition whose branches reuse earlier calls on the same inputs."""
    outer = dict(zip(node.attrs["free"], node.inputs[1:]))
    taken: dict[str, str] = {}  # outer nodes, by their name in the branches
    bodies = {}
    for key, body in node.bodies.items():
        known = {n.id: outer[n.attrs["name"]] for n in body.nodes if n.op == "input"}
        nodes, ports = list(body.nodes), list(body.inputs)
        for place, inner in enumerate(body.nodes):
            if inner.op not in ("call", "tool", "op", "const"):
                continue
            if not known.keys() >= set(inner.inputs):
                continue
            moved = replace(inner, inputs=tuple(known[id] for id in inner.inputs))
            source = first.get(_key(moved, effects))
            if source is not None and inner.op in ("op", "const"):
                known[inner.id] = source  # cheap to repeat, and later nodes may be shared
            elif source is not None:
                name = f"{source}'"  # not a valid name in the language
                taken[name] = source
                ports += [] if any(p.name == name for p in ports) else [Port(name, inner.type)]
                nodes[place] = replace(inner, op="input", inputs=(), attrs={"name": name})
                words = f"the branch reuses the earlier run of `{inner.attrs['target']}`"
                context.remark(graph.name, words, "repeated runs", inner.span)
        bodies[key] = replace(body, nodes=tuple(nodes), inputs=tuple(ports))
    if not taken:
        return node
    free = (*node.attrs["free"], *taken)
    inputs = (*node.inputs, *taken.values())
    return replace(node, inputs=inputs, attrs={**node.attrs, "free": free}, bodies=bodies)


def _told(node: Node) -> str:
    """All of a node but its id and inputs; a body of it by a hash, as it may be long."""
    bodies = {name: _hash(body) for name, body in node.bodies.items()}
    return repr((node.op, node.type, dict(node.attrs), bodies))


def _hash(body: Graph) -> str:
    text = repr((body.inputs, body.result, [(n.id, n.inputs, _told(n)) for n in body.nodes]))
    return blake2b(text.encode("utf-8", "surrogatepass")).hexdigest()


def _key(node: Node, effects: frozenset[str]) -> Hashable:
    """A key that is equal for nodes with equal values; None if a node must not be shared."""
    if acts(node, effects):
        return None
    match node.op:
        case "input" | "call" | "tool":
            what: Hashable = node.attrs.get("name") or node.attrs["target"]
        case "const":
            what = (canonical(node.attrs["value"]), type(node.attrs["value"]).__name__)
        case "choice":
            what = node.attrs["choice"].id
        case "op":
            what = canonical(
                {key: list(v) if isinstance(v, tuple) else v for key, v in node.attrs.items()}
            )
        case op if op in OF_BODIES:
            what = _told(node)
        case _:
            return None
    return (node.op, repr(node.type), what, node.inputs)
