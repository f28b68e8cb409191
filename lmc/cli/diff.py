"""`lmc diff`: shows how two artifacts differ, and tests the difference on rows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.data_options import data_option, effects_option, limit_option, metric_option
from lmc.cli.terminal import FILE, cache_option, consent_options, model_option, paint, say
from lmc.diagnostics import LmcError

if TYPE_CHECKING:
    from lmc.program.artifact import Artifact
    from lmc.runtime.parameters import ModuleParameters, Parameters


@click.command("diff")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@data_option
@metric_option
@limit_option
@effects_option
@model_option
@cache_option
@consent_options
def command(
    first: Path,
    second: Path,
    data: str | None,
    metric: str | None,
    limit: int | None,
    effects: bool,
    **options: Any,
) -> None:
    """Show how the artifacts FIRST and SECOND (.lmpc) differ.

    With --data, run both on the rows and test whether their scores differ.
    """
    from lmc.program.artifact import Artifact

    pair = Artifact.read(first), Artifact.read(second)
    lines = list(differences(*pair))
    for line in lines:
        colour = {"+": "green", "-": "red"}.get(line[:1])
        say(paint(line, colour) if colour else line)
    if not lines:
        say("sources, instructions, demonstrations, weights and choices are the same")
    if data is not None:
        chosen = metric or _metric_of(pair[0])
        say(measured(first, second, data, chosen, limit, options, effects=effects))


def _metric_of(artifact: Artifact) -> str:
    """The metric that an artifact names. Python functions need the consent of the user."""
    named = artifact.manifest.metric or "accuracy"
    if ":" in named:
        message = f"the artifact names a Python function as its metric: `{named}`"
        help = f"if you trust it, add --metric {named}"
        raise LmcError.of("tool-not-allowed", message, help=help)
    return named


def differences(first: Artifact, second: Artifact) -> Iterator[str]:
    """The lines of a diff between two artifacts."""
    for name in sorted({*first.sources, *second.sources}):
        yield from _text_diff(name, first.sources.get(name, ""), second.sources.get(name, ""))
    yield from _reached_diff(first, second)
    one, other = first.parameters, second.parameters
    for name in sorted({*one.modules, *other.modules}):
        yield from _module_diff(name, one.modules.get(name), other.modules.get(name))
    for kind in ("choices", "shortcuts"):
        before, after = getattr(one, kind), getattr(other, kind)
        for key in sorted({*before, *after}):
            if before.get(key) != after.get(key):
                yield f"- {key} = {before.get(key, 'as written')}"
                yield f"+ {key} = {after.get(key, 'as written')}"
    for name in sorted({*one.stores, *other.stores}):
        yield from _text_diff(name, _records_text(one, name), _records_text(other, name))


def _records_text(parameters: Parameters, name: str) -> str:
    records = parameters.stores.get(name, ())
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records)


def _reached_diff(first: Artifact, second: Artifact) -> Iterator[str]:
    """What the graphs reach, and where a graph is not what its sources say."""
    from lmc.program.reached import reached
    from lmc.program.sources import strangeness

    before, after = (
        "\n".join(map(str, reached(held.graph, held.parameters))) for held in (first, second)
    )
    yield from _text_diff("what it can reach", before, after)
    if first.sources == second.sources and first.graph != second.graph:
        yield "the graphs differ, though the sources do not"
    for name, held in (("the first", first), ("the second", second)):
        if strange := strangeness(held):
            yield f"warning: {name}: {strange}"


def _module_diff(
    name: str, first: ModuleParameters | None, second: ModuleParameters | None
) -> Iterator[str]:
    lines: list[str] = []
    for slot in ("instruction", "steps", "nearest", "embedder", "adapter", "gates", "model"):
        before, after = getattr(first, slot, None), getattr(second, slot, None)
        if before == after:
            continue
        if slot == "gates":
            lines.append("- other gates choose among the adapters")
        elif slot == "steps":
            lines += _text_diff(slot, _steps_text(before), _steps_text(after))
        elif slot == "instruction":
            lines += list(_text_diff(slot, before or "", after or ""))[1:]
        else:
            lines += [f"- {slot}: {before or 'as written'}", f"+ {slot}: {after or 'as written'}"]
    shown = [
        {json.dumps([d.inputs, d.outputs], ensure_ascii=False): d for d in (m.demos or ())}
        if m
        else {}
        for m in (first, second)
    ]
    for sign, own, others in (("-", shown[0], shown[1]), ("+", shown[1], shown[0])):
        for key, demo in own.items():
            if key not in others:
                inputs = json.dumps(demo.inputs, ensure_ascii=False)
                outputs = json.dumps(demo.outputs, ensure_ascii=False)
                lines.append(f"{sign} {inputs} -> {outputs}  ({demo.origin})")
    if lines:
        yield name
        yield from lines


def _steps_text(steps: Sequence[tuple[str, str]] | None) -> str:
    return "\n".join(f"{name}: {note}" for name, note in steps or ())


def _text_diff(name: str, before: str, after: str) -> Iterator[str]:
    if before != after:
        yield name
        for line in difflib.ndiff(before.splitlines(), after.splitlines()):
            if line[:1] in "+-":
                yield line


def measured(
    first: Path,
    second: Path,
    data: str,
    metric: str,
    limit: int | None,
    options: dict[str, Any],
    *,
    effects: bool = False,
) -> str:
    """A sentence with the difference on rows and its interval. Raises: LmcError."""
    import lmc
    from lmc.optimizers.candidates.gate import compare, signed

    found = []
    for path in (first, second):
        program = lmc.load(path, **options)
        run = lmc.evaluate(program, data, metric, part="all", limit=limit, effects=effects)
        found.append(run.results)
    both = compare(*found)
    if both is None:
        return "no row has a score from both artifacts"
    d = both.difference
    words = "significant" if d.significant else "not significant"
    return (
        f"{metric}: {both.before.mean:.3f} -> {both.after.mean:.3f},"
        f" {signed(d.mean)} on {d.rows} rows"
        f" (95 % interval {signed(d.low)} to {signed(d.high)}): {words}"
    )
