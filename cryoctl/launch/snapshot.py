"""Where a run stands, folded from its events: what `status` answers and what progress displays draw."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.events import Event
from cryoctl.launch.request import Outlook

_REMEMBERED = 8


@dataclass(slots=True)
class Snapshot:
    """`progress` 0 to 1; doses are the highest of any specimen pixel, NaN where unknown; `time_s` is run time."""

    run: str = ""
    run_file: str = ""
    title: str = ""
    protocol: str = ""
    status: str = "preparing"
    state: str = ""
    label: str = ""
    step: str = ""
    progress: float = 0.0
    time_s: float = 0.0
    predicted_s: float = 0.0
    frames: int = 0
    frames_planned: int = 0
    exposures: int = 0
    dose_peak_e_per_a2: float = 0.0
    dose_limit_e_per_a2: float = float("inf")
    tilt_deg: float | None = None
    interlocks: int = 0
    asked: str = ""
    """A pause that waits for the end of an exposure."""
    alarm: str = ""
    """An alarm that was not acknowledged."""
    over: bool = False
    """Safe; the file is being written."""
    message: str = ""
    recent: deque[str] = field(default_factory=lambda: deque[str](maxlen=_REMEMBERED))

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        self.run = str(head.get("run", ""))
        self.title = str(head.get("title") or "")
        self.protocol = str(head.get("protocol") or "")
        self.predicted_s = outlook.duration_s
        self.frames_planned = outlook.frames
        self.dose_limit_e_per_a2 = outlook.limit_e_per_a2

    def event(self, event: Event) -> None:
        self.time_s = max(self.time_s, event.time_s)
        data = event.data
        match event.event:
            case "state":
                self.state, self.label, self.step = event.name, event.message, ""
            case "status":
                self.status = event.name
                if self.status == "paused":
                    self.asked = ""
            case "progress":
                self.step = event.message
                self.progress = min(1.0, max(self.progress, float(data.get("progress", 0.0))))
            case "exposure":
                self.exposures += 1
                peak = float(data.get("peak_e_per_a2", 0.0))
                self.dose_peak_e_per_a2 = peak if peak != peak else max(self.dose_peak_e_per_a2, peak)
            case "frame":
                self.frames += 1
                if isinstance(data.get("tilt_deg"), float | int):
                    self.tilt_deg = float(data["tilt_deg"])
            case "operator":
                if event.name in ("pause", "blank"):
                    self.asked = "" if self.status == "paused" else "pause"
                elif event.name in ("go", "abort"):
                    self.asked = ""
                if event.name in ("go", "ack"):
                    self.alarm = ""
            case "interlock":
                self.interlocks += 1
                self.alarm = event.message if event.level != "info" else ""
            case "note" if event.name == "resume":  # what was told until now was an earlier session's
                self.message, self.asked, self.alarm, self.over = "", "", "", False
            case "end":
                self.message, self.step, self.over = event.message, "writing the run file", True
            case _:
                pass
        if event.level != "info" or event.event in ("operator", "note", "target", "end"):
            self.recent.append(event.message)

    def end(self, summary: Mapping[str, Any]) -> None:
        self.status = str(summary.get("status", "completed"))
        self.message = str(summary.get("message") or self.message)

    def plain(self) -> dict[str, Any]:
        """As `status --json` gives it."""
        finite = self.dose_limit_e_per_a2 < float("inf")
        return {
            "run": self.run,
            "run_file": self.run_file or None,
            "alive": True,
            "status": self.status,
            "state": self.state,
            "label": self.label,
            "step": self.step,
            "progress": self.progress,
            "time_s": self.time_s,
            "predicted_s": self.predicted_s,
            "frames": self.frames,
            "frames_planned": self.frames_planned,
            "exposures": self.exposures,
            "tilt_deg": self.tilt_deg,
            "dose": {
                "peak": self.dose_peak_e_per_a2 if self.dose_peak_e_per_a2 == self.dose_peak_e_per_a2 else None,
                "limit": self.dose_limit_e_per_a2 if finite else None,
                "left": max(0.0, self.dose_limit_e_per_a2 - self.dose_peak_e_per_a2) if finite else None,
            },
            "interlocks": self.interlocks,
            "asked": self.asked,
            "alarm": self.alarm,
            "message": self.message,
            "recent": list(self.recent),
        }
