"""Stores: what a program remembers between its runs.

The name of a store is a value: the list of what was kept before the run began, oldest first.
`keep` adds to the store when the run ends. So expressions keep having no side effects.
"""

from __future__ import annotations

from typing import Any

from lmc import types
from lmc.check import inference, settings
from lmc.check.access import field_type
from lmc.check.program import ModelDef, StoreDef
from lmc.check.scope import CheckContext, Declared, Env
from lmc.check.subtyping import is_key
from lmc.diagnostics import Label
from lmc.syntax import nodes
from lmc.types import IntType, ListType, RecordType, Type
from lmc.unions import members

WORDS = "words"  # `find` compares words
DEFAULT_KEEP = 1000


def define_store(ctx: CheckContext, declared: Declared, record: Type, env: Env) -> Any:
    """The meaning of a `store`; ERROR if what it keeps is no record."""
    decl: nodes.StoreDecl = declared.decl  # type: ignore[assignment]
    values, exprs = settings.read(env, "store", decl.settings)
    if not all(isinstance(member, RecordType) for member in members(record)):
        if not isinstance(record, types.ErrorType):
            message = f"a store keeps records, but `{record}` is not one, nor a union of some"
            help = "declare a record, such as `record Note { text: str }`"
            ctx.report("store-not-record", message, decl.record.span, help=help)
        return types.ERROR
    _check_place(ctx, decl, values)
    store = StoreDef(
        declared.file.prefix + declared.ident.name,
        decl.span,
        record,
        _key(env, record, exprs.get("key")),
        _embedder(env, exprs.get("find")),
        values.get("keep", DEFAULT_KEEP),
        {key: values[key] for key in ("path", "url") if key in values},
    )
    ctx.program.stores[store.name] = store
    return store


def _key(env: Env, record: Type, expr: nodes.Expr | None) -> str | None:
    """The field whose value names a record of the store."""
    if expr is None:
        return None
    if not isinstance(expr, nodes.Selector):
        message = "`key` must be a field of what the store keeps"
        env.ctx.report("bad-store", message, expr.span, help="write `key: .field`")
        return None
    type = field_type(env, record, expr.name)
    if isinstance(type, types.ErrorType):
        return None
    if not is_key(type):
        message = f"`key` must be a string, an enum or an int, but `.{expr.name.name}` is `{type}`"
        env.ctx.report("bad-store", message, expr.span)
        return None
    return expr.name.name


def _embedder(env: Env, expr: nodes.Expr | None) -> str | None:
    """The model by whose vectors `find` compares; None to compare words."""
    if expr is None or (isinstance(expr, nodes.String) and expr.value == WORDS):
        return None
    help = f'write `find: "{WORDS}"`, or declare `model meaning {{ name: "embed/local" }}`'
    if not isinstance(expr, nodes.Var):
        message = f'`find` must be "{WORDS}" or the name of a model of embeddings'
        env.ctx.report("bad-store", message, expr.span, help=help)
        return None
    found = settings.named(env, expr, nodes.ModelDecl, "model")
    model = found.meaning if found is not None else None
    if not isinstance(model, ModelDef):
        return None
    env.ctx.refer(expr, model)
    name = model.settings.get("name", "")
    if name and not name.startswith("embed/"):
        message = f"`{expr.name}` is `{name}`, which gives no embeddings"
        env.ctx.report("bad-store", message, expr.span, help=help)
    return model.name


def _check_place(ctx: CheckContext, decl: nodes.StoreDecl, values: dict[str, Any]) -> None:
    place = next((s for s in decl.settings if s.key.name == "url"), None)
    if place is None or "url" not in values:
        return
    if "path" in values:
        message = "a store lies in a file, `path`, or in a database, `url`, but not in both"
        ctx.report("bad-store", message, place.span)
    head = values["url"].partition("://")[2].partition("/")[0]
    if ":" in head.rpartition("@")[0]:
        message = "the source of a program is no place for a password"
        help = "leave it out: the driver finds it (`PGPASSWORD`, `~/.pgpass`), or set LMC_STORES"
        ctx.report("password-in-source", message, place.value.span, help=help)


# --- reading ---


def store_of(env: Env, expr: nodes.Expr) -> StoreDef | None:
    """The store that an expression names, if it names one."""
    if not isinstance(expr, nodes.Var) or env.find(expr.name) is not None:
        return None
    declared = env.file.find(expr.name, expr.span, env.ctx)
    meaning = declared.meaning if declared is not None else None
    return meaning if isinstance(meaning, StoreDef) else None


def read_store(env: Env, expr: nodes.Var, store: StoreDef) -> Type:
    """The type of a store's name: the list of what it held when the run began."""
    env.ctx.refer(expr, store)
    if env.pure is not None or env.kind == "constant":
        what = f"`{env.pure}`" if env.pure else "a constant"
        message = f"{what} cannot read the store `{expr.name}`"
        help = "read it in a pipeline, and pass what was found as an input"
        env.ctx.report("impure-expression", message, expr.span, help=help)
    elif env.owner in env.ctx.program.metrics or env.kind == "test":
        message = f"the store `{expr.name}` is read by pipelines and modules only"
        stub = f"`stub {expr.name} -> […]` says what it holds" if env.kind == "test" else None
        env.ctx.report("misplaced-store", message, expr.span, help=stub)
    return ListType(store.record, None, store.keep)


def entry(env: Env, expr: nodes.Index, store: StoreDef) -> Type:
    """The type of `store[key]`: the record with this key, or none."""
    read_store(env, expr.value, store)  # type: ignore[arg-type]
    env.ctx.program.types[id(expr.value)] = ListType(store.record, None, store.keep)
    if store.key is None:
        message = f"`{expr.value.span.text}` has no `key`, so nothing in it has a name"
        inference.infer(env, expr.index)
        env.ctx.report("bad-store", message, expr.span, help="add `key: .field` to the store")
        return types.ERROR
    fields = [m.get(store.key) for m in members(store.record) if isinstance(m, RecordType)]
    wanted = {types_of_key(field.type) for field in fields if field is not None}
    key = wanted.pop() if len(wanted) == 1 else types.STR
    inference.check(env, expr.index, key, "the key of a store")
    return types.OptionalType(store.record)


def types_of_key(field: Type) -> Type:
    """What may stand for a key: any string for a string, any int for an int."""
    if isinstance(field, types.EnumType | types.LiteralType):
        return field
    return types.INT if isinstance(field, IntType) else types.STR


# --- writing ---


def check_keep(env: Env, stmt: nodes.Keep) -> None:
    """Check `keep value in store`."""
    declared = settings.named(env, stmt.store, nodes.StoreDecl, "store")
    store = declared.meaning if declared is not None else None
    if not isinstance(store, StoreDef):
        inference.infer(env, stmt.value)
        return
    env.ctx.refer(stmt.store, store)
    env.ctx.keeps.setdefault(env.owner, []).append((store, stmt.span))
    if env.owner not in env.ctx.program.pipelines:
        message = "`keep` is allowed only in pipelines"
        env.ctx.report("misplaced-keep", message, stmt.span, help="tests and metrics keep nothing")
    assert declared is not None
    why = f"what `{stmt.store.name}` keeps"
    place = Label(declared.ident.span, "declared here")
    inference.check(env, stmt.value, store.record, why, place.span)
