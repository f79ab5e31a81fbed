"""Pictures of a coated particle that a needle touches and lithiates, without the way there; with the world's truth."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Scan
from tests.needle_bench import NeedleBench

SCAN = Scan(shape=(384, 384), pixel_size_m=1.875e-9, dwell_s=1e-6)
"""The middle of what the recipe's default takes, at its pixel size and dose; two thirds of the time to measure it."""
DRIFTS = {"stage.drift_m_per_s": 4e-11, "needle.drift_m_per_s": 2e-11}
BEFORE = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeedleSeries:
    """Pictures [frame, y, x] and the middles of their times; `place_m` [particle, 3] is where the particles are at the
    end, `touched` is the number of the biased one, `area_m2` [frame] its true area."""

    pictures: npt.NDArray[np.uint16]
    time_s: npt.NDArray[np.float64]
    onset_s: float
    touched: int
    area_m2: npt.NDArray[np.float64]
    place_m: npt.NDArray[np.float64]
    expansion: float
    rate_per_s: float
    broken_s: float


def taken(seed: int, given: dict[str, Any], duration_s: float, interval_s: float) -> NeedleSeries:
    """`given` are `simulation.` fields; three pictures before the bias comes on, one each `interval_s` after it."""

    async def go() -> NeedleSeries:
        async with NeedleBench(seed=seed, given={**DRIFTS, **given}) as bench:
            await bench.touch(3e-9)
            touched = bench.contact.particle
            assert touched is not None
            pictures: list[npt.NDArray[np.uint16]] = []
            times: list[float] = []
            areas: list[float] = []
            onset_s = float("inf")
            while bench.world.time_s < onset_s + duration_s:
                began_s = bench.world.time_s
                pictures.append(await bench.take(SCAN))
                times.append((began_s + bench.world.time_s) / 2)
                areas.append(float(bench.specimen.areas_m2(times[-1])[touched]))
                await asyncio.sleep(max(interval_s - (bench.world.time_s - began_s), 0.0))
                if len(pictures) == BEFORE:
                    bench.hold(2.0)
                    onset_s = bench.world.time_s
            truth = {name.split("particles/")[-1]: value for name, value in bench.truth().items()}
            return NeedleSeries(
                pictures=np.array(pictures),
                time_s=np.array(times),
                onset_s=onset_s,
                touched=touched,
                area_m2=np.array(areas),
                place_m=np.asarray(truth["place_m"]),
                expansion=float(truth["expansion"][touched]),
                rate_per_s=float(truth["rate_per_s"][touched]),
                broken_s=float(truth["broken_s"][touched]),
            )

    return run_virtual(go())
