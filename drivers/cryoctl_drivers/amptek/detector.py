"""EDX with an Amptek unit: scans of one pixel, or small ones where a pixel clock is wired to it."""

from __future__ import annotations

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, DeviceError, InstrumentError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl_drivers.amptek.counting import SHORTEST_FRAME_S, Counted, between, check_whole, frame_events
from cryoctl_drivers.amptek.link import UdpLink
from cryoctl_drivers.amptek.settings import AmptekSettings
from cryoctl_drivers.amptek.status import MODELS, Status
from cryoctl_drivers.amptek.unit import Reading, Unit
from cryoctl_drivers.mounted_edx import MountedEdx

_NORMAL = {"MCAS": "NORM", "PRET": "OFF", "PRER": "OFF", "PREC": "OFF"}
"""Counts into a spectrum and never stops by itself."""
_PIXEL_CLOCK = {"GPED": "RISING", "GPGA": "OFF", "GPIN": "AUX2", "GPMC": "OFF", "GPME": "OFF"}
"""Its counter counts the pulses that store the pixels' spectra, whatever else the unit does."""


class AmptekEdx(MountedEdx[AmptekSettings]):
    """A unit counts one spectrum at a time, so an image is scanned point by point.

    - A scan of 1 x 1 needs no wire. What is counted between `arm` and `read_scan` belongs to it: nothing does while the
      beam is blanked, but noise; real time is the scan's own. With the beam's blanking signal at the unit's gate, the
      time of one pixel is what the unit counted.
    - Larger ones need a pulse at the end of each pixel's dwell at its AUX input 2 and none during flyback
      (`pixel_buffers`): hardware-controlled sequential buffering stores a spectrum with its clocks at each. From two
      open programs that use it (X-123, PX5); it was never tried here on a unit.
    - List mode is not used: reading it empties it, so a lost datagram would lose events without a trace.

    High voltage and cooler stay as `configuration` or Amptek's own program left them; a detector that is too warm is
    not armed.
    """

    def __init__(self, name: str, settings: AmptekSettings) -> None:
        super().__init__(name, settings)
        self._link = UdpLink(name, settings.host, settings.udp_port, settings.deadline_s)
        self._unit = Unit(name, self._link, settings.channels)
        self._connected = False
        self._wanted: dict[str, str] = {}
        self._former: Reading | None = None
        self._began_s = 0.0

    @property
    def capabilities(self) -> EdxCapabilities:
        return self.capabilities_with(self.settings.channels, max(1, self.settings.pixel_buffers - 1))

    async def connect(self) -> Identity:
        """Counting is stopped only where the configuration has to be changed.

        Raises:
            InstrumentError: another unit answers.
            DeviceError: nobody answers, or it does not take its configuration.
        """
        if not self.settings.host:
            raise InstrumentError(f"{self._name}: settings.host is missing; give the unit's address or host name")
        self._link.open()
        try:
            status = await self._unit.status()
            serial = f"{status.serial}"
            if status.model not in MODELS:
                raise InstrumentError(
                    f"{self._name}: at {self.settings.host} answers a unit of kind {status.model}, which is no pulse "
                    "processor; change settings.host or the driver"
                )
            if self.settings.serial not in ("", serial):
                raise InstrumentError(
                    f"{self._name}: unit {serial} answers at {self.settings.host}, {self.settings.serial} is wanted; "
                    "correct host or serial"
                )
            wanted = self._configuration(status)
            if await self._unit.differing(wanted):
                await self._unit.disable()
                await self._unit.configure(wanted)
        except BaseException:
            self._link.close()
            raise
        self._connected = True
        return Identity(maker="Amptek", model=MODELS[status.model], serial=serial, firmware=status.firmware)

    async def close(self) -> None:
        self._connected = False
        self._armed = None
        self._link.close()

    async def make_safe(self) -> None:
        self.need_link()
        self._armed = None
        await self._unit.disable()

    async def retract(self) -> None:
        await super().retract()
        await self._unit.disable()

    async def arm(self, scan: Scan) -> None:
        """
        Raises:
            OutOfRange: a scan that the unit has no way to take.
            DeviceError: retracted, too warm, or it does not do what it is told.
        """
        self.need_link()
        self._armed = None
        self._check_scan(scan)
        if not self._inserted:
            raise DeviceError(f"{self._name}: is retracted; insert it before arming")
        status = await self._unit.disable()
        if status.detector_k > self.settings.warmest_k:
            raise DeviceError(
                f"{self._name}: the detector has {status.detector_k:.1f} K, allowed {self.settings.warmest_k:.1f} K; "
                "wait for its cooler"
            )
        if status.buffering:  # it tells no spectrum then
            await self._unit.cancel_buffering()
        self._wanted = self._configuration(status)
        await self._unit.configure(self._wanted)  # a restart in between would have lost it
        await self._unit.clear()
        self._former = await self._unit.spectrum()
        if self._former.counts.any():
            raise DeviceError(f"{self._name}: a spectrum that was cleared still holds counts; restart the unit")
        self._next = 0
        await self._begin(scan)
        self._armed = scan

    async def read_scan(self, index: int) -> EdxEvents:
        """
        Raises:
            DeviceError: it never came, or what came is not certainly this scan frame's.
        """
        self.need_link()
        scan = self.armed_for(index)
        self._armed = None
        rows, columns = scan.shape
        pixels = await (self._one_pixel(scan) if rows * columns == 1 else self._many_pixels(scan))
        await self._check_configuration()
        events = frame_events(self._name, pixels, scan.dwell_s, self.settings.gate != "OFF")
        self._next = index + 1
        if self._next < scan.scans:
            await self._begin(scan)
            self._armed = scan
        return events

    async def _begin(self, scan: Scan) -> None:
        """Everything is ready for a scan frame when this returns."""
        if scan.shape != (1, 1):
            await self._unit.cancel_buffering()
            await self._unit.clear()
            await self._unit.clear_pulses()
            await self._unit.restart_buffering()
        self._began_s = now_s()
        await self._unit.enable()

    async def _one_pixel(self, scan: Scan) -> list[Counted]:
        """The spectrum goes on from scan frame to scan frame, so that an answer of the past would go back in time."""
        assert self._former is not None
        await self._unit.disable()
        window_s = now_s() - self._began_s
        reading = await self._unit.spectrum()
        counted = between(self._name, self._former, reading)
        check_whole(self._name, [counted], scan, window_s)
        self._former = reading
        return [counted]

    async def _many_pixels(self, scan: Scan) -> list[Counted]:
        wanted = scan.shape[0] * scan.shape[1]
        status = await self._unit.disable()
        window_s = now_s() - self._began_s
        if status.pulse_count != wanted or status.next_buffer != wanted:
            raise DeviceError(
                f"{self._name}: {status.pulse_count} pulses of the pixel clock, {status.next_buffer} spectra stored, "
                f"for {wanted} pixels; look at the clock's wire and at pixel_buffers"
            )
        pixels: list[Counted] = []
        for index in range(wanted):
            reading = await self._unit.buffered(index)
            one = reading.status
            pixels.append(
                Counted(reading.counts, one.fast_count, one.slow_count, one.accumulation_s, one.real_s)
            )  # cleared at each pulse
        check_whole(self._name, pixels, scan, window_s)
        return pixels

    async def _check_configuration(self) -> None:
        """A unit that was restarted before the beam came counts on from nothing, with what it keeps in its memory."""
        for command, has in (await self._unit.differing(self._wanted)).items():
            raise DeviceError(
                f"{self._name}: {command} was set to {self._wanted[command]} and reads {has or 'nothing'} after the "
                "scan frame: the unit was restarted or set by somebody else; expose again"
            )

    def _check_scan(self, scan: Scan) -> None:
        rows, columns = scan.shape
        wanted, most = rows * columns, self.capabilities.max_pixels
        if most is not None and wanted > most:
            way = f"its buffers take {most}" if most > 1 else "it counts one spectrum at a time"
            mend = "" if most > 1 else ", or wire a pixel clock and set pixel_buffers"
            raise OutOfRange(
                f"{self._name}: {rows} x {columns} pixels can't be taken, {way}; scan 1 x 1 point by point{mend}"
            )
        frame_s = wanted * scan.dwell_s
        if wanted < 1 or frame_s < SHORTEST_FRAME_S:
            raise OutOfRange(
                f"{self._name}: a scan frame of {frame_s:g} s is too short for clocks that tick in ms; "
                f"at least {SHORTEST_FRAME_S:g} s"
            )

    def _configuration(self, status: Status) -> dict[str, str]:
        one = self.settings
        wanted = {**one.configuration, "MCAC": f"{one.channels}", **_NORMAL}
        if MODELS.get(status.model) != "PX5":  # whose gate is one of the uses of its connectors, CON1 and CON2
            wanted["GATE"] = one.gate
        if one.pixel_buffers:
            wanted |= _PIXEL_CLOCK
        return wanted

    def need_link(self) -> None:
        if not self._connected:
            raise ConnectionLost(f"{self._name}: not connected; call connect first")


def _make(name: str, settings: AmptekSettings, context: DeviceContext) -> AmptekEdx:
    del context
    return AmptekEdx(name, settings)


FACTORY = SettingsFactory("edx", AmptekSettings, _make)
