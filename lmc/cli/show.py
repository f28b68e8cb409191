"""`lmc show`: prints the contents of an artifact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lmc.cli.terminal import FILE, count, paint, say
from lmc.consent import Consent

if TYPE_CHECKING:
    from lmc.program.artifact import Artifact
    from lmc.program.reached import Reached
    from lmc.runtime.parameters import ModuleParameters

SHOWN_WORDS = 6  # of a gate


@click.command("show")
@click.argument("artifact", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(artifact: Path, as_json: bool) -> None:
    """Show what ARTIFACT (.lmpc) can run and reach, its scores, prompts and demonstrations."""
    from lmc.program.artifact import Artifact
    from lmc.program.reached import reached
    from lmc.program.sources import strangeness

    held = Artifact.read(artifact)
    outside = reached(held.graph, held.parameters, Consent(stranger=True))
    strange = strangeness(held)
    if as_json:
        whole = {
            "manifest": held.manifest.model_dump(mode="json"),
            "parameters": held.parameters.to_json(),
            "reached": [{"kind": r.kind, "name": r.name, "what": r.what} for r in outside],
            "warning": strange,
        }
        say(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    _print_manifest(held)
    _print_reached(outside, strange)
    for name, module in held.parameters.modules.items():
        _print_module(name, module)
    for loop, stand_in in held.parameters.shortcuts.items():
        say(f"\n{loop}: replaced by one call of {stand_in}")
    for name, records in held.parameters.stores.items():
        _print_records(name, records)
    for choice, value in held.parameters.choices.items():
        say(f"\n{choice} = {value}")


def _print_manifest(held: Artifact) -> None:
    manifest = held.manifest
    say(paint(f"{manifest.entry}: {manifest.target}", "bold"))
    say(f"metric   {manifest.metric}")
    say(f"steps    {' >> '.join(manifest.steps)}, seed {manifest.seed}")
    for name, part in (("confirm", manifest.dev), ("test", manifest.test)):
        if part is not None:
            before, after = f"{part.before.mean:.3f}", f"{part.after.mean:.3f}"
            say(f"{name:8} {before} -> {after} on {count(part.difference.rows, 'row')}")
    if not manifest.improved:
        say("The program is unchanged: no better version was found.")


def _print_reached(outside: Sequence[Reached], strange: str | None) -> None:
    """Print what runs and where it connects, according to the graph, not to the manifest."""
    if strange is not None:
        say(paint(f"\nwarning: {strange}", "bold", "yellow"))
        say("Only the graph runs. The following is read from the graph.")
    say(paint("\nwhat it can reach", "bold"))
    for one in outside:
        say(f"  {one}")
    if not outside:
        say("  nothing")


def _print_records(name: str, records: Sequence[Any]) -> None:
    say(paint(f"\n{name}", "bold"))
    say(f"  starts with {count(len(records), 'record')}, where nothing was kept before:")
    for record in records:
        say(f"  {json.dumps(record, ensure_ascii=False)}")


def _print_module(name: str, module: ModuleParameters) -> None:
    say(paint(f"\n{name}", "bold"))
    if module.instruction is not None:
        say(f"  instruction: {module.instruction}")
    for slot in ("adapter", "model"):
        if (value := getattr(module, slot)) is not None:
            say(f"  {slot}: {value}")
    for gate in module.gates:
        strong = sorted(gate.words, key=lambda word: (-gate.words[word], word))[:SHOWN_WORDS]
        own = gate.adapter or "the model's own weights"
        say(f"  {own} where the input has: {', '.join(strong)}")
    for step, note in module.steps or ():
        say(f"  first {step}: {note}")
    if module.nearest is not None:
        by = f", by embeddings of {module.embedder}" if module.embedder else ""
        say(f"  shows the {module.nearest} demonstrations nearest to the input{by}, of:")
    for demo in module.demos or ():
        inputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.inputs.items()
        )
        outputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.outputs.items()
        )
        say(f"  {inputs}\n    -> {outputs}  ({demo.origin})")
