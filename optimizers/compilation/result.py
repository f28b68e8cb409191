"""What an improvement came to, in figures and in words."""

from __future__ import annotations

from pathlib import Path

from lmc.frozen import frozen
from lmc.measure.figures import Comparison, Figure
from lmc.optimizers.candidates.gate import signed
from lmc.optimizers.events import Totals
from lmc.program.artifact import Artifact


@frozen
class CompileResult:
    """The artifact, where it was written, and the account of the run.

    `used` counts this start of the run only in time; calls and tokens are those of the whole run.
    `job` names the run in the trace store, `digests` the parameters before and after.
    """

    artifact: Artifact
    path: Path | None
    run_dir: Path
    used: Totals
    notes: tuple[str, ...] = ()
    job: str = ""
    digests: tuple[str, str] = ("", "")

    @property
    def improved(self) -> bool:
        """Whether the artifact is better than the program as written, on rows that confirmed it."""
        return self.artifact.manifest.improved

    @property
    def dev(self) -> Comparison | None:
        """Before and after on the rows that confirmed the choice."""
        return self.artifact.manifest.dev

    @property
    def test(self) -> Comparison | None:
        """Before and after on rows that no step saw."""
        return self.artifact.manifest.test

    def summary(self) -> str:
        """The outcome in a few sentences."""
        lines = [self.verdict(), *self.notes]
        if self.path is not None:
            lines.append(f"wrote {self.path}")
        return "\n".join(lines)

    def verdict(self) -> str:
        """One sentence: what was gained, on data that no step saw."""
        if not any(self.artifact.manifest.rows.values()):
            what = "changed" if self.improved else "the program as written"
            return f"{what}; nothing was measured, as there are no rows"
        if not self.improved:
            kept = "no significant gain: the artifact is the program as written"
            return f"{kept}; {_figure(self.test.before)} on the test rows" if self.test else kept
        if self.test is None:
            return "improved on the rows that confirmed it; the test rows were not run"
        d = self.test.difference
        gain = (
            f"{_figure(self.test.before)} before, {_figure(self.test.after)} after:"
            f" {signed(d.mean)} on {d.rows} test rows that no step saw"
            f" (95 % interval {signed(d.low)} to {signed(d.high)})"
        )
        before, after = self.test.before.calls, self.test.after.calls
        if after < 0.99 * before:
            return f"{gain}; {before:.3g} calls a row before, {after:.3g} after"
        return gain if d.significant else f"{gain}; on these rows alone not significant"

    def table(self) -> list[tuple[str, ...]]:
        """Rows of figures, the first one being the heads."""
        head = ("rows that", "before", "after", "difference", "95 % interval", "rows")
        parts = (("confirmed it", self.dev), ("no step saw", self.test))
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
