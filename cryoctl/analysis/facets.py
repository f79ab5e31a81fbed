"""Lattice fringes of crystal facets in a picture: where they lie, and how strong they are in each picture of a series.

A facet is told by the spacing of its lattice planes, and by their direction where that is known. Its intensity is the
amplitude of its fringes over the mean of the counts, taken in a Hann window at one reciprocal vector that holds for the
whole series, with the power that noise has in its neighbourhood taken off. It falls as the crystal becomes amorphous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from scipy.fft import fftfreq, rfft2, rfftfreq
from scipy.ndimage import gaussian_filter, label

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.drift import shift

Float = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

SPACING_TOLERANCE = 0.04
"""Relative: how far a lattice may be off its nominal spacing."""
ANGLE_TOLERANCE_DEG = 12.0
SEEN_ABOVE = 12.0
"""Power of a facet's fringes over that of the noise in the tile where they are strongest; noise alone stays below."""
LEAST_BOX_PX = 24
_TILES_PX = (128, 64)
"""Sizes of the tiles in which facets are looked for: a large one tells weak fringes, a small one small facets."""
_MAP_PERIODS = 3.0
"""Sigma of the map of a facet's amplitude, in its spacings."""
_LOOKS = 3
"""Pictures at the beginning by which a facet is found."""
_AROUND = 1.8
"""A Hann window so much wider than a facet gathers nearly all of its fringes at the least noise."""
_FROM_EDGE_PX = 8
_SMOOTHED_BINS = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`angle_deg` is the direction of the reciprocal vector from +x towards +y, None where any will do."""

    name: str
    spacing_px: float
    angle_deg: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """A box (rows and columns from `top`, `left` on) of the first picture, and fringes in cycles a pixel."""

    name: str
    top: int
    left: int
    rows: int
    columns: int
    fy: float
    fx: float
    power_ratio: float
    """Of the fringes over noise, in the tile where they are strongest."""

    @property
    def spacing_px(self) -> float:
        return 1 / math.hypot(self.fy, self.fx)

    @property
    def angle_deg(self) -> float:
        return math.degrees(math.atan2(self.fy, self.fx))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intensities:
    """Arrays [facet, picture] of amplitudes over the mean count and their sigmas, NaN where a facet's box has left the
    picture; drift [picture] of the content against the first picture in pixels."""

    amplitude: Float
    sigma: Float
    drift_y_px: Float
    drift_x_px: Float


def wanted_facets(facets: Sequence[Mapping[str, Any]], pixel_size_m: float) -> list[Wanted]:
    """From plain values: name, spacing_m, and angle_deg where it is known."""
    return [
        Wanted(
            name=str(one["name"]),
            spacing_px=float(one["spacing_m"]) / pixel_size_m,
            angle_deg=None if one.get("angle_deg") is None else float(one["angle_deg"]),
        )
        for one in facets
    ]


def find_facets(pictures: Sequence[npt.ArrayLike], wanted: Sequence[Wanted]) -> list[Facet]:
    """Those of the wanted facets that are seen in the first pictures, in the order wanted.

    Args:
        pictures: [y, x] of one shape; the first few are used, each found to have drifted against the first.
    """
    first = [np.asarray(one, dtype=np.float64) for one in pictures[:_LOOKS]]
    drifts = follow(first, max((one.spacing_px for one in wanted), default=4.0))
    first = [np.roll(one, (-round(dy), -round(dx)), axis=(0, 1)) for one, (dy, dx) in zip(first, drifts, strict=True)]
    tiled = [_tiles(first, size) for size in _TILES_PX if size <= min(first[0].shape)]
    found = (_find(first, tiled, one) for one in wanted)
    return [one for one in found if one is not None]


def measure_facets(pictures: Sequence[npt.ArrayLike], facets: Sequence[Facet]) -> Intensities:
    """Of facets that were found in the first of these pictures, which may drift."""
    stack = [np.asarray(one, dtype=np.float64) for one in pictures]
    drifts = follow(stack, max((one.spacing_px for one in facets), default=4.0))
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


def follow(pictures: Sequence[Float], spacing_px: float) -> list[tuple[float, float]]:
    """How far (dy, dx) each picture's content lies from the first's; where that can't be told, as in the one before.

    Pictures are compared in bins in which the lattice, which looks the same a spacing further, is not seen any more.
    """
    size = _bin_size(pictures[0].shape, spacing_px) if pictures else 1
    coarse = [_binned(one, size) for one in pictures]
    drifts = [(0.0, 0.0)]
    for picture in coarse[1:]:
        seen = shift(coarse[0], picture, smoothing_px=_SMOOTHED_BINS)
        drifts.append((size * seen.dy, size * seen.dx) if seen.found else drifts[-1])
    return drifts[: len(pictures)]


def _bin_size(shape: tuple[int, ...], spacing_px: float) -> int:
    return max(1, min(math.ceil(spacing_px), min(shape) // 32))


def _binned(picture: Float, size: int) -> Float:
    rows, columns = (length // size for length in picture.shape)
    return picture[: rows * size, : columns * size].reshape(rows, size, columns, size).sum(axis=(1, 3))


@one_blas_thread
def facet_series(
    *pictures: Any, facets: Sequence[Mapping[str, Any]], pixel_size_m: float, looked: int | None = None
) -> dict[str, Any]:
    """Facets found in the first `looked` pictures and measured in all, as plain values.

    `missing` names those that were wanted and are not seen. `x_m y_m` is the middle of a facet's box from the middle of
    the first picture.
    """
    found = find_facets(pictures[: looked or len(pictures)], wanted_facets(facets, pixel_size_m))
    measured = measure_facets(pictures, found)
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


@one_blas_thread
def displaced(first: Any, second: Any, *, spacing_m: float, pixel_size_m: float) -> dict[str, Any]:
    """How far (m) the second picture's content lies from the first's, the lattice of up to this spacing left out."""
    size = _bin_size(np.asarray(first).shape, spacing_m / pixel_size_m)
    coarse = [_binned(np.asarray(one, dtype=np.float64), size) for one in (first, second)]
    seen = shift(coarse[0], coarse[1], smoothing_px=_SMOOTHED_BINS)
    unit_m = size * pixel_size_m
    return {"x_m": seen.dx * unit_m, "y_m": seen.dy * unit_m, "quality": seen.quality, "found": seen.found}


# Where a facet lies


@dataclass(frozen=True, slots=True, eq=False)
class _Tiles:
    """Mean power [tile, fy, fx] over the first pictures in overlapping Hann tiles, and their corners (y, x)."""

    size: int
    power: Float
    corners: list[tuple[int, int]]
    fy: Float
    fx: Float


def _tiles(pictures: Sequence[Float], size: int) -> _Tiles:
    ny, nx = pictures[0].shape
    corners = [(y, x) for y in _starts(ny, size) for x in _starts(nx, size)]
    window = np.outer(np.hanning(size + 2)[1:-1], np.hanning(size + 2)[1:-1]).astype(np.float32)
    power = np.zeros((len(corners), size, size // 2 + 1))
    for picture in pictures:
        cut = np.stack([picture[y : y + size, x : x + size] for y, x in corners]).astype(np.float32)
        mean = (cut * window).sum(axis=(1, 2)) / window.sum()
        waves = cast("npt.NDArray[np.complex64]", rfft2((cut - mean[:, None, None]) * window))
        power += (waves * waves.conj()).real
    fy, fx = np.meshgrid(np.asarray(fftfreq(size)), np.asarray(rfftfreq(size)), indexing="ij")
    return _Tiles(size, power / len(pictures), corners, fy.astype(np.float64), fx.astype(np.float64))


def _starts(length: int, size: int) -> list[int]:
    """Of tiles that overlap by more than half and reach to the end."""
    count = math.ceil((length - size) / (0.4 * size)) + 1
    return sorted({round(k * (length - size) / max(count - 1, 1)) for k in range(count)})


def _find(pictures: Sequence[Float], tiled: Sequence[_Tiles], wanted: Wanted) -> Facet | None:
    if wanted.spacing_px < 2.0:
        return None
    best_ratio, g, seed = SEEN_ABOVE, (0.0, 0.0), (0, 0)
    for tiles in tiled:
        size = tiles.size
        allowed = _ring(tiles.fy, tiles.fx, wanted, 1.0 / size)
        around = _ring(tiles.fy, tiles.fx, Wanted(name="", spacing_px=wanted.spacing_px), 3.0 / size)
        if not allowed.any():
            continue
        noise = np.median(tiles.power[:, around], axis=1) / math.log(2)
        ratio = tiles.power[:, allowed] / noise[:, None]
        number, place = np.unravel_index(int(ratio.argmax()), ratio.shape)
        if ratio[number, place] > best_ratio:
            best_ratio = float(ratio[number, place])
            y, x = tiles.corners[int(number)]
            near = [one[y : y + size, x : x + size] for one in pictures]
            g = _refined(near, float(tiles.fy[allowed][place]), float(tiles.fx[allowed][place]), 1.0 / size)
            seed = (y + size // 2, x + size // 2)
    box = _box(pictures, g, wanted.spacing_px, seed) if best_ratio > SEEN_ABOVE else None
    if box is None:
        return None
    top, left, rows, columns = box
    inside = [one[top : top + rows, left : left + columns] for one in pictures]
    fy, fx = _refined(inside, *g, 1.0 / max(rows, columns))
    return Facet(name=wanted.name, top=top, left=left, rows=rows, columns=columns, fy=fy, fx=fx, power_ratio=best_ratio)


def _ring(fy: Float, fx: Float, wanted: Wanted, width: float) -> npt.NDArray[np.bool_]:
    """Reciprocal vectors that have the spacing, and the direction where one is wanted."""
    radius = np.hypot(fy, fx)
    allowed = np.abs(radius - 1 / wanted.spacing_px) <= max(SPACING_TOLERANCE / wanted.spacing_px, width)
    if wanted.angle_deg is not None:
        turned = np.degrees(np.arctan2(fy, fx)) - wanted.angle_deg
        allowed &= np.abs((turned + 90) % 180 - 90) <= ANGLE_TOLERANCE_DEG
    return allowed


def _refined(pictures: Sequence[Float], fy: float, fx: float, bin_width: float) -> tuple[float, float]:
    """The reciprocal vector near (fy, fx) with the highest power, to a hundredth of a bin."""
    rows, columns = pictures[0].shape
    window_y, window_x = np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]
    prepared = [_weighted(one, window_y, window_x) for one in pictures]
    y, x = np.arange(rows), np.arange(columns)
    for step in (0.25 * bin_width, 0.06 * bin_width, 0.015 * bin_width):
        fys, fxs = fy + step * np.arange(-4, 5), fx + step * np.arange(-4, 5)
        left = np.exp(-2j * np.pi * np.outer(fys, y))
        right = np.exp(-2j * np.pi * np.outer(x, fxs))
        power = np.sum([np.abs(left @ one @ right) ** 2 for one in prepared], axis=0)
        row, column = np.unravel_index(int(power.argmax()), power.shape)
        fy, fx = float(fys[row]), float(fxs[column])
    return fy, fx


def _weighted(picture: Float, window_y: Float, window_x: Float) -> Float:
    window = np.outer(window_y, window_x)
    return (picture - float((picture * window).sum() / window.sum())) * window


def _box(
    pictures: Sequence[Float], g: tuple[float, float], spacing_px: float, seed: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The box (top, left, rows, columns) around `seed` in which the fringes have more than half of their strength."""
    ny, nx = pictures[0].shape
    sigma_px = _MAP_PERIODS * spacing_px
    wave_y = np.exp(-2j * np.pi * g[0] * np.arange(ny))
    wave_x = np.exp(-2j * np.pi * g[1] * np.arange(nx))
    power = np.zeros((ny, nx))
    for picture in pictures:
        even = picture - gaussian_filter(picture, sigma_px)
        turned = even * wave_y[:, None] * wave_x[None, :]
        power += gaussian_filter(turned.real, sigma_px) ** 2 + gaussian_filter(turned.imag, sigma_px) ** 2
    amplitude = np.sqrt(power / len(pictures))
    reach = int(sigma_px)
    near = amplitude[max(0, seed[0] - reach) : seed[0] + reach + 1, max(0, seed[1] - reach) : seed[1] + reach + 1]
    regions, _ = cast("tuple[npt.NDArray[np.int32], int]", label(amplitude > 0.5 * near.max()))
    own = regions == regions[seed]
    if not regions[seed]:
        return None
    top, height = _stretch(own.sum(axis=1), ny)
    left, width = _stretch(own.sum(axis=0), nx)
    return (top, left, height, width) if min(height, width) >= LEAST_BOX_PX else None


def _stretch(counts: npt.NDArray[np.int64], size: int) -> tuple[int, int]:
    """First row or column and number of a box around those in which a facet is at least half as wide as anywhere."""
    inside = np.flatnonzero(counts >= 0.5 * counts.max())
    middle, half = (inside[0] + inside[-1] + 1) / 2, _AROUND * (inside[-1] - inside[0] + 1) / 2
    half = min(half, middle - _FROM_EDGE_PX, size - _FROM_EDGE_PX - middle)
    return round(middle - half), max(0, round(2 * half))


# How strong it is


def _crop(picture: Float, facet: Facet, dy: int, dx: int) -> Float | None:
    top, left = facet.top + dy, facet.left + dx
    if top < 0 or left < 0 or top + facet.rows > picture.shape[0] or left + facet.columns > picture.shape[1]:
        return None
    return picture[top : top + facet.rows, left : left + facet.columns]


def _amplitude(crop: Float, facet: Facet) -> tuple[float, float]:
    """Of the fringes over the mean, and its sigma by the noise in the neighbourhood of the reciprocal vector."""
    rows, columns = crop.shape
    window_y, window_x = np.hanning(rows + 2)[1:-1], np.hanning(columns + 2)[1:-1]
    weighted = _weighted(crop, window_y, window_x)
    weight = float(window_y.sum() * window_x.sum())
    mean = float(window_y @ crop @ window_x) / weight
    # The Hann window's peak ends two bins off; beyond, up to seven, is the neighbourhood.
    bins = np.arange(-7, 8)
    left = np.exp(-2j * np.pi * np.outer(facet.fy + bins / rows, np.arange(rows)))
    right = np.exp(-2j * np.pi * np.outer(np.arange(columns), facet.fx + bins / columns))
    power = np.abs(left @ weighted @ right) ** 2
    beside = np.hypot(bins[:, None], bins[None, :]) > 2.9
    noise = float(np.median(power[beside])) / math.log(2)
    signal = float(power[7, 7]) - noise
    scale = 2 / (weight * mean) if mean > 0 else math.nan
    return scale * math.copysign(math.sqrt(abs(signal)), signal), scale * math.sqrt(noise / 2)
