"""Random well-typed programs, as text: all types and forms of the language, small bounds.

A program may be in two files: then `main` imports what stands in the other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.test_soundness.expressions import MadeCallable
from tests.test_soundness.kinds import BOOL, GIVEN_ONLY, Kind, Scope
from tests.test_soundness.modules import ModuleMaker

OTHER = "parts.lmp"  # the file that some programs import from
_NAME = re.compile(r"(?:let|\w+) (\w+)")


@dataclass(frozen=True)
class ProgramText:
    """The text of a program, and of the file that it imports from, if there is one."""

    main: str
    parts: str | None = None

    @property
    def sources(self) -> dict[str, str]:
        """The files that `main` imports, by name."""
        return {} if self.parts is None else {OTHER: self.parts}


class ProgramMaker(ModuleMaker):
    """Makes one program from one seed."""

    def make(self) -> ProgramText:
        """The text of the program. Its entry is `main`."""
        rng = self.rng
        self.declare_types()
        for _ in range(rng.randint(0, 2)):
            self.constant()
        for _ in range(rng.randint(1, 3)):
            self.generate()
        for _ in range(rng.randint(0, 2)):
            rng.choice([self.tool, self.critique, self.labels, self.environment])()
        if rng.random() < 0.15:
            self.store()
        for _ in range(rng.randint(0, 2)):
            rng.choice([self.vote, self.refine, self.route, self.search, self.agent])()
        apart = len(self.decls) if rng.random() < 0.15 else 0
        if rng.random() < 0.5:
            self.pipeline(self.fresh("p"), 2)
        self.pipeline("main", 3)
        return self.divided(apart)

    def divided(self, apart: int) -> ProgramText:
        """The program in one file, or with its first declarations in another one."""
        if not apart:
            return ProgramText("\n".join(self.decls) + "\n")
        names = [found[1] for found in map(_NAME.match, self.decls[:apart]) if found]
        head = f'from "./{OTHER}" import {", ".join(names)}'
        return ProgramText(
            "\n".join([head, *self.decls[apart:]]) + "\n", "\n".join(self.decls[:apart]) + "\n"
        )

    def constant(self) -> None:
        """A constant of the file."""
        kind, name = self.kind(2), self.fresh("C")
        self.decls.append(f"let {name}: {self.src(kind)} = {self.literal(kind, 2)}")
        self.constants[name] = kind

    # --- pipelines ---

    def pipeline(self, name: str, depth: int) -> None:
        """A pipeline. Now and then it gives a conversation or an image."""
        params, result = self.params(media=True), self.kind(2)
        if self.rng.random() < 0.05:
            result = self.rng.choice(GIVEN_ONLY)
        body = self.block(result, dict(params), depth, self.rng.randint(1, 4))
        self.decls.append(f"pipeline {self.signature(name, params, result)} {{ {body} }}")
        self.add(MadeCallable(name, params, result, 10))

    def block(self, result: Kind, scope: Scope, depth: int, count: int) -> str:
        """Statements that end with a return."""
        parts = [self.statement(result, scope, depth) for _ in range(count)]
        return " ".join([*parts, f"return {self.expr(result, scope, depth)}"])

    def statement(self, result: Kind, scope: Scope, depth: int) -> str:
        """A statement. What it binds is in scope from then on."""
        rng, dice = self.rng, self.rng.random()
        if dice < 0.1 and self.stores:
            store, (record, _) = rng.choice([*self.stores.items()])
            return f"keep {self.built(record, lambda k: self.expr(k, scope, 1))} in {store}"
        if dice < 0.15:
            inner = self.block(result, dict(scope), depth - 1, 0)
            return f"if {self.expr(BOOL, scope, depth)} {{ {inner} }}"
        if dice < 0.3:
            return self.loop(scope, depth)
        name = self.fresh("x")
        if dice < 0.75 and self.known:
            it = rng.choice(self.known)
            text = f"let {name} = {self.call(it, scope, depth)}"
            scope[name] = it.result
            return text
        kind = self.kind(2)
        text = f"let {name}: {self.src(kind)} = {self.expr(kind, scope, depth)}"
        scope[name] = kind
        return text

    def loop(self, scope: Scope, depth: int) -> str:
        """A loop with a state."""
        kind, name, state = self.kind(1), self.fresh("x"), self.fresh("l")
        inner = scope | {state: kind}
        until = f" until {self.expr(BOOL, inner, 2)}" if self.rng.random() < 0.5 else ""
        text = (
            f"let {name} = loop {state}: {self.src(kind)} = {self.expr(kind, scope, 1)}"
            f" for {self.rng.randint(1, 3)}{until} {{ yield {self.expr(kind, inner, depth - 1)} }}"
        )
        scope[name] = kind
        return text
