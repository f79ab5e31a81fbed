"""Interlocks: named pure predicates over readings, each with a policy, checked before and watched during each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryoctl.engine.monitors import Readings

Predicate = Callable[[Readings], str | None]
"""None where all is well, otherwise what was found and what is allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interlock:
    """`policy`: wait (blanked, goes on when it clears, secures after `patience_s`), secure, or abort (at once)."""

    name: str
    predicate: Predicate
    policy: str
    patience_s: float = 0.0


def _temperature_limit(limit_k: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.temperature_k) or readings.temperature_k <= limit_k:
            return None
        return f"holder at {readings.temperature_k:.1f} K, allowed up to {limit_k:.1f} K"

    return predicate


def _temperature_valid(readings: Readings) -> str | None:
    return None if readings.temperature_valid else "the holder's temperature sensor is invalid"


def _nitrogen_low(limit: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.nitrogen) or readings.nitrogen >= limit:
            return None
        return f"dewar at {100 * readings.nitrogen:.0f} %, wanted {100 * limit:.0f} % or more; refill it"

    return predicate


def _pressure_high(limit_pa: float) -> Predicate:
    def predicate(readings: Readings) -> str | None:
        if math.isnan(readings.pressure_pa) or readings.pressure_pa <= limit_pa:
            return None
        return f"column at {readings.pressure_pa:.2g} Pa, allowed up to {limit_pa:.2g} Pa"

    return predicate


def _valves_closed(readings: Readings) -> str | None:
    return None if readings.valves_open else "the column valves are closed"


def _link_lost(readings: Readings) -> str | None:
    return f"{readings.lost[0]} does not answer" if readings.lost else None


def build(limits: Mapping[str, float]) -> tuple[Interlock, ...]:
    """The interlocks of a run from its protocol's limits: temperature_max_k, nitrogen_min, pressure_max_pa,
    patience_s (how long a `wait` may last, s)."""
    patience_s = limits.get("patience_s", 1800.0)
    interlocks = [
        Interlock(name="link", predicate=_link_lost, policy="secure"),
        Interlock(name="valves", predicate=_valves_closed, policy="secure"),
        Interlock(name="temperature-sensor", predicate=_temperature_valid, policy="wait", patience_s=patience_s),
    ]
    if "temperature_max_k" in limits:
        interlocks.append(
            Interlock(
                name="temperature",
                predicate=_temperature_limit(limits["temperature_max_k"]),
                policy="wait",
                patience_s=patience_s,
            )
        )
    if "nitrogen_min" in limits:
        interlocks.append(
            Interlock(
                name="nitrogen", predicate=_nitrogen_low(limits["nitrogen_min"]), policy="wait", patience_s=patience_s
            )
        )
    if "pressure_max_pa" in limits:
        interlocks.append(
            Interlock(name="vacuum", predicate=_pressure_high(limits["pressure_max_pa"]), policy="secure")
        )
    return tuple(interlocks)


def first_tripped(interlocks: tuple[Interlock, ...], readings: Readings) -> tuple[Interlock, str] | None:
    for interlock in interlocks:
        message = interlock.predicate(readings)
        if message is not None:
            return interlock, message
    return None
