"""What the window writes: times, doses and quantities as a person at the microscope reads them."""

from __future__ import annotations

import math

from cryoctl.viewer.model.known import Known, Phase

NAMES = {
    Phase.WAITING: "WAITING",
    Phase.PREPARING: "CONNECTING",
    Phase.RUNNING: "RUNNING",
    Phase.PAUSED: "PAUSED",
    Phase.ALARM: "ALARM",
    Phase.SECURING: "SECURING",
    Phase.WRITING: "WRITING FILE",
    Phase.ENDED: "ENDED",
    Phase.KILLED: "KILLED",
}
_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "\u00b5", -3: "m", 0: "", 3: "k", 6: "M"}
DEGREE = "\u00b0"
DOSE = "e\u207b/\u00c5\u00b2"


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12 s`."""
    if not math.isfinite(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def clock(seconds: float) -> str:
    """`0:03:20`, for a column of times."""
    whole = int(max(0.0, seconds))
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def dose(value: float) -> str:
    """Thousands separated above 1000, three figures below."""
    if math.isnan(value):
        return "unknown"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def si(value: float, unit: str) -> str:
    """`-3.20 nA`, `95.0 K`; kelvin and degrees keep their own size."""
    if not math.isfinite(value):
        return "unknown"
    if unit in ("K", "deg"):
        return f"{value:.1f} {DEGREE if unit == 'deg' else unit}"
    power = exponent(abs(value))
    return f"{value / 10.0**power:.3g} {_PREFIXES[power]}{unit}"


def exponent(largest: float) -> int:
    """Of the prefix in which a value has one to three figures before the point; 0 for 0."""
    if not (largest > 0 and math.isfinite(largest)):
        return 0
    return max(-15, min(6, 3 * math.floor(math.log10(largest) / 3 + 1e-9)))


def prefixed(unit: str, power: int) -> str:
    return f"{_PREFIXES[power]}{unit}"


def under_title(known: Known) -> str:
    """What and where, in a line: run, specimen, whether it is a simulation."""
    parts = [known.name, known.title if known.title != known.name else "", known.specimen]
    return "   \u00b7   ".join(part for part in (*parts, "simulated" if known.simulated else "") if part)


def progress(known: Known) -> str:
    """`frame 12 of 41`; the latest tilt where there is one."""
    of = f" of {known.frames_planned}" if known.frames_planned else ""
    shot = known.shots.get("image")
    tilt = f", tilt {shot.tilt_deg:.1f}\u00b0" if shot is not None and math.isfinite(shot.tilt_deg) else ""
    count = f"frame {known.frames}{of}" if of else f"{known.frames} frame{'' if known.frames == 1 else 's'}"
    return f"{count}{tilt}"


def run_time(known: Known) -> str:
    """`run time 12 min 03 s of about 2 h 41 min`."""
    said = f"run time {duration(known.time_s)}"
    goes_on = known.phase not in (Phase.ENDED, Phase.KILLED)
    return f"{said} of about {duration(known.predicted_s)}" if known.predicted_s > known.time_s and goes_on else said


def headline(known: Known) -> str:
    """What the run does, or how it ended."""
    if known.phase is Phase.ENDED:
        return known.status if known.end_reason in ("", known.status) else f"{known.status}: {known.end_reason}"
    if known.phase is Phase.KILLED:
        return "nobody answers for this run"
    asked = f"   ({known.asked} asked, waits for the exposure under way)" if known.asked else ""
    return (known.step or known.label or known.status) + asked
