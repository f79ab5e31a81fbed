"""Core-shell or plum-pudding: one score, computed alike from a volume (3-D) and from a projected map (2-D).

In a core-shell wire the silicon depends on the distance from the axis alone and falls outward. The score is the share
of the silicon's variance inside the wire that no outward-falling profile explains: 0 for a perfect core-shell wire,
towards 1 for silicon in scattered islands. In a volume the distance is taken in the section, in a map across the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.optimize import isotonic_regression

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Texture:
    """`score` 0 (core-shell) to 1 (plum-pudding); sigma is the standard error over segments along the wire."""

    score: float
    score_sigma: float
    dimensions: int
    segments: int


def core_shell_score(silicon: npt.ArrayLike, smoothing_px: float = 1.5, segment_px: int = 8) -> Texture:
    """Score a volume [z, y, x] or a map [y, x] of silicon; the wire runs along x.

    Each segment of `segment_px` voxels along x has its own axis (centre of mass), its own ellipse (second moments, so
    that elongation along the beam does not count as disorder) and its own falling profile (isotonic regression).
    Raises `BadInput` for an array of another dimension or without content.
    """
    values = np.nan_to_num(np.asarray(silicon, dtype=np.float64))
    if values.ndim not in (2, 3) or float(np.ptp(values)) == 0 or values.shape[-1] < 2:
        raise BadInput(f"core-shell score: shape {values.shape} has no content or is neither [z, y, x] nor [y, x].")
    smooth = gaussian_filter(values, smoothing_px)
    n_segments = max(values.shape[-1] // segment_px, 1)
    scores: list[float] = []
    weights: list[float] = []
    for part in np.array_split(np.arange(values.shape[-1]), n_segments):
        found = _segment(smooth[..., part[0] : part[-1] + 1])
        if found is not None:
            scores.append(found[0])
            weights.append(found[1])
    if not scores:
        raise BadInput("core-shell score: no segment of the wire holds silicon above its surroundings.")
    s, w = np.array(scores), np.array(weights)
    mean = float((s * w).sum() / w.sum())
    sigma = float(np.sqrt((w**2 * (s - mean) ** 2).sum()) / w.sum()) if len(s) > 1 else float("nan")
    return Texture(mean, sigma, values.ndim, len(s))


def _segment(values: Float) -> tuple[float, float] | None:
    """(unexplained share, silicon) of one segment [..., x]."""
    section = values.mean(axis=-1)
    top = float(np.quantile(section, 0.98))
    mass = np.clip(section - 0.15 * top, 0, None)
    total = float(mass.sum())
    if top <= 0 or total <= 0:
        return None
    square = np.zeros(section.shape)
    for axis, n in enumerate(section.shape):
        shape = [-1 if k == axis else 1 for k in range(section.ndim)]
        index = np.arange(n, dtype=np.float64).reshape(shape)
        centre = float((mass * index).sum()) / total
        variance = max(float((mass * (index - centre) ** 2).sum()) / total, 0.25)
        square = square + (index - centre) ** 2 / variance
    # A full disc reaches 2 standard deviations of either coordinate, a full line sqrt(3).
    inside = np.sqrt(square) < 1.25 * (2.0 if section.ndim == 2 else np.sqrt(3.0))
    order = np.argsort(square[inside])
    sample = values[inside][order]
    if len(sample) < 4:
        return None
    fitted = isotonic_regression(sample.mean(axis=-1), increasing=False).x
    spread = float(((sample - sample.mean()) ** 2).sum())
    if spread <= 0:
        return None
    return float(((sample - fitted[:, None]) ** 2).sum()) / spread, total
