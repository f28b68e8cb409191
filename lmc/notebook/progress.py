"""The progress of a compilation in a notebook: one output that changes as the run goes on."""

from __future__ import annotations

import time
from html import escape
from typing import Any

from lmc import html
from lmc.optimizers import events

EVERY_S = 0.2  # between two pictures


class Progress:
    """Shows the events of a run: `lmc.compile(program, progress=lmc.notebook.Progress())`."""

    def __init__(self) -> None:
        self._head = self._stage = self._leader = self._end = ""
        self._done = self._total = 0
        self._used = events.Totals()
        self._lines: list[str] = []
        self._handle: Any = None
        self._drawn = 0.0

    def __call__(self, event: events.Event) -> None:
        """Take one event."""
        self._used = event.totals
        match event:
            case events.RunStarted(program=program, target=target, metric=metric, steps=steps):
                self._head = f"{target} of {program} by {metric}: {' >> '.join(steps)}"
            case events.StageStarted(name=name, total=total):
                self._stage, self._done, self._total = name, 0, total
            case events.RowDone(done=done, failed=failed):
                self._done = done
                if failed:
                    self._stage = f"{event.stage} ({failed} failed)"
            case events.LeaderChanged(name=name, mean=mean, baseline=baseline, rows=rows):
                self._leader = f"{name}: {mean:.3f} on {rows} rows (as written {baseline:.3f})"
            case events.TrainingProgressed(step=step, steps=steps, loss=loss):
                self._stage = f"training {event.adapter}: loss {loss:.3f}"
                self._done, self._total = step, steps
            case events.GateDecided(step=name, accepted=accepted, words=words):
                self._lines.append(f"{'✓' if accepted else '✗'} {name}: {words}")
            case events.Note(text=text):
                self._lines.append(text)
            case events.RunFinished():
                self._end, self._stage = event.words, ""
        finished = isinstance(event, events.RunFinished)
        if finished or time.monotonic() - self._drawn >= EVERY_S:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display(HTML(self._repr_html_()), display_id=True)
        else:
            self._handle.update(HTML(self._repr_html_()))

    def _repr_html_(self) -> str:
        parts = [f"<b>{escape(self._head)}</b>"] if self._head else []
        if self._stage:
            bar = f'<progress value="{self._done}" max="{max(1, self._total)}"></progress>'
            parts.append(f"{bar} {escape(self._stage)}: {self._done} of {self._total}")
        if self._leader:
            parts.append(f"leader {escape(self._leader)}")
        parts += map(html.text, self._lines[-20:])
        if self._end:
            parts.append(f"<b>{escape(self._end)}</b>")
        used = self._used
        money = f", ${used.cost_usd:.4f}" if used.cost_usd else ""
        parts.append(f"<small>{used.calls:,} calls, {used.tokens:,} tokens{money}</small>")
        return "<div>" + "<br>".join(parts) + "</div>"
