"""Lowers a checked program to graphs. Every declaration that can be called becomes a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lmc.check.agents import tool_lists
from lmc.check.program import (
    MISSING,
    CheckedProgram,
    MetricDef,
    ModuleDef,
    Param,
    PipelineDef,
    StoreDef,
    TestDef,
    ToolDef,
)
from lmc.ir.actions import TURN, action_type, environment_offer
from lmc.ir.body import Body
from lmc.ir.graph import (
    OPTION,
    DeclaredMetric,
    Graph,
    Offer,
    Port,
    ProgramGraph,
    Role,
    Slots,
    Store,
    Test,
    Tool,
)
from lmc.ir.instructions import default_instruction, told_condition
from lmc.ir.lower_expressions import expression
from lmc.ir.lower_statements import statements
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import ERROR, NONE, BoolType, ListType, OptionalType, RecordType, Type

SLOT_SETTINGS = frozenset(
    [
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "seed",
        "reasoning",
        "strict",
        "cache_prompt",
        "cache",
        "retry",
        "fallback",
        "repair",
        "timeout",
        "template",
        "layout",
        "tool_calls",
        "adapter",
        "demos",
        "reason",
        "begin",
        "keep",
    ]
)
DEFAULT_ROUNDS = 1
DEFAULT_SAMPLES = 5
DEFAULT_STEPS = 6
DEFAULT_SEARCH = {"method": "beam", "width": 3, "keep": 2, "depth": 4, "rounds": 8}


def lower(program: CheckedProgram) -> ProgramGraph:
    """Lower the modules, pipelines, metrics, tools and tests of a checked program."""
    metrics = {name: lower_metric(program, metric) for name, metric in program.metrics.items()}
    graphs = {name: lower_module(program, module) for name, module in program.modules.items()}
    graphs |= {name: lower_pipeline(program, p) for name, p in program.pipelines.items()}
    graphs |= {name: m.graph for name, m in metrics.items() if m.graph is not None}
    tools = {name: lower_tool(tool) for name, tool in program.tools.items()}
    # Other metrics call a metric in Python like any Python function.
    tools |= {
        name: Tool(name, m.target, m.inputs, m.result, {})
        for name, m in metrics.items()
        if m.target is not None
    }
    return ProgramGraph(
        graphs=graphs,
        tools=tools,
        models={name: model.settings for name, model in program.models.items()},
        metrics=metrics,
        tests=tuple(
            lower_test(program, test)
            for test in program.tests
            if test.span.source is program.source  # the tests of imported files do not run here
        ),
        default=program.default,
        main=program.main,
        exports=tuple(program.exports),
        stores={name: lower_store(store) for name, store in program.stores.items()},
    )


def ports(params: Iterable[Param]) -> tuple[Port, ...]:
    """Parameters as the inputs of a graph."""
    return tuple(
        Port(
            p.name,
            p.type,
            p.default is not MISSING,
            None if p.default is MISSING else p.default,
            p.train,
            p.note,
        )
        for p in params
    )


def lower_tool(tool: ToolDef) -> Tool:
    """A function with its inputs."""
    inputs, result = ports(tool.signature.params), tool.signature.result
    return Tool(tool.name, tool.target, inputs, result, tool.settings, tool.doc, tool.server)


def lower_store(store: StoreDef) -> Store:
    """A store, with the names of its models as the graph has them."""
    return Store(store.name, store.record, store.key, store.embedder, store.keep, dict(store.place))


def lower_pipeline(program: CheckedProgram, pipeline: PipelineDef) -> Graph:
    """The graph of a pipeline's statements."""
    result = pipeline.signature.result
    body = Body(program, ports(pipeline.signature.params), result=result, eager=True)
    value = statements(body, pipeline.body.stmts)
    graph = body.graph(pipeline.name, result, value, kind="pipeline")
    return _described(graph, pipeline.doc, pipeline)


def lower_metric(program: CheckedProgram, metric: MetricDef) -> DeclaredMetric:
    """A metric: its statements as a graph, or its Python target."""
    inputs, result = ports(metric.signature.params), metric.signature.result
    if metric.body is None:
        return DeclaredMetric(metric.name, inputs, result, None, metric.target)
    body = Body(program, inputs, result=result, eager=True)
    value = statements(body, metric.body.stmts)
    graph = _described(body.graph(metric.name, result, value, kind="metric"), "", metric)
    return DeclaredMetric(metric.name, inputs, result, graph, None)


def lower_test(program: CheckedProgram, test: TestDef) -> Test:
    """A test's graph, and one graph for the value of each stub."""
    body = Body(program, (), result=NONE)
    stmts = [s for s in test.body.stmts if not isinstance(s, nodes.Stub)]
    value = statements(body, stmts)
    graph = body.graph(test.title, NONE, value, kind="test")
    given: dict[str, list[nodes.Stub]] = {}
    for stmt in test.body.stmts:
        if isinstance(stmt, nodes.Stub):
            target: Any = program.referents[id(stmt.target)]
            known = [] if isinstance(target, StoreDef) else given.get(target.name, [])
            given[target.name] = [*known, stmt]
    stubs = {name: _stub(program, name, stmts) for name, stmts in given.items()}
    several = tuple(name for name, stmts in given.items() if len(stmts) > 1)
    return Test(test.title, _described(graph, "", test), stubs, several)


def _stub(program: CheckedProgram, name: str, stmts: Sequence[nodes.Stub]) -> Graph:
    """The graph of what one stub gives, or of the list of what several ones give in turn."""
    body = Body(program, ())
    target: Any = program.referents[id(stmts[0].target)]
    stored = isinstance(target, StoreDef)
    result: Type = ListType(target.record) if stored else target.signature.result
    ids = [expression(body, stmt.value) for stmt in stmts]
    if len(ids) == 1:
        return body.graph(name, result, ids[0])
    whole = ListType(result, len(ids), len(ids))
    ids = [body.fit(id, result) for id in ids]
    listed = body.operation("list", whole, ids, stmts[-1].span)
    return replace(body.graph(name, whole, listed), span=stmts[-1].span)


def lower_module(program: CheckedProgram, module: ModuleDef) -> Graph:
    """The graph of a module: its inputs and one node."""
    inputs = ports(module.signature.params)
    body = Body(program, inputs, eager=True)
    names = tuple(p.name for p in inputs)
    ids = tuple(body.name(name) for name in names)
    op, attrs, bodies = _MAKERS.get(module.kind, _model)(program, module, inputs)
    result = module.signature.result
    if module.kind == "vote" and module.settings.get("min_agree") is not None:
        result = result if isinstance(result, OptionalType) else OptionalType(result)
    type = module.signature.asked if op == "model" else result
    node = body.add(op, type, ids, {**attrs, "names": names}, bodies, module.span)
    return _described(
        body.graph(module.name, result, node, kind=module.kind), module.instruction or "", module
    )


def slots(program: CheckedProgram, module: ModuleDef, role: Role) -> Slots:
    """The slots of a module's model call."""
    settings = {
        k: v for k, v in {**program.default, **module.settings}.items() if k in SLOT_SETTINGS
    }
    require = module.exprs.get("require")
    return Slots(
        module=module.name,
        instruction=module.instruction or default_instruction(module, role),
        frozen=module.frozen,
        settings=settings,
        demos=tuple((example.inputs, example.result) for example in module.examples),
        train_only=tuple(p.name for p in module.signature.params if p.train),
        requirements=(told_condition(program, require),) if require is not None else (),
        notes={p.name: p.note for p in module.signature.params if p.note},
    )


Made = tuple[Any, Mapping[str, Any], Mapping[str, Graph]]  # op, attrs, bodies


def _model(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    role: Role = "critique" if module.kind == "critique" else "generate"
    return (
        "model",
        {"slots": slots(program, module, role), "role": role},
        _conditions(program, module, inputs),
    )


def _conditions(
    program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]
) -> dict[str, Graph]:
    """The bodies of `require`, of `check`, which is only recorded, and of the texts."""
    keys = ("require",) if module.kind == "refine" else ("require", "check")
    out = Port("out", module.signature.result)
    own = {key: _body(program, module, key, (*inputs, out)) for key in keys if key in module.exprs}
    return own | _texts(program, module, inputs)


def _texts(
    program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]
) -> dict[str, Graph]:
    """The bodies of the texts that a call makes of its inputs: `role` and `begin`."""
    keys = [key for key in ("role", "begin") if key in module.exprs]
    return {key: _body(program, module, key, inputs) for key in keys}


def _body(
    program: CheckedProgram,
    module: ModuleDef,
    key: str,
    inputs: tuple[Port, ...],
    expr: nodes.Expr | None = None,
    result: Type | None = None,
) -> Graph:
    """The value of a key of a module, or a part of it."""
    body = Body(program, inputs)
    expr = module.exprs[key] if expr is None else expr
    type = program.types[id(expr)] if result is None else result
    return body.graph(f"{module.name}.{key}", type, expression(body, expr))


def _refine(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    result = module.signature.result
    draft = Port("draft", result)
    check = Port("check", program.types[id(module.exprs["check"])])
    bodies = {
        "draft": _draft(program, module, inputs),
        "check": _body(program, module, "check", (*inputs, draft)),
        "revise": _revise(program, module, inputs, check),
    }
    if "until" in module.exprs:
        bodies["until"] = _body(program, module, "until", (*inputs, draft, check))
    settings = module.settings
    attrs = {"rounds": settings.get("rounds", DEFAULT_ROUNDS)}
    if "stop_early" in settings:
        attrs["stop_early"] = settings["stop_early"]
    return "refine", attrs, bodies


def _revise(
    program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...], check: Port
) -> Graph:
    """One model call over the module's inputs, the draft, and the critique's feedback."""
    result = module.signature.result
    body = Body(program, (*inputs, Port("draft", result), check))
    names = [*(p.name for p in inputs), "draft"]
    # That a draft did not pass is all that a bool says.
    said = [] if isinstance(check.type, BoolType) else [_feedback(body, check, module.span)]
    ids = [*map(body.name, names), *said]
    names += [_free_name("feedback", inputs) for _ in said]
    attrs = {"slots": slots(program, module, "revise"), "role": "revise", "names": tuple(names)}
    asked, conditions = module.signature.asked, _conditions(program, module, inputs)
    node = body.add("model", asked, ids, attrs, conditions, module.span)
    return body.graph(f"{module.name}.revise", result, _cleaned(body, module, node))


def _draft(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Graph:
    """The first draft."""
    body = Body(program, inputs)
    value = _cleaned(body, module, expression(body, module.exprs["draft"]))
    return body.graph(f"{module.name}.draft", module.signature.result, value)


def _cleaned(body: Body, module: ModuleDef, value: str) -> str:
    """A draft or a revision as `clean` makes it, before it is checked."""
    if "clean" not in module.exprs:
        return value
    body.bound["out"] = value
    return expression(body, module.exprs["clean"])


def _feedback(body: Body, check: Port, span: Span) -> str:
    """What a verdict tells who revises: its field `feedback`, or all of it."""
    verdict = body.name(check.name)
    field = check.type.get("feedback") if isinstance(check.type, RecordType) else None
    if field is None:
        return verdict
    return body.operation("attr", field.type, (verdict,), span, name="feedback")


def _vote(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    settings = module.settings
    attrs = {
        "n": settings.get("n", DEFAULT_SAMPLES),
        "by": module.by or "value",
        "ties": settings.get("ties", "first"),
        "stop_early": settings.get("stop_early"),
        "min_agree": settings.get("min_agree"),
        "normalize": settings.get("normalize", False),
        **{key: settings[key] for key in ("window", "confidence") if key in settings},
    }
    exprs, result = module.exprs, module.signature.result
    bodies = {"sample": _body(program, module, "sample", inputs, result=result)}
    if module.by == "expr":
        bodies["key"] = _body(program, module, "by", (*inputs, Port("out", result)))
    if "weight" in exprs:
        attrs["weight"] = weight = constant_word(exprs["weight"]) or "expr"
        if weight == "expr":
            bodies["key"] = _body(program, module, "weight", (*inputs, Port("out", result)))
    if "compare" in exprs:
        pair = (Port("first", result), Port("second", result))
        bodies["compare"] = _body(program, module, "compare", (*inputs, *pair))
    if "difficulty" in exprs:
        bodies["difficulty"] = _body(program, module, "difficulty", inputs)
    if module.by == "model":
        bodies["adjudicate"] = _adjudicate(program, module, inputs)
    return "vote", attrs, bodies


def _search(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    settings, path = module.settings, Port("path", module.signature.result)
    results = {"expand": _item(path.type), "value": None, "until": None}
    bodies = {
        key: _body(program, module, key, (*inputs, path), result=result)
        for key, result in results.items()
        if key in module.exprs
    }
    return "search", {**DEFAULT_SEARCH, **settings}, bodies


def _item(type: Type) -> Type:
    return type.item if isinstance(type, ListType) else ERROR


def _agent(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    """A model call that chooses the next action, and a body for each tool."""
    expr = module.exprs["tools"]
    lists: list[Any] = tool_lists(expr)
    tools: list[Any] = [program.referents[id(item)] for listed in lists for item in listed.items]
    tools = list({tool.name: tool for tool in tools}.values())
    bodies = {tool.name: _tool_body(program, tool) for tool in tools}
    offers = tuple(map(_offer, tools))
    action = action_type(module.signature.asked, offers)
    body = Body(program, (*inputs, Port("transcript", ListType(TURN))))
    names = (*(p.name for p in inputs), "transcript")
    ids = tuple(body.name(name) for name in names)
    attrs = {"slots": slots(program, module, "act"), "role": "act", "names": names}
    attrs["offers"] = offers
    own: dict[str, Any] = {"steps": module.settings.get("steps", DEFAULT_STEPS)}
    if isinstance(expr, nodes.Tune):
        own["tools"] = attrs["tools"] = program.choices[id(expr)]
    texts = _texts(program, module, inputs)
    node = body.add("model", action, ids, attrs, texts, module.span)
    bodies["act"] = body.graph(f"{module.name}.act", action, node)
    return "agent", own, bodies


def _offer(tool: Any) -> Offer:
    """A tool, module or pipeline for the model of an agent."""
    signature = tool.signature
    doc = tool.instruction or "" if isinstance(tool, ModuleDef) else tool.doc
    if isinstance(tool, ToolDef) and tool.settings.get("episode"):
        return environment_offer(lower_tool(tool))
    server = isinstance(tool, ToolDef) and tool.server
    return Offer(tool.name, ports(signature.params), signature.result, doc, server)


def _tool_body(program: CheckedProgram, tool: Any) -> Graph:
    """A call of a tool, a module or a pipeline with the arguments by name."""
    inputs = ports(tool.signature.params)
    body = Body(program, inputs)
    ids = tuple(body.name(p.name) for p in inputs)
    op: Any = "tool" if isinstance(tool, ToolDef) else "call"
    result = tool.signature.result
    node = body.add(op, result, ids, {"target": tool.name}, span=tool.span)
    return body.graph(tool.name, result, node)


def _route(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Made:
    """A body for each option. `by` chooses an option first, or judges the answer of one."""
    exprs, to = module.exprs, module.exprs["to"]
    if isinstance(to, nodes.ObjectLit):
        attrs, given = {"by": "case"}, inputs
        options = {pair.key.name: pair.value for pair in to.pairs}
    else:
        assert isinstance(to, nodes.ListLit)
        attrs = {"by": constant_word(exprs["by"]) or "expr", **module.settings}
        given = (*inputs, Port("out", module.signature.result))
        options = {str(number): option for number, option in enumerate(to.items)}
    keyed = {f"{OPTION}{name}": option for name, option in options.items()}
    result = module.signature.result
    bodies = {
        key: _body(program, module, key, inputs, option, result) for key, option in keyed.items()
    }
    if attrs["by"] in ("case", "expr"):
        bodies["by"] = _body(program, module, "by", given)
    return "route", attrs, bodies


def constant_word(expr: nodes.Expr) -> str | None:
    """The text of a plain string."""
    return expr.value if isinstance(expr, nodes.String) else None


def _adjudicate(program: CheckedProgram, module: ModuleDef, inputs: tuple[Port, ...]) -> Graph:
    """One model call over the module's inputs and all samples."""
    result = module.signature.result
    body = Body(program, (*inputs, Port("candidates", ListType(result))))
    names = (*(p.name for p in inputs), "candidates")
    ids = tuple(body.name(name) for name in names)
    attrs = {"slots": slots(program, module, "adjudicate"), "role": "adjudicate", "names": names}
    node = body.add("model", result, ids, attrs, _conditions(program, module, inputs), module.span)
    return body.graph(f"{module.name}.adjudicate", result, node)


_MAKERS: Mapping[str, Callable[[CheckedProgram, ModuleDef, tuple[Port, ...]], Made]] = {
    "refine": _refine,
    "vote": _vote,
    "search": _search,
    "agent": _agent,
    "route": _route,
}


def _free_name(name: str, inputs: Iterable[Port]) -> str:
    return f"draft_{name}" if any(p.name == name for p in inputs) else name


def _described(
    graph: Graph, doc: str, definition: ModuleDef | PipelineDef | MetricDef | TestDef
) -> Graph:
    return Graph(
        graph.name, graph.inputs, graph.result, graph.nodes, graph.kind, doc, definition.span
    )
