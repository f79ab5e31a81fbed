"""What is known of one element's tilt series: counts, what they were made by, and how far to trust each pixel.

The model of every algorithm is y[t, u, x] ~ Poisson(gain[t] * (A v)[t, u, x] + background[t, u, x]), v being the volume
in counts a voxel and tilt at gain 1, and the background the *expected* counts that do not come from v (bremsstrahlung,
stray lines, tails of neighbours, as the spectrum's fit gives them).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

Stack = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TiltSeries:
    """Checked data of one reconstruction; build it by `tilt_series`.

    counts, background, weight: float32 [tilt, y, x] (weight 0 masks a pixel or a tilt). gain: float32 [tilt].
    """

    counts: Stack
    background: Stack
    gain: Stack
    weight: Stack

    @property
    def signal(self) -> Stack:
        """Counts with the background subtracted (for SIRT and WBP; MLEM keeps it in the model)."""
        return self.counts - self.background

    def expected(self, projected: Stack) -> Stack:
        """gain * projected + background, [tilt, y, x]."""
        return self.gain[:, None, None] * projected + self.background

    def share(self, counts: Stack, fraction: npt.ArrayLike) -> TiltSeries:
        """The series of a part of the exposure: other counts, `fraction` (a number or one a tilt) of background and
        gain, the same volume."""
        part = np.broadcast_to(np.asarray(fraction, np.float32), self.gain.shape)
        return replace(self, counts=counts, background=part[:, None, None] * self.background, gain=part * self.gain)

    def of_slices(self, first: int, stop: int) -> TiltSeries:
        """Slices first <= x < stop."""
        counts, background, weight = (
            np.ascontiguousarray(a[:, :, first:stop]) for a in (self.counts, self.background, self.weight)
        )
        return TiltSeries(counts, background, self.gain, weight)

    def of_tilts(self, indices: tuple[int, ...]) -> TiltSeries:
        """Some of the tilts, in the order given."""
        pick = np.asarray(indices)
        return TiltSeries(self.counts[pick], self.background[pick], self.gain[pick], self.weight[pick])


def tilt_series(
    projections: npt.ArrayLike,
    background: npt.ArrayLike | None = None,
    gain: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> TiltSeries:
    """Check and convert the input of a reconstruction.

    projections: [tilt, y, x]. background, weight: anything that broadcasts to it. gain: a number or one a tilt.
    Raises BadInput for shapes that do not fit, values that are not finite, negative background or weight, gain <= 0.
    """
    counts = _finite("projections", projections)
    if counts.ndim != 3 or 0 in counts.shape:
        raise BadInput(f"projections: shape {counts.shape}, expected [tilt, y, x] with at least one of each")
    gains = _finite("gain", 1.0 if gain is None else gain)
    if gains.shape not in ((), (1,), (counts.shape[0],)):
        raise BadInput(f"gain: shape {gains.shape} for {counts.shape[0]} tilts; give one number or one a tilt")
    if gains.min() <= 0:
        raise BadInput(
            "gain: a value is zero or negative, every gain must be positive; mask a blind tilt by its weight"
        )
    return TiltSeries(
        counts,
        _non_negative("background", 0.0 if background is None else background, counts.shape),
        np.ascontiguousarray(np.broadcast_to(gains, counts.shape[:1])),
        _non_negative("weight", 1.0 if weight is None else weight, counts.shape),
    )


def _finite(name: str, values: npt.ArrayLike) -> Stack:
    array = np.ascontiguousarray(values, np.float32) if np.ndim(values) else np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise BadInput(f"{name}: contains NaN or infinity, only finite numbers are allowed; set the weight to 0 there")
    return array


def _non_negative(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Stack:
    array = _finite(name, values)
    if array.ndim == 1 and array.shape[0] == shape[0]:
        array = array[:, None, None]
    try:
        full = np.ascontiguousarray(np.broadcast_to(array, shape))
    except ValueError:
        raise BadInput(
            f"{name}: shape {array.shape} does not fit the projections' {shape}; give one a pixel or a tilt"
        ) from None
    if full.min() < 0:
        raise BadInput(f"{name}: a value is negative, all must be at least 0; clip or correct it")
    return full
