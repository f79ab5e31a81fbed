"""A whole emulated TEM with its drivers, on one loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cryoctl import registry
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext

T = TypeVar("T")
OPTICS = Optics(name="contract", voltage_v=200e3, beam_current_a=1e-10)
SCAN = Scan(shape=(16, 16), pixel_size_m=10e-9, dwell_s=1e-4, scans=3)
BEAM = {
    "presets": {
        "contract": {"current_a": 1e-10, "current_sigma_rel": 0.05, "intensity": 0.25},
        "other": {"current_a": 2e-10, "current_sigma_rel": 0.05, "intensity": 0.5},
    },
    "idle_probe": "scans",
    "full_frame_px": 256,
    "binnings": [1, 2, 4, 8, 16],
    "field_at_unit_magnification_m": 0.1,
    "max_dwell_s": 0.1,
}
EMULATED_BEAM = {"full_frame_px": 256}
HAADF = {"kept_inserted": True, "max_shape": [256, 256]}


class Microscope:
    """Stage, beam and HAADF detector of one emulated TEM; made in the running loop."""

    def __init__(self, context: DeviceContext | None = None, **beam: Any) -> None:
        self.context = context or DeviceContext(seed=11)
        kinds: dict[str, dict[str, Any]] = {"stage": {}, "beam": EMULATED_BEAM, "haadf": {}, "vacuum": {}}
        self.emulators = {
            kind: registry.find("cryoctl.emulators", f"thermo-fisher-{kind}")(kind, settings, self.context)
            for kind, settings in kinds.items()
        }
        self.tem = self.emulators["beam"].tem
        self.settings: dict[str, dict[str, Any]] = {"stage": {}, "beam": {**BEAM, **beam}, "haadf": HAADF, "vacuum": {}}
        for emulator in self.emulators.values():
            emulator.attach()

    def driver(self, kind: str, **other: Any) -> Any:
        told = {**self.settings[kind], **self.emulators[kind].open(), **other}
        return registry.find("cryoctl.devices", f"thermo-fisher-{kind}")(kind, told, self.context)

    async def connected(self, *kinds: str, **beam: Any) -> list[Any]:
        """Drivers of these kinds; a beam has its optics, a detector is inserted."""
        drivers = [self.driver(kind, **(beam if kind == "beam" else {})) for kind in kinds]
        for kind, driver in zip(kinds, drivers, strict=True):
            await driver.connect()
            if kind == "beam":
                await driver.apply(OPTICS)
            elif kind == "haadf":
                await driver.insert()
        return drivers


def played(check: Callable[[Microscope], Coroutine[Any, Any, T]], *faults: dict[str, Any]) -> T:
    """In virtual time, with these scheduled faults."""

    async def whole() -> T:
        microscope = Microscope(DeviceContext(seed=11, faults=faults))
        try:
            return await check(microscope)
        finally:
            microscope.tem.close()

    return run_virtual(whole())
