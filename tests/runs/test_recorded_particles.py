"""Recorded frames of particles against their masks, with the one set of parameters that everything else uses too."""

from __future__ import annotations

import numpy as np
import pytest

from cryoctl.analysis.particle_agreement import Agreement, agreement, plain_otsu
from cryoctl.analysis.particle_segments import segment
from tests.recorded_particles import recorded_frames


def found_in(frames: slice) -> Agreement:
    pictures, masks = recorded_frames()
    return agreement([segment(one).labels for one in pictures[frames]], list(masks[frames]))


def test_recorded_particles_agree_with_their_masks() -> None:
    """Four of the twenty frames; all by the benchmark below."""
    pictures, masks = recorded_frames()
    ours = found_in(slice(10, 20, 3))
    plain = agreement([plain_otsu(one, 3.0) for one in pictures[10:20:3]], list(masks[10:20:3]))
    assert ours.mean_iou >= max(0.97, plain.mean_iou)
    assert ours.median_area_error <= min(0.04, plain.median_area_error)


@pytest.mark.benchmark
def test_figures_of_all_recorded_particles() -> None:
    """Run: `pytest -m benchmark -s tests/runs/test_recorded_particles.py`."""
    pictures, masks = recorded_frames()
    rows: list[tuple[str, Agreement]] = []
    for name, frames in (
        ("all twenty", slice(0, 20)),
        ("even frames", slice(0, 20, 2)),
        ("odd frames", slice(1, 20, 2)),
    ):
        rows.append((f"cryoctl, {name}", found_in(frames)))
    for sigma in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        plain = agreement([plain_otsu(one, sigma) for one in pictures], list(masks))
        rows.append((f"Gaussian {sigma:g} px + Otsu, all twenty", plain))
    for name, one in rows:
        print(
            f"{name:<50} IoU mean {one.mean_iou:.4f} median {one.median_iou:.4f}  area error median "
            f"{100 * one.median_area_error:.2f} %  particles {one.particles}  missed {one.missed}  extra {one.extra}"
        )
    assert np.isfinite(rows[0][1].mean_iou)
    assert rows[0][1].mean_iou >= 0.93
    assert rows[0][1].median_area_error <= 0.04
