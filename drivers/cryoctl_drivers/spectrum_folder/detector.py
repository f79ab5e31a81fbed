"""EDX detector whose scan frames come as files of the vendor's program."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl_drivers.mounted_edx import MountedEdx
from cryoctl_drivers.spectrum_folder.cube import Cube, Incomplete, Unfit, events_of
from cryoctl_drivers.spectrum_folder.nexus import read_nexus
from cryoctl_drivers.spectrum_folder.ripple import read_ripple
from cryoctl_drivers.spectrum_folder.rosetta import plugin_for, read_rosetta
from cryoctl_drivers.spectrum_folder.settings import SpectrumFolderSettings
from cryoctl_drivers.spectrum_folder.watching import Watch

_WIDTH_AGREES_REL = 1e-3
_HDF5 = (".nxs", ".h5", ".hdf5", ".nx5")
Reader = Callable[[Path], Cube]
T = TypeVar("T")


class SpectrumFolder(MountedEdx[SpectrumFolderSettings]):
    """The vendor's program has to write one spectrum image for each scan frame, by itself or by its own trigger.

    Nothing is sent to it and nothing of it is moved. What
    lies in the folder when it is armed is never read; a file is read once it stopped growing and its format finds it
    whole, and never again. Real time is the scan's own unless the file tells a longer one.
    """

    def __init__(self, name: str, settings: SpectrumFolderSettings) -> None:
        super().__init__(name, settings)
        self._watch = Watch(name, Path(settings.folder), settings.pattern, settings.clock_slack_s)
        self._read: Reader | None = None
        self._last_digest = ""

    @property
    def capabilities(self) -> EdxCapabilities:
        return self.capabilities_with(self.settings.n_channels, None)

    async def connect(self) -> Identity:
        """
        Raises:
            InstrumentError: no such folder, or nothing here reads such files.
        """
        folder = await self._beside(self._found_folder)
        pattern = self.settings.pattern
        self._read = self._reader(Path(pattern.replace("*", "x")).suffix.lower())
        return Identity(maker="folder", model=pattern, serial=folder)

    async def close(self) -> None:
        self._read = self._armed = None

    async def make_safe(self) -> None:
        self.need_link()
        self._armed = None

    async def arm(self, scan: Scan) -> None:
        self.need_link()
        self._armed = None
        if min(scan.shape) < 1:
            raise OutOfRange(f"{self._name}: a scan of {scan.shape} holds no pixel; not armed")
        if not self._inserted:
            raise DeviceError(f"{self._name}: is retracted; insert it before arming")
        await self._beside(self._watch.look)
        self._next = 0
        self._armed = scan

    async def read_scan(self, index: int) -> EdxEvents:
        """
        Raises:
            DeviceError: no whole file within `wait_s`, or one that is not of this scan frame.
        """
        read = self._reads()
        scan = self.armed_for(index)
        self._armed = None
        path, cube = await self._awaited(read)
        events = await self._beside(partial(self._events, path.name[:60], cube, scan))
        self._next = index + 1
        self._armed = scan
        return events

    async def _awaited(self, read: Reader) -> tuple[Path, Cube]:
        one = self.settings
        until_s = now_s() + one.wait_s
        seen, since_s, why = None, now_s(), "none came"
        while True:
            found = await self._beside(self._watch.new)
            if found != seen:
                seen, since_s = found, now_s()
            if found is not None and now_s() - since_s >= one.settle_s:
                path, mark = found
                cube = await self._tried(read, path)
                if isinstance(cube, str):
                    why = cube
                elif await self._beside(self._watch.new) == found:  # nobody wrote meanwhile
                    self._watch.now_read(path, mark)
                    return path, cube
            elif found is not None:
                why = f"{found[0].name[:60]} still grows"
            if now_s() >= until_s:
                raise DeviceError(
                    f"{self._name}: no whole spectrum image in {one.folder[-60:]} within {one.wait_s:g} s: {why}; "
                    "look at the vendor's program"
                )
            await asyncio.sleep(one.poll_s)

    async def _tried(self, read: Reader, path: Path) -> Cube | str:
        """What the file holds, or why it is not whole."""
        try:
            return await self._beside(partial(read, path))
        except (Incomplete, OSError) as problem:
            return f"{path.name[:40]}: {problem}"[:120]
        except Unfit as problem:
            raise DeviceError(f"{self._name}: {path.name[:60]} holds {problem}; it is no spectrum image") from problem

    def _events(self, name: str, cube: Cube, scan: Scan) -> EdxEvents:
        one = self.settings
        rows, columns, channels = cube.counts.shape
        if (rows, columns) != scan.shape:
            raise DeviceError(
                f"{self._name}: {name} has {rows} x {columns} pixels, the scan {scan.shape[0]} x {scan.shape[1]}; set "
                "the vendor's program to the scan's shape"
            )
        width_ev = cube.energy_scale_ev
        width_differs = abs(width_ev - one.energy_scale_ev) > _WIDTH_AGREES_REL * one.energy_scale_ev
        offset_differs = abs(cube.energy_offset_ev - one.energy_offset_ev) > one.energy_scale_ev / 2
        if channels != one.n_channels or width_differs or offset_differs:
            raise DeviceError(
                f"{self._name}: {name} has {channels} channels of {width_ev:g} eV from {cube.energy_offset_ev:g} eV, "
                f"wanted are {one.n_channels} of {one.energy_scale_ev:g} eV from {one.energy_offset_ev:g} eV"
            )
        digest = cube.digest
        if digest == self._last_digest and cube.counts.any():
            raise DeviceError(f"{self._name}: {name} holds what was read before; each scan frame needs its own file")
        self._last_digest = digest
        real_s = rows * columns * scan.dwell_s
        if cube.real_time_s > real_s:
            real_s = cube.real_time_s
        live_s = cube.live_time_s
        if math.isnan(live_s):
            if one.live_share is None:
                raise DeviceError(f"{self._name}: {name} tells no live time; set live_share to live over real time")
            live_s = real_s * one.live_share
        if not 0 < live_s <= real_s * (1 + _WIDTH_AGREES_REL):
            raise DeviceError(f"{self._name}: {name} tells {live_s:g} s of live time in {real_s:g} s; not this scan")
        return events_of(cube, real_s, min(live_s, real_s))

    def _found_folder(self) -> str:
        given = self.settings.folder
        if not given or not Path(given).is_dir():
            raise InstrumentError(
                f"{self._name}: settings.folder {given[-80:]!r} is no folder; give the one that the vendor's program "
                "writes to"
            )
        return str(Path(given).resolve())

    def _reader(self, ending: str) -> Reader:
        if ending == ".rpl":
            return read_ripple
        if ending in _HDF5:
            return partial(read_nexus, dataset=self.settings.dataset, live_time=self.settings.live_time)
        return partial(read_rosetta, plugin_for(self._name, ending))

    def need_link(self) -> None:
        self._reads()

    def _reads(self) -> Reader:
        if self._read is None:
            raise ConnectionLost(f"{self._name}: not connected; call connect first")
        return self._read

    async def _beside(self, act: Callable[[], T]) -> T:
        """In a thread: a share may take its time."""
        return await asyncio.get_running_loop().run_in_executor(None, act)


def _make(name: str, settings: SpectrumFolderSettings, context: DeviceContext) -> SpectrumFolder:
    del context
    return SpectrumFolder(name, settings)


FACTORY = SettingsFactory("edx", SpectrumFolderSettings, _make, emulated_by="spectrum-vendor")
