"""Prints a tree in one canonical form, without comments and the spelling of its literals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lmc.syntax import nodes as n
from lmc.syntax.literals import quote, quote_inside

_IF, _NOT, _COMPARE, _COALESCE, _SUM, _MINUS, _POSTFIX, _ATOM = 0, 3, 4, 5, 6, 8, 9, 10
_BINARY = {
    **{"or": 1, "and": 2},
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), _COMPARE),
    **{"??": _COALESCE, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7},
}


def print_tree(module: n.FileTree) -> str:
    """Print a tree as a program that parses to an equal tree. Layout is for `format_source`."""
    return "".join(_decl(decl) + "\n" for decl in module.decls)


# --- declarations ---


def _decl(decl: n.Decl) -> str:
    match decl:
        case n.Import(path, items):
            names = (i.name.name + (f" as {i.alias.name}" if i.alias else "") for i in items)
            return f"from {quote(path.value)} import {', '.join(names)}"
        case n.RecordDecl(name, doc, fields, depth):
            bound = f"({depth.key.name}: {depth.bound!r})" if depth else ""
            return f"record {name.name}{bound} {_braces(doc, map(_field, fields))}"
        case n.EnumDecl(name, doc, variants):
            return f"enum {name.name} {_braces(doc, map(_variant, variants))}"
        case n.TypeDecl(name, type):
            return f"type {name.name} = {_type(type)}"
        case n.ConstantDecl(name, type, value):
            return f"let {_typed(name, type)} = {_expr(value)}"
        case n.ModelDecl(name, settings):
            return f"model {name.name} {_settings(settings)}"
        case n.DefaultDecl(settings):
            return f"default {_settings(settings)}"
        case n.DatasetDecl(name, row, settings):
            return f"dataset {name.name}: {_type(row)} {_settings(settings)}"
        case n.StoreDecl(name, record, settings):
            return f"store {name.name}: {_type(record)} {_settings(settings)}"
        case n.OptimizeDecl(target, settings):
            return f"optimize {target.name} {_settings(settings)}"
        case n.ExampleDecl(target, args, result):
            return f"example {target.name}({_args(args)}) -> {_expr(result)}"
        case n.TestDecl(title, body):
            return f"test {quote(title.value)} {_block(body)}"
        case _:
            return _callable(decl)


def _callable(decl: n.Decl) -> str:
    match decl:
        case n.ToolDecl(name, signature, target, settings, doc):
            body = f" {_settings(settings, doc)}" if settings or doc else ""
            head = _signature(signature) if signature else ""
            return f"tool {name.name}{head} from {quote(target.value)}{body}"
        case n.ModuleDecl(kind, name, signature, doc, settings):
            bare = not decl.has_body and doc is None and not settings
            return f"{kind} {name.name}{_signature(signature)}" + (
                "" if bare else " " + _settings(settings, doc)
            )
        case n.PipelineDecl(name, signature, body):
            return f"pipeline {name.name}{_signature(signature)} {_block(body)}"
        case n.MetricDecl(name, signature, block, target):
            end = _block(block) if block else f"from {quote(target.value if target else '')}"
            return f"metric {name.name}{_signature(signature)} {end}"
    raise TypeError(type(decl))


def _braces(doc: n.Doc | None, items: Iterable[str]) -> str:
    head = [("frozen " if doc.frozen else "") + quote(doc.text)] if doc else []
    return "{ " + " ".join([*head, *items]) + " }"


def _settings(settings: Sequence[n.Setting], doc: n.Doc | None = None) -> str:
    return _braces(doc, (f"{s.key.name}: {_expr(s.value)}" for s in settings))


def _field(field: n.FieldDecl) -> str:
    told = _default(field.default) + _note(field.note) + _alias(field.alias)
    return f"{field.name.name}: {_type(field.type)}{told}"


def _variant(variant: n.VariantDecl) -> str:
    """A variant with a comma, since the next one may be called `as`."""
    return f"{variant.name.name}{_note(variant.note)}{_alias(variant.alias)},"


def _note(note: n.String | None) -> str:
    return f" {quote(note.value)}" if note else ""


def _alias(alias: n.String | None) -> str:
    return f" as {quote(alias.value)}" if alias else ""


def _default(value: n.Expr | None) -> str:
    return f" = {_expr(value)}" if value else ""


def _signature(signature: n.SignatureDecl) -> str:
    return f"({', '.join(map(_param, signature.params))}) -> {_type(signature.result)}"


def _param(param: n.ParamDecl) -> str:
    train = "train " if param.train else ""
    return (
        f"{train}{param.name.name}: {_type(param.type)}{_default(param.default)}{_note(param.note)}"
    )


# --- types ---


def _type(type: n.TypeExpr) -> str:
    match type:
        case n.NamedType(name, args, refinements):
            inner = f"[{', '.join(map(_type, args))}]" if args else ""
            limits = f"({', '.join(map(_refinement, refinements))})" if refinements else ""
            return name.name + inner + limits
        case n.OptionalTypeExpr(n.OptionalTypeExpr() as item):
            return f"({_type(item)})?"
        case n.OptionalTypeExpr(item):
            return f"{_alone(item)}?"
        case n.LiteralTypeExpr(value):
            return quote(value)
        case n.UnionTypeExpr(options):
            return " | ".join(map(_alone, options))
    raise TypeError(type)


def _alone(type: n.TypeExpr) -> str:
    """A type where a `|` or `?` stands beside it."""
    return f"({_type(type)})" if isinstance(type, n.UnionTypeExpr) else _type(type)


def _refinement(refinement: n.Refinement) -> str:
    match refinement:
        case n.RangeRefinement(low, high):
            return "..".join(map(_bound, (low, high)))
        case n.LabelsRefinement(name):
            return name.name
        case n.PatternRefinement(pattern):
            return _pattern_text(pattern)
        case n.UniqueRefinement():
            return "unique"
    raise TypeError(refinement)


def _pattern_text(pattern: str) -> str:
    """A pattern without escapes, if it can be written so."""
    plain = "\\" in pattern and '"' not in pattern and not pattern.endswith("\\")
    return f'r"{pattern}"' if plain and pattern.isprintable() else quote(pattern)


def _bound(end: n.Bound) -> str:
    if isinstance(end, n.Expr):
        return _expr(end, _SUM)
    return "" if end is None else quote(end) if isinstance(end, str) else str(end)


# --- statements ---


def _block(block: n.Block) -> str:
    return _braces(block.doc, map(_stmt, block.stmts))


def _stmt(stmt: n.Stmt) -> str:
    match stmt:
        case n.Let(name, type, value):
            return f"let {_typed(name, type)} = {_rhs(value)}"
        case n.Keep(value, store):
            return f"keep {_expr(value, _COALESCE)} in {store.name}"
        case n.If():
            links = [f"if {_expr(i.condition)} {_block(i.then)}" for i in stmt.chain()]
            return " else ".join([*links, *([_block(stmt.last)] if stmt.last else [])])
        case n.Return(value):
            return f"return {_rhs(value)}"
        case n.Yield(value):
            return f"yield {_expr(value)}"
        case n.Assert(condition, message):
            return f"assert {_expr(condition)}" + (
                f", {quote(message)}" if message is not None else ""
            )
        case n.Stub(target, value):
            return f"stub {target.name} -> {_expr(value)}"
    raise TypeError(stmt)


def _typed(name: n.Ident, type: n.TypeExpr | None) -> str:
    return f"{name.name}: {_type(type)}" if type else name.name


def _rhs(value: n.Expr) -> str:
    match value:
        case n.Loop(name, type, start, bound, until, body):
            end = f" until {_expr(until)}" if until else ""
            head = f"loop {_typed(name, type)} = {_expr(start)} for {_expr(bound)}{end}"
            return f"{head} {_block(body)}"
    return _expr(value)


# --- expressions ---


def _expr(expr: n.Expr, at_least: int = _IF) -> str:
    """Print an expression, in parentheses if it binds more loosely than its place allows."""
    binding, text = _operation(expr)
    return text if binding >= at_least else f"({text})"


def _operation(expr: n.Expr) -> tuple[int, str]:
    match expr:
        case n.IfExpr():
            chain = expr.chain()
            links = (f"if {_expr(i.condition)} then {_expr(i.then)}" for i in chain)
            return _IF, " else ".join([*links, _expr(chain[-1].otherwise)])
        case n.Binary():
            return _chain(expr.chain())
        case n.Unary("not", operand):
            return _NOT, f"not {_expr(operand, _NOT)}"
        case n.Unary(_, operand):
            return _MINUS, f"-{_expr(operand, _MINUS)}"
        case n.Attr(value, name, optional):
            return _POSTFIX, f"{_expr(value, _POSTFIX)}{'?.' if optional else '.'}{name.name}"
        case n.Index(value, index):
            return _POSTFIX, f"{_expr(value, _POSTFIX)}[{_expr(index)}]"
        case n.Slice(value, start, stop):
            ends = ":".join(_expr(end) if end else "" for end in (start, stop))
            return _POSTFIX, f"{_expr(value, _POSTFIX)}[{ends}]"
        case n.RecordUpdate(value, pairs):
            return _POSTFIX, f"{_expr(value, _POSTFIX)} with {_object(pairs)}"
        case n.Call(target, args):
            return _POSTFIX, f"{_expr(target, _POSTFIX)}({_args(args)})"
    return _ATOM, _atom(expr)


def _chain(links: list[n.Binary]) -> tuple[int, str]:
    left, text = _operation(links[0].left)
    for link in links:
        binding = _BINARY[link.op]
        if left < binding + (binding == _COMPARE):
            text = f"({text})"
        left, text = binding, f"{text} {link.op} {_expr(link.right, binding + 1)}"
    return left, text


def _atom(expr: n.Expr) -> str:
    match expr:
        case n.Var(name):
            return name
        case n.Number(value):
            return repr(value)
        case n.Tokens(value):
            return f"{value!r} tokens"
        case n.String(text):
            return quote(text)
        case n.Bool(value):
            return "true" if value else "false"
        case n.NoneLit():
            return "none"
        case n.ListLit(items):
            return f"[{', '.join(map(_expr, items))}]"
        case n.ObjectLit(pairs):
            return _object(pairs)
        case n.Interpolated(texts, values):
            return _interpolated(texts, values)
        case n.Selector(name):
            return f".{name.name}"
        case n.Tune(options):
            return f"tune[{', '.join(map(_tune_option, options))}]"
    return _compound(expr)


def _compound(expr: n.Expr) -> str:
    match expr:
        case n.Comprehension(item, names, iterable, condition):
            test = f" if {_expr(condition)}" if condition else ""
            bound = ", ".join(name.name for name in names)
            return f"[{_expr(item)} for {bound} in {_expr(iterable)}{test}]"
        case n.Samples(item, count):
            return f"[{_expr(item)} for {_expr(count, _SUM)}]"
        case n.Match(subject, arms):
            inner = (f"{_pattern(arm.pattern)} => {_expr(arm.value)}" for arm in arms)
            return f"match {_expr(subject)} {{ {', '.join(inner)} }}"
    raise TypeError(type(expr))


def _object(pairs: Sequence[n.KeyValue]) -> str:
    return "{" + ", ".join(f"{_key(p.key.name)}: {_expr(p.value)}" for p in pairs) + "}"


def _interpolated(texts: Sequence[str], values: Sequence[n.Expr]) -> str:
    """An f-string on one line. A value that starts with `{` has a space before it."""
    first, *rest = map(quote_inside, texts)
    shown = (f" {v} " if v.startswith("{") else v for v in map(_expr, values))
    inner = (f"{{{value}}}{text}" for value, text in zip(shown, rest))
    return f'f"{first}{"".join(inner)}"'


def _args(args: Sequence[n.Arg]) -> str:
    return ", ".join((f"{a.name.name}=" if a.name else "") + _expr(a.value) for a in args)


def _key(name: str) -> str:
    plain = name.isascii() and name.isidentifier() and name[0] != "_"
    return name if plain else quote(name)


def _tune_option(option: n.Expr | n.TuneRange) -> str:
    if isinstance(option, n.TuneRange):
        return f"{_expr(option.low)}..{_expr(option.high)}"
    return _expr(option)


def _pattern(pattern: n.NamePattern | n.StringPattern | n.Wildcard) -> str:
    match pattern:
        case n.NamePattern(names):
            return " | ".join(name.name for name in names)
        case n.StringPattern(values):
            return " | ".join(map(quote, values))
        case n.Wildcard():
            return "_"
