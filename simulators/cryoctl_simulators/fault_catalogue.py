"""What can go wrong with simulated devices and with the computer that runs cryoctl: `cryoctl faults` lists it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One entry of the catalogue: `parameters` maps a name to its default, None where it has to be given."""

    device: str
    fault: str
    happens: str
    parameters: Mapping[str, float] = field(default_factory=dict[str, float])


_RETURNS = {"forgets": 0.0, "swapped": 0.0}
"""Parameters of every lost link: 1 where the device has been restarted and forgot its settings, or another one of its
kind (with another serial number) answers when the link comes back."""

WIRE = "wire"
"""Stands for every emulated instrument, in the catalogue and in a file of faults."""
_LINES = {
    "line-garbage": "bytes that nobody sent come in the midst of a reply",
    "line-damaged": "a byte of a reply is another one, or missing",
    "line-split": "a reply comes in two pieces",
    "line-late": "a reply comes too late",
    "line-lost": "a reply never comes, though the command was carried out",
    "line-reset": "the link is cut for a moment",
}

FAULTS: tuple[FaultKind, ...] = (
    FaultKind(device="stage", fault="not-at-angle", happens="a tilt ends short of where it was sent, and says so",
              parameters={"error_deg": 1.0}),
    FaultKind(device="stage", fault="stall", happens="a move stops half-way and the stage stands still"),
    FaultKind(device="stage", fault="touch-alarm", happens="the touch alarm stops a move at once and forbids others"),
    FaultKind(device="stage", fault="no-answer", happens="the stage never answers what it is asked"),
    FaultKind(device="stage", fault="lost-link", happens="no answer from the stage", parameters=_RETURNS),
    FaultKind(device="beam", fault="blank-not-acknowledged",
              happens="the blanker closes but its acknowledgement never comes"),
    FaultKind(device="beam", fault="blank-late", happens="the blanker closes but its acknowledgement comes late",
              parameters={"late_s": 5.0}),
    FaultKind(device="beam", fault="reads-open", happens="the blanker does not close and reads back open"),
    FaultKind(device="beam", fault="valve-stuck", happens="the column valves do not close and read back open"),
    FaultKind(device="beam", fault="current-drift", happens="the beam current drifts faster than stated",
              parameters={"rel_per_s": 1e-4}),
    FaultKind(device="beam", fault="current-jump", happens="the beam current jumps", parameters={"rel": 0.1}),
    FaultKind(device="beam", fault="beam-lost", happens="emission stops: no current, dark pictures"),
    FaultKind(device="beam", fault="valve-closed", happens="the column valves close by themselves"),
    FaultKind(device="beam", fault="no-answer",
              happens="the column never answers what it is asked; a scan under way ends by itself"),
    FaultKind(device="beam", fault="lost-link", happens="no answer from the column; a scan under way ends by itself",
              parameters=_RETURNS),
    FaultKind(device="image_detector", fault="frame-missing", happens="a scan frame never comes"),
    FaultKind(device="image_detector", fault="frame-duplicated", happens="a scan frame comes twice, the next is lost"),
    FaultKind(device="image_detector", fault="frame-late", happens="a scan frame comes late",
              parameters={"late_s": 3.0}),
    FaultKind(device="image_detector", fault="no-answer", happens="the detector never answers what it is asked"),
    FaultKind(device="image_detector", fault="lost-link", happens="no answer from the detector", parameters=_RETURNS),
    FaultKind(device="edx", fault="drop-out", happens="no events arrive although the clocks run"),
    FaultKind(device="edx", fault="saturation", happens="the input rate swamps the pulse processor",
              parameters={"input_rate_per_s": 5e6}),
    FaultKind(device="edx", fault="frame-late", happens="the events of a scan frame come late",
              parameters={"late_s": 3.0}),
    FaultKind(device="edx", fault="no-answer", happens="the detector never answers what it is asked"),
    FaultKind(device="edx", fault="lost-link", happens="no answer from the detector", parameters=_RETURNS),
    FaultKind(device="holder", fault="temperature-high", happens="the holder reads and is warmer",
              parameters={"temperature_k": 140.0}),
    FaultKind(device="holder", fault="sensor-invalid", happens="the temperature sensor reads invalid"),
    FaultKind(device="holder", fault="nitrogen-low", happens="the dewar is nearly empty", parameters={"level": 0.02}),
    FaultKind(device="holder", fault="refill-shakes", happens="nitrogen is refilled: the holder shakes and drifts",
              parameters={"drift_m_per_s": 1e-9}),
    FaultKind(device="holder", fault="pressure-high", happens="the vacuum of the column is bad",
              parameters={"pressure_pa": 0.1}),
    FaultKind(device="vacuum", fault="pressure-high", happens="the vacuum of the column is bad",
              parameters={"pressure_pa": 0.1}),
    FaultKind(device="vacuum", fault="no-answer", happens="the gauge never answers what it is asked"),
    FaultKind(device="vacuum", fault="lost-link", happens="no answer from the gauge", parameters=_RETURNS),
    FaultKind(device="holder", fault="no-answer", happens="the holder never answers what it is asked"),
    FaultKind(device="holder", fault="lost-link", happens="no answer from the holder", parameters=_RETURNS),
    FaultKind(device="light", fault="no-answer", happens="the light never answers what it is asked"),
    FaultKind(device="light", fault="lost-link", happens="no answer from the light", parameters=_RETURNS),
    FaultKind(device="light", fault="refuses", happens="the lamp does not light, and reads so"),
    FaultKind(device="light", fault="stays-on",
              happens="a lamp that shines stays as bright as it is, whatever it is told, and reads so"),
    FaultKind(device="light", fault="level-differs",
              happens="the lamp shines `rel` more than it is told (below 0: less), and reads so",
              parameters={"rel": -0.1}),
    FaultKind(device="light", fault="goes-out", happens="the lamp, when it shines, goes out by itself"),
    FaultKind(device="bias", fault="no-answer", happens="the source never answers what it is asked"),
    FaultKind(device="bias", fault="lost-link", happens="no answer from the source", parameters=_RETURNS),
    FaultKind(device="bias", fault="output-stuck", happens="the output does not switch off"),
    FaultKind(device="bias", fault="cut-off-fails",
              happens="the second way of switching the source off, its interlock line, does not act and says so"),
    FaultKind(device="bias", fault="compliance-trip",
              happens="the source, its output on, meets an overcurrent and switches off by itself"),
    FaultKind(device="bias", fault="short", happens="what the source is connected to is shorted: `ohm` remain of it",
              parameters={"ohm": 50.0}),
    FaultKind(device="bias", fault="restarted",
              happens="the source loses its power for a moment: output off, limits and clock as at switch-on; it does "
              "not tell"),
    FaultKind(device="needle", fault="no-answer", happens="the needle drive never answers what it is asked"),
    FaultKind(device="needle", fault="lost-link", happens="no answer from the needle drive", parameters=_RETURNS),
    FaultKind(device="needle", fault="not-at-place",
              happens="the tube ends `beyond_m` nearer to the specimen than it was set (below 0: farther), and says so",
              parameters={"beyond_m": 5e-8}),
    FaultKind(device="needle", fault="voltage-refused", happens="the tube's high voltage does not come on"),
    FaultKind(device="needle", fault="voltage-trip",
              happens="the tube's high voltage, when it is on, goes off by itself: the apex jumps"),
    FaultKind(device="needle", fault="stuck",
              happens="coarse pulses are sent and counted, and the needle stands still"),
    FaultKind(device="needle", fault="runs-away",
              happens="a burst of coarse steps goes on for some more, and counts them",
              parameters={"more_steps": 3.0}),
    FaultKind(device="needle", fault="creeps-away", happens="the needle creeps back along its axis: a contact is lost",
              parameters={"away_m_per_s": 5e-9}),
    FaultKind(device="needle", fault="drifts", happens="needle and specimen drift towards each other and aside",
              parameters={"drift_m_per_s": 1e-9}),
    FaultKind(device="needle", fault="jumps",
              happens="the apex jumps towards the specimen by `toward_m` (below 0: away from it)",
              parameters={"toward_m": 2e-8}),
    FaultKind(device="disk", fault="full", happens="the disk has no room for more than `left_bytes`",
              parameters={"left_bytes": 0.0}),
    FaultKind(device="disk", fault="write-error", happens="a write to the disk fails"),
    FaultKind(device="process", fault="kill",
              happens="the run's process is killed (SIGKILL) `after_s` after the moment; at an exposure that counts "
              "from the opening of the beam, below 0 is before it; `after_writes` n: before the n-th write to the disk",
              parameters={"after_s": 0.0, "after_writes": 0.0}),
    FaultKind(device="process", fault="viewer-dies", happens="a program that follows the run fails"),
    FaultKind(device="process", fault="reconstruction-dies", happens="the live reconstruction's process is killed",
              parameters={"after_s": 0.0}),
    FaultKind(device="clock", fault="step", happens="the computer's clock (UTC) is set to another time",
              parameters={"step_s": 3600.0}),
    *(
        FaultKind(device=WIRE, fault=fault, happens=f"{happens} (of an emulated instrument)",
                  parameters={"late_s": 5.0} if fault == "line-late" else {})
        for fault, happens in _LINES.items()
    ),
)  # fmt: skip
