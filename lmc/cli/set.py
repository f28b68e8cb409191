"""`lmc set`: weights that were trained elsewhere, or another model, put into an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lmc.cli.terminal import FILE, say
from lmc.diagnostics import LmcError, suggestion


@click.command("set")
@click.argument("artifact", type=FILE)
@click.option("--module", required=True, help="The module that gets it.")
@click.option(
    "--adapter", help="A folder with LoRA weights (peft), or the name a server has for some."
)
@click.option(
    "--model", help="A model of the program, or `provider/name`, such as a fine-tuned one."
)
@click.option("--keep-demos/--drop-demos", default=True, help="Whether its demonstrations stay.")
@click.option("-o", "--out", type=FILE, help="The new artifact (in the place of the old one).")
def command(
    artifact: Path,
    module: str,
    adapter: str | None,
    model: str | None,
    keep_demos: bool,
    out: Path | None,
) -> None:
    """Give a module of ARTIFACT (.lmpc) weights or a model that came from elsewhere.

    The figures that the artifact shows are then no longer its own, and are dropped.
    """
    from lmc.models.adapter_files import taken_in
    from lmc.program.artifact import Artifact
    from lmc.runtime.parameters import ModuleParameters

    if adapter is None and model is None and keep_demos:
        raise click.UsageError("say what to set: --adapter, --model or --drop-demos")
    held = Artifact.read(artifact)
    if module not in held.modules:
        help = suggestion(module, held.modules, f"it has {', '.join(held.modules)}")
        raise LmcError.of("unknown-target", f"no module of {artifact} is `{module}`", help=help)
    own = held.parameters.modules.get(module, ModuleParameters())
    if adapter is not None:
        folder = Path(adapter)
        own = replace(own, adapter=taken_in(folder).id if folder.is_dir() else adapter)
    if model is not None:
        own = replace(own, model=model)
    if not keep_demos:
        own = replace(own, demos=())
    manifest = held.manifest.model_copy(update={"dev": None, "test": None, "improved": True})
    changed = replace(held, parameters=held.parameters.with_module(module, own), manifest=manifest)
    changed.write(out or artifact)
    say(f"wrote {out or artifact}; measure it with `lmc eval`")
