"""Contract of a vacuum gauge."""

from __future__ import annotations

from cryoctl.interfaces.vacuum import VacuumGauge
from cryoctl.testing.device import DeviceContract


class VacuumContract(DeviceContract[VacuumGauge]):
    def test_reads_plausibly(self) -> None:
        async def check(gauge: VacuumGauge) -> None:
            assert 0.0 < await gauge.pressure() < 1.1e5

        self.checked(check)
