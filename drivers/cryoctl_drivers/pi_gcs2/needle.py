"""A PI controller as a needle: coarse steps are closed-loop moves of one length, the fine set point is a position."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from cryoctl.clock import now_s
from cryoctl.errors import NoAnswer, NotReached, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_drivers.link import Link
from cryoctl_drivers.needle_record import Three
from cryoctl_drivers.pi_gcs2.gcs import IDENTITY, STOPPED, Declined, Gcs, link_of, same
from cryoctl_drivers.pi_gcs2.set_up import check_limits, check_referenced, set_speeds
from cryoctl_drivers.pi_gcs2.settings import PiSettings
from cryoctl_drivers.piezo_needle import AXES, PiezoNeedle

_CENTRE = (0.0, 0.0, 0.0)
_LOOK_S = 2e-3
"""Between two questions whether a move is over."""
_PIECE_S = 0.05
"""Of a longer move: so often it is seen whether it was stopped."""
_SAME_VOLTS = 1e-6
_TRIES = 3


class PiNeedle(PiezoNeedle[PiSettings]):
    """`coarse_steps` count what was sent; where it was stopped, what its sensor says was made, rounded up.

    `high_voltage` is the servo of the fine axes; without it they are relaxed.
    """

    def __init__(self, name: str, settings: PiSettings, link: Link) -> None:
        super().__init__(name, settings, link)
        self._gcs = Gcs(link, name)

    @property
    def capabilities(self) -> NeedleCapabilities:
        one = self.settings
        return NeedleCapabilities(
            coarse_step_m=(one.coarse_step_m, one.coarse_step_m),
            fine_range_m=one.fine_range_m,
            rides_with_stage=True,
            step_s=one.coarse_step_m / one.coarse_velocity_m_per_s,
            vacuum_limit_pa=one.vacuum_limit_pa,
            grounded_m=one.grounded_m,
            fine_sigma_rel=one.fine_sigma_rel,
        )

    # Connecting

    async def identify(self) -> Identity:
        told = await self.link.ask("*IDN?", IDENTITY)
        maker, model, serial, firmware = (part.strip() for part in told.split(","))
        if "Physik Instrumente" not in maker:
            raise self.not_this(told, "a PI controller with GCS 2")
        self._record.of(f"{model} {serial}")
        return Identity(maker="PI", model=model, serial=serial, firmware=firmware)

    async def set_up(self) -> None:
        """Velocities, each read back; limits and references are looked at. No servo is switched and nothing moves."""
        await self._gcs.forget_error()
        await check_limits(self._gcs, self.settings, self.name)
        if self.settings.referenced:
            await check_referenced(self._gcs, self.settings, self.name)
        await set_speeds(self._gcs, self.settings, self.name)

    # What it knows

    async def state(self) -> NeedleState:
        now, one = self._record.now, self.settings
        live = await self._gcs.flags("SVO?", one.fine_axes)
        fine_m = one.grounded_m
        if any(live):
            found, _ = await self._places(one.fine_axes, one.fine_tolerance_m / one.fine_unit_m)
            told_m = [self.settings.fine_m(index, position) for index, position in enumerate(found)]
            x_m, y_m, z_m = (
                wanted if abs(told - wanted) <= one.fine_tolerance_m else told
                for wanted, told in zip(now.fine_m, told_m, strict=True)
            )
            fine_m = (x_m, y_m, z_m)
        return NeedleState(coarse_steps=now.steps, fine_m=fine_m, high_voltage_on=any(live), hold=NeedleHold(now.hold))

    # Coarse

    async def _make_steps(self, index: int, steps: int, halts: int) -> None:
        one = self.settings
        axis = one.coarse_axes[index]
        await self._servo((axis,), True)
        began = (await self._gcs.numbers("MOV?", (axis,)))[0]
        length = one.coarse_signs[index] * one.coarse_step_m / one.coarse_unit_m
        target = began + steps * length
        low, high = (await self._gcs.numbers("TMN?", (axis,)))[0], (await self._gcs.numbers("TMX?", (axis,)))[0]
        if not low <= target <= high:
            raise OutOfRange(
                f"{self.name}: {steps} steps along {AXES[index]} would go to {target:g}, axis {axis} may be from "
                f"{low:g} to {high:g}; nothing moved"
            )
        await self._record.count(index, steps, abs(steps))
        if self._halts == halts:
            try:
                await self._go(axis, target, f"{steps} steps along {AXES[index]}")
            except Declined:
                await self._record.count(index, -steps, -abs(steps))
                raise
            await self._arrive((axis,), abs(steps) * one.coarse_step_m / one.coarse_velocity_m_per_s, halts)
        tolerance = one.coarse_tolerance_m / one.coarse_unit_m
        (found,), _ = await self._places((axis,), tolerance)
        if self._halts == halts:
            self._check_place(axis, target, found, tolerance)
            self._record.sure_of(index, abs(steps))
            return
        made = _outwards((found - began) / length)
        made = max(-abs(steps), min(abs(steps), made))
        await self._record.count(index, made - steps, -abs(steps))

    async def _go(self, axis: str, target: float, what: str) -> None:
        """Sent once; whether it was taken is read back where that was not plainly answered.

        Raises:
            Declined: certainly not taken.
            NoAnswer: not known, or not taken; it may still move.
        """
        await self._gcs.forget_error()
        try:
            await self._gcs.do(f"MOV {axis} {target:.9g}")
        except (NoAnswer, Declined) as error:
            taken = (await self._gcs.numbers("MOV?", (axis,)))[0]
            if same(taken, target):
                return
            if isinstance(error, Declined):
                raise
            raise NoAnswer(
                f"{self.name}: {what} were sent, their answer was lost and the target reads {taken:g}; they are "
                "counted as made and not sent again, look where the apex is"
            ) from error

    async def _arrive(self, axes: Sequence[str], travel_s: float, halts: int) -> None:
        """
        Raises:
            NotReached: not on target in good time; it is stopped.
        """
        arrives_s = now_s() + travel_s
        deadline_s = arrives_s + 0.2 * travel_s + self.settings.settle_s
        while not all(await self._gcs.flags("ONT?", axes)):
            if self._halts != halts:
                return
            if now_s() >= deadline_s:
                await self.stop()
                raise NotReached(
                    f"{self.name}: axis {', '.join(axes)} does not come on target and was stopped; look "
                    "where the apex is"
                )
            await asyncio.sleep(max(_LOOK_S, min(_PIECE_S, arrives_s - now_s())))

    def _check_place(self, axis: str, target: float, found: float, tolerance: float) -> None:
        if not abs(found - target) <= tolerance:
            raise NotReached(
                f"{self.name}: axis {axis} was sent to {target:.6g}, its sensor reads {found:.6g}, allowed is within "
                f"{tolerance:.2g}; look where the apex is"
            )

    async def stop(self) -> None:
        """All axes stop where they are and stay servoed; a stop that was not answered as it should be is sent again."""
        self._halts += 1
        for attempt in range(1, _TRIES + 1):
            try:
                await self._gcs.do("STP")
                break
            except (Declined, NoAnswer) as error:
                if isinstance(error, Declined) and error.code == STOPPED:
                    break
                if attempt == _TRIES:
                    raise
        one = self.settings
        _, stands = await self._places(one.coarse_axes, one.coarse_tolerance_m / one.coarse_unit_m)
        if not stands:
            raise ReadBackMismatch(f"{self.name}: was stopped, yet its coarse axes move; switch the controller off")

    # Fine

    async def _is_live(self) -> bool:
        return all(await self._gcs.flags("SVO?", self.settings.fine_axes))

    async def _place(self, wanted: Three) -> None:
        """Where it does not get there, where it is becomes its set point."""
        try:
            arrived = await self._place_by_axes(wanted)
        except NotReached:
            await self._keep_place()
            raise
        if not arrived:
            await self._keep_place()

    async def _keep_place(self) -> None:
        one = self.settings
        found, _ = await self._places(one.fine_axes, one.fine_tolerance_m / one.fine_unit_m)
        x_m, y_m, z_m = (self.settings.fine_m(index, position) for index, position in enumerate(found))
        await self._record.keep(fine_m=(x_m, y_m, z_m))

    async def _place_by_axes(self, wanted: Three) -> bool:
        """False where it was stopped."""
        one, halts = self.settings, self._halts
        tolerance = one.fine_tolerance_m / one.fine_unit_m
        found, _ = await self._places(one.fine_axes, tolerance)
        x_m, y_m, z_m = (self.settings.fine_m(index, position) for index, position in enumerate(found))
        for index in self._order((x_m, y_m, z_m), wanted):
            axis, target = one.fine_axes[index], self.settings.fine_position(index, wanted[index])
            travel_s = abs(target - found[index]) * one.fine_unit_m / one.fine_velocity_m_per_s
            await self._go(axis, target, f"a move along {AXES[index]}")
            await self._arrive((axis,), travel_s, halts)
            if self._halts != halts:
                return False
            (place,), _ = await self._places((axis,), tolerance)
            self._check_place(axis, target, place, tolerance)
        return True

    async def high_voltage(self, on: bool) -> NeedleState:
        async with self._moving:
            axes = self.settings.fine_axes
            if on and not await self._is_live():
                try:
                    await self._servo(axes, True)
                except ReadBackMismatch:
                    await self._relax()
                    raise
                await self._record.keep(fine_m=_CENTRE, parked=False)
                await self._place(_CENTRE)
            elif not on:
                await self._relax()
        return await self.state()

    async def _relax(self) -> None:
        for axis in self.settings.fine_axes:
            await self._servo((axis,), False)
            await self._gcs.set(f"SVA {axis} 0")
            if abs((await self._gcs.numbers("SVA?", (axis,)))[0]) > _SAME_VOLTS:
                raise ReadBackMismatch(f"{self.name}: axis {axis} keeps its voltage; switch its amplifier off by hand")

    async def _servo(self, axes: Sequence[str], on: bool) -> None:
        """A servo that comes on takes the place where the axis is for its target, so that nothing moves."""
        if await self._gcs.flags("SVO?", axes) == [on] * len(axes):
            return
        said = await self._gcs.set("SVO " + " ".join(f"{axis} {on:d}" for axis in axes))
        for axis, found in zip(axes, await self._gcs.flags("SVO?", axes), strict=True):
            if found is not on:
                told = "on" if on else "off"
                raise ReadBackMismatch(
                    f"{self.name}: the servo of axis {axis} was switched {told} and reads otherwise ({said}); see its "
                    "controller"
                )

    async def _places(self, axes: Sequence[str], tolerance: float) -> tuple[list[float], bool]:
        """Where the sensors say that axes are, and whether they stand: a reading is believed when the next one agrees,
        since a damaged one can't be told from it, and no two are the same to the last digit."""
        before = await self._gcs.numbers("POS?", axes, confirm=False)
        for _ in range(_TRIES):
            await asyncio.sleep(_LOOK_S)
            now = await self._gcs.numbers("POS?", axes, confirm=False)
            if all(abs(one - other) <= tolerance for one, other in zip(now, before, strict=True)):
                return now, True
            before = now
        return before, False


def _outwards(steps: float) -> int:
    """A step that was begun counts."""
    return int(math.copysign(math.ceil(abs(steps) - 1e-3), steps))


def _make(name: str, settings: PiSettings, context: DeviceContext) -> PiNeedle:
    del context
    return PiNeedle(name, settings, link_of(name, settings))


FACTORY = SettingsFactory("needle", PiSettings, _make)
