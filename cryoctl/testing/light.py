"""Contract of a light on the specimen: set absolutely, read back, off when it is made safe."""

from __future__ import annotations

import math

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.light import Light
from cryoctl.testing.device import DeviceContract, acts, refused


class LightContract(DeviceContract[Light]):
    off_w_per_m2 = 1e-3
    """No more than this reads a light that is off."""

    def test_tells_what_it_can(self) -> None:
        async def check(light: Light) -> None:
            told = light.capabilities
            low, high = told.irradiance_w_per_m2
            assert 0.0 <= low < high < math.inf
            assert 0.0 <= told.read_back_rel < 1.0
            assert 0.0 <= told.accuracy_rel < 1.0
            assert told.settle_s >= 0.0

        self.checked(check)

    def test_is_off_at_first(self) -> None:
        async def check(light: Light) -> None:
            assert await light.irradiance() <= self.off_w_per_m2

        self.checked(check)

    @acts("shines on the specimen")
    def test_set_again_and_again_it_reads_back_the_same(self) -> None:
        async def check(light: Light) -> None:
            low, high = light.capabilities.irradiance_w_per_m2
            for wanted in (high, 0.5 * (low + high), 0.5 * (low + high), high):
                near = light.capabilities.read_back_rel * wanted
                assert abs(await light.set_irradiance(wanted) - wanted) <= near
                assert abs(await light.irradiance() - wanted) <= near

        self.checked(check)

    @acts("shines on the specimen")
    def test_set_to_nothing_it_is_off(self) -> None:
        async def check(light: Light) -> None:
            await light.set_irradiance(light.capabilities.irradiance_w_per_m2[1])
            assert await light.set_irradiance(0.0) <= self.off_w_per_m2

        self.checked(check)

    @acts("shines on the specimen")
    def test_out_of_range_changes_nothing(self) -> None:
        async def check(light: Light) -> None:
            _, high = light.capabilities.irradiance_w_per_m2
            await light.set_irradiance(high)
            for wrong in (1.01 * high, -0.01 * high, math.nan, math.inf):
                await refused(OutOfRange, light.set_irradiance(wrong))
            assert abs(await light.irradiance() - high) <= light.capabilities.read_back_rel * high

        self.checked(check)

    @acts("shines on the specimen")
    def test_safe_is_off(self) -> None:
        async def check(light: Light) -> None:
            await light.set_irradiance(light.capabilities.irradiance_w_per_m2[1])
            await light.make_safe()
            assert await light.irradiance() <= self.off_w_per_m2

        self.checked(check)
