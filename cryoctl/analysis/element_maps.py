"""Element maps from sparse events, and what MLEM needs, with the spectrum's shape fixed by a summed spectrum.

At a count a pixel a non-negative fit in each pixel is biased upward: it can't go below zero. The net maps here are
*linear*: the Poisson-weighted least-squares estimator whose weights come from the mean spectrum. Each event adds a
number that depends on its channel alone; single pixels may be negative, sums over any region are unbiased, and the sum
over all pixels is the maximum-likelihood fit of the summed spectrum. MLEM gets raw counts in a window and the expected
rest (bremsstrahlung and overlaps) instead, because its model wants Poisson data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.ndimage import gaussian_filter

from cryoctl.analysis.spectrum_fit import SpectrumFit

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

SMOOTHING_PX = (0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 12.0)


@dataclass(frozen=True)
class NetMaps:
    """Net counts and their sigma per element, float32 [y, x]; `background` is the bremsstrahlung's counts [y, x]."""

    net: dict[str, Float32]
    net_sigma: dict[str, Float32]
    background: Float32
    background_sigma: Float32


@dataclass(frozen=True)
class MlemInput:
    """Poisson data for one element.

    `counts` [y, x] are raw counts in channels `first_channel` to `last_channel` (inclusive); `background_expectation`
    [y, x] is what is expected there from bremsstrahlung and other lines, smoothed over `smoothing_px`. Of a net count
    of the element `signal_fraction` falls into the window.
    """

    counts: npt.NDArray[np.int32]
    background_expectation: Float32
    first_channel: int
    last_channel: int
    signal_fraction: float
    smoothing_px: float


@dataclass(frozen=True)
class EventWeights:
    """What an event in a channel adds to each map: `lines` [component, channel], `backgrounds` [2, channel].

    The second background is the first with another slope in energy, so that regions may differ in absorption.
    """

    elements: tuple[str, ...]
    components: tuple[str, ...]
    lines: Float
    backgrounds: Float
    background_shapes: Float
    templates: Float
    mean: Float


def event_weights(fit: SpectrumFit) -> EventWeights:
    """Weights of the linear estimator for a fitted spectrum: (T' W T)^-1 T' W with W = 1/(mean spectrum).

    Components that the summed spectrum does not show (below half a sigma, and not asked for) are left out.
    """
    names = list(fit.components)
    used = [
        i
        for i, name in enumerate(names)
        if name in fit.elements or fit.net_counts[name] > 0.5 * fit.net_counts_sigma[name]
    ]
    n_channels = fit.templates.shape[1]
    inside = np.zeros(n_channels)
    inside[fit.first : fit.last] = 1.0
    energy = fit.offset_ev + fit.scale_ev * (np.arange(n_channels) + 0.5)
    shape = np.maximum(fit.background, 0.0) * inside
    shape = shape / max(float(shape.sum()), 1e-12)
    slope = np.log(np.maximum(energy, 50.0) / 1000.0)
    slope = shape * (slope - float((shape * slope).sum()))
    shapes = np.stack([shape, slope])
    design = np.vstack([fit.templates[used] * inside, shapes])
    mean = np.maximum(fit.model, 1e-6 * float(fit.model[fit.first : fit.last].mean()) + 1e-12)
    weighted = design / mean
    gram = weighted @ design.T
    unit = 1 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    inverse = np.linalg.pinv(gram * unit[:, None] * unit[None, :], rcond=1e-10, hermitian=True)
    weights = (inverse * unit[:, None] * unit[None, :]) @ weighted
    n = len(used)
    return EventWeights(
        elements=fit.elements,
        components=tuple(names[i] for i in used),
        lines=weights[:n],
        backgrounds=weights[n:],
        background_shapes=shapes,
        templates=fit.templates[used] * inside,
        mean=fit.model * inside,
    )


@njit(cache=True)
def _scatter(
    pixel: npt.NDArray[np.uint32], channel: npt.NDArray[np.uint16], table: Float32, out: Float32
) -> None:  # pragma: no cover - compiled
    """out[pixel, k] += table[channel, k] for each event; table [channel, k], out [pixel, k]."""
    for event in range(pixel.shape[0]):
        row = table[channel[event]]
        target = out[pixel[event]]
        for k in range(row.shape[0]):
            target[k] += row[k]


def _sum_events(
    pixel: npt.NDArray[np.uint32], channel: npt.NDArray[np.uint16], table: Float, shape: tuple[int, int]
) -> Float32:
    """Maps [k, y, x] of the sums of table [k, channel] over the events."""
    n = shape[0] * shape[1]
    if len(pixel) != len(channel) or (len(pixel) and int(pixel.max()) >= n):
        raise ValueError("pixel and channel must have one length, and pixel must lie below ny * nx")
    out = np.zeros((n, table.shape[0]), dtype=np.float32)
    if len(pixel):
        if int(channel.max()) >= table.shape[1]:
            raise ValueError("an event's channel lies beyond the fitted spectrum")
        by_channel = np.ascontiguousarray(table.T, dtype=np.float32)
        _scatter(
            np.ascontiguousarray(pixel, dtype=np.uint32),
            np.ascontiguousarray(channel, dtype=np.uint16),
            by_channel,
            out,
        )
    return np.ascontiguousarray(out.T).reshape(table.shape[0], *shape)


def net_maps(
    pixel: npt.NDArray[np.uint32],
    channel: npt.NDArray[np.uint16],
    shape: tuple[int, int],
    fit: SpectrumFit,
    weights: EventWeights | None = None,
) -> NetMaps:
    """Unbiased net counts [y, x] of each element asked for; sigma is the root of the summed squared weights.

    `pixel` = y * nx + x and `channel` [event]. Raises `ValueError` for events outside the map or the spectrum.
    """
    weights = weights or event_weights(fit)
    rows = [weights.components.index(name) for name in weights.elements]
    chosen = np.vstack([weights.lines[rows], weights.backgrounds[:1]])
    maps = _sum_events(pixel, channel, np.vstack([chosen, chosen**2]), shape)
    n = len(rows)
    sigma = np.sqrt(maps[n + 1 :])
    return NetMaps(
        net={name: maps[i] for i, name in enumerate(weights.elements)},
        net_sigma={name: sigma[i] for i, name in enumerate(weights.elements)},
        background=maps[n],
        background_sigma=sigma[n],
    )


def best_window(signal: Float, rest: Float) -> tuple[int, int]:
    """First and last channel of the window with the largest net counts over root of all counts, signal and rest.

    `signal` [channel] is the element's expected spectrum, `rest` [channel] that of everything else.
    """
    peak = int(np.argmax(signal))
    first = last = peak
    n = len(signal)
    s, r = float(signal[peak]), float(rest[peak])
    best, best_window_ = s / np.sqrt(max(s + r, 1e-12)), (peak, peak)
    while first > 0 or last < n - 1:
        left = signal[first - 1] / (signal[first - 1] + rest[first - 1] + 1e-12) if first > 0 else -1.0
        right = signal[last + 1] / (signal[last + 1] + rest[last + 1] + 1e-12) if last < n - 1 else -1.0
        if left > right:
            first -= 1
            s, r = s + float(signal[first]), r + float(rest[first])
        else:
            last += 1
            s, r = s + float(signal[last]), r + float(rest[last])
        merit = s / np.sqrt(max(s + r, 1e-12))
        if merit > best:
            best, best_window_ = merit, (first, last)
        elif merit < 0.7 * best:
            break
    return best_window_


def mlem_input(
    pixel: npt.NDArray[np.uint32],
    channel: npt.NDArray[np.uint16],
    shape: tuple[int, int],
    fit: SpectrumFit,
    weights: EventWeights | None = None,
) -> dict[str, MlemInput]:
    """Raw window counts and the smooth expectation of what is not the element's, for each element asked for.

    The expectation is linear in the events and then smoothed by the Gaussian that Stein's unbiased risk estimate picks
    from the data themselves, so that it carries little noise and yet follows the specimen. Its sum is kept and it is
    never below 1e-4 counts. Events as in `net_maps`.
    """
    weights = weights or event_weights(fit)
    windows: list[tuple[int, int]] = []
    tables: list[Float] = []
    fractions: list[float] = []
    for name in weights.elements:
        row = weights.components.index(name)
        signal = weights.templates[row] * max(fit.net_counts[name], fit.net_counts_sigma[name])
        first, last = best_window(signal, np.maximum(weights.mean - signal, 1e-6 * float(weights.mean.max())))
        window = slice(first, last + 1)
        share = weights.templates[:, window].sum(axis=1)
        fractions.append(float(share[row]))
        share[row] = 0.0
        rest = share @ weights.lines + weights.background_shapes[:, window].sum(axis=1) @ weights.backgrounds
        inside = np.zeros(rest.shape)
        inside[window] = 1.0
        windows.append((first, last))
        tables.extend([inside, rest, rest**2])
    maps = _sum_events(pixel, channel, np.array(tables), shape)
    result: dict[str, MlemInput] = {}
    for i, name in enumerate(weights.elements):
        counts, rest, variance = (np.asarray(m, dtype=np.float64) for m in maps[3 * i : 3 * i + 3])
        smooth, width = _smooth_at_least_risk(rest, variance)
        smooth = np.maximum(smooth, 1e-4)
        smooth *= max(float(rest.sum()), 1e-4 * rest.size) / float(smooth.sum())
        result[name] = MlemInput(
            counts=np.rint(counts).astype(np.int32),
            background_expectation=np.maximum(smooth, 1e-4).astype(np.float32),
            first_channel=windows[i][0],
            last_channel=windows[i][1],
            signal_fraction=fractions[i],
            smoothing_px=width,
        )
    return result


def _smooth_at_least_risk(noisy: Float, variance: Float) -> tuple[Float, float]:
    """Gaussian smoothing with the width in pixels of least estimated risk: Stein, Ann. Statist. 9 (1981) 1135."""
    best: tuple[float, float, Float] | None = None
    total = float(variance.sum())
    for width in SMOOTHING_PX:
        smooth = gaussian_filter(noisy, width, mode="nearest", truncate=3.0)
        impulse = np.zeros(8 * int(np.ceil(width)) + 1)
        impulse[len(impulse) // 2] = 1.0
        own = float(gaussian_filter(impulse, width, truncate=3.0).max()) ** 2
        risk = float(((smooth - noisy) ** 2).sum()) + 2 * own * total
        if best is None or risk < best[0]:
            best = (risk, width, smooth)
    assert best is not None
    return best[2], best[1]
