"""`lmc set`: puts weights that were trained elsewhere, or another model, into an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lmc.cli.terminal import FILE, say
from lmc.diagnostics import LmcError, suggestion


@click.command("set")
@click.argument("artifact", type=FILE)
@click.option("--module", required=True, help="Module to change.")
@click.option(
    "--adapter", help="Folder with LoRA weights (peft), or the name of an adapter on the server."
)
@click.option("--model", help="Model of the module: one of the program's, or provider/name.")
@click.option(
    "--keep-demos/--drop-demos", default=True, show_default=True,
    help="Keep or drop the module's demonstrations.",
)  # fmt: skip
@click.option("-o", "--out", type=FILE, help="Artifact to write.  [default: replace ARTIFACT]")
def command(
    artifact: Path,
    module: str,
    adapter: str | None,
    model: str | None,
    keep_demos: bool,
    out: Path | None,
) -> None:
    """Give a module of ARTIFACT (.lmpc) weights or a model from elsewhere.

    The scores in the artifact no longer apply then, so they are removed.
    """
    from lmc.models.adapter_files import taken_in
    from lmc.program.artifact import Artifact
    from lmc.runtime.parameters import ModuleParameters

    if adapter is None and model is None and keep_demos:
        raise click.UsageError("give at least one of --adapter, --model and --drop-demos")
    held = Artifact.read(artifact)
    if module not in held.modules:
        help = suggestion(module, held.modules, f"it has {', '.join(held.modules)}")
        raise LmcError.of("unknown-target", f"{artifact} has no module `{module}`", help=help)
    own = held.parameters.modules.get(module, ModuleParameters())
    if adapter is not None:
        folder = Path(adapter)
        own = replace(own, adapter=taken_in(folder).id if folder.is_dir() else adapter, gates=())
    if model is not None:
        own = replace(own, model=model)
    if not keep_demos:
        own = replace(own, demos=())
    manifest = held.manifest.model_copy(update={"dev": None, "test": None, "improved": True})
    changed = replace(held, parameters=held.parameters.with_module(module, own), manifest=manifest)
    changed.write(out or artifact)
    say(f"wrote {out or artifact}; measure it with `lmc eval`")
