"""fibsem's own simulated microscope with drivers on it: another program's truth, in virtual time.

It pretends to take its time by sleeping; here it sleeps on the loop's clock instead, and each value that is asked for
or set takes as long as a call over a network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from cryoctl import registry
from cryoctl.clock import let_time_pass
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext

T = TypeVar("T")
CALL_S = 1e-3
DEMO = {"manufacturer": "Demo"}
OPTICS = Optics(name="contract", voltage_v=5000.0, beam_current_a=1e-10)
SCAN = Scan(shape=(16, 20), pixel_size_m=1e-7, dwell_s=1e-3, scans=2)
SETTINGS: dict[str, dict[str, Any]] = {
    "stage": {
        "limits_m": [-0.02, 0.02],
        "limits_z_m": [0.0, 0.01],
        "limits_tilt_deg": [-10.0, 60.0],
        "tilt_speed_deg_per_s": 5.0,
    },
    "beam": {
        "presets": {
            "contract": {"current_a": 1e-10, "current_sigma_rel": 0.05, "nominal_a": 1e-10},
            "other": {"current_a": 2e-10, "current_sigma_rel": 0.05, "nominal_a": 3e-10},
        },
        "voltages_v": [5000.0, 2000.0],
        "working_distance_m": 0.004,
        "idle_probe": "scans",
        "max_dwell_s": 0.2,
    },
    "detector": {"detector": "ETD", "mode": "SecondaryElectrons", "kept_inserted": True},
    "vacuum": {},
}


def driver(kind: str, context: DeviceContext, **other: Any) -> Any:
    return registry.find("cryoctl.devices", f"fibsem-{kind}")(kind, {**DEMO, **SETTINGS[kind], **other}, context)


def play(check: Coroutine[Any, Any, T], patch: Any) -> T:
    """In virtual time; `patch` is pytest's monkeypatch."""
    from fibsem.microscope import FibsemMicroscope
    from fibsem.microscopes import simulator

    async def nap(seconds: float) -> None:
        with let_time_pass():
            await asyncio.sleep(seconds)

    async def whole() -> T:
        loop = asyncio.get_running_loop()

        def sleep(seconds: float) -> None:
            asyncio.run_coroutine_threadsafe(nap(seconds), loop).result()

        def called(act: Callable[..., Any]) -> Callable[..., Any]:
            def slowly(*arguments: Any, **named: Any) -> Any:
                sleep(CALL_S)
                return act(*arguments, **named)

            return slowly

        with patch.context() as patched:
            patched.setattr(simulator, "sim_sleep", sleep)
            patched.setattr(FibsemMicroscope, "get", called(FibsemMicroscope.get))
            patched.setattr(FibsemMicroscope, "set", called(FibsemMicroscope.set))
            return await check

    return run_virtual(whole())
