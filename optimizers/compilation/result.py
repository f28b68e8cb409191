"""The result of a compilation, in figures and in words."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from lmc.frozen import frozen
from lmc.measure.figures import Comparison, Figure
from lmc.optimizers.candidates.gate import signed
from lmc.optimizers.events import Totals
from lmc.program.artifact import Artifact
from lmc.telemetry.tracking import TrackedRun


@frozen
class CompileResult:
    """The artifact, its path, and the figures of the run.

    `used` has the calls and tokens of the whole run, but only the time since its last start. `job`
    names the run in the trace store. `digests` names the parameters before and after. `tracked` is
    the run in a tracking tool.
    """

    artifact: Artifact
    path: Path | None
    run_dir: Path
    used: Totals
    notes: tuple[str, ...] = ()
    job: str = ""
    digests: tuple[str, str] = ("", "")
    tracked: TrackedRun | None = field(default=None, compare=False, repr=False)

    @property
    def improved(self) -> bool:
        """Whether the artifact differs from the program as written: a gain was confirmed."""
        return self.artifact.manifest.improved

    @property
    def dev(self) -> Comparison | None:
        """The program before and after, on the confirm rows."""
        return self.artifact.manifest.dev

    @property
    def test(self) -> Comparison | None:
        """The program before and after, on the test rows, which no step saw."""
        return self.artifact.manifest.test

    def summary(self) -> str:
        """The outcome in a few sentences."""
        lines = [self.verdict(), *self.notes]
        if self.path is not None:
            lines.append(f"wrote {self.path}")
        return "\n".join(lines)

    def verdict(self) -> str:
        """The gain on the test rows, in a sentence."""
        if not any(self.artifact.manifest.rows.values()):
            what = "changed" if self.improved else "the program as written"
            return f"{what}; not measured, as there are no rows"
        if not self.improved:
            kept = "no significant gain: the artifact is the program as written"
            return f"{kept}; {_figure(self.test.before)} on the test rows" if self.test else kept
        if self.test is None:
            return "improved on the confirm rows; the test rows were not run"
        d = self.test.difference
        gain = (
            f"{_figure(self.test.before)} before, {_figure(self.test.after)} after:"
            f" {signed(d.mean)} on {d.rows} test rows that no step saw"
            f" (95 % interval {signed(d.low)} to {signed(d.high)})"
        )
        before, after = self.test.before.calls, self.test.after.calls
        if after < 0.99 * before:
            return f"{gain}; {before:.3g} calls a row before, {after:.3g} after"
        return gain if d.significant else f"{gain}; not significant on these rows alone"

    def _repr_html_(self) -> str:
        """The verdict, the figures and the notes, for notebooks."""
        from lmc import html

        head, *rows = self.table()
        notes = "".join(f"<p>{html.text(note)}</p>" for note in self.notes)
        cells = ([html.text(cell) for cell in row] for row in rows)
        shown = html.table(head, cells) if rows else ""
        return f"<p><b>{html.text(self.verdict())}</b></p>{shown}{notes}"

    def table(self) -> list[tuple[str, ...]]:
        """The figures as rows of a table. The first row has the column names."""
        head = ("part", "before", "after", "difference", "95 % interval", "rows")
        parts = (("confirm", self.dev), ("test", self.test))
        return [head, *(_row(name, part) for name, part in parts if part)]


def _row(name: str, comparison: Comparison) -> tuple[str, ...]:
    d, before, after = comparison.difference, comparison.before, comparison.after
    failed = (
        f" ({before.failed} and {after.failed} failed)" if before.failed or after.failed else ""
    )
    interval = f"{signed(d.low)} to {signed(d.high)}"
    means = f"{before.mean:.3f}", f"{after.mean:.3f}"
    return name, *means, signed(d.mean), interval, f"{d.rows}{failed}"


def _figure(figure: Figure) -> str:
    return f"{figure.mean:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
