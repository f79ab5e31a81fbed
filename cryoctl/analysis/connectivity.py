"""Is the silicon still one piece? Connected network, dead silicon, pores; every figure with its range.

The threshold comes from the volume's own histogram; because it is the weakest link, the 95 % ranges join its variation
with a bootstrap over blocks along the wire. A gap narrower than the resolution does not fall below half of the phase's
level, it only dims it; therefore the network is also looked for up to nine tenths of that level, where a whole wire
still joins its ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import (
    binary_closing,
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
    generate_binary_structure,
    label,
)
from skimage.filters import threshold_otsu

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Connectivity:
    """`dead_fraction`: share of the phase's volume outside the network. The network joins both ends of the wire if
    `end_to_end`, otherwise it is the largest piece. `components` counts pieces above the smallest size. Of the
    thresholds tried `end_to_end_share` join the ends: 1 is a whole wire, less than 1 one that may be cut by gaps that
    the resolution does not open, 0 a wire in pieces."""

    threshold: float
    dead_fraction: float
    dead_fraction_low: float
    dead_fraction_high: float
    components: int
    components_low: int
    components_high: int
    end_to_end: bool
    end_to_end_share: float
    volume_m3: float
    volume_m3_low: float
    volume_m3_high: float


@dataclass(frozen=True)
class Pores:
    """Empty space inside the body: share of the body's filled volume, and number of separate pores."""

    fraction: float
    fraction_low: float
    fraction_high: float
    count: int
    count_low: int
    count_high: int


THRESHOLD_FACTORS = (0.8, 0.9, 1.0, 1.1, 1.2)
GAP_FACTORS = (1.4, 1.6, 1.8)
"""Beyond what a threshold is uncertain by: 0.7 to 0.9 of the phase's level."""


def _volume(values: npt.ArrayLike, what: str) -> Float:
    volume = np.nan_to_num(np.asarray(values, dtype=np.float64))
    if volume.ndim != 3 or float(np.ptp(volume)) == 0:
        raise BadInput(f"{what}: volume of shape {volume.shape} has no content; give [z, y, x] with counts.")
    return volume


def phase_threshold(volume: Float) -> float:
    """Threshold between phase and rest: Otsu's (IEEE Trans. SMC 9 (1979) 62), refined to half-way between the medians.

    Otsu's alone leans to the larger class; the half-way value puts the surface where a blurred edge has it.
    """
    threshold = float(threshold_otsu(volume))
    for _ in range(20):
        above, below = volume[volume > threshold], volume[volume <= threshold]
        if above.size == 0 or below.size == 0:
            break
        now = (float(np.median(above)) + float(np.median(below))) / 2
        if abs(now - threshold) < 1e-3 * abs(threshold):
            break
        threshold = now
    return threshold


def _pieces(mask: Mask, smallest: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    labels: npt.NDArray[np.int64] = np.asarray(label(mask, generate_binary_structure(3, 1))[0], dtype=np.int64)  # pyright: ignore
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    small = sizes < smallest
    labels[small[labels]] = 0
    sizes[small] = 0
    return labels.astype(np.int32), sizes.astype(np.int64)


def _network(labels: npt.NDArray[np.int32], sizes: npt.NDArray[np.int64]) -> tuple[Mask, bool]:
    first = set(np.unique(labels[:, :, :2]).tolist()) - {0}
    last = set(np.unique(labels[:, :, -2:]).tolist()) - {0}
    through = sorted(first & last)
    if through:
        return np.isin(labels, through), True
    return labels == int(np.argmax(sizes)) if sizes.any() else np.zeros(labels.shape, dtype=bool), False


def connectivity(
    volume: npt.ArrayLike,
    voxel_size_m: float,
    smoothing_px: float = 0.8,
    smallest_voxels: int = 12,
    bootstraps: int = 200,
    seed: int = 0,
) -> Connectivity:
    """Measure one phase (Si) in `volume` [z, y, x], face connectivity. Raises `BadInput` for an empty volume."""
    smooth = gaussian_filter(_volume(volume, "connectivity"), smoothing_px)
    threshold = phase_threshold(smooth)
    generator = np.random.default_rng(seed)
    dead: list[float] = []
    count: list[int] = []
    total: list[float] = []
    through: list[bool] = []
    resampled: list[float] = []
    for factor in (*THRESHOLD_FACTORS, *GAP_FACTORS):
        labels, sizes = _pieces(smooth > factor * threshold, smallest_voxels)
        network, joined = _network(labels, sizes)
        along = np.stack([(labels > 0).sum(axis=(0, 1)), network.sum(axis=(0, 1))]).astype(float)
        dead.append(_dead(along))
        count.append(int((sizes > 0).sum()))
        total.append(float(along[0].sum()) * voxel_size_m**3)
        through.append(joined)
        blocks = np.stack([part.sum(axis=1) for part in np.array_split(along, min(16, along.shape[1]), axis=1)], axis=1)
        draws = generator.integers(0, blocks.shape[1], (bootstraps, blocks.shape[1]))
        resampled.extend(_dead(blocks[:, draw]) for draw in draws)
    middle = THRESHOLD_FACTORS.index(1.0)
    low, high = (float(v) for v in np.quantile(resampled, [0.025, 0.975]))
    return Connectivity(
        threshold=threshold,
        dead_fraction=dead[middle],
        dead_fraction_low=min(low, dead[middle]),
        dead_fraction_high=max(high, dead[middle]),
        components=count[middle],
        components_low=min(count),
        components_high=max(count),
        end_to_end=through[middle],
        end_to_end_share=sum(through) / len(through),
        volume_m3=total[middle],
        volume_m3_low=min(total[: len(THRESHOLD_FACTORS)]),
        volume_m3_high=max(total[: len(THRESHOLD_FACTORS)]),
    )


def _dead(along: Float) -> float:
    """1 - network / all, from [2, x] voxel numbers."""
    whole = float(along[0].sum())
    return 1 - float(along[1].sum()) / whole if whole > 0 else 0.0


def pores(
    total: npt.ArrayLike,
    smoothing_px: float = 0.8,
    closing_px: int = 4,
    smallest_voxels: int = 8,
) -> Pores:
    """Empty space inside the body, from the sum of all elements (or the HAADF) [z, y, x].

    The body's outline is the closing of what exceeds the threshold, with holes filled. A pore open to the outside by
    less than twice `closing_px` voxels counts, a dent that the closing only roofs over does not: a pore reaches deeper
    below the outline than the closing. Pores narrower than the resolution are not seen: the figure is a lower bound.
    Ranges come from varying the threshold.
    """
    smooth = gaussian_filter(_volume(total, "pores"), smoothing_px)
    threshold = phase_threshold(smooth)
    fractions: list[float] = []
    counts: list[int] = []
    ball = generate_binary_structure(3, 1)
    for factor in THRESHOLD_FACTORS:
        solid: Mask = smooth > factor * threshold
        padded = np.pad(solid, closing_px + 1, mode="constant")
        inner = slice(closing_px + 1, -closing_px - 1)
        padded[inner, inner, : closing_px + 1] = solid[:, :, :1]  # the wire goes on beyond the volume's ends
        padded[inner, inner, -closing_px - 1 :] = solid[:, :, -1:]
        body = binary_fill_holes(binary_closing(padded, ball, iterations=closing_px))
        depth = np.asarray(distance_transform_edt(body), dtype=np.float64)[inner, inner, inner]
        body = np.asarray(body, dtype=bool)[inner, inner, inner]
        labels, sizes = _pieces(body & ~solid, smallest_voxels)
        deepest = np.zeros(sizes.size)
        np.maximum.at(deepest, labels.ravel(), depth.ravel())
        sizes = np.where(deepest >= closing_px, sizes, 0)
        fractions.append(float(sizes.sum()) / max(int(body.sum()), 1))
        counts.append(int((sizes > 0).sum()))
    middle = THRESHOLD_FACTORS.index(1.0)
    return Pores(fractions[middle], min(fractions), max(fractions), counts[middle], min(counts), max(counts))
