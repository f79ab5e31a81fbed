"""Recorded data that replay devices answer from, and the layouts that can be read (entry points `cryoctl.recordings`).

A third party makes data of its own replayable by one entry point: a layout that recognises and opens a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSeries:
    """What recorded data that are no run of cryoctl decide instead of a recipe.

    `tilts_deg` in the order of acquisition, `shape` (rows, columns) with the tilt axis in any direction,
    `voltage_v` NaN where the data do not say it.
    """

    title: str
    specimen: str
    tilts_deg: tuple[float, ...]
    shape: tuple[int, int]
    pixel_size_m: float
    scans: int = 1
    voltage_v: float = float("nan")
    dose_known: bool = False
    """False where the data hold no beam current or no dwell time."""


class Recording(Protocol):
    """Opened data, checked to be whole."""

    @property
    def layout(self) -> str:
        """What a person calls the layout."""
        ...

    @property
    def series(self) -> RecordedSeries | None:
        """None where the data are a run of cryoctl: its own recipe and facts are then in the file."""
        ...

    @property
    def devices(self) -> Mapping[str, str]:
        """Names of the devices that recorded, and their kinds."""
        ...

    def close(self) -> None:
        """May be called twice."""
        ...


class RecordingLayout(Protocol):
    """What an entry point of the group `cryoctl.recordings` names."""

    title: str

    def recognises(self, path: Path) -> bool:
        """Whether the file has this layout; False for anything that can't be read."""
        ...

    def open(self, path: Path) -> Recording:
        """
        Raises:
            FileProblem: the file has this layout but is damaged or incomplete; one sentence.
        """
        ...


@runtime_checkable
class RecordedDevice(Protocol):
    """A device of recorded data whose steps were answered when they were recorded."""

    async def answer(self, kind: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """The result of the next recorded step of this kind, both as the journal has them.

        Raises:
            DeviceError: another one was recorded, or none.
            InterlockRefused, StepLost: so it ended.
        """
        ...
