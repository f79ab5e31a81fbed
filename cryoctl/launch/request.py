"""What a person asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryoctl.events import Event
from cryoctl.streaming.sink import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """`recipe` and `instrument` are a path or a bundled name; everything else as the options of contract.md.

    `overrides` are the --set texts. `seed` None takes 0.
    """

    recipe: str
    instrument: Path | str | None = None
    out: Path = Path()
    seed: int | None = None
    overrides: tuple[str, ...] = ()
    until: str = ""
    speed: float | None = None
    specimen: str = ""
    world: Path | None = None
    events: Path | None = None
    faults: Path | None = None
    operator: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Preflight: what is predicted and what the surroundings allow, before the start.

    `warnings` are sentences. `finish_time` is ISO local time; `nitrogen_left_s` NaN without a dewar.
    """

    duration_s: float
    peak_dose_e_per_a2: float
    limit_e_per_a2: float
    bytes: int
    disk_free_bytes: int
    nitrogen_left_s: float
    finish_time: str
    frames: int
    warnings: tuple[str, ...] = ()


class Follower(Sink):
    """A sink that is told the beginning and the end as well; the progress display of the command line is one."""

    def named(self, run_file: Path) -> None:
        """The run has its name and begins to connect; nothing is there yet but its `.parts` folder."""

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None: ...

    def earlier(self, event: Event) -> None:
        """Of a resumed run, before it goes on: what happened in its earlier sessions."""
        self.event(event)

    def event(self, event: Event) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """`summary` is the JSON of contract.md for run, resume, replay and rehearse. With `stop` nothing is begun after it,
    whatever the exit code."""

    summary: dict[str, Any]
    exit_code: int
    run_file: Path | None
    stop: bool = False


OnControl = Callable[[Callable[..., None]], None]
"""Given the operator desk's `ask(command, source, text, who)` before the devices connect; installs signals and the
socket."""
