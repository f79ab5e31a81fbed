"""What the bars show, on a terminal as narrow as they come."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cryoctl.cli.progress import TerminalProgress
from cryoctl.events import Event
from cryoctl.launch.request import Outlook

OUTLOOK = Outlook(
    duration_s=9000.0,
    peak_dose_e_per_a2=41e3,
    limit_e_per_a2=5e4,
    bytes=10**7,
    disk_free_bytes=10**10,
    nitrogen_left_s=2e4,
    finish_time="2026-11-26T01:21",
    frames=41,
)


def event(kind: str, message: str = "", **data: object) -> Event:
    return Event(event=kind, time_s=4000.0, level="info", name="wire", message=message, data=data)


@pytest.mark.parametrize("width", [80, 200])
def test_finish_clock_and_dose_are_there_at_every_width(width):
    written = io.StringIO()
    shown = TerminalProgress(Console(file=written, force_terminal=True, width=width, color_system=None))
    shown.begin({"run": "edx-tomography_0_001"}, OUTLOOK)
    shown.event(event("state", "Looking for the target at low dose, which is a long way to say it"))
    shown.event(event("progress", "wire: tilt 20 of 41", progress=0.5))
    shown.event(event("exposure", peak_e_per_a2=12345.0))
    shown.close()
    lines = written.getvalue().splitlines()
    series = [line for line in lines if "series" in line][-1]
    assert "50%" in series
    assert "finished " in series
    assert "frame 0 of 41" in series
    assert "12,345 e-/A^2 spent, 37,655 e-/A^2 left" in [line for line in lines if "dose " in line][-1]
