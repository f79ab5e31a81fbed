"""Contract of a piezo needle."""

from __future__ import annotations

import math

from cryoctl.errors import CryoctlError, OutOfRange
from cryoctl.interfaces.needle import Needle
from cryoctl.testing.device import DeviceContract, acts, begun, refused


class NeedleContract(DeviceContract[Needle]):
    def test_high_voltage_is_off_at_first(self) -> None:
        async def check(needle: Needle) -> None:
            assert not (await needle.state()).high_voltage_on

        self.checked(check)

    @acts("steps the needle, 5 steps along x and 3 along z")
    def test_counts_its_steps(self) -> None:
        async def check(needle: Needle) -> None:
            before = (await needle.state()).coarse_steps
            after = (await needle.step("x", 5)).coarse_steps
            assert after == (before[0] + 5, before[1], before[2])
            assert (await needle.step("z", -3)).coarse_steps == (before[0] + 5, before[1], before[2] - 3)

        self.checked(check)

    @acts("switches the high voltage on and moves the tube by half its range")
    def test_fine_within_its_range_only(self) -> None:
        async def check(needle: Needle) -> None:
            await needle.high_voltage(True)
            low, high = needle.capabilities.fine_range_m
            inside = await needle.fine(low / 2, 0.0, high / 2)
            assert inside.fine_m == (low / 2, 0.0, high / 2)
            for wrong in (high * 1.1, low * 1.1, math.nan):
                await refused(OutOfRange, needle.fine(0.0, 0.0, wrong))
            assert (await needle.state()).fine_m == inside.fine_m

        self.checked(check)

    def test_no_fine_motion_without_high_voltage(self) -> None:
        async def check(needle: Needle) -> None:
            await refused(CryoctlError, needle.fine(0.0, 0.0, 1e-9))

        self.checked(check)

    def test_unknown_axis_moves_nothing(self) -> None:
        async def check(needle: Needle) -> None:
            before = await needle.state()
            await refused(OutOfRange, needle.step("w", 1))
            assert await needle.state() == before

        self.checked(check)

    @acts("steps the needle along y, by up to 500 steps")
    def test_stop_ends_a_burst(self) -> None:
        async def check(needle: Needle) -> None:
            before = (await needle.state()).coarse_steps[1]
            burst = await begun(needle.step("y", 500), 0.1)
            await needle.stop()
            done = (await burst).coarse_steps[1] - before
            assert 0 < done < 500

        self.checked(check)

    @acts("steps the needle along y, by up to 500 steps, and withdraws it")
    def test_made_safe_it_ends_a_burst(self) -> None:
        async def check(needle: Needle) -> None:
            before = (await needle.state()).coarse_steps[1]
            burst = await begun(needle.step("y", 500), 0.1)
            await needle.make_safe()
            assert (await burst).coarse_steps[1] - before < 500

        self.checked(check)

    @acts("switches the high voltage on, and withdraws the needle")
    def test_safe_is_without_high_voltage(self) -> None:
        async def check(needle: Needle) -> None:
            await needle.high_voltage(True)
            await needle.make_safe()
            assert not (await needle.state()).high_voltage_on

        self.checked(check)
