"""A detector's gain and offset are its own: pictures say the same in counts, in parts of one, or in anything."""

from __future__ import annotations

from dataclasses import astuple
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.analysis.aiming import aim
from cryoctl.analysis.contact import compared
from cryoctl.analysis.needle_drift import held
from cryoctl.analysis.needle_view import needle_view
from cryoctl.analysis.particle_segments import segment
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Optics, Scan
from tests.needle_bench import NeedleBench

Float = npt.NDArray[np.float64]
CLOSE = Scan(shape=(256, 256), pixel_size_m=2e-9, dwell_s=2e-6)
GAINS = [(1 / 65535, 0.0), (1e-3, -0.2), (1e3, 0.0)]


async def picture(bench: NeedleBench) -> Float:
    return np.squeeze(np.asarray(await bench.take(CLOSE, kind="view"), dtype=np.float64))


@cache
def pictures() -> tuple[Float, Float]:
    """Of a needle before a particle, between them 10 nm of the tube's way."""

    async def taken() -> tuple[Float, Float]:
        async with NeedleBench(3, {"needle.gap_m": 80e-9}) as bench:
            await bench.beam.apply(Optics(name="record", voltage_v=200e3, beam_current_a=1.6e-10, convergence_rad=0.01))
            await bench.needle.high_voltage(True)
            first = await picture(bench)
            await bench.needle.fine(-10e-9, 0.0, 0.0)
            return first, await picture(bench)

    return run_virtual(taken())


@pytest.mark.parametrize(("gain", "offset"), GAINS)
def test_what_is_told_of_a_needle_does_not_hang_on_the_unit(gain: float, offset: float) -> None:
    first, second = pictures()
    other_first, other_second = first * gain + offset, second * gain + offset
    told = compared(first, second)
    assert told.seen
    assert astuple(compared(other_first, other_second)) == pytest.approx(astuple(told), abs=0.01)
    assert astuple(aim(other_first)) == pytest.approx(astuple(aim(first)), abs=0.01)
    assert astuple(needle_view(other_first)) == pytest.approx(astuple(needle_view(first)), abs=0.01)
    before, now = held(first, second), held(other_first, other_second)
    assert now.found
    # The square root of counts makes shot noise even: in other units a little of that is lost.
    assert now.needle_x_px == pytest.approx(before.needle_x_px, abs=0.05)


@pytest.mark.parametrize(("gain", "offset"), GAINS)
def test_particles_beside_metal_are_the_same_in_any_unit(gain: float, offset: float) -> None:
    """Metal is cut off by what it is over the rest, never by counts."""
    seen, _ = pictures()
    found, other = segment(seen), segment(seen * gain + offset)
    assert found.count >= 3
    assert np.array_equal(other.labels, found.labels)
    assert other.contrast == pytest.approx(found.contrast)


@pytest.mark.parametrize("level", [0.0, 1e-3, 37123.0, 65535.0, 1e7])
def test_a_picture_without_anything_shows_nothing(level: float) -> None:
    """A detector that is blanked or saturated: all pixels are equal."""
    even = np.full((128, 128), level)
    assert not needle_view(even).found
    assert not aim(even).found
    assert not compared(even, even).seen
    assert not held(even, even).found
    assert segment(even).count == 0
