"""Declarations in words: their heads, notes and costs, for hovers, completions and signatures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from lmc.check import OptimizerSignature
from lmc.check.builtins import FUNCTIONS, BuiltinFunction
from lmc.check.optimizer_options import literal
from lmc.check.scope import Declared
from lmc.editor.inspected import Inspected
from lmc.editor.symbols import Symbol
from lmc.frozen import frozen
from lmc.syntax import nodes
from lmc.types import BUILTIN_RECORDS, RecordType

_FEW = 12  # fields or variants that are shown


@frozen
class Parameter:
    """A parameter as a call sees it: its name, its text in the head, and what is said about it."""

    name: str
    text: str
    about: str = ""


@frozen
class Heading:
    """What can be called: `name(a: str) -> str`, with notes."""

    name: str
    parameters: tuple[Parameter, ...]
    result: str = ""
    about: str = ""
    repeats: bool = False  # the last parameter may be given many times

    @property
    def label(self) -> str:
        """The head on one line."""
        given = ", ".join(p.text for p in self.parameters)
        return f"{self.name}({given}{', …' * self.repeats}){self.result and f' -> {self.result}'}"


def source_text(node: nodes.SyntaxNode | None) -> str:
    """The text of a node on one line."""
    return " ".join(node.span.text.split()) if node is not None else ""


def doc_of(decl: nodes.SyntaxNode) -> str:
    """The docstring of a declaration."""
    doc = getattr(decl, "doc", None) or getattr(getattr(decl, "body", None), "doc", None)
    return doc.text if isinstance(doc, nodes.Doc) else ""


def note_of(node: nodes.SyntaxNode) -> str:
    """The note of a field, a variant or a parameter."""
    note = getattr(node, "note", None)
    return note.value if isinstance(note, nodes.String) else ""


# --- what can be called ---


def head_of(decl: nodes.Decl) -> Heading | None:
    """The head of a declaration, None if it cannot be called."""
    if isinstance(decl, nodes.RecordDecl):
        parts = (_parameter(field, field.default) for field in decl.fields)
        return Heading(decl.name.name, tuple(parts), decl.name.name, doc_of(decl))
    signature = getattr(decl, "signature", None)
    if not isinstance(signature, nodes.SignatureDecl):
        return None
    name: str = decl.name.name  # type: ignore[attr-defined]
    parts = (_parameter(param, param.default, train=param.train) for param in signature.params)
    return Heading(name, tuple(parts), source_text(signature.result), doc_of(decl))


def _parameter(
    node: nodes.FieldDecl | nodes.ParamDecl, default: nodes.Expr | None, *, train: bool = False
) -> Parameter:
    text = f"{'train ' * train}{node.name.name}: {source_text(node.type)}"
    return Parameter(
        node.name.name, text + (f" = {source_text(default)}" if default else ""), note_of(node)
    )


def builtin_head(name: str) -> Heading | None:
    """The head of a built-in function or record."""
    if (record := BUILTIN_RECORDS.get(name)) is not None:
        parts = (Parameter(f.name, f"{f.name}: {f.type}", f.note) for f in record.fields)
        return Heading(name, tuple(parts), name, record.doc)
    function = FUNCTIONS.get(name)
    return _function_head(function) if function is not None else _OTHERS.get(name)


def _function_head(function: BuiltinFunction) -> Heading:
    parts = (
        Parameter(p.name, p.name if p.required else f"{p.name}?", p.wants) for p in function.params
    )
    return Heading(function.name, tuple(parts), "", function.meaning, function.variadic)


_OF_MEDIA = (Parameter("name", "name", "the name of a file beside the program, written out"),)
_ANSWER = (Parameter("x", "x", "what a module gave"),)
_OTHERS = {
    "zip": Heading("zip", (Parameter("xs", "xs", "a list"),), "", "walks through lists", True),
    "enumerate": Heading(
        "enumerate", (Parameter("xs", "xs", "a list"),), "", "walks through a list with numbers"
    ),
    "certainty": Heading("certainty", _ANSWER, "float", "how certain the model was of its answer"),
    "logprob": Heading(
        "logprob", _ANSWER, "float", "the mean log-probability of an answer's tokens"
    ),
    "turns": Heading("turns", _ANSWER, "messages", "what an agent did for its answer"),
    **{
        kind: Heading(kind, _OF_MEDIA, kind, f"the {kind} in a file beside the program")
        for kind in ("image", "audio", "pdf")
    },
}


def optimizer_head(signature: OptimizerSignature) -> Heading:
    """The head of an optimizer: all its options with their defaults."""
    parts = (
        Parameter(
            name,
            f"{name}: {option.type}"
            + (f" = {literal(option.default)}" if option.default is not None else ""),
            option.about,
        )
        for name, option in signature.options.items()
    )
    return Heading(signature.name, tuple(parts))


def optimizer_words(name: str) -> str:
    """What an optimizer does, and its paper. The first call imports the optimizers."""
    from lmc.optimizers.compilation.catalog import BY_NAME

    found = BY_NAME.get(name)
    return f"{found.summary}\n\n{found.paper}" if found is not None else ""


# --- declarations ---


def code(text: str) -> str:
    """A block of program text in Markdown."""
    return f"```lmp\n{text}\n```"


def told(symbol: Symbol, seen: Inspected) -> str:
    """Everything about a symbol, as Markdown."""
    parts = [code(declaration(symbol, seen))]
    if note := note_of(symbol.node):
        parts.append(note)
    if not symbol.is_inner:
        parts += [doc_of(symbol.node)] * bool(doc_of(symbol.node))
        parts += _cost(symbol, seen)
        parts += _paper(symbol, seen)
    return "\n\n".join(parts)


def declaration(symbol: Symbol, seen: Inspected) -> str:
    """The head of what declares a symbol, as a program writes it."""
    node, name = symbol.node, symbol.ident.name
    match node:
        case nodes.RecordDecl(fields=parts):
            return f"record {name} {{ {_some(f'{source_text(p)}' for p in parts)} }}"
        case nodes.EnumDecl(variants=parts):
            return f"enum {name} {{ {_some((v.name.name for v in parts), ' ')} }}"
        case nodes.FieldDecl() | nodes.VariantDecl():
            owner = getattr(symbol.owner, "name", None)
            return f"{owner.name if owner else ''}.{source_text(node)}"
        case nodes.TypeDecl() | nodes.ParamDecl():
            return source_text(node)
        case nodes.DatasetDecl(row=row) | nodes.StoreDecl(record=row):
            return f"{symbol.kind} {name}: {source_text(row)}"
        case nodes.ModelDecl(settings=settings):
            named = next((s for s in settings if s.key.name == "name"), None)
            return f"model {name} {{ {source_text(named)} }}" if named else f"model {name}"
        case nodes.ToolDecl(target=target):
            head = head_of(node)
            return f"tool {head.label if head else name} from {source_text(target)}"
        case nodes.Decl() if (head := head_of(node)) is not None:
            return f"{symbol.kind} {head.label}"
    return f"{'let ' * (symbol.kind == 'let')}{name}: {type_of(symbol, seen)}"


def type_of(symbol: Symbol, seen: Inspected) -> str:
    """The type of a local name or constant."""
    node, known = symbol.node, seen.inspection.program.types
    declared = getattr(node, "type", None)
    if isinstance(declared, nodes.TypeExpr):
        return source_text(declared)
    for use, place in seen.inspection.context.uses:
        if place.start == symbol.ident.span.start and place.source is symbol.ident.span.source:
            found = seen.local_types.get((use.source.name, use.start))
            if found is not None:
                return str(found)
    value = getattr(node, "value", None) or getattr(node, "start", None)
    return str(known.get(id(value), "?"))


def _some(parts: Iterator[str], between: str = ", ") -> str:
    listed = list(parts)
    return between.join(listed[:_FEW]) + (f"{between}…" if len(listed) > _FEW else "")


def _cost(symbol: Symbol, seen: Inspected) -> list[str]:
    found = seen.costs.get(symbol.ident.name) if _is_of_entry(symbol, seen) else None
    if found is None:
        return []
    return [cost_words(found.calls, found.baseline, found.formula)]


def cost_words(calls: float, baseline: float, formula: str = "") -> str:
    """The worst case in words."""
    tuned = "" if baseline == calls else f" (untuned {number(baseline)})"
    plain = formula in ("", number(calls))
    how = "" if plain else f" = `{formula if len(formula) < 200 else formula[:200] + '…'}`"
    return f"At most {number(calls)} model call{'s' * (calls != 1)}{tuned}{how}"


def number(calls: float) -> str:
    """A number of calls."""
    return "any number of" if math.isinf(calls) else f"{calls:,g}"


def _is_of_entry(symbol: Symbol, seen: Inspected) -> bool:
    return symbol.ident.span.source is seen.source


def _paper(symbol: Symbol, seen: Inspected) -> Sequence[str]:
    """The comment at the head of a library program, which names its paper."""
    tree = seen.trees.get(symbol.ident.span.source.name)
    source = symbol.ident.span.source
    if tree is None or source.path is not None or source is seen.source:
        return ()
    head = head_comment(tree)
    return (f"{head}\n\n`{source.name}`",) if head else (f"`{source.name}`",)


def head_comment(tree: nodes.FileTree) -> str:
    """The comment that begins a file, on one line; without the line that shows the import."""
    first = min((decl.span.start for decl in tree.decls), default=len(tree.source.text))
    lines = [c.text.lstrip("# ") for c in tree.comments if c.own_line and c.span.start < first]
    return " ".join(line for line in lines if not line.startswith('from "'))


def fields_of(record: RecordType, declared: Declared | None) -> Iterator[tuple[str, str, str]]:
    """The fields of a record: name, type and note."""
    for field in record.fields:
        yield field.name, str(field.type), field.note
