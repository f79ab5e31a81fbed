"""Where in a picture a crystal facet lies: a box of it, and the reciprocal vector of its fringes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from scipy.fft import fftfreq, rfft2, rfftfreq
from scipy.ndimage import gaussian_filter, label

from cryoctl.analysis.facet_drift import Wave, follow

Float = npt.NDArray[np.float64]

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


def find_facets(pictures: Sequence[npt.ArrayLike], wanted: Sequence[Wave]) -> list[Facet]:
    """Those of the wanted facets that are seen in the first pictures, in the order wanted.

    Args:
        pictures: [y, x] of one shape; the first few are used, each found to have drifted against the first.
    """
    first = [np.asarray(one, dtype=np.float64) for one in pictures[:_LOOKS]]
    drifts = follow(first, wanted)
    first = [np.roll(one, (-round(dy), -round(dx)), axis=(0, 1)) for one, (dy, dx) in zip(first, drifts, strict=True)]
    tiled = [_tiles(first, size) for size in _TILES_PX if size <= min(first[0].shape)]
    found = (_find(first, tiled, one) for one in wanted)
    return [one for one in found if one is not None]


def weighted(picture: Float, window_y: Float, window_x: Float) -> Float:
    """Under a window, without the mean that it has there."""
    window = np.outer(window_y, window_x)
    return (picture - float((picture * window).sum() / window.sum())) * window


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


def _find(pictures: Sequence[Float], tiled: Sequence[_Tiles], wanted: Wave) -> Facet | None:
    if wanted.spacing_px < 2.0:
        return None
    best_ratio, g, seed = SEEN_ABOVE, (0.0, 0.0), (0, 0)
    for tiles in tiled:
        size = tiles.size
        allowed = _ring(tiles.fy, tiles.fx, wanted, 1.0 / size)
        around = _ring(tiles.fy, tiles.fx, Wave(name="", spacing_px=wanted.spacing_px), 3.0 / size)
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


def _ring(fy: Float, fx: Float, wanted: Wave, width: float) -> npt.NDArray[np.bool_]:
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
    prepared = [weighted(one, window_y, window_x) for one in pictures]
    y, x = np.arange(rows), np.arange(columns)
    for step in (0.25 * bin_width, 0.06 * bin_width, 0.015 * bin_width):
        fys, fxs = fy + step * np.arange(-4, 5), fx + step * np.arange(-4, 5)
        left = np.exp(-2j * np.pi * np.outer(fys, y))
        right = np.exp(-2j * np.pi * np.outer(x, fxs))
        power = np.sum([np.abs(left @ one @ right) ** 2 for one in prepared], axis=0)
        row, column = np.unravel_index(int(power.argmax()), power.shape)
        fy, fx = float(fys[row]), float(fxs[column])
    return fy, fx


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
