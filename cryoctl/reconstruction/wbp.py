"""Weighted back-projection: each projection filtered by |f| under a Hann window, then smeared back.

v(y, z) = integral over the tilt angle of the filtered projections at u = y cos a + z sin a. The ramp is made in real
space (Kak and Slaney 1988, eq. 61), so that its zero frequency carries no bias; a tilt's share of the integral is half
the gap to its neighbours on either side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries

CUTOFFS = (0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)


def wbp(series: TiltSeries, projector: Projector, cutoff: float = 1.0) -> Stack:
    """Volume [z, y, x] from the background-subtracted counts over gain; `cutoff` in Nyquist frequencies, (0, 1]."""
    if not 0.0 < cutoff <= 1.0:
        raise BadInput(f"cutoff: {cutoff:g}, the Hann window ends at more than 0 and at most 1 Nyquist frequency")
    used = np.asarray((series.weight > 0).any(axis=(1, 2))) & (series.gain > 0)
    share = tilt_shares(projector.geometry.tilt_deg, used)
    inverse = np.zeros_like(series.gain)
    np.divide(np.float32(1.0), series.gain, out=inverse, where=series.gain > 0)
    data = np.where(series.weight > 0, series.signal, 0.0) * inverse[:, None, None]
    filtered = hann_ramp(data.astype(np.float32), cutoff) * share[:, None, None].astype(np.float32)
    return projector.back(filtered)


def hann_ramp(projections: Stack, cutoff: float) -> Stack:
    """Each column along y times |f| (cycles a pixel) and a Hann window that reaches 0 at `cutoff` Nyquist."""
    n_y = projections.shape[1]
    padded = 1 << (2 * max(n_y, 32) - 1).bit_length()
    distance = np.minimum(np.arange(padded), padded - np.arange(padded))
    ramp = np.zeros(padded)
    odd = distance % 2 == 1
    ramp[odd] = -1.0 / np.square(np.pi * distance[odd])
    ramp[0] = 0.25
    frequency = np.fft.rfftfreq(padded)
    window = np.where(frequency < 0.5 * cutoff, 0.5 + 0.5 * np.cos(2.0 * np.pi * frequency / cutoff), 0.0)
    response = (np.fft.rfft(ramp).real * window)[None, :, None].astype(np.float32)
    spectrum = np.fft.rfft(projections, n=padded, axis=1)
    return np.fft.irfft(spectrum * response, n=padded, axis=1)[:, :n_y].astype(np.float32)


def tilt_shares(tilt_deg: tuple[float, ...], used: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Radians that each tilt stands for; 0 for unused tilts; a single tilt stands for half a turn."""
    angles = np.deg2rad(np.asarray(tilt_deg, np.float64))
    share = np.zeros(angles.size)
    distinct, where, repeats = np.unique(angles[used], return_inverse=True, return_counts=True)
    if distinct.size == 0:
        return share
    gaps = np.diff(distinct) if distinct.size > 1 else np.array([np.pi])
    span = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2.0
    share[used] = (span[: distinct.size] / repeats)[where]
    return share
