"""Links that were lost: connected again within a bounded time, known again, and brought back to where the run had them.

Only what is absolute and was set by the run is set again; nothing that moves in open loop or exposes is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.patience import answered
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.set_points import SetPoints
from cryoctl.engine.source_watch import SourceWatch
from cryoctl.errors import ConnectionLost, DeviceError, NoAnswer, ReadBackMismatch
from cryoctl.interfaces.device import Device, Identity
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.node.lease import NodeClosed
from cryoctl.steps import Insert, MeasureCurrent, Retract, SetBiasLimits, SetLight, SetTemperature, Step, UseOptics

RECONNECT_LIMIT_S = 120.0
"""A link that is not back by then ends the run."""
RETRY_S = 2.0
LINK_FAULTS = (ConnectionLost, NoAnswer)

SetAgain = Callable[[Step[Any]], Awaitable[None]]
"""Makes a setting again and verifies it; raises `DeviceError`."""
Meet = Callable[[str, str, str], dict[str, Any]]
"""Tells an interlock (name, policy, found) and gives the entry in which to note what came of it."""


class Links:
    """Of all devices of a run.

    Args:
        identities: who answered at the start, by name.
    """

    def __init__(
        self,
        devices: DeviceSet,
        identities: Mapping[str, Identity],
        recorder: Recorder,
        set_again: SetAgain,
        meet: Meet,
    ) -> None:
        self._devices = {device.name: device for device in devices}
        self._stage, self._beam = devices.stage, devices.beam
        self._identities = dict(identities)
        self._recorder = recorder
        self._set_again = set_again
        self._edx = devices.edx
        self._holder = devices.holder
        self._bias_name = "" if devices.bias is None else devices.bias.name
        self._light_name = "" if devices.light is None else devices.light.name
        self.set_points: Callable[[], SetPoints] = SetPoints
        """What the run has set so far."""
        self._meet = meet
        self.source: SourceWatch | None = None

    def of(self, error: Exception) -> tuple[str, ...]:
        """Names of the devices that a fault of a link speaks of; all where it names none."""
        named = tuple(name for name in self._devices if str(error).startswith(f"{name}:"))
        return named or tuple(self._devices)

    async def mend(self, names: Iterable[str], moves: bool = False) -> None:
        """Returns once all of these answer, are who they were, and have their settings again.

        Args:
            moves: the stage is about to be moved anyhow.

        Raises:
            DeviceError: one does not come back, another one answers in its place, or a setting can't be verified.
        """
        lost = tuple(dict.fromkeys(names))
        told = ", ".join(lost)
        entry = self._meet("link", "reconnect", f"no answer from {told}; connecting again")
        entry["outcome"] = "ended the run"
        deadline_s = now_s() + RECONNECT_LIMIT_S
        try:
            if self._bias_name in lost and self.source is not None:
                await self.source.lost()
            for name in lost:
                self._check_identity(name, await self._connected(self._devices[name], deadline_s))
            await self._at_rest(lost)
            await self._restore(lost, stage=not moves)
        except DeviceError as error:
            told_end = {"policy": "reconnect", "outcome": "ended the run"}
            self._recorder.event("interlock", "link", error.message, "error", data=told_end)
            raise
        entry["outcome"] = "reconnected"
        self._recorder.event(
            "interlock",
            "link",
            f"{told}: answers again after {self._recorder.time_s - entry['time_s']:.0f} s, is the same as before, and "
            "has its settings again; going on",
            "warning",
            data={"policy": "reconnect", "outcome": "reconnected"},
        )

    async def _connected(self, device: Device, deadline_s: float) -> Identity | None:
        while True:
            try:
                return await answered(device.connect(), device.name)
            except NodeClosed:
                raise
            except (DeviceError, OSError) as error:
                if now_s() + RETRY_S >= deadline_s:
                    raise ConnectionLost(
                        f"{device.name}: the link did not come back within {RECONNECT_LIMIT_S:g} s ({error}); the run "
                        "ends here"
                    ) from error
            await asyncio.sleep(RETRY_S)

    def _check_identity(self, name: str, found: Identity | None) -> None:
        known = self._identities.get(name)
        if known is not None and found is not None and found != known:
            raise DeviceError(
                f"{name}: after its link was lost {found.maker} {found.model} {found.serial} answers, at the start it "
                f"was {known.maker} {known.model} {known.serial}; the run ends here"
            )

    async def _at_rest(self, names: Collection[str]) -> None:
        """A stage that was left alone may still move; a beam must be known to be off before anything else."""
        if self._beam.name in names and not await answered(self._beam.is_blanked(), self._beam.name):
            await answered(self._beam.blank(), self._beam.name)
            if not await answered(self._beam.is_blanked(), self._beam.name):
                raise ReadBackMismatch(f"{self._beam.name}: told to blank after its link came back, reads back open")
        if self._bias_name in names and self.source is not None:
            await self.source.answers_again()
        if self._stage.name in names:
            await answered(self._stage.stop(), self._stage.name)
            if await answered(self._stage.is_moving(), self._stage.name):
                raise ReadBackMismatch(f"{self._stage.name}: told to stop after its link came back, still moves")

    async def _restore(self, names: Collection[str], *, stage: bool) -> None:
        at = await answered(self._stage.position(), self._stage.name)
        for step in self.set_points().way_back(at, stage=stage):
            if self._sets(step) in names:
                await self._set_again(step)

    def _sets(self, step: Step[Any]) -> str:
        """Name of the device that a setting is made on."""
        match step:
            case UseOptics() | MeasureCurrent():
                return self._beam.name
            case Insert() | Retract():
                return self._edx.name if step.detector == "edx" and self._edx is not None else step.detector
            case SetTemperature():
                return "" if self._holder is None else self._holder.name
            case SetBiasLimits():
                return self._bias_name
            case SetLight():
                return self._light_name
            case _:
                return self._stage.name
