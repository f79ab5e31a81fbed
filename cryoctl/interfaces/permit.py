"""The right to open a beam once, bounded in area, time and current; issued by the gate, enforced by the device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Single-use. A device refuses a permit that it has seen, that expired, or whose bounds the exposure would pass.

    `x_m y_m` is the image-shift position of the centre of the scanned (or illuminated) rectangle, beam-normal,
    `width_m` along x, `height_m` along y, overscan strips included. `beam_on_s` bounds the time with the beam on
    the specimen; the device ends the exposure by itself when it is over.
    """

    serial: int
    exposure: int
    kind: str
    x_m: float
    y_m: float
    width_m: float
    height_m: float
    beam_on_s: float
    max_current_a: float
    expires_s: float
