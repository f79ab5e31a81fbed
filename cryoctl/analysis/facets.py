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
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.ndimage import gaussian_filter, label
from scipy.signal.windows import tukey

from cryoctl.analysis.blas_threads import one_blas_thread

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
_WIDTH = 0.006
"""Sigma of what passes around a wave, in cycles a pixel: patches down to some 25 pixels are told."""
_DRIFTS_PX = 16.0
"""At most from one picture to the next; half of it is a sigma of what is expected."""
_TOLD_FROM = 7.0
"""Height of the correlation over its spread from which a displacement is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
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


def wanted_facets(facets: Sequence[Mapping[str, Any]], pixel_size_m: float) -> list[Wave]:
    """From plain values: name, spacing_m, and angle_deg where it is known."""
    return [
        Wave(
            name=str(one["name"]),
            spacing_px=float(one["spacing_m"]) / pixel_size_m,
            angle_deg=None if one.get("angle_deg") is None else float(one["angle_deg"]),
        )
        for one in facets
    ]


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


def follow(
    pictures: Sequence[Float], waves: Sequence[Wave], moved_px: Sequence[tuple[float, float]] | None = None
) -> list[tuple[float, float]]:
    """How far (dy, dx) each picture's content lies from the first's; where that can't be told, as in the one before.

    Compared is what the waves carry: patches of fringes, which drift little from one picture to the next. An error of
    a spacing or two, by which fringes look alike, is small beside a patch.

    Args:
        moved_px: how far (dy, dx) each picture's field was moved on purpose; content goes the other way.
    """
    drifts = [(0.0, 0.0)]
    if len(pictures) < 2 or not waves:
        return drifts * len(pictures)
    moved = moved_px or [(0.0, 0.0)] * len(pictures)
    first = _spectrum(pictures[0]).conj() * _band(pictures[0].shape, waves)
    for number in range(1, len(pictures)):
        (before_y, before_x), (now_y, now_x) = moved[number - 1], moved[number]
        near = (drifts[-1][0] + before_y - now_y, drifts[-1][1] + before_x - now_x)
        picture = pictures[number]
        found = _displacement(first * _spectrum(picture), picture.shape, near)
        drifts.append(found[:2] if found[2] >= _TOLD_FROM else near)
    return drifts


def _spectrum(picture: Float) -> Complex:
    ny, nx = picture.shape
    window = np.outer(tukey(ny, 0.2), tukey(nx, 0.2))
    return np.asarray(rfft2((picture - picture.mean()) * window), dtype=np.complex128)


def _band(shape: tuple[int, ...], waves: Sequence[Wave]) -> Float:
    """What passes: neighbourhoods of the waves' reciprocal vectors, whole rings where the direction is not known."""
    ny, nx = shape
    fy, fx = np.asarray(fftfreq(ny))[:, None], np.asarray(rfftfreq(nx))[None, :]
    band = np.zeros((ny, nx // 2 + 1))
    for one in waves:
        if one.angle_deg is None:
            band = np.maximum(band, np.exp(-((np.hypot(fy, fx) - 1 / one.spacing_px) ** 2) / (2 * _WIDTH**2)))
            continue
        wy, wx = math.sin(math.radians(one.angle_deg)), math.cos(math.radians(one.angle_deg))
        for sign in (1, -1):
            off = np.hypot(fy - sign * wy / one.spacing_px, fx - sign * wx / one.spacing_px)
            band = np.maximum(band, np.exp(-(off**2) / (2 * _WIDTH**2)))
    return band


def _displacement(
    product: Complex, shape: tuple[int, ...], near: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float, float]:
    """Of the highest correlation near a place (dy, dx), and how far it stands out of the rest."""
    ny, nx = shape
    correlation = np.asarray(irfft2(product, s=(ny, nx)))
    ys, xs = np.asarray(fftfreq(ny, 1 / ny)), np.asarray(fftfreq(nx, 1 / nx))
    spread = float(correlation[np.hypot(ys[:, None] - near[0], xs[None, :] - near[1]) > min(ny, nx) / 3].std())
    # Fringes of two pixels are lost between whole pixels: near the place it is told in quarters.
    way = np.arange(-4 * _DRIFTS_PX, 4 * _DRIFTS_PX + 1) / 4
    fy, fx = np.asarray(fftfreq(ny)), np.asarray(rfftfreq(nx))
    twice = np.where((fx == 0) | (fx == 0.5), 1.0, 2.0)
    left = np.exp(2j * np.pi * np.outer(near[0] + way, fy))
    right = np.exp(2j * np.pi * np.outer(fx, near[1] + way)) * twice[:, None]
    fine = (left @ product @ right).real / (ny * nx)
    weight = np.exp(-(way**2) / (2 * (_DRIFTS_PX / 2) ** 2))
    row, column = divmod(int((fine * weight[:, None] * weight).argmax()), len(way))
    height = float(fine[row, column]) / spread if spread > 0 else 0.0
    return near[0] + float(way[row]), near[1] + float(way[column]), height


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


@one_blas_thread
def displaced(
    first: Any,
    second: Any,
    *,
    facets: Sequence[Mapping[str, Any]],
    pixel_size_m: float,
    near_m: Sequence[float] = (0.0, 0.0),
) -> dict[str, Any]:
    """How far (m) the second picture's facets lie from the first's, looked for near a place (y, x) that the pictures
    between them let expect: fringes look alike a spacing further. `facets` as in `facet_series`."""
    pictures = [np.asarray(one, dtype=np.float64) for one in (first, second)]
    band = _band(pictures[0].shape, wanted_facets(facets, pixel_size_m))
    product = _spectrum(pictures[0]).conj() * band * _spectrum(pictures[1])
    near = (near_m[0] / pixel_size_m, near_m[1] / pixel_size_m)
    dy, dx, quality = _displacement(product, pictures[0].shape, near)
    return {"x_m": dx * pixel_size_m, "y_m": dy * pixel_size_m, "quality": quality, "found": quality >= _TOLD_FROM}


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
