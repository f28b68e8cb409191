"""Settings: a table of the keys that each declaration takes, and how their values are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from lmc import types
from lmc.check import inference
from lmc.check.annotations import constant
from lmc.check.constants import evaluate
from lmc.check.program import ConstantDef, ModelDef
from lmc.check.providers import with_provider
from lmc.check.scope import Declared, Env
from lmc.check.subtyping import is_subtype
from lmc.check.tuning import range_ends, tune_values
from lmc.diagnostics import Label, suggestion
from lmc.frozen import frozen
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import Type

MOST_KEPT = 100_000  # records of a store
MOST_MADE = 100_000  # rows that a program makes
Special = Literal["model", "models", "name", "expression", "group", "tokens"]


@frozen
class SettingSpec:
    """The value that a key takes: a constant of a type, or one of the special forms.

    `model` and `models` are names of declared models, `name` is a name that declares nothing,
    `tokens` is a number of them, and `group` is an object with the keys `keys`. An `expression` is
    checked by the rules of its declaration; with `or_expression`, whatever is no constant is one.
    """

    takes: Type | Special
    keys: Mapping[str, SettingSpec] = field(default_factory=dict)
    tunable: bool = True
    or_expression: bool = False


def group(keys: Mapping[str, SettingSpec]) -> SettingSpec:
    """An object with these keys. Each may be left out."""
    return SettingSpec("group", keys, tunable=False)


def _words(*words: str) -> types.LiteralType:
    return types.LiteralType(words)


def _group(**keys: Type) -> SettingSpec:
    return group({key: _fixed(type) for key, type in keys.items()})


def _fixed(type: Type) -> SettingSpec:
    return SettingSpec(type, tunable=False)


TEXT = _fixed(types.STR)
SPLIT = group(dict.fromkeys(("train", "dev", "test"), _fixed(types.FloatType(0.0, None))))
# Whose prices may differ from those of other tokens; `lmc.models.base.PRICED` has them too.
_KINDS_OF_TOKENS = ("cached", "written", "audio", "spoken")
_POSITIVE = types.IntType(1, None)
_TOKENS = types.IntType(1, 2**31 - 1)  # as servers hold it
_LIMIT_S = types.FloatType(0.001, 1e9)  # 0 would read as a limit, and be none
_SECONDS = types.FloatType(0.0, 1e9)  # 31 years: longer waits are beyond what clocks can add
_EXPRESSION = SettingSpec("expression")
_BUDGET: Mapping[str, Type] = {
    "calls": _POSITIVE,
    "tokens": _POSITIVE,
    "usd": types.FloatType(0.0, None),
}
_FAILURES = _words(
    *("rate_limit", "timeout", "connection", "server", "broken_stream", "empty", "length"),
    *("content_filter", "refusal", "tool_calls"),
)
THINKING = ("off", "minimal", "low", "medium", "high")
# The dialects of `lmc.models.server_kinds`, by name; a test compares.
DIALECTS = (
    *("openai", "anthropic", "gemini", "deepseek", "groq", "mistral", "openrouter", "vllm"),
    *("sglang", "llama.cpp", "ollama", "lmstudio", "transformers", "other"),
)
_DECODING = {
    "temperature": SettingSpec(types.FloatType(0.0, 2.0)),
    "top_p": SettingSpec(types.FloatType(0.0, 1.0)),
    "max_tokens": SettingSpec(_TOKENS),
    "seed": _fixed(types.INT),
    "reasoning": SettingSpec(types.UnionType((_words(*THINKING), types.IntType(0, 2**31 - 1)))),
    "strict": _fixed(types.BOOL),
    "cache_prompt": _fixed(types.UnionType((types.BOOL, _words("auto")))),
    "cache": _fixed(types.UnionType((types.BOOL, _words("disk", "memory", "off")))),
    "retry": _group(max=types.IntType(0, 100), backoff=_SECONDS, on=types.ListType(_FAILURES)),
    "fallback": SettingSpec("models", tunable=False),
    "repair": _fixed(types.IntType(0, 8)),
    "layout": SettingSpec(_words("chat", "json", "xml", "auto")),
}
_TOOL_CALLS = {"tool_calls": _fixed(_words("auto", "native", "text"))}
_STOP = {"stop": _fixed(types.ListType(types.STR))}
_MODULE = {
    "model": SettingSpec("model"),
    **_DECODING,
    **_STOP,
    "template": _group(system=types.STR, user=types.STR),
    "adapter": SettingSpec("name", tunable=False),
    "demos": SettingSpec(types.IntType(0, 64)),
    "reason": SettingSpec(types.BOOL),
    "role": _EXPRESSION,
    "begin": SettingSpec(types.StrType(1, None), or_expression=True),
    "keep": SettingSpec("tokens"),
    "require": _EXPRESSION,
    "check": _EXPRESSION,
}

# What a setting of a tool says that one with an effect cannot have.
TWICE = {
    "pure": "nothing happens when it is called",
    "cache": "equal calls are made once",
    "retry": "a call that failed is made again",
}

# Rules that end a vote early. `lmc.runtime.votes.stopping` implements them.
STOPPING = ("settled", "esc", "asc", "asc_dirichlet", "dsc")

# The settings of each kind of declaration.
TABLE: Mapping[str, Mapping[str, SettingSpec]] = {
    "model": {
        "name": _fixed(types.STR),
        "base_url": _fixed(types.STR),
        "api_key_env": _fixed(types.STR),
        "dtype": _fixed(_words("float32", "bfloat16")),
        "lookup": _fixed(types.BOOL),
        "dialect": _fixed(_words(*DIALECTS)),
        "extra": _fixed(types.DictType(types.JSON)),
        "load_adapters": _fixed(types.BOOL),
        "headers": _fixed(types.DictType(types.STR)),
        # An optimizer does not change models, so a `tune` belongs to modules or the program.
        **{key: replace(spec, tunable=False) for key, spec in _DECODING.items()},
        **_STOP,
        **_TOOL_CALLS,
        "timeout": _fixed(_LIMIT_S),
        "deadline": _fixed(_LIMIT_S),
        "concurrency": _fixed(_POSITIVE),
        "rpm": _fixed(_POSITIVE),
        "tpm": _fixed(_POSITIVE),
        "price": _group(
            **dict.fromkeys(("input", "output", *_KINDS_OF_TOKENS), types.FloatType(0.0, None))
        ),
        "budget": _group(**_BUDGET),
        "logprobs": _fixed(types.BOOL),
    },
    "default": {
        "model": SettingSpec("model"),
        **_DECODING,
        **_TOOL_CALLS,
        "timeout": _fixed(_LIMIT_S),
        "deadline": _fixed(_LIMIT_S),
        "concurrency": _fixed(_POSITIVE),
        "shared_first": _fixed(types.BOOL),
    },
    "generate": _MODULE,
    "critique": {**_MODULE, "subject": _EXPRESSION},
    "refine": {
        **_MODULE,
        "draft": _EXPRESSION,
        "clean": _EXPRESSION,
        "until": _EXPRESSION,
        "rounds": SettingSpec(types.IntType(0, 8)),
        "stop_early": SettingSpec(_words("fixed_point", "no_gain")),
    },
    "vote": {
        **_MODULE,
        "sample": _EXPRESSION,
        "n": SettingSpec(types.IntType(1, 64)),
        "by": _EXPRESSION,
        "normalize": _fixed(types.BOOL),
        "ties": _fixed(_words("first", "random")),
        "stop_early": SettingSpec(types.UnionType((types.BOOL, _words(*STOPPING)))),
        "window": SettingSpec(types.IntType(2, 64)),
        "confidence": SettingSpec(types.FloatType(0.5, 1.0)),
        "difficulty": _EXPRESSION,
        "weight": _EXPRESSION,
        "compare": _EXPRESSION,
        "min_agree": SettingSpec(
            types.UnionType((types.IntType(1, 64), types.FloatType(0.0, 1.0)))
        ),
    },
    "search": {
        "expand": _EXPRESSION,
        "value": _EXPRESSION,
        "until": _EXPRESSION,
        "method": SettingSpec(_words("beam", "best_first", "mcts")),
        "width": SettingSpec(types.IntType(1, 64)),
        "keep": SettingSpec(types.IntType(1, 64)),
        "depth": SettingSpec(types.IntType(1, 64)),
        "rounds": SettingSpec(types.IntType(1, 256)),
    },
    "agent": {
        **_MODULE,
        **_TOOL_CALLS,
        "tools": _EXPRESSION,
        "steps": SettingSpec(types.IntType(1, 64)),
    },
    "route": {"by": _EXPRESSION, "to": _EXPRESSION, "threshold": SettingSpec(types.FloatType())},
    "tool": {
        "name": TEXT,
        "env": _fixed(types.ListType(types.STR)),
        "api_key_env": TEXT,
        "pure": _fixed(types.BOOL),
        "effect": _fixed(types.BOOL),
        "episode": _fixed(types.IntType(1, 1000)),
        "cache": _fixed(types.BOOL),
        "timeout": _fixed(_LIMIT_S),
        "retry": _DECODING["retry"],
    },
    "dataset": {
        "source": _fixed(types.STR),
        "columns": _EXPRESSION,
        "split": _EXPRESSION,
        "seed": _fixed(types.INT),
        "from": _EXPRESSION,
        "over": _EXPRESSION,
        "where": _EXPRESSION,
        "n": _fixed(types.IntType(1, MOST_MADE)),
    },
    "store": {
        "key": _EXPRESSION,
        "find": _EXPRESSION,
        "keep": _fixed(types.IntType(1, MOST_KEPT)),
        "path": TEXT,
        "url": TEXT,
    },
    "optimize": {
        "data": _EXPRESSION,
        "metric": _EXPRESSION,
        "steps": _EXPRESSION,
        "budget": _group(**_BUDGET, minutes=types.FloatType(0.0, None)),
        "seed": _fixed(types.INT),
        "keep": _EXPRESSION,
        "guards": _EXPRESSION,
        "objective": TEXT,
    },
}


def read(
    env: Env, kind: str, settings: Sequence[nodes.Setting]
) -> tuple[dict[str, Any], dict[str, nodes.Expr]]:
    """Read the settings of a body: the constants and the expressions, by key."""
    table, values, exprs = TABLE[kind], {}, {}
    for setting in _distinct(env, settings):
        key = setting.key.name
        spec = table.get(key)
        if spec is None:
            report_unknown_key(env, setting.key, table, f"`{kind}`", _named_instead(kind, setting))
        elif spec.takes == "expression" or (
            spec.or_expression and not _of_constants(env, setting.value)
        ):
            exprs[key] = setting.value
        else:
            value = value_of(env.hinted(key), setting.value, spec, key)
            if value is not types.ERROR:
                values[key] = value
    return values, exprs


def _of_constants(env: Env, expr: nodes.Expr) -> bool:
    """Whether an expression has no names but those of constants, so that it needs no run."""
    todo: list[nodes.SyntaxNode] = [expr]
    while todo:
        node = todo.pop()
        if isinstance(node, nodes.Var):
            declared = env.file.names.get(node.name)
            constant = declared and isinstance(declared.decl, nodes.ConstantDecl)
            imported = declared and isinstance(declared.meaning, ConstantDef)
            if not (constant or imported):
                return False
        todo += nodes.children(node)
    return True


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


_INSTRUCTIONS = ("prompt", "instruction", "instructions", "system", "description", "task")
_TOLD = "the instruction is the text that stands first in the braces, without a key"
_SOURCES = ("path", "file", "url", "from", "data", "rows")  # as others call where rows are
NAMES_OF_MODELS = ("provider", "model", "id", "engine")  # as other tools call the name of a model


def report_unknown_key(
    env: Env, key: nodes.Ident, known: Iterable[str], owner: str, help: str | None = None
) -> None:
    """Report a key that its owner does not have."""
    if key.name in _INSTRUCTIONS and "demos" in known:
        help = _TOLD
    elif key.name in _INSTRUCTIONS:
        help = "an instruction belongs in a module that asks a model, first in its braces"
    known_keys = f"it takes {', '.join(f'`{k}`' for k in known)}"
    message = f"{owner} has no setting `{key.name}`"
    help = help or suggestion(key.name, known, known_keys)
    env.ctx.report("unknown-setting", message, key.span, help=help)


def _named_instead(kind: str, setting: nodes.Setting) -> str | None:
    """The help for a model's name, or for where rows are, under another key."""
    if kind == "dataset" and setting.key.name in _SOURCES:
        return f"write `source: {setting.value.span.text}`"
    if kind != "model" or setting.key.name not in NAMES_OF_MODELS:
        return None
    given = setting.value
    name = with_provider(given.value) if isinstance(given, nodes.String) else "provider/name"
    return f'write `name: "{name}"`'


def value_of(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    """The JSON value or Choice of a setting. ERROR if it is wrong; that has been reported."""
    if isinstance(expr, nodes.Tune):
        return _choice(env, expr, spec, key)
    return _plain(env, expr, spec, key)


def _choice(env: Env, expr: nodes.Tune, spec: SettingSpec, key: str) -> Any:
    if not spec.tunable:
        env.ctx.report("misplaced-tune", f"`{key}` cannot be tuned", expr.span)
        return types.ERROR
    before = len(env.ctx.diagnostics)

    def option(env: Env, option: nodes.Expr) -> Any:
        return _plain(env, option, spec, key)

    for end in range_ends(expr):
        inference.check(env, end, types.INT, "the end of a range")
    values = tune_values(env, expr, option)
    if values is None or len(env.ctx.diagnostics) > before:
        return types.ERROR
    for part in expr.options:
        if isinstance(part, nodes.TuneRange) and not _holds_range(env, part, spec.takes):
            message = f"`{key}` does not accept every int in `{part.span.text}`"
            env.ctx.report("out-of-range", message, part.span)
            return types.ERROR
    return env.ctx.add_choice(expr, env.owner, key, values)


def _holds_range(env: Env, option: nodes.TuneRange, takes: Type | Special) -> bool:
    low, high = (evaluate(env.ctx.program, end) for end in (option.low, option.high))
    return isinstance(takes, Type) and is_subtype(types.IntType(low, high), takes)


def _plain(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if isinstance(spec.takes, Type):
        before = len(env.ctx.diagnostics)
        value = constant(env, expr, spec.takes, f"`{key}`")
        return value if len(env.ctx.diagnostics) == before else types.ERROR
    return _SPECIAL[spec.takes](env, expr, spec, key)


def _model(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.Var):
        name = with_provider(expr.value) if isinstance(expr, nodes.String) else "provider/name"
        env.ctx.report(
            "model-needed",
            f"`{key}` must name a declared model",
            expr.span,
            help=f'declare `model m {{ name: "{name}" }}`, and write `m` here',
        )
        return types.ERROR
    declared = named(env, expr, nodes.ModelDecl, "model")
    if declared is None or not isinstance(declared.meaning, ModelDef):
        return types.ERROR
    env.ctx.refer(expr, declared.meaning)
    return declared.meaning.name


def _models(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.ListLit):
        env.ctx.report("model-needed", f"`{key}` must be a list of declared models", expr.span)
        return types.ERROR
    names = [_model(env, item, spec, key) for item in expr.items]
    return types.ERROR if types.ERROR in names else names


def named(
    env: Env, expr: nodes.Var | nodes.Ident, decl: type | tuple[type, ...], what: str
) -> Declared | None:
    """The declaration that a name refers to. Reports one of another kind."""
    declared = env.file.find(expr.name, expr.span, env.ctx)
    if declared is None:
        known = [n for n, d in env.file.names.items() if isinstance(d.decl, decl)]
        inference.report_unknown(env, expr.name, expr.span, known, what)
        return None
    if isinstance(declared.decl, decl):
        return declared
    if not isinstance(declared.meaning, types.ErrorType):
        kind = inference.describe(declared)
        place = Label(declared.ident.span, "declared here")
        env.ctx.report("wrong-kind", f"`{expr.name}` is {kind}, not a {what}", expr.span, place)
    return None


_NAME = re.compile(r"\w[\w.+@-]{0,99}(/[\w.+@-]{1,99}){0,3}", re.ASCII)  # as servers have them


def _name(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    """A name; one that is no word of the language stands in quotes."""
    if isinstance(expr, nodes.Var):
        return expr.name
    if isinstance(expr, nodes.String) and _NAME.fullmatch(expr.value):
        return expr.value
    env.ctx.report(
        "name-needed",
        f"`{key}` must be a name, without quotes, or in quotes if it has `-`, `.` or `/`",
        expr.span,
        help=f'write `{key}: name`, or `{key}: "org/my-name"`',
    )
    return types.ERROR


def _group_value(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    if not isinstance(expr, nodes.ObjectLit):
        keys = ", ".join(f"{k}: …" for k in spec.keys)
        env.ctx.report(
            "object-needed", f"`{key}` must be an object", expr.span, help=f"write `{{{keys}}}`"
        )
        return types.ERROR
    values: dict[str, Any] = {}
    settings = [nodes.Setting(key=p.key, value=p.value, span=p.span) for p in expr.pairs]
    for part in _distinct(env, settings):
        inner = spec.keys.get(part.key.name)
        if inner is None:
            report_unknown_key(env, part.key, spec.keys, f"`{key}`")
        else:
            values[part.key.name] = value_of(env, part.value, inner, part.key.name)
    return types.ERROR if any(v is types.ERROR for v in values.values()) else values


def _tokens(env: Env, expr: nodes.Expr, spec: SettingSpec, key: str) -> Any:
    value = expr.value if isinstance(expr, nodes.Tokens) else None
    if type(value) is int and 0 < value < 2**31:
        return value
    number = expr.value if isinstance(expr, nodes.Number | nodes.Tokens) else 4000
    help = f"write `{key}: {max(1, round(number))} tokens`" if number < 2**31 else None
    message = f"`{key}` must be a whole number of tokens"
    env.ctx.report("tokens-needed", message, expr.span, help=help)
    return types.ERROR


_SPECIAL: Mapping[str, Callable[[Env, nodes.Expr, SettingSpec, str], Any]] = {
    "model": _model,
    "models": _models,
    "name": _name,
    "group": _group_value,
    "tokens": _tokens,
}
