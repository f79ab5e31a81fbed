"""Stands for the package `fibsem` and a microscope behind it, with the names that the drivers call, where fibsem is not
installed or its demo microscope can't be made to misbehave. That the names are right is shown with the package itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from cryoctl import registry
from cryoctl.clock import let_time_pass
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.context import DeviceContext
from tests.wire.demo_fib_sem import SETTINGS

T = TypeVar("T")
ELECTRONS, IONS = "electrons", "ions"


class FakeMicroscope:
    """`events` tells what was done to beams, pictures and stage, in order, `blanking` when the electron beam was opened
    and blanked; `lasts_s` is what a picture takes besides its pixels, and a move."""

    stage_is_compustage = False

    def __init__(self, sleep: Callable[[float], None], clock_s: Callable[[], float]) -> None:
        self._sleep, self._now_s = sleep, clock_s
        self.calls_to_fault, self.fault = 0, ""
        self.blanking: list[tuple[float, bool]] = []
        self.system = SimpleNamespace(
            info=SimpleNamespace(model="fake", serial_number="1", software_version="0", manufacturer="Demo")
        )
        self.events: list[tuple[Any, ...]] = []
        self.values: dict[tuple[str, str | None], Any] = {
            ("blanked", ELECTRONS): False,
            ("blanked", IONS): False,
            ("stage_homed", None): True,
            ("stage_linked", None): True,
            ("chamber_pressure", None): 1e-4,
        }
        self.at = {"x": 0.0, "y": 0.0, "z": 0.005, "t": 0.0}
        self.deaf_axes: tuple[str, ...] = ()
        self.field_limit_m = 1.0
        self.pixel_factor = 1.0
        self.call_s = 1e-3
        self.lasts_s = 0.01
        self.current_factor = 1.0
        self.detector = "ETD"

    def get(self, key: str, column: str | None = None) -> Any:
        self._pass(self.call_s)
        return self.values.get((key, column))

    def set(self, key: str, value: Any, column: str | None = None) -> None:
        self._pass(self.call_s)
        self.events.append((key, value, column))
        if self.values.get((key, column)) is not None:
            self.values[(key, column)] = value
            if (key, column) == ("blanked", ELECTRONS):
                self.blanking.append((self._now_s(), not value))

    def open_s(self) -> float:
        """For how long the electron beam was open in all."""
        until_s = [time_s for time_s, _ in self.blanking[1:]] + [self._now_s()]
        return sum(end - time_s for (time_s, opened), end in zip(self.blanking, until_s, strict=True) if opened)

    def _pass(self, seconds: float) -> None:
        """Time, and once, after so many calls, what was scheduled."""
        self.calls_to_fault -= 1
        if self.calls_to_fault == 0:
            if self.fault == "late":
                self._sleep(30.0)
            elif self.fault == "reset":
                raise ConnectionResetError("cut")
            elif self.fault == "refused":
                raise ValueError("Invalid operation")
        self._sleep(seconds)

    def is_on(self, column: str) -> bool:
        return bool(self.values.setdefault(("on", column), True))

    def turn_off(self, column: str) -> None:
        self.values[("on", column)] = False

    def get_beam_voltage(self, column: str) -> float:
        return 5000.0

    def set_beam_current(self, current_a: float, column: str) -> float:
        return current_a * self.current_factor

    def get_beam_shift(self, column: str) -> Any:
        self._pass(self.call_s)
        return SimpleNamespace(x=0.0, y=0.0)

    def set_scan_rotation(self, rotation_rad: float, column: str) -> float:
        return rotation_rad

    def set_full_frame_scanning_mode(self, column: str) -> None:
        self.events.append(("full frame",))

    def set_field_of_view(self, field_m: float, column: str) -> float:
        return min(field_m, self.field_limit_m)

    def get_detector_type(self, column: str) -> str:
        return self.detector

    def set_detector_type(self, detector: str, column: str) -> str:
        self.detector = detector
        return detector

    def set_detector_mode(self, mode: str, column: str) -> str:
        return mode

    def get_available_values(self, key: str, column: str) -> list[str]:
        return {"detector_type": ["ETD", "TLD"], "detector_mode": ["SecondaryElectrons"]}[key]

    def acquire_image(self, image_settings: Any) -> Any:
        columns, rows = image_settings.resolution
        self.events.append(("acquire",))
        self._pass(rows * columns * image_settings.dwell_time + self.lasts_s)
        side_m = image_settings.hfw / columns * self.pixel_factor
        pixel = SimpleNamespace(x=side_m, y=side_m)
        return SimpleNamespace(data=np.zeros((rows, columns), np.uint8), metadata=SimpleNamespace(pixel_size=pixel))

    def get_stage_position(self) -> Any:
        self._pass(self.call_s)
        return SimpleNamespace(**self.at)

    def move_stage_absolute(self, target: dict[str, float]) -> None:
        self.events.append(("move", target))
        self._pass(self.lasts_s)
        self.at |= {axis: value for axis, value in target.items() if axis not in self.deaf_axes}

    def _get_axis_limits(self) -> dict[str, Any]:
        def interval(low: float, high: float) -> Any:
            return SimpleNamespace(min=low, max=high)

        return {"x": interval(-0.1, 0.1), "y": interval(-0.1, 0.1), "z": interval(0, 0.04), "t": interval(-10, 90)}


class FakeLibrary:
    electrons, ions, version = ELECTRONS, IONS, "none"

    def __init__(self, microscope: FakeMicroscope) -> None:
        self._microscope = microscope

    def microscope(self, owner: str, settings: Any) -> FakeMicroscope:
        return self._microscope

    def point(self, x: float, y: float) -> Any:
        return SimpleNamespace(x=x, y=y)

    def stage_position(self, **axes: float) -> dict[str, float]:
        return axes

    def picture(self, shape: tuple[int, int], field_m: float, dwell_s: float) -> Any:
        return SimpleNamespace(resolution=(shape[1], shape[0]), hfw=field_m, dwell_time=dwell_s)


class Bench:
    """A fake microscope and its drivers, on one loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()

        async def nap(seconds: float) -> None:
            with let_time_pass():
                await asyncio.sleep(seconds)

        self.microscope = FakeMicroscope(lambda s: asyncio.run_coroutine_threadsafe(nap(s), loop).result(), loop.time)
        self.context = DeviceContext(seed=0)
        self.context.shared["fibsem"] = FakeLibrary(self.microscope)

    def driver(self, kind: str, **other: Any) -> Any:
        told = {"manufacturer": "Demo", **SETTINGS[kind], **other}
        return registry.find("cryoctl.devices", f"fibsem-{kind}")(other.get("detector", kind), told, self.context)

    @property
    def opened(self) -> bool:
        """Whether the electron beam was ever opened."""
        return ("blanked", False, ELECTRONS) in self.microscope.events


def played(check: Callable[[Bench], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        return await check(Bench())

    return run_virtual(whole())
