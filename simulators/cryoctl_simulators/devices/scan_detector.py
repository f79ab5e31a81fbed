"""Detectors that follow the beam's scan: inserted, armed, and read a scan frame at a time."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Generic, TypeVar

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl_simulators.devices.simulated_device import SimulatedDevice
from cryoctl_simulators.settings import ScanDetectorSettings
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame

S = TypeVar("S", bound=ScanDetectorSettings)
Taken = TypeVar("Taken")


class SimulatedScanDetector(SimulatedDevice[S], Generic[S, Taken]):
    """What image and EDX detectors share; `_taken` holds the scan frames recorded since it was armed."""

    frame_called: ClassVar[str] = "scan frame"

    def __init__(self, name: str, settings: S, world: World) -> None:
        super().__init__(name, settings, world)
        self._armed: Scan | None = None
        self._followed = 0
        self._taken: dict[int, Taken] = {}

    @property
    def _inserted(self) -> bool:
        """It stays where it is when the process dies."""
        return bool(self.world.file.record["inserted"].get(self.name, False))

    async def insert(self) -> None:
        await self._link()
        await self._drive(True)

    async def retract(self) -> None:
        await self._link()
        await self._drive(False)
        self._armed = None

    async def is_inserted(self) -> bool:
        await self._link()
        return self._inserted

    async def _drive(self, inside: bool) -> None:
        if self._inserted != inside:
            await asyncio.sleep(self.settings.insert_s)
            self.world.file.record["inserted"][self.name] = inside
            self.world.commit()

    async def arm(self, scan: Scan) -> None:
        await self._link()
        rows, columns = scan.shape
        most = self.settings.max_shape
        if not (0 < rows <= most[0] and 0 < columns <= most[1]):
            raise OutOfRange(f"{self.name}: {rows} x {columns} is beyond {most[0]} x {most[1]}; not armed")
        if not self._inserted:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        self._armed = scan
        self._followed = 0
        self._taken = {}

    async def read_scan(self, index: int) -> Taken:
        await self._link()
        late = self.fault("frame-late")
        if isinstance(late, dict):
            await asyncio.sleep(late["late_s"])
        taken = self._taken.get(index)
        if taken is None:
            raise DeviceError(f"{self.name}: {self.frame_called} {index} never came; look at the scan's trigger line")
        return taken

    async def make_safe(self) -> None:
        await self._link()
        self._armed = None

    def forget_settings(self) -> None:
        self.world.file.record["inserted"][self.name] = False
        self._armed = None

    def record_scan(self, frame: ScanFrame) -> None:
        """The beam finished a scan frame: numbered from when it was armed, since not every beam numbers its own."""
        if self._armed is None or self._armed.shape != frame.shape:
            return
        index, self._followed = self._followed, self._followed + 1
        self.record(index, frame)

    def record(self, index: int, frame: ScanFrame) -> None:
        """Keep of it what the detector saw; noise is keyed by exposure and scan frame."""
        raise NotImplementedError
