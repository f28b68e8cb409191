"""`lmc show`: what an artifact holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import FILE, count, paint, say

if TYPE_CHECKING:
    from lmc.program.artifact import Artifact
    from lmc.runtime.parameters import ModuleParameters


@click.command("show")
@click.argument("artifact", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="The manifest and the parameters as JSON.")
def command(artifact: Path, as_json: bool) -> None:
    """Show scores, instructions and demonstrations of ARTIFACT (.lmpc)."""
    from lmc.program.artifact import Artifact

    held = Artifact.read(artifact)
    if as_json:
        whole = {
            "manifest": held.manifest.model_dump(mode="json"),
            "parameters": held.parameters.to_json(),
        }
        say(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    _print_manifest(held)
    for name, module in held.parameters.modules.items():
        _print_module(name, module)
    for loop, stand_in in held.parameters.shortcuts.items():
        say(f"\n{loop}: one call of {stand_in} answers in its place")
    for choice, value in held.parameters.choices.items():
        say(f"\n{choice} = {value}")


def _print_manifest(held: Artifact) -> None:
    manifest = held.manifest
    say(paint(f"{manifest.entry}: {manifest.target}", "bold"))
    say(f"models   {', '.join(manifest.models) or 'lmc/tiny'}")
    say(f"metric   {manifest.metric}")
    say(f"steps    {' >> '.join(manifest.steps)}, seed {manifest.seed}")
    for name, part in (("confirm", manifest.dev), ("test", manifest.test)):
        if part is not None:
            before, after = f"{part.before.mean:.3f}", f"{part.after.mean:.3f}"
            say(f"{name:8} {before} -> {after} on {count(part.difference.rows, 'row')}")
    if not manifest.improved:
        say("The program is as written: nothing better was found.")


def _print_module(name: str, module: ModuleParameters) -> None:
    say(paint(f"\n{name}", "bold"))
    if module.instruction is not None:
        say(f"  instruction: {module.instruction}")
    for slot in ("adapter", "model"):
        if (value := getattr(module, slot)) is not None:
            say(f"  {slot}: {value}")
    for step, note in module.steps or ():
        say(f"  first {step}: {note}")
    if module.nearest is not None:
        by = f", by the vectors of {module.embedder}" if module.embedder else ""
        say(f"  shows the {module.nearest} most like the input{by}, of:")
    for demo in module.demos or ():
        inputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.inputs.items()
        )
        outputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.outputs.items()
        )
        say(f"  {inputs}\n    -> {outputs}  ({demo.origin})")
