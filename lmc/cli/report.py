"""`lmc report`: one self-contained HTML page about a compilation run."""

from __future__ import annotations

from pathlib import Path

import click

from lmc.cli.terminal import FILE, say


@click.command("report")
@click.argument("run", type=FILE)
@click.option(
    "-o", "--out", type=FILE, help="File to write.  [default: report.html in the run's folder]"
)
def command(run: Path, out: Path | None) -> None:
    """Write an HTML page about RUN with its scores, prompts, rows and costs.

    RUN is the name or the folder of a run. `lmc runs` lists the runs.
    """
    from lmc.files import write_atomically
    from lmc.optimizers.compilation.run_folder import find_run
    from lmc.report.page import report_page

    folder = find_run(run)
    file = out or folder.report
    write_atomically(file, report_page(folder).encode(), private=out is None)
    say(f"wrote {file}")
