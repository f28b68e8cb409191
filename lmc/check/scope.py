"""Scopes: the names that a file declares and imports, and those that a body binds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path as FolderPath
from typing import Any, Literal

from lmc.check.optimizer_options import OptimizerSignature
from lmc.check.program import CheckedProgram, Choice, Def, Referent
from lmc.diagnostics import Diagnostic, Label, error, warning
from lmc.source import Span
from lmc.syntax import nodes
from lmc.types import EnumType, RecordType, Type

Path = tuple[str, ...]  # `a.b.c`
BodyKind = Literal["pipeline", "metric", "loop", "test", "module", "constant"]

_DECLARING = (
    *("record", "enum", "type", "model", "tool", "generate", "critique", "refine", "vote"),
    *("search", "agent", "route"),
    *("pipeline", "dataset", "store", "metric", "let", "import"),
)


@dataclass(slots=True, eq=False)
class Declared:
    """A name of a file: its declaration and, once defined, its meaning. ERROR if it has none."""

    ident: nodes.Ident
    decl: nodes.Decl
    file: File
    meaning: Any = None  # a Referent, Type, DatasetDef
    state: Literal["new", "done"] = "new"
    used: bool = False


@dataclass(slots=True, eq=False)
class File:
    """One file: its tree, the prefix of its qualified names, and its names."""

    tree: nodes.FileTree
    prefix: str
    broken: bool = False  # it has syntax errors, so some names may be missing
    names: dict[str, Declared] = field(default_factory=dict)
    imported: dict[str, tuple[nodes.Ident, bool]] = field(default_factory=dict)  # (place, used)

    def may_have_lost(self, name: str) -> bool:
        """Whether the syntax errors of the file may hide the declaration of a name."""
        text = self.tree.source.text
        words = rf"\b({'|'.join(_DECLARING)})\s+{re.escape(name)}\b"
        return self.broken and re.search(words, text) is not None

    def find(
        self, name: str, place: Span | None = None, ctx: CheckContext | None = None
    ) -> Declared | None:
        """The declaration of a name. Marks an import of it as used, and notes the place."""
        if name in self.imported:
            self.imported[name] = (self.imported[name][0], True)
        declared = self.names.get(name)
        if declared is not None and place is not None and ctx is not None:
            ctx.use(place, declared.ident.span)
        return declared


@dataclass(slots=True, eq=False)
class CheckContext:
    """Collects the results of checking one program."""

    program: CheckedProgram
    rules: Mapping[type, Callable[..., Type]]  # how each class of expression is inferred
    optimizers: Mapping[str, OptimizerSignature]
    diagnostics: list[Diagnostic] = field(default_factory=list)
    syntax: list[Diagnostic] = field(default_factory=list)
    damaged: list[Span] = field(default_factory=list)  # declarations with syntax errors
    calls: dict[str, list[tuple[Def, Span]]] = field(default_factory=dict)
    keeps: dict[str, list[tuple[Def, Span]]] = field(default_factory=dict)  # stores, by who keeps
    choice_ids: set[str] = field(default_factory=set)
    uses: list[tuple[Span, Span]] = field(default_factory=list)  # names, and where declared
    unknown: dict[int, Env] = field(default_factory=dict)  # scopes of unknown names, by start
    homes: dict[int, Declared] = field(default_factory=dict)  # of records and enums, by id(type)
    equal_homes: dict[Type, Declared] = field(default_factory=dict)  # the same, by the type
    media: Callable[[str, str, FolderPath], dict[str, Any]] = field(
        default=lambda kind, name, folder: {}
    )  # reads a file that the program names

    def report(
        self, code: str, message: str, *places: Span | Label | None, help: str | None = None
    ) -> None:
        """Add an error."""
        self.diagnostics.append(error(code, message, *places, help=help))

    def warn(
        self, code: str, message: str, *places: Span | Label | None, help: str | None = None
    ) -> None:
        """Add a warning."""
        self.diagnostics.append(warning(code, message, *places, help=help))

    def has_error_in(self, span: Span) -> bool:
        """Whether an error was reported inside a span."""
        places = (d.span for d in self.diagnostics if d.severity == "error" and d.span)
        return any(p.source is span.source and span.start <= p.start < span.end for p in places)

    def refer(self, node: nodes.SyntaxNode, referent: Referent) -> None:
        """Note what a node refers to."""
        self.program.referents[id(node)] = referent

    def settle(self, type: Type, declared: Declared) -> None:
        """Note where a record or an enum is declared."""
        self.homes[id(type)] = declared
        if isinstance(type, RecordType | EnumType):
            self.equal_homes.setdefault(type, declared)

    def home(self, type: Type) -> Declared | None:
        """Where a record or an enum is declared, or one that is equal to it."""
        return self.homes.get(id(type)) or self.equal_homes.get(type)

    def use(self, place: Span, declared: Span | None) -> None:
        """Note what an editor asks: where the name at a place is declared. None is skipped."""
        if declared is not None:
            self.uses.append((place, declared))

    def add_choice(
        self, tune: nodes.Tune, owner: str, key: str, options: tuple[Any, ...]
    ) -> Choice:
        """Give a `tune` its stable id: `owner.key`, then `owner.key_2` and so on."""
        name, number = f"{owner}.{key}", 1
        while name in self.choice_ids:
            number += 1
            name = f"{owner}.{key}_{number}"
        self.choice_ids.add(name)
        choice = self.program.choices[id(tune)] = Choice(name, options, tune.span)
        return choice


@dataclass(slots=True, eq=False)
class Binding:
    """A local name. `kind` names what bound it. With `must_use`, an unused one gives a warning.

    `source` is the call of a module or pipeline whose result it is.
    """

    name: str
    type: Type
    span: Span | None
    kind: str
    must_use: bool = False
    used: bool = False
    source: nodes.Call | None = None
    declared: Span | None = None  # of a parameter that a body has without a statement


@dataclass(slots=True, eq=False)
class Env:
    """The scope of an expression: its locals, the facts about them, and what is allowed in it."""

    ctx: CheckContext
    file: File
    owner: str  # qualified name of the declaration around
    kind: BodyKind
    result: Type | None = None  # what `return` or `yield` must give
    pure: str | None = None  # the setting here, if its expression must not call modules
    tunable: bool = True  # whether a `tune` is allowed here
    hint: str = "tune"  # the name for a `tune` found here
    locals: dict[str, Binding] = field(default_factory=dict)
    outer: Env | None = None
    facts: dict[Path, Type] = field(default_factory=dict)

    def nested(self, **changes: Any) -> Env:
        """A scope inside this one."""
        return replace(self, locals={}, outer=self, facts=dict(self.facts), **changes)

    def knowing(self, facts: Mapping[Path, Type]) -> Env:
        """This scope with more facts about its names."""
        return self.nested() if not facts else replace(self.nested(), facts={**self.facts, **facts})

    def hinted(self, hint: str) -> Env:
        """The same scope, with `hint` as the name for a `tune`."""
        return replace(self, hint=hint)

    def scopes(self) -> Iterator[Env]:
        """This scope and those around it."""
        env: Env | None = self
        while env is not None:
            yield env
            env = env.outer

    def find(self, name: str) -> Binding | None:
        """The local name, here or in an outer scope."""
        return next((e.locals[name] for e in self.scopes() if name in e.locals), None)

    def bind(self, ident: nodes.Ident, type: Type, kind: str, *, must_use: bool = False) -> None:
        """Bind a name. Reports a name that is already in use, here or in an outer scope."""
        earlier = self.find(ident.name)
        declared = None if kind == "parameter" else self.file.names.get(ident.name)
        if earlier is not None or declared is not None:
            what = earlier.kind if earlier else "declaration"
            place = earlier.span if earlier else declared.ident.span  # type: ignore[union-attr]
            self.ctx.report(
                "shadowed-name",
                f"the name `{ident.name}` is already used by a {what}",
                ident.span,
                place and Label(place, "first bound here"),
                help="choose another name",
            )
            if earlier is not None:
                return
        self.locals[ident.name] = Binding(ident.name, type, ident.span, kind, must_use)

    def assume(self, name: str, type: Type, kind: str, declared: Span | None = None) -> None:
        """Bind a name without a statement: a parameter, or a built-in name such as `out`."""
        self.locals[name] = Binding(name, type, None, kind, declared=declared)

    def visible(self) -> list[str]:
        """All local names in reach."""
        return [name for env in self.scopes() for name in env.locals]

    def warn_unused(self) -> None:
        """Warn about bindings of this scope that are never used."""
        for binding in self.locals.values():
            if binding.must_use and not binding.used:
                self.ctx.warn(
                    "unused-binding",
                    f"`{binding.name}` is never used",
                    Label(binding.span, binding.kind) if binding.span else None,
                )
