"""The world's truth and the ledger are two codes that know nothing of each other: they must agree where they should."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.footprint import footprint, partial_footprint
from cryoctl.dose.ledger import DoseLedger, dilate, grid_over
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import permit_for
from cryoctl_simulators.devices import beam, stage
from cryoctl_simulators.world.noise import generator

SIGMA_M = 250e-9
"""Without tracking the place is known to backlash, runout and height only, stretched by 1/cos of the tilt."""


async def series(seed: int, *, blanks: bool, stop: bool = False):
    rng = generator(seed, "recipe")
    given = {"beam.current_error": float(rng.uniform(-0.1, 0.1)), "stage.drift_m_per_s": float(rng.uniform(0, 3e-11))}
    context = DeviceContext(seed=seed, simulation=given)
    gonio = stage.FACTORY("stage", {}, context)
    column = beam.FACTORY("beam", {"blanks_flyback": blanks}, context)
    await gonio.connect()
    await column.connect()
    ledger = DoseLedger(grid_over((-4e-6, 4e-6, -3e-6, 3e-6)), 1e9)
    pixel_m = float(rng.choice([5e-9, 10e-9, 20e-9]))
    shape = (int(rng.integers(24, 80)), int(rng.integers(24, 80)))
    scan = Scan(
        shape=shape, pixel_size_m=pixel_m, dwell_s=float(rng.uniform(2e-5, 2e-4)), scans=int(rng.integers(1, 4))
    )
    await column.apply(Optics(name="record", voltage_v=200e3, beam_current_a=float(rng.uniform(5e-11, 5e-10))))
    reading = await column.measure_current()
    known = KnownCurrent(current_a=reading.current_a, sigma_rel=reading.sigma_rel, time_s=reading.time_s, measured=True)
    can = column.capabilities
    for index, tilt in enumerate(sorted(rng.uniform(-60, 60, 5))):
        await gonio.move(tilt_deg=float(tilt))
        await asyncio.sleep(20.0)
        for kind, x_m in (("record", 0.0), ("track", 2.4e-6)):
            await column.shift_image(x_m, 0.0)
            upper = known.upper_a(now_s() + 5.0, can.current_drift_rel_per_s)
            permit = replace(permit_for(column, scan, upper, x_m=x_m), kind=kind)
            at = {"x_m": x_m, "y_m": 0.0, "tilt_deg": float(tilt), "current_a": upper}
            if stop and index == 2:
                task = asyncio.create_task(column.expose(permit, scan))
                lasts = shape[0] * scan.scans * (shape[1] + 16) * scan.dwell_s
                await asyncio.sleep(float(rng.uniform(0.05, 0.9)) * lasts)
                await column.stop_exposure()
                report = await task
                deposits = partial_footprint(
                    scan, can.timing, **at, beam_on_s=report.beam_on_s, extra_s=can.blanker_latency_s
                )
                assert report.ended == "stopped" or report.scans_done == scan.scans
            else:
                await column.expose(permit, scan)
                deposits = footprint(scan, can.timing, **at)
            ledger.charge(kind, deposits, SIGMA_M)
    return ledger, context.shared["world"].truth(ledger.grid, None), scan


@pytest.mark.parametrize("blanks", [True, False])
@pytest.mark.parametrize("seed", range(24))
def test_ledger_covers_the_truth_and_sums_agree(seed, blanks):
    ledger, truth, scan = run_virtual(series(seed, blanks=blanks))
    true = truth["dose_map_e_per_a2"]
    covered = dilate(ledger.total, ledger.grid.pixel_size_m, 3 * SIGMA_M)
    assert true.max() > 0
    assert (covered - true).min() >= -1e-6 * true.max()
    for kind in ("record", "track"):
        ratio = ledger.by_kind[kind].sum() / truth[f"dose_by_kind/{kind}"].sum()
        assert 1.0 - 1e-6 <= ratio <= 1.02
    reach_x, reach_y = scan.shape[1] * scan.pixel_size_m / 2, scan.shape[0] * scan.pixel_size_m / 2
    inside_x, inside_y = int((reach_x - 0.35e-6) / 20e-9), int((reach_y - 0.35e-6) / 20e-9)
    if inside_x > 0 and inside_y > 0:
        row, column = round(-ledger.grid.origin_y_m / 20e-9), round(-ledger.grid.origin_x_m / 20e-9)
        window = (slice(row - inside_y, row + inside_y + 1), slice(column - inside_x, column + inside_x + 1))
        ratio = ledger.by_kind["record"][window] / truth["dose_by_kind/record"][window]
        assert ratio.min() >= 1.0 - 1e-6
        assert ratio.max() <= 1.02


@pytest.mark.parametrize("seed", range(20, 28))
def test_a_stopped_exposure_is_covered(seed):
    ledger, truth, _ = run_virtual(series(seed, blanks=True, stop=True))
    true = truth["dose_map_e_per_a2"]
    covered = dilate(ledger.total, ledger.grid.pixel_size_m, 3 * SIGMA_M)
    assert (covered - true).min() >= -1e-6 * true.max()
    assert np.all(np.diff(truth["blank/open"].astype(int)) != 0), "opened and blanked by turns"
