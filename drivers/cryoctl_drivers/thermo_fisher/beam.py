"""Column and scan generator of a Thermo Fisher TEM: see `CommandedBeam` for how it exposes.

Blanking has a server of its own, which does nothing else. The current is what was measured by hand (`presets`), for the
interface only has a screen current, behind the specimen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.errors import DeviceError, InstrumentError, Refused
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl_drivers.by_command.beam import CommandedBeam
from cryoctl_drivers.by_command.pictures import Pictures
from cryoctl_drivers.thermo_fisher import optics as column
from cryoctl_drivers.thermo_fisher.blanker import ServerBlanker
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.deflectors import ServerDeflectors
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.scan_frame import ScanFrame, scan_frame, sides_px
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_SAME_REL = 1e-3


class ThermoFisherBeam(CommandedBeam[ScanFrame]):
    def __init__(self, name: str, settings: BeamSettings, pictures: Pictures) -> None:
        self.settings = settings
        self._server = ScriptingConnection(name, settings)
        self._servers_blanker = ServerBlanker(name, settings)
        deflectors = ServerDeflectors(name, settings, self._server)
        super().__init__(name, settings, self._servers_blanker, deflectors, pictures, self._server.deadline_s)

    @property
    def voltages_v(self) -> tuple[float, ...]:
        return (self.settings.voltage_v,)

    @property
    def sides_px(self) -> tuple[int, ...]:
        return sides_px(self.settings)

    @property
    def max_scan_px(self) -> int:
        return self.settings.full_frame_px

    async def connect(self) -> Identity:
        self.forget_optics()
        await self._servers_blanker.open()
        version = await self._server.open()
        who = await identity(self._server, version)
        other = str(await self._servers_blanker.server.call("get_microscope_id"))
        if other != who.serial:
            raise InstrumentError(
                f"{self.name}: settings.blanker_port {self.settings.blanker_port} leads to {other[:60]!r}, port "
                f"{self.settings.port} to {who.serial[:60]!r}; both have to be servers of one microscope"
            )
        if not await self._server.call("is_stem_available"):
            raise InstrumentError(f"{self.name}: {who.model} at {self.settings.host} has no STEM; this driver scans")
        detectors: Mapping[str, Any] = await self._server.call("get_stem_detectors")
        if self.settings.scan_detector not in detectors:
            raise InstrumentError(
                f"{self.name}: settings.scan_detector: there is no {self.settings.scan_detector[:40]!r}, the "
                f"microscope has {', '.join(detectors) or 'none'}; name one of them"[:300]
            )
        there = {int(one) for one in detectors[self.settings.scan_detector]["binnings"]}
        if not there.issuperset(self.settings.binnings):
            raise InstrumentError(
                f"{self.name}: settings.binnings: found {list(self.settings.binnings)}, "
                f"{self.settings.scan_detector} has {sorted(there)}; name some of these"[:300]
            )
        await self._servers_blanker.try_out()
        return who

    async def close_connections(self) -> None:
        await self._server.close()
        await self._servers_blanker.close()

    def check_optics(self, optics: Optics) -> None:
        column.check(self.name, optics, self.settings)

    async def set_optics(self, optics: Optics) -> Optics:
        return await column.apply(self.name, self._server, optics, self.settings)

    def acquisition(self, scan: Scan) -> ScanFrame:
        return scan_frame(self.name, scan, self.settings)

    async def prepare(self, scan: Scan, frame: ScanFrame, optics: Optics, longest_s: float) -> None:
        await self._server.be_patient(longest_s)
        await column.set_rotation(self.name, self._server, optics.scan_rotation_deg + scan.rotation_deg)
        await self._server.call("set_stem_magnification", frame.magnification)
        found = float(await self._server.call("get_stem_magnification"))
        if abs(found - frame.magnification) > _SAME_REL * frame.magnification:
            raise Refused(
                f"{self.name}.pixel_size_m: {scan.pixel_size_m:.6g} m is no step of the magnification, the nearest "
                f"gives {scan.pixel_size_m * frame.magnification / found:.6g} m; use that"
            )
        await self._server.call("set_stem_acquisition_param", frame.parameters)
        told: Mapping[str, Any] = await self._server.call("get_stem_acquisition_param")
        same = told["image_size"] == frame.image_size and int(told["binning"]) == frame.binning
        if not same or abs(float(told["dwell_time(s)"]) - frame.dwell_s) > _SAME_REL * frame.dwell_s:
            raise Refused(
                f"{self.name}: a scan of {frame.image_size}, binning {frame.binning}, {frame.dwell_s:g} s a pixel "
                f"reads back as {told['image_size']}, {told['binning']}, {told['dwell_time(s)']:g} s; not opened"
            )

    async def acquire(self, scan: Scan, frame: ScanFrame, limit_s: float) -> Mapping[str, Any]:
        del frame
        detectors = self._pictures.wanted(scan) or (self.settings.scan_detector,)
        return await self._server.call("acquire", *detectors, limit_s=limit_s)

    async def stop_source(self) -> None:
        """The column valves: by the blanker's server, and by the other one where that does not answer."""
        try:
            await self._servers_blanker.server.call("set_column_valves_open", False)
        except DeviceError:
            await self._server.call("set_column_valves_open", False)

    async def valves_open(self) -> bool:
        try:
            return bool(await self._servers_blanker.server.call("get_column_valves_open"))
        except DeviceError:
            return bool(await self._server.call("get_column_valves_open"))


def _make(name: str, settings: BeamSettings, context: DeviceContext) -> ThermoFisherBeam:
    return ThermoFisherBeam(name, settings, Pictures.of(context, "thermo-fisher"))


FACTORY = SettingsFactory("beam", BeamSettings, _make)
