"""`lmc show`: prints the contents of an artifact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lmc.cli.terminal import FILE, count

if TYPE_CHECKING:
    from lmc.program.artifact import Artifact
    from lmc.runtime.parameters import ModuleParameters


@click.command("show")
@click.argument("artifact", type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(artifact: Path, as_json: bool) -> None:
    """Show the scores, instructions and demonstrations of ARTIFACT (.lmpc)."""
    from lmc.program.artifact import Artifact

    held = Artifact.read(artifact)
    if as_json:
        whole = {
            "manifest": held.manifest.model_dump(mode="json"),
            "parameters": held.parameters.to_json(),
        }
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    _print_manifest(held)
    for name, module in held.parameters.modules.items():
        _print_module(name, module)
    for loop, stand_in in held.parameters.shortcuts.items():
        click.echo(f"\n{loop}: replaced by one call of {stand_in}")
    for choice, value in held.parameters.choices.items():
        click.echo(f"\n{choice} = {value}")


def _print_manifest(held: Artifact) -> None:
    manifest = held.manifest
    click.secho(f"{manifest.entry}: {manifest.target}", bold=True)
    click.echo(f"models   {', '.join(manifest.models) or 'lmc/tiny'}")
    click.echo(f"metric   {manifest.metric}")
    click.echo(f"steps    {' >> '.join(manifest.steps)}, seed {manifest.seed}")
    for name, part in (("confirm", manifest.dev), ("test", manifest.test)):
        if part is not None:
            before, after = f"{part.before.mean:.3f}", f"{part.after.mean:.3f}"
            click.echo(f"{name:8} {before} -> {after} on {count(part.difference.rows, 'row')}")
    if not manifest.improved:
        click.echo("The program is unchanged: no better version was found.")


def _print_module(name: str, module: ModuleParameters) -> None:
    click.secho(f"\n{name}", bold=True)
    if module.instruction is not None:
        click.echo(f"  instruction: {module.instruction}")
    for slot in ("adapter", "model"):
        if (value := getattr(module, slot)) is not None:
            click.echo(f"  {slot}: {value}")
    for step, note in module.steps or ():
        click.echo(f"  first {step}: {note}")
    if module.nearest is not None:
        by = f", by embeddings of {module.embedder}" if module.embedder else ""
        click.echo(f"  shows the {module.nearest} demonstrations nearest to the input{by}, of:")
    for demo in module.demos or ():
        inputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.inputs.items()
        )
        outputs = ", ".join(
            f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in demo.outputs.items()
        )
        click.echo(f"  {inputs}\n    -> {outputs}  ({demo.origin})")
