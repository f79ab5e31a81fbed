"""Pictures of coated particles with shot noise, drawn for the tests; shares no code with the analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Grain:
    """A particle in pixels: core radius, coating, grey values of both, and the coating's gap (direction, width)."""

    y: float
    x: float
    core_px: float
    coating_px: float = 0.0
    core_grey: float = 40.0
    coating_grey: float = 90.0
    ball: bool = False
    gap_deg: float | None = None
    gap_width_deg: float = 20.0
    stretch: float = 1.0

    @property
    def area_px(self) -> float:
        return float(np.pi * (self.core_px + self.coating_px) ** 2)

    def grown(self, ratio: float) -> Grain:
        """The same with `ratio` times the area, the coating's own area kept."""
        outer = (self.core_px + self.coating_px) * np.sqrt(ratio)
        ring = (self.core_px + self.coating_px) ** 2 - self.core_px**2
        core = np.sqrt(outer**2 - ring)
        return replace(self, core_px=float(core), coating_px=float(outer - core))


def drawn(
    grains: Sequence[Grain],
    shape: tuple[int, int],
    *,
    background: float = 10.0,
    slope: tuple[float, float] = (0.0, 0.0),
    blur_px: float = 0.0,
    dark: bool = False,
    finer: int = 5,
) -> Float:
    """Expected counts [y, x]: the mean over `finer` x `finer` points a pixel; a ball's grey follows its thickness."""
    ny, nx = shape
    y = (np.arange(ny * finer) + 0.5) / finer - 0.5
    x = (np.arange(nx * finer) + 0.5) / finer - 0.5
    total = np.zeros((ny * finer, nx * finer))
    for one in grains:
        outer = one.core_px + one.coating_px
        rows = np.flatnonzero(np.abs(y - one.y) <= outer * one.stretch + 1)
        columns = np.flatnonzero(np.abs(x - one.x) <= outer * one.stretch + 1)
        if not rows.size or not columns.size:
            continue
        box = np.ix_(rows, columns)
        dy, dx = (y[rows] - one.y)[:, None] / one.stretch, (x[columns] - one.x)[None, :] * one.stretch
        r2 = dy**2 + dx**2
        if one.ball:
            whole = np.sqrt(np.maximum(outer**2 - r2, 0.0)) / outer
            core = np.sqrt(np.maximum(one.core_px**2 - r2, 0.0)) / outer
        else:
            whole, core = (r2 <= outer**2).astype(float), (r2 <= one.core_px**2).astype(float)
        ring = whole - core
        if one.gap_deg is not None:
            turn = (np.degrees(np.arctan2(dy, dx)) - one.gap_deg + 180) % 360 - 180
            ring = np.where((np.abs(turn) < one.gap_width_deg / 2) & (r2 > one.core_px**2), 0.0, ring)
        total[box] = np.maximum(total[box], one.core_grey * core + one.coating_grey * ring)
    means = total.reshape(ny, finer, nx, finer).mean(axis=(1, 3))
    if blur_px:
        f2 = np.fft.fftfreq(ny)[:, None] ** 2 + np.fft.rfftfreq(nx)[None, :] ** 2
        means = np.fft.irfft2(np.fft.rfft2(means) * np.exp(-2 * np.pi**2 * blur_px**2 * f2), s=shape)
    shade = background + slope[0] * np.arange(ny)[:, None] + slope[1] * np.arange(nx)[None, :]
    return np.maximum(shade - means if dark else shade + means, 0.0)


def counted(means: Float, seed: int) -> Float:
    return np.random.default_rng(seed).poisson(means).astype(np.float64)
