"""How a run goes, on stderr: a live display on a terminal, a line an exposure series step elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryoctl.cli import preflight, wording
from cryoctl.cli.output import is_terminal, say
from cryoctl.clock.wall import local_now
from cryoctl.events import Event
from cryoctl.launch.request import Follower, Outlook
from cryoctl.launch.snapshot import Snapshot
from cryoctl.streaming.sink import Picture

if TYPE_CHECKING:
    from rich.console import Console

_TOLD = ("state", "frame", "interlock", "fault", "target", "note", "operator", "decision", "status")


_WIDE = 110
"""Columns of a terminal that has room for long bars."""


class LineProgress(Follower):
    """One plain line for each state, frame, interlock, fault, target, note and command."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        self._snapshot.begin(head, outlook)
        for line in preflight.lines(head, outlook):
            say(line)

    def earlier(self, event: Event) -> None:
        self._snapshot.event(event)

    def event(self, event: Event) -> None:
        self._snapshot.event(event)
        if event.event in _TOLD or event.level != "info":
            say(line_of(event, self._snapshot))

    def picture(self, picture: Picture) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None: ...


def line_of(event: Event, now: Snapshot) -> str:
    """`[  12 min 03 s] frame 7 at 12.00 deg | 8 of 41 | dose 1,234 of 50,000 e-/A^2`"""
    text = " ".join(event.message.split())
    if event.event == "state":
        text = f"-- {text}"
    elif event.event in ("interlock", "fault") or event.level == "warning":
        text = f"{'warning' if event.level == 'info' else event.level}: {text}"
    if event.event == "frame":
        text += f" | {now.frames} of {now.frames_planned}" if now.frames_planned else f" | {now.frames}"
        peak = now.dose_peak_e_per_a2
        spent = f"{peak:,.0f} of {wording.dose(now.dose_limit_e_per_a2)}" if peak == peak else "unknown"
        text += f" | dose {spent}"
    return f"[{wording.duration(event.time_s):>12}] {text}"


class TerminalProgress(Follower):
    """Two bars that stay in place: the series with its finish clock, the dose spent of the limit."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._snapshot = Snapshot()
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.fields[name]}", style="bold", table_column=Column(min_width=6, no_wrap=True)),
            BarColumn(bar_width=28 if self._console.width >= _WIDE else 8),
            TextColumn("{task.percentage:>3.0f}%", table_column=Column(min_width=4, no_wrap=True)),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            console=self._console,
            expand=True,
            refresh_per_second=8,
            transient=True,
        )
        self._series = self._progress.add_task("", total=1.0, name="series", detail="preparing")
        self._dose = self._progress.add_task("", total=None, name="dose", detail="")
        self._began_s = time.monotonic()

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        self._snapshot.begin(head, outlook)
        for line in preflight.lines(head, outlook):
            style = "yellow" if line.lstrip().startswith("warning") else ("bold" if not line.startswith(" ") else "")
            self._console.print(line, style=style, markup=False)
        limit = outlook.limit_e_per_a2
        self._progress.update(self._dose, total=limit if limit < float("inf") else None)
        self._began_s = time.monotonic()
        self._progress.start()

    def earlier(self, event: Event) -> None:
        self._snapshot.event(event)

    def event(self, event: Event) -> None:
        self._snapshot.event(event)
        if event.level != "info" or event.event in ("note", "operator", "target"):
            style = {"warning": "yellow", "error": "bold red"}.get(event.level, "cyan")
            with contextlib.suppress(OSError, ValueError):
                self._console.print(line_of(event, self._snapshot), style=style, markup=False)
        self._draw()

    def picture(self, picture: Picture) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._progress.stop()

    def _draw(self) -> None:
        now = self._snapshot
        done = fraction_done(now)
        tilts = f"frame {now.frames} of {now.frames_planned}" if now.frames_planned else f"frame {now.frames}"
        place = now.label if now.status == "running" else f"{now.status.upper()} - {now.label}"
        clock = finish_clock(done, time.monotonic() - self._began_s)
        self._progress.update(
            self._series,
            completed=done,
            detail=f"{clock} | {tilts} | {wording.duration(now.time_s)} | {place}",  # what is cut off comes last
        )
        left = now.dose_limit_e_per_a2 - now.dose_peak_e_per_a2
        peak = now.dose_peak_e_per_a2
        self._progress.update(
            self._dose,
            completed=peak if peak == peak else 0.0,
            detail=f"{wording.dose(peak)} spent, {wording.dose(max(0.0, left))} left" if peak == peak else "unknown",
        )


def fraction_done(now: Snapshot) -> float:
    """The protocol's own word, or run time over the predicted one, whichever is further; 0 to 1."""
    by_time = now.time_s / now.predicted_s if now.predicted_s > 0 else 0.0
    by_frames = now.frames / now.frames_planned if now.frames_planned else 0.0
    return max(0.0, min(1.0, now.progress or max(by_frames, min(by_time, 0.99))))


def finish_clock(done: float, elapsed_s: float) -> str:
    """`finished 16:42`, from the wall time spent so far."""
    if done <= 0.01 or elapsed_s <= 0:
        return "finished --:--"
    left = timedelta(seconds=elapsed_s * (1 - done) / done)
    return f"finished {local_now() + left:%H:%M}"


def chosen(quiet: bool) -> list[Follower]:
    """The display that suits stderr; none with --quiet."""
    if quiet:
        return []
    return [TerminalProgress() if is_terminal(sys.stderr) else LineProgress()]
