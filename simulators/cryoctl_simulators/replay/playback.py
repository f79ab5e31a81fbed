"""What replay devices ask of recorded data: one answer an act, in the order of the acts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, InstrumentError
from cryoctl.interfaces.beam import BeamCapabilities, CurrentReading, Optics, Scan
from cryoctl.interfaces.bias import RecordedBias
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.recording import RecordedSeries
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RecordedExposure:
    """`images` uint16 [scan frame, y, x] or None; `done_s` is when it was over, in the loop's time.

    `problem` is what a detector said where no frame came. `charge_c` NaN where it is not known.
    """

    images: npt.NDArray[np.uint16] | None
    edx: tuple[EdxEvents, ...]
    scans_done: int
    complete: bool
    done_s: float
    charge_c: float = float("nan")
    problem: str = ""


class Playback(ABC):
    """Recorded data with a memory of what was asked already; times are those of the running loop."""

    layout = ""

    def __init__(self) -> None:
        self.at = StagePosition(x_m=0.0, y_m=0.0, z_m=0.0, tilt_deg=0.0)
        """Where the stage stands."""
        self.exposure: RecordedExposure | None = None
        """The one under way, or the last."""
        self.origin_s = 0.0

    @property
    @abstractmethod
    def series(self) -> RecordedSeries | None: ...

    @property
    @abstractmethod
    def devices(self) -> Mapping[str, str]:
        """Names and kinds."""

    @abstractmethod
    def capabilities(self, name: str, model: type[Any]) -> Any:
        """Of a device, as the class of its interface."""

    @abstractmethod
    def stage_limits(self, name: str) -> tuple[StageLimits, float, float]:
        """Limits, speed (m/s) and tilt speed (deg/s)."""

    def stage_settling(self, name: str) -> StageSettling:
        """As it was stated when the data were recorded; at once where they do not say."""
        del name
        return StageSettling()

    @abstractmethod
    async def move(self, name: str, wanted: Mapping[str, float]) -> StagePosition: ...

    @abstractmethod
    async def apply(self, name: str, optics: Optics) -> None: ...

    @abstractmethod
    async def measure_current(self, name: str) -> CurrentReading: ...

    async def answer(self, name: str, kind: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a step of the source or the needle was answered. Raises `DeviceError` where the data hold none."""
        del asked
        raise DeviceError(f"{name}: these data hold no {kind}; play them with a recipe without bias")

    def asked_alike(self, kind: str, asked: Mapping[str, Any]) -> bool:
        """Whether the next step of this kind that the data hold, if any, had these fields."""
        del kind, asked
        return True

    def told_of_bias(self) -> Sequence[RecordedBias]:
        """What was recorded of the source until now, each once."""
        return ()

    @abstractmethod
    async def carry(self, name: str, *, insert: bool) -> None:
        """A detector in or out."""

    @abstractmethod
    async def get_ready(self) -> None:
        """Wait for the moment at which the next exposure began."""

    @abstractmethod
    async def expose(self, name: str, permit: Permit, scan: Scan) -> RecordedExposure:
        """The recorded answer to this exposure. Raises `DeviceError` where the data hold none."""

    async def rest(self) -> None:
        """The beam is blanked for good: wait for the moment at which it was."""

    def value(self, monitor: str) -> float:
        """What a monitor read now; NaN where the data do not say."""
        del monitor
        return float("nan")

    def met(self, interlock: str) -> str:
        """What an interlock found, from its event until it was cleared; empty where all is well."""
        del interlock
        return ""

    @property
    def sampling_s(self) -> float:
        """How long the biasing source took for a reading."""
        return 0.0

    def begin(self) -> None:
        """The devices were connected: recorded times count from now."""
        self.origin_s = now_s()

    def close(self) -> None:
        """May be called twice."""

    @staticmethod
    def of(context: DeviceContext, name: str) -> Playback:
        """The data of a replay. Raises `InstrumentError` where the driver is used outside of one."""
        found = context.shared.get("recording")
        if not isinstance(found, Playback):
            raise InstrumentError(
                f"devices.{name}: replay drivers answer from recorded data; use them by `cryoctl replay DATA`"
            )
        return found


def beam_capabilities(playback: Playback, name: str) -> BeamCapabilities:
    return cast(BeamCapabilities, playback.capabilities(name, BeamCapabilities))
