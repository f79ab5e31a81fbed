"""What makes a 2600 source something: set points, and what its script plays and samples."""

from __future__ import annotations

from cryoctl.errors import DeviceError, ReadBackMismatch
from cryoctl.interfaces.waveform import Waveform
from cryoctl_drivers.keithley_2600.answers import Report
from cryoctl_drivers.keithley_2600.samples import Samples
from cryoctl_drivers.keithley_2600.script import Script, Setting
from cryoctl_drivers.keithley_2600.settings import MOST_LEVELS
from cryoctl_drivers.staircase import Staircase, staircase

_LEVEL = {"voltage": "source.levelv", "current": "source.leveli"}
_VOLTS, _AMPERES = 1, 0
_NEVER, _ABOVE, _BELOW = 0, 1, 2
_MARGIN_S = 0.002
"""By which a measurement begins earlier than it would have to."""


class Player:
    """
    Args:
        most: samples that the script keeps.
    """

    def __init__(self, script: Script, samples: Samples, name: str, most: int) -> None:
        self._script = script
        self._most = most
        self._samples = samples
        self._name = name

    async def drive(self, control: str, value: float, interval_s: float, need_s: float) -> float:
        """A set point; sampling stops for it, and begins anew."""
        script = self._script
        on = (await self._stopped()).on
        told = (await script.make(Setting(script.of(_LEVEL[control]), float(value))))[0]
        await self._control(control)
        if on:
            await self.switch_on(interval_s, need_s)
        return float(told)

    async def switch_on(self, interval_s: float, need_s: float) -> bool:
        """And sample until further notice; whether it reads back on."""
        script = self._script
        if not (await self._stopped()).on:
            await script.tell(script.of("source.output = 1"))
            await script.check_errors(script.of("source.output = 1"))
            if not (await self._stopped()).on:
                return False
        await self._pace(interval_s, need_s, scratch=False)
        await script.begin("hold")
        await self._begun()
        return True

    async def switch_off(self) -> bool:
        """Whether it reads back on."""
        script = self._script
        await script.stop(script.of("source.output = 0"))
        if (await self._stopped()).on:
            return True
        await script.clear_errors()  # what came before must not keep it from its rest
        await script.make(Setting(script.of(_LEVEL["voltage"]), 0.0), Setting(script.of(_LEVEL["current"]), 0.0))
        await self._control("voltage")
        return False

    async def play(self, waveform: Waveform, wanted_s: float, need_s: float, *, scratch: bool) -> float:
        """Begin; the sampling interval that it has.

        Args:
            scratch: what it measures is no sample.

        Raises:
            Refused: what it can't play by itself; nothing was changed.
        """
        stairs = staircase(waveform, wanted_s, MOST_LEVELS, self._name)
        script = self._script
        await self._stopped()
        await self._control(stairs.control)
        await script.fill("levels", stairs.levels)
        await script.fill("pieces", _pieces(stairs))
        await script.make(
            Setting("cryoctl.turns", stairs.repeats), Setting("cryoctl.current", int(stairs.control == "current"))
        )
        await self._pace(stairs.interval_s, need_s, scratch=scratch)
        await script.begin("play")
        await self._begun()
        return stairs.interval_s

    async def _begun(self) -> None:
        """
        Raises:
            DeviceError: its output stayed off; what its error queue says is told.
            ReadBackMismatch: it does nothing.
        """
        script = self._script
        report = await script.report()
        if report is None or not report.doing:
            raise ReadBackMismatch(f"{self._name}: was told to sample and does not; see its display")
        self._samples.take(report)
        if not report.on and report.ended != "complete":
            await script.stop()
            await script.check_errors("its script")
            raise DeviceError(f"{self._name}: its output does not stay on; is its interlock closed?")

    async def _stopped(self) -> Report:
        """With its script left, what it had sampled taken; the output stays.

        Raises:
            ReadBackMismatch: it was switched off and on.
        """
        script = self._script
        await script.leave()
        report = await script.report()
        if report is None:
            raise ReadBackMismatch(
                f"{self._name}: was switched off and on and has lost its script; set its limits anew"
            )
        await self.catch_up(report)
        return report

    async def catch_up(self, report: Report) -> None:
        """With samples that were not told yet; nothing runs."""
        samples = self._samples
        samples.take(report)
        samples.skip_to(report.total - self._most)
        if samples.end < report.total:
            samples.add(await self._script.page(samples.end, report.total))

    async def _control(self, control: str) -> None:
        function = _VOLTS if control == "voltage" else _AMPERES
        await self._script.make(Setting(self._script.of("source.func"), function))

    async def _pace(self, interval_s: float, need_s: float, *, scratch: bool) -> None:
        await self._script.tell("trigger.clear()")  # before it begins: a trigger that comes early is not to be lost
        await self._script.make(
            Setting("cryoctl.interval", float(interval_s)),
            Setting("cryoctl.need", float(min(need_s + _MARGIN_S, interval_s))),
            Setting("cryoctl.scratch", int(scratch)),
        )


def _pieces(stairs: Staircase) -> list[float]:
    """Five numbers each, see the script."""
    found: list[float] = []
    at = 1
    for stair in stairs.stairs:
        ends = _NEVER if stair.until_v is None else (_ABOVE if stair.rising else _BELOW)
        found += [at, len(stair.levels), stair.ticks, ends, stair.until_v or 0.0]
        at += len(stair.levels)
    return found
