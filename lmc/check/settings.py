"""Settings: one table of the keys of each declaration, their values as constants or choices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

from lmc.check import inference
from lmc.check.annotations import constant
from lmc.check.constants import evaluate
from lmc.check.program import ModelDef
from lmc.check.scope import Declared, Env
from lmc.check.subtyping import is_subtype
from lmc.check.tuning import range_ends, tune_values
from lmc.diagnostics import Label, did_you_mean
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import (
    BOOL,
    ERROR,
    INT,
    STR,
    ErrorType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Type,
    UnionType,
)

Special = Literal["model", "models", "name", "expression", "group"]


@frozen
class SettingSpec:
    """What a key takes: a constant of a type, or one of the special forms.

    `model` and `models` name declared models, `name` is a bare word, `group` an object whose keys
    are `keys`, `expression` is kept as it is and checked by the rules of its declaration.
    """

    takes: Type | Special
    keys: Mapping[str, SettingSpec] = field(default_factory=dict)
    tunable: bool = True


def group(keys: Mapping[str, SettingSpec]) -> SettingSpec:
    """An object with these keys, all of which may be left out."""
    return SettingSpec("group", keys, tunable=False)


def _words(*words: str) -> LiteralType:
    return LiteralType(words)


def _group(**keys: Type) -> SettingSpec:
    return group({key: _fixed(type) for key, type in keys.items()})


def _fixed(type: Type) -> SettingSpec:
    return SettingSpec(type, tunable=False)


TEXT = _fixed(STR)
SPLIT = group(dict.fromkeys(("train", "dev", "test"), _fixed(FloatType(0.0, None))))
_POSITIVE = IntType(1, None)
_SECONDS = FloatType(0.0, None)
_EXPRESSION = SettingSpec("expression")
_BUDGET: Mapping[str, Type] = {
    "calls": _POSITIVE,
    "tokens": _POSITIVE,
    "usd": FloatType(0.0, None),
}
_FAILURES = _words("rate_limit", "timeout", "connection", "server")
_DECODING = {
    "temperature": SettingSpec(FloatType(0.0, 2.0)),
    "top_p": SettingSpec(FloatType(0.0, 1.0)),
    "max_tokens": SettingSpec(_POSITIVE),
    "seed": _fixed(INT),
    "cache": _fixed(UnionType((BOOL, _words("disk", "memory", "off")))),
    "retry": _group(max=IntType(0, 100), backoff=FloatType(0.0, None), on=ListType(_FAILURES)),
    "fallback": SettingSpec("models", tunable=False),
    "layout": SettingSpec(_words("chat", "json", "xml")),
}
_STOP = {"stop": _fixed(ListType(STR))}
_MODULE = {
    "model": SettingSpec("model"),
    **_DECODING,
    **_STOP,
    "template": _group(system=STR, user=STR),
    "adapter": SettingSpec("name", tunable=False),
    "demos": SettingSpec(IntType(0, 64)),
    "reason": SettingSpec(BOOL),
    "require": _EXPRESSION,
    "check": _EXPRESSION,
}

# Rules that end a vote early; `lmc.runtime.votes.stopping` says what they go by.
STOPPING = ("settled", "esc", "asc", "asc_dirichlet", "dsc")

# What can stand in each kind of body.
TABLE: Mapping[str, Mapping[str, SettingSpec]] = {
    "model": {
        "name": _fixed(STR),
        "base_url": _fixed(STR),
        "api_key_env": _fixed(STR),
        **_DECODING,
        **_STOP,
        "timeout": _fixed(_SECONDS),
        "concurrency": _fixed(_POSITIVE),
        "price": _group(input=FloatType(0.0, None), output=FloatType(0.0, None)),
        "budget": _group(**_BUDGET),
        "logprobs": _fixed(BOOL),
    },
    "default": {
        "model": SettingSpec("model"),
        **_DECODING,
        "timeout": _fixed(_SECONDS),
        "concurrency": _fixed(_POSITIVE),
        "repair": _fixed(IntType(0, 8)),
        "shared_first": _fixed(BOOL),
    },
    "generate": _MODULE,
    "critique": {**_MODULE, "subject": _EXPRESSION},
    "refine": {
        **_MODULE,
        "draft": _EXPRESSION,
        "until": _EXPRESSION,
        "rounds": SettingSpec(IntType(0, 8)),
        "stop_early": SettingSpec(_words("fixed_point", "no_gain")),
    },
    "vote": {
        **_MODULE,
        "sample": _EXPRESSION,
        "n": SettingSpec(IntType(1, 64)),
        "by": _EXPRESSION,
        "normalize": _fixed(BOOL),
        "ties": _fixed(_words("first", "random")),
        "stop_early": SettingSpec(UnionType((BOOL, _words(*STOPPING)))),
        "window": SettingSpec(IntType(2, 64)),
        "confidence": SettingSpec(FloatType(0.5, 1.0)),
        "difficulty": _EXPRESSION,
        "weight": _EXPRESSION,
        "compare": _EXPRESSION,
        "min_agree": SettingSpec(UnionType((IntType(1, 64), FloatType(0.0, 1.0)))),
    },
    "search": {
        "expand": _EXPRESSION,
        "value": _EXPRESSION,
        "until": _EXPRESSION,
        "method": SettingSpec(_words("beam", "best_first", "mcts")),
        "width": SettingSpec(IntType(1, 64)),
        "keep": SettingSpec(IntType(1, 64)),
        "depth": SettingSpec(IntType(1, 64)),
        "rounds": SettingSpec(IntType(1, 256)),
    },
    "agent": {**_MODULE, "tools": _EXPRESSION, "steps": SettingSpec(IntType(1, 64))},
    "route": {"by": _EXPRESSION, "to": _EXPRESSION, "threshold": SettingSpec(FloatType())},
    "tool": {"cache": _fixed(BOOL), "timeout": _fixed(_SECONDS), "retry": _DECODING["retry"]},
    "dataset": {
        "source": _fixed(STR),
        "columns": _EXPRESSION,
        "split": _EXPRESSION,
        "seed": _fixed(INT),
    },
    "optimize": {
        "data": _EXPRESSION,
        "metric": _EXPRESSION,
        "steps": _EXPRESSION,
        "budget": _group(**_BUDGET, minutes=FloatType(0.0, None)),
        "seed": _fixed(INT),
        "keep": _EXPRESSION,
        "guards": _EXPRESSION,
        "objective": TEXT,
    },
}


def read(
    env: Env, kind: str, settings: Sequence[nodes.Setting]
) -> tuple[dict[str, Any], dict[str, nodes.Expr]]:
    """Read a body: its constant settings and its expressions, by key; reports wrong ones."""
    table, values, exprs = TABLE[kind], {}, {}
    for setting in _distinct(env, settings):
        key = setting.key.name
        spec = table.get(key)
        if spec is None:
            report_unknown_key(env, setting.key, table, f"a {kind}")
        elif spec.takes == "expression":
            exprs[key] = setting.value
        else:
            value = value_of(env.hinted(key), setting.value, spec, key)
            if value is not ERROR:
                values[key] = value
    return values, exprs


def _distinct(env: Env, settings: Iterable[nodes.Setting]) -> Iterable[nodes.Setting]:
    seen: dict[str, Span] = {}
    for setting in settings:
        if setting.key.name in seen:
            first = Label(seen[setting.key.name], "first here")
            message = f"the setting `{setting.key.name}` is given twice"
            env.ctx.report("duplicate-setting", message, setting.key.span, first)
        else:
            seen[setting.key.name] = setting.key.span
            yield setting


def report_unknown_key(env: Env, key: nodes.Ident, known: Iterable[str], owner: str) -> None:
    """Report a key that a body does not take."""
    near = did_you_mean(key.name, known)
    env.ctx.report(
        "unknown-setting",
        f"{owner} has no setting `{key.name}`",
        key.span,
        help=f"did you mean `{near}`?"
        if near
        else f"it takes {', '.join(f'`{k}`' for k in known)}",
    )


def value_of(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    """The JSON value or Choice of a setting; ERROR where it is wrong (reported)."""
    if isinstance(expr, nodes.Tune):
        return _choice(env, expr, spec, key)
    return _plain(env, expr, spec, key)


def _choice(env: Env, expr: nodes.Tune, spec: SettingSpec, key: str) -> Any:
    if not spec.tunable:
        env.ctx.report("misplaced-tune", f"`{key}` cannot be tuned", expr.span)
        return ERROR
    before = len(env.ctx.diagnostics)

    def option(env: Env, option: nodes.Expr) -> Any:
        return _plain(env, option, spec, key)

    for end in range_ends(expr):
        inference.check(env, end, INT, "the end of a range")
    values = tune_values(env, expr, option)
    if values is None or len(env.ctx.diagnostics) > before:
        return ERROR
    for part in expr.options:
        if isinstance(part, nodes.TuneRange) and not _holds_range(env, part, spec.takes):
            message = f"`{key}` does not take every int of `{part.span.text}`"
            env.ctx.report("out-of-range", message, part.span)
            return ERROR
    return env.ctx.add_choice(expr, env.owner, key, values)


def _holds_range(env: Env, option: nodes.TuneRange, takes: Type | Special) -> bool:
    low, high = (evaluate(env.ctx.program, end) for end in (option.low, option.high))
    return isinstance(takes, Type) and is_subtype(IntType(low, high), takes)


def _plain(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if isinstance(spec.takes, Type):
        before = len(env.ctx.diagnostics)
        value = constant(env, expr, spec.takes, f"`{key}`")
        return value if len(env.ctx.diagnostics) == before else ERROR
    return _SPECIAL[spec.takes](env, expr, spec, key)


def _model(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.Var):
        env.ctx.report(
            "model-needed",
            f"`{key}` names a declared model",
            expr.span,
            help='declare it, `model m { name: "provider/name" }`, and write its name `m`',
        )
        return ERROR
    declared = named(env, expr, nodes.ModelDecl, "model")
    if declared is None or not isinstance(declared.meaning, ModelDef):
        return ERROR
    env.ctx.refer(expr, declared.meaning)
    return declared.meaning.name


def _models(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.ListLit):
        env.ctx.report("model-needed", f"`{key}` is a list of declared models", expr.span)
        return ERROR
    names = [_model(env, item, spec, key) for item in expr.items]
    return ERROR if ERROR in names else names


def named(
    env: Env, expr: nodes.Var | nodes.Ident, decl: type | tuple[type, ...], what: str
) -> Declared | None:
    """The declaration of one kind that a bare name refers to; reports any other."""
    declared = env.file.find(expr.name)
    if declared is None:
        known = [n for n, d in env.file.names.items() if isinstance(d.decl, decl)]
        inference.report_unknown(env, expr.name, expr.span, known, what)
        return None
    if isinstance(declared.decl, decl):
        return declared
    if not isinstance(declared.meaning, ErrorType):
        kind = inference.describe(declared)
        place = Label(declared.ident.span, "declared here")
        env.ctx.report("wrong-kind", f"`{expr.name}` is a {kind}, not a {what}", expr.span, place)
    return None


def _name(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if isinstance(expr, nodes.Var):
        return expr.name
    env.ctx.report("name-needed", f"`{key}` is a bare name", expr.span, help=f"write `{key}: name`")
    return ERROR


def _group_value(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.ObjectLit):
        keys = ", ".join(f"{k}: …" for k in spec.keys)
        env.ctx.report(
            "object-needed", f"`{key}` is written as an object", expr.span, help=f"`{{{keys}}}`"
        )
        return ERROR
    values: dict[str, Any] = {}
    settings = [nodes.Setting(key=p.key, value=p.value, span=p.span) for p in expr.pairs]
    for part in _distinct(env, settings):
        inner = spec.keys.get(part.key.name)
        if inner is None:
            report_unknown_key(env, part.key, spec.keys, f"`{key}`")
        else:
            values[part.key.name] = value_of(env, part.value, inner, part.key.name)
    return ERROR if any(v is ERROR for v in values.values()) else values


_SPECIAL: Mapping[str, Callable[[Env, nodes.Expr, SettingSpec, str], Any]] = {
    "model": _model,
    "models": _models,
    "name": _name,
    "group": _group_value,
}
