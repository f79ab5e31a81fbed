"""Lattice fringes of crystal facets in a picture: where they lie, and how strong they are in each picture of a series.

A facet is told by the spacing of its lattice planes, and by their direction where that is known. Its intensity is the
amplitude of its fringes over the mean of the counts, taken in a Hann window at one reciprocal vector that holds for the
whole series, with the power that noise has in its neighbourhood taken off. It falls as the crystal becomes amorphous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.facet_drift import Wave, follow, wanted_facets
from cryoctl.analysis.facet_finding import Facet, find_facets, weighted

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intensities:
    """Arrays [facet, picture] of amplitudes over the mean count and their sigmas, NaN where a facet's box has left the
    picture; drift [picture] of the content against the first picture in pixels."""

    amplitude: Float
    sigma: Float
    drift_y_px: Float
    drift_x_px: Float


@one_blas_thread
def facet_series(
    *pictures: Any,
    facets: Sequence[Mapping[str, Any]],
    pixel_size_m: float,
    looked: int | None = None,
    moved_m: Sequence[Sequence[float]] | None = None,
) -> dict[str, Any]:
    """Facets found in the first `looked` pictures and measured in all, as plain values.

    `moved_m` is how far (y, x) each picture's field was moved on purpose since the first (m). `missing` names those
    that were wanted and are not seen. `x_m y_m` is the middle of a facet's box from the middle of the first picture.
    """
    found = find_facets(pictures[: looked or len(pictures)], wanted_facets(facets, pixel_size_m))
    moved = None if moved_m is None else [(y / pixel_size_m, x / pixel_size_m) for y, x in moved_m]
    measured = measure_facets(pictures, found, moved)
    rows, columns = np.asarray(pictures[0]).shape
    names = [one.name for one in found]
    return {
        "name": names,
        "missing": [str(one["name"]) for one in facets if one["name"] not in names],
        "x_m": [(one.left + one.columns / 2 - columns / 2) * pixel_size_m for one in found],
        "y_m": [(one.top + one.rows / 2 - rows / 2) * pixel_size_m for one in found],
        "width_m": [one.columns * pixel_size_m for one in found],
        "height_m": [one.rows * pixel_size_m for one in found],
        "spacing_m": [one.spacing_px * pixel_size_m for one in found],
        "angle_deg": [one.angle_deg for one in found],
        "power_ratio": [one.power_ratio for one in found],
        "intensity": measured.amplitude.tolist(),
        "intensity_sigma": measured.sigma.tolist(),
        "drift_x_m": (measured.drift_x_px * pixel_size_m).tolist(),
        "drift_y_m": (measured.drift_y_px * pixel_size_m).tolist(),
    }


def measure_facets(
    pictures: Sequence[npt.ArrayLike],
    facets: Sequence[Facet],
    moved_px: Sequence[tuple[float, float]] | None = None,
) -> Intensities:
    """Of facets that were found in the first of these pictures, which may drift; `moved_px` as in `follow`."""
    stack = [np.asarray(one, dtype=np.float64) for one in pictures]
    waves = [Wave(name=one.name, spacing_px=one.spacing_px, angle_deg=one.angle_deg) for one in facets]
    drifts = follow(stack, waves, moved_px)
    amplitude, sigma = np.full((2, len(facets), len(stack)), np.nan)
    for row, facet in enumerate(facets):
        for column, (picture, (dy, dx)) in enumerate(zip(stack, drifts, strict=True)):
            crop = _crop(picture, facet, round(dy), round(dx))
            if crop is not None:
                amplitude[row, column], sigma[row, column] = _amplitude(crop, facet)
    return Intensities(
        amplitude=amplitude,
        sigma=sigma,
        drift_y_px=np.array([dy for dy, _ in drifts]),
        drift_x_px=np.array([dx for _, dx in drifts]),
    )


def _crop(picture: Float, facet: Facet, dy: int, dx: int) -> Float | None:
    top, left = facet.top + dy, facet.left + dx
    if top < 0 or left < 0 or top + facet.rows > picture.shape[0] or left + facet.columns > picture.shape[1]:
        return None
    return picture[top : top + facet.rows, left : left + facet.columns]


def _amplitude(crop: Float, facet: Facet) -> tuple[float, float]:
    """Of the fringes over the mean, and its sigma by the noise in the neighbourhood of the reciprocal vector."""
    rows, columns = crop.shape
    window_y, window_x = np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]
    even = weighted(crop, window_y, window_x)
    weight = float(window_y.sum() * window_x.sum())
    mean = float(window_y @ crop @ window_x) / weight
    # The Hann window's peak ends two bins off; beyond, up to seven, is the neighbourhood.
    bins = np.arange(-7, 8)
    left = np.exp(-2j * np.pi * np.outer(facet.fy + bins / rows, np.arange(rows)))
    right = np.exp(-2j * np.pi * np.outer(np.arange(columns), facet.fx + bins / columns))
    power = np.abs(left @ even @ right) ** 2
    beside = np.hypot(bins[:, None], bins[None, :]) > 2.9
    noise = float(np.median(power[beside])) / math.log(2)
    signal = float(power[7, 7]) - noise
    scale = 2 / (weight * mean) if mean > 0 else math.nan
    return scale * math.copysign(math.sqrt(abs(signal)), signal), scale * math.sqrt(noise / 2)
