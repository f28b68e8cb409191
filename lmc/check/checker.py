"""Checks a program as a whole, and reports all its mistakes in one run."""

from __future__ import annotations

from collections.abc import Mapping

from lmc.check import modules, optimize, settings
from lmc.check.cycles import check_calls
from lmc.check.declarations import define_all, module_env
from lmc.check.effects import check_effects
from lmc.check.equal_calls import warn_of_equal_calls
from lmc.check.expressions import TABLE
from lmc.check.imports import Linker, Parser, Reader, read_source, unused_imports
from lmc.check.made_rows import MADE, check_made
from lmc.check.media import MediaReader, media_reader
from lmc.check.optimizer_options import OptimizerSignature
from lmc.check.optimizers import SIGNATURES
from lmc.check.program import (
    CheckedProgram,
    DatasetDef,
    MetricDef,
    ModuleDef,
    PipelineDef,
    TestDef,
)
from lmc.check.scope import CheckContext, Declared, Env, File
from lmc.check.statements import check_block, check_body
from lmc.consent import OWN, Consent
from lmc.diagnostics import Diagnostic, Label, sort_key
from lmc.frozen import frozen_identity
from lmc.source import Source
from lmc.syntax import nodes
from lmc.syntax.parser import parse


def check_program(
    source: Source,
    *,
    read: Reader = read_source,
    optimizers: Mapping[str, OptimizerSignature] = SIGNATURES,
    consent: Consent = OWN,
    media: MediaReader | None = None,
) -> tuple[CheckedProgram | None, list[Diagnostic]]:
    """Check a file and everything it imports.

    Returns the typed program, or None if there are errors, and all findings. The `warnings` of the
    program are these findings too. `read` gives the text of an imported file by its name (see
    `imports.import_name`), and `media` reads what `image("…")` names. No other file is read. Both
    lie in the folder of this one, or in one that `consent` allows.
    """
    seen = inspect_program(source, read=read, optimizers=optimizers, consent=consent, media=media)
    return seen.checked, seen.found


@frozen_identity
class Inspection:
    """What the checker found out about a program, also of one with mistakes.

    `checked` is None if there are errors. `program` then has what is known of the rest, and
    `context` the names and where they are declared. `files` come behind those that they import.
    """

    program: CheckedProgram
    context: CheckContext
    files: tuple[File, ...]
    found: list[Diagnostic]
    checked: CheckedProgram | None


def inspect_program(
    source: Source,
    *,
    read: Reader = read_source,
    optimizers: Mapping[str, OptimizerSignature] = SIGNATURES,
    consent: Consent = OWN,
    media: MediaReader | None = None,
    parser: Parser = parse,
) -> Inspection:
    """Check a program for an editor; see `check_program`. `parser` may keep the trees of files."""
    ctx = CheckContext(_empty(source), TABLE, optimizers, media=media or media_reader(consent))
    linker = Linker(ctx, read, consent, parser)
    entry = linker.begin(source)
    for file in linker.files:
        define_all(ctx, file)
    _check_default(ctx, linker.files, entry)
    for file in linker.files:
        check_file(ctx, file)
    check_calls(ctx)
    if not any(d.severity == "error" for d in (*ctx.syntax, *ctx.diagnostics)):
        check_effects(ctx)
        warn_of_equal_calls(ctx)
    found = sorted(_telling(ctx), key=sort_key)
    ctx.program.warnings = found
    ctx.program.exports = _exports(entry)
    wrong = any(d.severity == "error" for d in found)
    return Inspection(ctx.program, ctx, tuple(linker.files), found, None if wrong else ctx.program)


def _telling(ctx: CheckContext) -> list[Diagnostic]:
    """The findings to report, each once, without those that may only follow from another one.

    Findings inside a declaration with a syntax error are left out. In a file with errors, so are
    the warnings of unused names, because a broken part may use them.
    """
    found = [d for d in dict.fromkeys(ctx.diagnostics) if not _is_damaged(ctx, d)]
    errors = [*ctx.syntax, *(d for d in found if d.severity == "error")]
    wrong = {d.span.source for d in errors if d.span}
    unused = (d for d in found if d.code.startswith("unused") and d.span and d.span.source in wrong)
    dropped = set(map(id, unused))
    return [*ctx.syntax, *(d for d in found if id(d) not in dropped)]


def _is_damaged(ctx: CheckContext, diagnostic: Diagnostic) -> bool:
    place = diagnostic.span
    return place is not None and any(
        span.source is place.source and span.start <= place.start < span.end for span in ctx.damaged
    )


def _empty(source: Source) -> CheckedProgram:
    return CheckedProgram(source, [], {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, [], [], {})


def _exports(entry: File) -> list[str]:
    called = (nodes.ModuleDecl, nodes.PipelineDecl)
    return [decl.name.name for decl in entry.tree.decls if isinstance(decl, called)]


def _check_default(ctx: CheckContext, files: list[File], entry: File) -> None:
    """Read the `default` block of each file. Only that of the entry file has an effect."""
    for file in files:
        blocks = [d for d in file.tree.decls if isinstance(d, nodes.DefaultDecl)]
        for block in blocks[1:]:
            place = Label(blocks[0].span, "first here")
            ctx.report(
                "duplicate-name", "a file can have only one `default` block", block.span, place
            )
        for block in blocks[:1]:
            values, _ = settings.read(module_env(ctx, file, "default"), "default", block.settings)
            if file is entry:
                ctx.program.default = values


def check_file(ctx: CheckContext, file: File) -> None:
    """Check the bodies of one file."""
    for decl in file.tree.decls:
        match decl:
            case nodes.ModuleDecl() | nodes.PipelineDecl() | nodes.MetricDecl():
                declared = file.names.get(decl.name.name)
                if declared is not None and declared.decl is decl:
                    _check_callable(ctx, declared)
            case nodes.ExampleDecl():
                optimize.check_example(ctx, file, decl)
            case nodes.DatasetDecl():
                declared = file.names.get(decl.name.name)
                dataset = declared.meaning if declared and declared.decl is decl else None
                if isinstance(dataset, DatasetDef) and MADE in dataset.settings:
                    check_made(ctx, file, decl, dataset)
            case nodes.OptimizeDecl():
                optimize.check_optimize(ctx, file, decl)
            case nodes.TestDecl():
                _check_test(ctx, file, decl)
    for ident in unused_imports(file):
        ctx.warn("unused-import", f"`{ident.name}` is imported but never used", ident.span)


def _check_callable(ctx: CheckContext, declared: Declared) -> None:
    env = module_env(ctx, declared.file, declared.ident.name)
    match declared.meaning, declared.decl:
        case ModuleDef() as module, _:
            modules.check_module(env, declared, module)
        case PipelineDef() as pipeline, nodes.PipelineDecl() as decl:
            inner = _body_env(env, pipeline, decl, "pipeline")
            check_body(inner, decl.body, decl.name, decl.signature.result)
            inner.warn_unused()
        case MetricDef() as metric, nodes.MetricDecl() as decl:
            optimize.check_metric(ctx, decl, metric)
            if decl.body is not None:
                inner = _body_env(env, metric, decl, "metric")
                check_body(inner, decl.body, decl.name, decl.signature.result)


def _body_env(env: Env, target: PipelineDef | MetricDef, decl: nodes.Decl, kind: str) -> Env:
    pipeline = kind == "pipeline"
    inner = env.nested(kind=kind, result=target.signature.result, tunable=pipeline)
    for param in target.signature.params:
        ident = nodes.Ident(param.name, span=param.span)
        inner.bind(ident, param.type, "parameter", must_use=pipeline)
    return inner


def _check_test(ctx: CheckContext, file: File, decl: nodes.TestDecl) -> None:
    env = Env(ctx, file, f"{file.prefix}test {decl.title.value}", "test", tunable=False)
    check_block(env, decl.body)
    ctx.program.tests.append(TestDef(decl.title.value, decl.body, decl.span))
