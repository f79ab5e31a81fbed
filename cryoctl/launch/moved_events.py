"""EDX events moved onto the aligned grid one by one, so that counts stay Poisson counts.

Resampling a map of few counts smears them into fractions with correlated noise. Here each event is placed at random
within the pixel in which it was counted, displaced and turned, and counted again in the pixel in which it lands: a
Poisson process whose points are displaced independently is a Poisson process (Kingman, Poisson Processes, 1993, 5.1).
The random part is keyed by the caller, never drawn from a common stream.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint32]
Channels = npt.NDArray[np.uint16]


def move_events(
    pixel: Pixels,
    channel: Channels,
    shape: tuple[int, int],
    shift_px: tuple[float, float],
    tilt_axis_deg: float,
    key: tuple[int, ...],
) -> tuple[Pixels, Channels]:
    """Events with the displacement `shift_px` (dy, dx) taken out and the tilt axis turned to +x about the centre.

    `pixel` is y * columns + x. Events that leave the field are dropped; without shift and turn they come back as they
    were. The geometry is that of `reconstruction.alignment.moved`.
    """
    if not any(shift_px) and tilt_axis_deg == 0.0:
        return pixel, channel
    rows, columns = shape
    jitter = np.random.default_rng(key).random((2, len(pixel))) - 0.5
    place = np.stack([pixel // columns, pixel % columns]).astype(np.float64) + jitter
    c, s = np.cos(np.deg2rad(tilt_axis_deg)), np.sin(np.deg2rad(tilt_axis_deg))
    middle = (np.array(shape, dtype=np.float64)[:, None] - 1) / 2
    turn_back = np.array([[c, -s], [s, c]])
    aligned = turn_back @ (place - middle - np.array(shift_px)[:, None]) + middle
    y, x = np.floor(aligned + 0.5).astype(np.int64)
    inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
    return (y[inside] * columns + x[inside]).astype(np.uint32), channel[inside]
