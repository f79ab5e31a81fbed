"""Parts that protocols are put together from: generators of steps with their results, without memory of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cryoctl.errors import StepLost
from cryoctl.steps import (
    BiasAtRest,
    Compute,
    Conclude,
    CurrentMeasured,
    Expose,
    Exposed,
    FrameRef,
    MeasureCurrent,
    MeasureOpenCircuit,
    MoveStage,
    Note,
    ReadBias,
    RestBias,
    StageAt,
    Step,
    Wait,
)

T = TypeVar("T")
Block = Generator[Step[Any], Any, T]
"""A generator that yields steps and returns a T."""

SHIFT = "analysis.tracking:displacement"
"""(first, second, stretch_y) -> dy_px, dx_px, quality, found: how far the second content lies from the first, the rows
of which are stretched by `stretch_y` about the centre before."""

CENTRE = "analysis.tracking:wire_middle"
"""(picture) -> dy_px, dx_px, quality, found: how far the bright object's middle lies from the picture's centre."""

FOCUS = "analysis.tracking:through_focus"
"""(pictures, defocus_m) -> defocus_m, sigma_m, found: the defocus at which the pictures would be sharpest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Displacement of picture content (m, along and across the fast scan direction).

    `quality` is the peak of the correlation over its spread, 8 or more where it can be believed; `found` is the
    analysis's own verdict.
    """

    x_m: float
    y_m: float
    quality: float
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Focused:
    defocus_m: float
    sigma_m: float
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """`displaced` is the content's place at the end, `rate_m_per_s` how fast it moved last."""

    rate_m_per_s: float
    waited_s: float
    in_time: bool


def approach_tilt(tilt_deg: float, *, overshoot_deg: float, limits_deg: tuple[float, float]) -> Block[StageAt]:
    """Tilt so that the move ends upwards, free of backlash; the detour keeps within the limits."""
    below = max(tilt_deg - overshoot_deg, limits_deg[0])
    if below < tilt_deg:
        yield from MoveStage(tilt_deg=below)
    at = yield from MoveStage(tilt_deg=tilt_deg)
    return at


def approach_position(x_m: float, y_m: float, *, overshoot_m: float) -> Block[StageAt]:
    """Move so that both axes end upwards, free of backlash."""
    if overshoot_m > 0.0:
        yield from MoveStage(x_m=x_m - overshoot_m, y_m=y_m - overshoot_m)
    at = yield from MoveStage(x_m=x_m, y_m=y_m)
    return at


def measure_current() -> Block[CurrentMeasured]:
    measured = yield from MeasureCurrent()
    if measured.sigma_rel > 0.004:
        yield from Note(
            name="beam-current",
            message=f"the beam current is known to {200 * measured.sigma_rel:.1f} % at two sigma, wanted are 0.8 %; "
            "the ledger charges the upper bound",
            level="warning",
        )
    return measured


def measure_shift(first: FrameRef, second: FrameRef, *, pixel_size_m: float, stretch_y: float = 1.0) -> Block[Shift]:
    """Displacement of the second picture's content against the first's, which was taken at another tilt."""
    arguments: dict[str, Any] = {} if stretch_y == 1.0 else {"stretch_y": stretch_y}
    found = yield from Compute(function=SHIFT, frames=(first, second), arguments=arguments)
    values = found.values
    return Shift(
        x_m=float(values["dx_px"]) * pixel_size_m,
        y_m=float(values["dy_px"]) * pixel_size_m,
        quality=float(values["quality"]),
        found=bool(values["found"]),
    )


def find_centre(picture: FrameRef, *, pixel_size_m: float) -> Block[Shift]:
    """Where the middle of the specimen lies, from the picture's centre."""
    found = yield from Compute(function=CENTRE, frames=(picture,))
    values = found.values
    return Shift(
        x_m=float(values["dx_px"]) * pixel_size_m,
        y_m=float(values["dy_px"]) * pixel_size_m,
        quality=float(values["quality"]),
        found=bool(values["found"]),
    )


TRIES = 4
"""Of a picture that is lost or stopped time and again, as when a run is interrupted twice in the same place."""


def take(exposure: Expose) -> Block[tuple[Exposed, FrameRef | None]]:
    """A picture to find one's way by, of low dose: where it is lost or was stopped it is taken again.

    Raises what the last try raised.
    """
    for _ in range(TRIES - 1):
        try:
            done = yield from exposure
            if done.frame is not None:
                return done, done.frame
            lost = f"{exposure.kind} exposure {done.exposure}: stopped on its way"
        except StepLost as error:
            lost = str(error)
        yield from Note(name=exposure.kind, message=f"{lost}; the picture is taken again", level="warning")
    done = yield from exposure
    return done, done.frame


def autofocus(picture_at: Callable[[float], Expose], defoci_m: Sequence[float]) -> Block[Focused | None]:
    """A through-focus series; None where a picture is missing."""
    frames: list[FrameRef] = []
    for defocus_m in defoci_m:
        _, frame = yield from take(picture_at(defocus_m))
        if frame is None:
            return None
        frames.append(frame)
    found = yield from Compute(
        function=FOCUS, frames=tuple(frames), arguments={"defocus_m": [float(one) for one in defoci_m]}
    )
    values = found.values
    return Focused(defocus_m=float(values["defocus_m"]), sigma_m=float(values["sigma_m"]), found=bool(values["found"]))


def through_focus_m(centre_m: float, step_m: float, pictures: int, range_m: float) -> tuple[float, ...]:
    """Defocus values around a centre, within the range of the lens."""
    offsets = (step_m * (index - (pictures - 1) / 2) for index in range(pictures))
    return tuple(min(max(centre_m + offset, -range_m), range_m) for offset in offsets)


def wait_for_drift(
    look: Callable[[], Block[tuple[float, float, float] | None]],
    first: tuple[float, float, float],
    *,
    limit_m_per_s: float,
    interval_s: float,
    timeout_s: float,
) -> Block[Settled | None]:
    """Look at the specimen again and again until it stands still, or the time is over.

    Args:
        look: gives (x_m, y_m, time_s) of the content, None where it can't be seen.
        first: what was seen last.

    Returns:
        None where the specimen was lost from sight.
    """
    started_s, before, wait_s = first[2], first, interval_s
    while True:
        yield from Wait(duration_s=wait_s, reason="waiting for the drift")
        now = yield from look()
        if now is None:
            return None
        elapsed_s = max(now[2] - before[2], 1e-9)
        rate = math.hypot(now[0] - before[0], now[1] - before[1]) / elapsed_s
        if rate <= limit_m_per_s:
            return Settled(rate_m_per_s=rate, waited_s=now[2] - started_s, in_time=True)
        if now[2] - started_s >= timeout_s:
            return Settled(rate_m_per_s=rate, waited_s=now[2] - started_s, in_time=False)
        before = now
        wait_s = min(1.5 * wait_s, max(started_s + timeout_s - now[2], interval_s))


def rest_source() -> Block[BiasAtRest]:
    """Source to rest; charge and open-circuit voltage are concluded as `bias`."""
    last = yield from ReadBias()
    at_rest = yield from RestBias()
    voltage = yield from MeasureOpenCircuit()
    yield from Conclude(
        name="bias",
        values={
            "charge_c": last.charge_c,
            "charge_c_sigma": last.charge_bound_c / 2,
            "open_circuit_v": voltage.voltage_v,
            "stopped_by": at_rest.stopped_by,
        },
    )
    return at_rest
