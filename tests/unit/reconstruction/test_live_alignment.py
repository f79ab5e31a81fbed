"""Tilts that arrive unaligned, from the simulators' physics: they are aligned as they come."""

from __future__ import annotations

import numpy as np
import pytest

from cryoctl.analysis.compare import error_against_truth
from cryoctl.errors import BadInput
from cryoctl.reconstruction.live import LiveReconstruction
from tests.simulated_series import element_series, simulate, wire
from tests.true_alignment import left_over

ANGLES = np.linspace(-60.0, 60.0, 25)
TILT_DEG = ANGLES[np.argsort(np.abs(ANGLES), kind="stable")]


@pytest.mark.parametrize("seed", [4, pytest.param(5, marks=pytest.mark.campaign)])
def test_unaligned_tilts_are_aligned_as_they_come(seed: int) -> None:
    specimen = wire("core-shell", seed, n_x=48)
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-1.5, 1.5, (TILT_DEG.size, 2))
    shift[:, 0] += 2.0 * np.sin(np.deg2rad(TILT_DEG))  # not at eucentric height
    series = simulate(specimen, TILT_DEG, 1e7, seed, shift_px=shift, tilt_axis_deg=0.19)
    counts = element_series(series)
    images = np.maximum(series.haadf - np.percentile(series.haadf, 5, axis=(1, 2), keepdims=True), 0)
    volumes, found = {}, {}
    for align_by in (None, "HAADF", "HAADF"):
        live = LiveReconstruction(["HAADF", *counts], series.shape, passes=1, align_by=align_by)
        for k, tilt in enumerate(TILT_DEG):
            signals = {"HAADF": images[k], **{name: one.counts[k] for name, one in counts.items()}}
            live.add_tilt(float(tilt), signals, {name: one.background[k] for name, one in counts.items()})
        if align_by in volumes:
            assert all(np.array_equal(volumes[align_by][name], volume) for name, volume in live.volumes().items())
            assert found[align_by] == live.shift_px
        volumes[align_by], found[align_by] = live.volumes(), live.shift_px
    left = left_over(np.array(found["HAADF"]), shift, TILT_DEG)
    assert float(np.abs(left.across_px).max()) < 0.5
    assert float(np.abs(left.along_px).max()) < 0.5
    for element in ("Si", "O", "F"):
        truth = specimen.of(element) * 1e-28
        with_it, without = (error_against_truth(volumes[a][element], truth, 6.0).error for a in ("HAADF", None))
        assert with_it < without


def test_it_aligns_by_what_is_reconstructed_only() -> None:
    with pytest.raises(BadInput, match="align_by"):
        LiveReconstruction(["Si"], (16, 16), align_by="HAADF")
