"""The live view of a running compilation: its progress, the leader and the calls used."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lmc.cli.terminal import retries
from lmc.optimizers import events


class CompileView:
    """Draws the events of a run; call it with each. On a pipe it prints lines instead.

    `brief` prints only the start of each run and the decisions of its gates.
    """

    def __init__(self, console: Console, *, brief: bool = False) -> None:
        self.console, self.brief = console, brief
        self.progress = Progress(
            TextColumn("  {task.description:<34}"), BarColumn(24), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self.task: TaskID | None = None
        self.leader = Text("")
        self.used = Text("", style="dim")
        self.live = Live(self._picture(), console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> CompileView:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        self._count(event.totals)
        match event:
            case events.RunStarted():
                self._say(*_opening(event))
            case events.StageStarted(name=name, total=total):
                self._begin(name, total)
            case events.RowDone(done=done, failed=failed) if self.task is not None:
                self.progress.update(self.task, completed=done)
                if failed:
                    self.progress.update(self.task, description=f"{event.stage} ({failed} failed)")
            case events.LeaderChanged(name=name, mean=mean, baseline=baseline, rows=rows):
                self.leader = Text(
                    f"  leader {name}: {mean:.3f} on {rows} rows (as written {baseline:.3f})",
                    "bold",
                )
                if not self.console.is_terminal:
                    self._detail(escape(self.leader.plain))
            case events.TrainingProgressed():
                self._train(event)
            case events.GateDecided(step=step, accepted=accepted, words=words):
                colour = "green" if accepted else "yellow"
                self._say(f"[{colour}]  {escape(f'{step}: {words}')}[/]")
            case events.RoundMeasured():
                self._detail(f"[dim]  {escape(str(event))}[/]")
            case events.Note(text=text):
                self._detail(f"[dim]  {escape(text)}[/]")
            case _:
                pass
        self.live.update(self._picture())

    def _begin(self, name: str, total: int) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.task = self.progress.add_task(name, total=total)
        if not self.console.is_terminal:
            self._detail(f"  {name} ({total} rows)")

    def _train(self, event: events.TrainingProgressed) -> None:
        name = f"training {event.adapter} on {event.rows} rows"
        if self.task is None or self.progress.tasks[-1].total != event.steps:
            self._begin(name, event.steps)
        assert self.task is not None
        figures = f"loss {event.loss:.3f}, {event.tokens_per_s:,.0f} tokens/s"
        self.progress.update(self.task, completed=event.step, description=f"{name}: {figures}")

    def _detail(self, line: str) -> None:
        if not self.brief:
            self._say(line)

    def _say(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line)

    def _count(self, totals: events.Totals) -> None:
        cached = f" ({totals.cached_calls:,} cached)" if totals.cached_calls else ""
        money = f", ${totals.cost_usd:.4f}" if totals.cost_usd else ""
        used = f"  {totals.calls:,} calls{cached}, {totals.tokens:,} tokens{money}"
        self.used = Text(used + retries(totals.retries), "dim")

    def _picture(self) -> Group:
        return Group(self.progress, self.leader, self.used)


def _opening(event: events.RunStarted) -> tuple[str, ...]:
    verb = "Resuming" if event.resumed else "Improving"
    rows = ", ".join(f"{n} {name}" for name, n in event.rows.items())
    limits = ", ".join(f"{limit:g} {name}" for name, limit in event.budget.items()) or "no limit"
    return (
        f"[bold]{verb} {event.target}[/] of {escape(event.program)} "
        f"by {escape(event.metric)}, on {escape(', '.join(event.models))}",
        f"  rows: {rows}; budget: {limits}; steps: {escape(' >> '.join(event.steps))}",
        *([f"  gate: {event.sight}"] if event.sight else []),
    )
