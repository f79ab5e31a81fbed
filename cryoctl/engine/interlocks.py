"""Interlocks: named pure predicates over readings, each with a policy, checked before and watched during each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryoctl.engine.monitors import Readings

Predicate = Callable[[Readings], str | None]
"""None where all is well, otherwise what was found and what is allowed."""

WAIT, PAUSE, SECURE, ABORT = "wait", "pause", "secure", "abort"
POLICIES: Mapping[str, str] = {
    "valves": ABORT,
    "vacuum": ABORT,
    "needle-vacuum": ABORT,
    "temperature-sensor": WAIT,
    "temperature": WAIT,
    "nitrogen": WAIT,
    "beam-current": SECURE,
    "source": SECURE,
    "needle": SECURE,
    "compliance": SECURE,
    "light": SECURE,
    "disk": SECURE,
}
"""What is done unless the recipe says otherwise, the most urgent first."""
DEFAULT_PATIENCE_S = 1800.0
DEFAULT_COMPLIANCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interlock:
    """`policy` is what is done where it trips; an exposure under way is finished first unless it is `abort`.

    wait: blanked until it clears, then the run goes on by itself. pause: blanked until the operator acknowledges or
    says go. Either secures the run when `patience_s` is over. secure: nothing is exposed any more, the protocol ends in
    good order. abort: an exposure is stopped and the run ends at once.
    """

    name: str
    predicate: Predicate
    policy: str
    patience_s: float = 0.0


def temperature_limit(limit_k: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.temperature_k) or readings.temperature_k <= limit_k:
            return None
        return f"holder at {readings.temperature_k:.1f} K, allowed up to {limit_k:.1f} K"

    return predicate


def temperature_valid(readings: Readings) -> str | None:
    return None if readings.temperature_valid else "the holder's temperature sensor is invalid"


def nitrogen_low(limit: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.nitrogen) or readings.nitrogen >= limit:
            return None
        return f"dewar at {100 * readings.nitrogen:.0f} %, wanted {100 * limit:.0f} % or more; refill it"

    return predicate


def pressure_high(limit_pa: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.pressure_pa) or readings.pressure_pa <= limit_pa:
            return None
        return f"column at {readings.pressure_pa:.2g} Pa, allowed up to {limit_pa:.2g} Pa"

    return predicate


def needle_vacuum(readings: Readings) -> str | None:
    """A tube arcs in poor vacuum."""
    if not readings.pressure_pa > readings.needle_limit_pa:
        return None
    return (
        f"column at {readings.pressure_pa:.2g} Pa with the needle's high voltage on, allowed up to "
        f"{readings.needle_limit_pa:.2g} Pa"
    )


def valves_closed(readings: Readings) -> str | None:
    return None if readings.valves_open else "the column valves are closed"


def current_off(tolerance: float) -> Predicate:
    """The measured beam current against the preset's, as calibrated."""

    def predicate(readings: Readings) -> str | None:
        ratio = readings.current_ratio
        if math.isnan(ratio) or abs(ratio - 1.0) <= tolerance:
            return None
        return (
            f"the beam current is {ratio:.3g} times that of the preset, allowed are {max(0.0, 1 - tolerance):.3g} to "
            f"{1 + tolerance:.3g}; calibrate it"
        )

    return predicate


def source_failed(readings: Readings) -> str | None:
    return readings.source_problem or None


def needle_failed(readings: Readings) -> str | None:
    """Without its voltage the tube is at rest, and the apex elsewhere than anybody thinks."""
    return f"{readings.needle_problem}; the apex has jumped" if readings.needle_problem else None


def light_failed(readings: Readings) -> str | None:
    return readings.light_problem or None


def compliance_met(limit_s: float) -> Predicate:
    """A limit of the source's own holds: a short, a contact that is too good, or a voltage that needs more current."""

    def predicate(readings: Readings) -> str | None:
        if readings.compliance_problem:
            return readings.compliance_problem
        if not readings.compliance_s > limit_s:
            return None
        return (
            f"the source is held by its limit for {readings.compliance_s:.1f} s ({readings.bias_v:.3g} V, "
            f"{readings.bias_a:.3g} A), allowed are {limit_s:g} s; look for a short, or for an open contact "
            "where a current is driven"
        )

    return predicate


def disk_short(readings: Readings) -> str | None:
    """What the next exposure and the packing of the run file need has to be there."""
    free, needed = readings.disk_free_bytes, readings.disk_needed_bytes
    if math.isnan(free) or math.isnan(needed) or free >= needed:
        return None
    return f"{free / 1e6:.3g} MB are free, the next frame and the run file need {needed / 1e6:.3g} MB; make room"


def build(limits: Mapping[str, float], policies: Mapping[str, str] | None = None) -> tuple[Interlock, ...]:
    """The interlocks of a run, the most urgent first.

    Args:
        limits: of the protocol: temperature_max_k, nitrogen_min, pressure_max_pa, current_tolerance_rel, and patience_s
            (how long a `wait` or `pause` may last, s); without one its interlock is not there. compliance_s is how long
            the biasing source may be held by a limit of its own.
        policies: of the protocol, by name; `POLICIES` where it says nothing.
    """
    limited: Mapping[str, tuple[str, Callable[[float], Predicate]]] = {
        "vacuum": ("pressure_max_pa", pressure_high),
        "temperature": ("temperature_max_k", temperature_limit),
        "nitrogen": ("nitrogen_min", nitrogen_low),
        "beam-current": ("current_tolerance_rel", current_off),
    }
    predicates: dict[str, Predicate] = {
        "valves": valves_closed,
        "temperature-sensor": temperature_valid,
        "disk": disk_short,
        "needle-vacuum": needle_vacuum,
        "source": source_failed,
        "needle": needle_failed,
        "light": light_failed,
        "compliance": compliance_met(limits.get("compliance_s", DEFAULT_COMPLIANCE_S)),
    }
    predicates |= {name: make(limits[key]) for name, (key, make) in limited.items() if key in limits}
    chosen = {**POLICIES, **(policies or {})}
    patience_s = limits.get("patience_s", DEFAULT_PATIENCE_S)
    return tuple(
        Interlock(name=name, predicate=predicates[name], policy=chosen[name], patience_s=patience_s)
        for name in POLICIES
        if name in predicates
    )


def first_tripped(interlocks: tuple[Interlock, ...], readings: Readings) -> tuple[Interlock, str] | None:
    for interlock in interlocks:
        message = interlock.predicate(readings)
        if message is not None:
            return interlock, message
    return None
