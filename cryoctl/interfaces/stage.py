"""Goniometer stage: position, tilt about its x axis, backlash-free moves are the protocol's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePosition:
    """Position of the specimen point under the optical axis in the holder's frame (m), and tilt about x (degrees)."""

    x_m: float
    y_m: float
    z_m: float
    tilt_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """Closed intervals (low, high)."""

    x_m: tuple[float, float]
    y_m: tuple[float, float]
    z_m: tuple[float, float]
    tilt_deg: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettling:
    """How it comes to rest, as stated or as is usual for it; what plans count with, never what is measured.

    After a move it takes `settle_s` until it answers. The specimen drifts at `drift_m_per_s` always, and after a tilt
    by `tilt_drift_m_per_s_per_deg` times the way more, which decays with `tilt_drift_decay_s`. A stage that no call
    stops in the midst of a move is still after `stop_s`.
    """

    settle_s: float = 0.0
    drift_m_per_s: float = 0.0
    tilt_drift_m_per_s_per_deg: float = 0.0
    tilt_drift_decay_s: float = 1.0
    stop_s: float = 0.0


@runtime_checkable
class Stage(Device, Protocol):
    @property
    def limits(self) -> StageLimits: ...

    @property
    def speed_m_per_s(self) -> float: ...

    @property
    def tilt_speed_deg_per_s(self) -> float: ...

    @property
    def settling(self) -> StageSettling: ...

    async def position(self) -> StagePosition:
        """What the encoders read: not where the specimen is, by backlash and drift."""
        ...

    async def move(
        self,
        *,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
    ) -> StagePosition:
        """Move the named axes (absolute) and return the read-back position.

        Raises:
            OutOfRange: beyond `limits`; nothing moved.
            NotReached: the stage ended elsewhere or stalled.
        """
        ...

    async def is_moving(self) -> bool: ...

    async def stop(self) -> None:
        """Stop all axes at once, or within `settling.stop_s`; also while `move` is awaited, which then raises
        `NotReached`."""
        ...
