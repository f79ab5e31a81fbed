"""Contract of a stage."""

from __future__ import annotations

import dataclasses
import math

import pytest

from cryoctl.clock import now_s
from cryoctl.errors import NotReached, OutOfRange
from cryoctl.interfaces.stage import Stage
from cryoctl.testing.device import DeviceContract, acts, begun, refused

AXES = ("x_m", "y_m", "z_m", "tilt_deg")


class StageContract(DeviceContract[Stage]):
    tolerance_m = 50e-9
    tolerance_deg = 0.05
    stop_within_s = 0.5

    def test_limits_are_intervals_around_where_it_is(self) -> None:
        async def check(stage: Stage) -> None:
            at = await stage.position()
            for axis in AXES:
                low, high = getattr(stage.limits, axis)
                assert low < high
                assert low <= getattr(at, axis) <= high
            assert stage.speed_m_per_s > 0
            assert stage.tilt_speed_deg_per_s > 0
            assert min(dataclasses.astuple(stage.settling)) >= 0
            assert stage.settling.tilt_drift_decay_s > 0

        self.checked(check)

    @acts("moves the stage by up to 1 um and tilts it by 3 deg, and back")
    @pytest.mark.parametrize(("axis", "by"), [("x_m", 1e-6), ("y_m", -1e-6), ("z_m", 5e-7), ("tilt_deg", 3.0)])
    def test_moves_the_named_axis_only(self, axis: str, by: float) -> None:
        async def check(stage: Stage) -> None:
            before = await stage.position()
            target = getattr(before, axis) + by
            reached = await stage.move(**{axis: target})
            for other in AXES:
                tolerance = self.tolerance_deg if other == "tilt_deg" else self.tolerance_m
                wanted = target if other == axis else getattr(before, other)
                assert abs(getattr(reached, other) - wanted) <= tolerance
            assert await stage.position() == reached
            assert not await stage.is_moving()

        self.checked(check)

    @pytest.mark.parametrize("axis", AXES)
    @pytest.mark.parametrize("beyond", ["low", "high", "nan"])
    def test_out_of_range_raises_and_nothing_moves(self, axis: str, beyond: str) -> None:
        async def check(stage: Stage) -> None:
            low, high = getattr(stage.limits, axis)
            span = high - low
            value = {"low": low - 0.01 * span, "high": high + 0.01 * span, "nan": math.nan}[beyond]
            before = await stage.position()
            away = {other: getattr(before, other) for other in AXES} | {axis: value}
            await refused(OutOfRange, stage.move(**away))
            assert await stage.position() == before
            assert not await stage.is_moving()

        self.checked(check)

    @acts("moves the stage and stops it on its way")
    def test_stop_ends_a_move_within_its_bound(self) -> None:
        async def check(stage: Stage) -> None:
            low, high = stage.limits.tilt_deg
            start = await stage.position()
            far = high if high - start.tilt_deg > start.tilt_deg - low else low
            lasts_s = abs(far - start.tilt_deg) / stage.tilt_speed_deg_per_s
            move = await begun(stage.move(tilt_deg=far), lasts_s / 4)
            assert await stage.is_moving()
            on_the_way = (await stage.position()).tilt_deg
            assert abs(on_the_way - start.tilt_deg) > self.tolerance_deg
            assert abs(on_the_way - far) > self.tolerance_deg
            asked_s = now_s()
            await stage.stop()
            await refused(NotReached, move)
            assert now_s() - asked_s <= max(self.stop_within_s, stage.settling.stop_s)
            assert not await stage.is_moving()
            at = await stage.position()
            assert abs(at.tilt_deg - far) > self.tolerance_deg

        self.checked(check)

    def test_stop_at_rest_does_nothing(self) -> None:
        async def check(stage: Stage) -> None:
            before = await stage.position()
            await stage.stop()
            assert await stage.position() == before

        self.checked(check)

    @acts("moves the stage and stops it on its way")
    def test_made_safe_it_ends_a_move(self) -> None:
        async def check(stage: Stage) -> None:
            low, high = stage.limits.tilt_deg
            move = await begun(stage.move(tilt_deg=low + 0.9 * (high - low)), 0.5)
            await stage.make_safe()
            assert not await stage.is_moving()
            await refused(NotReached, move)

        self.checked(check)

    @acts("moves the stage and stops it on its way")
    def test_cancelled_move_leaves_it_at_rest(self) -> None:
        async def check(stage: Stage) -> None:
            low, high = stage.limits.tilt_deg
            move = await begun(stage.move(tilt_deg=low + 0.9 * (high - low)), 0.5)
            move.cancel()
            with pytest.raises(BaseException):  # noqa: B017
                await move
            await stage.make_safe()
            assert not await stage.is_moving()

        self.checked(check)
