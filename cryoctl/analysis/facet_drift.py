"""How far pictures of lattice fringes have drifted, by the fringes themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.signal.windows import tukey

from cryoctl.analysis.blas_threads import one_blas_thread

Float = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

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
    between them let expect: fringes look alike a spacing further. `facets` as in `facets.facet_series`."""
    pictures = [np.asarray(one, dtype=np.float64) for one in (first, second)]
    band = _band(pictures[0].shape, wanted_facets(facets, pixel_size_m))
    product = _spectrum(pictures[0]).conj() * band * _spectrum(pictures[1])
    near = (near_m[0] / pixel_size_m, near_m[1] / pixel_size_m)
    dy, dx, quality = _displacement(product, pictures[0].shape, near)
    return {"x_m": dx * pixel_size_m, "y_m": dy * pixel_size_m, "quality": quality, "found": quality >= _TOLD_FROM}


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
