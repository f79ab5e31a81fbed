"""A volume that follows the series, tilt by tilt.

When a tilt arrives, `passes` updates are made. An update takes the new tilt together with earlier ones, spread evenly
over the order of arrival, at most TILTS_AN_UPDATE in all, another choice each time, so that every tilt is replayed
again and again. It is one step of ordered-subset MLEM over its tilts (`osem`), followed by a slight smoothing (EMS:
Silverman, Jones, Wilson and Nychka 1990), because few tilts at few counts would otherwise print their noise into the
volume for good: nobody stops a live reconstruction at the right iteration. On the tests' nanowire at 5 peak counts and
41 tilts the error against truth ends at 0.26 with smoothing and at 1.1 without. Where one of the signals is good to
align by, each tilt is first moved to where the volume so far expects it (`live_alignment`). Everything is fixed by the
order of the tilts and their data: the same sequence gives the same volumes, bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from cryoctl.errors import BadInput
from cryoctl.reconstruction.alignment import moved
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.live_alignment import covered, displacement_from
from cryoctl.reconstruction.mlem import count_ratio, reciprocal, uniform_start
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries, tilt_series

TILTS_AN_UPDATE = 8


class LiveReconstruction:
    """Element volumes [z, y, x] after each tilt.

    elements: names. shape: (rows, columns) of the images. thickness_px: height of the volume (default: rows). passes:
    updates a tilt (from the recipe). smoothing_px: sigma of the Gaussian that follows each update, 0 for none.
    align_by: the signal (HAADF) by which each tilt is aligned, all of its signals alike; None: they are aligned.
    """

    def __init__(
        self,
        elements: Sequence[str],
        shape: tuple[int, int],
        *,
        thickness_px: int | None = None,
        passes: int = 2,
        smoothing_px: float = 0.6,
        align_by: str | None = None,
        threads: int | None = None,
    ) -> None:
        if not elements or passes < 1 or not 0.0 <= smoothing_px < 10.0:
            raise BadInput(
                f"live: {len(elements)} elements, {passes} passes, smoothing {smoothing_px:g} px; needed: "
                "an element, a pass, smoothing from 0 to 10 px"
            )
        if align_by is not None and align_by not in elements:
            raise BadInput(f"live: align_by {align_by!r} is not among what is reconstructed: {', '.join(elements)}")
        self._shape = shape
        self._align_by = align_by
        self._shifts: list[tuple[float, float]] = []
        self._n_z = shape[0] if thickness_px is None else thickness_px
        self._passes, self._smoothing, self._threads = passes, smoothing_px, threads
        self._tilt_deg: list[float] = []
        self._data: dict[str, list[TiltSeries]] = {name: [] for name in elements}
        self._volumes: dict[str, Stack] = {}

    @property
    def tilt_deg(self) -> tuple[float, ...]:
        """Tilts in order of arrival."""
        return tuple(self._tilt_deg)

    @property
    def shift_px(self) -> tuple[tuple[float, float], ...]:
        """(dy, dx) found for each tilt and taken out of it, in order of arrival; zeros without `align_by`."""
        return tuple(self._shifts)

    def add_tilt(
        self,
        tilt_deg: float,
        images: Mapping[str, npt.ArrayLike],
        background: Mapping[str, npt.ArrayLike] | None = None,
        gain: float = 1.0,
    ) -> None:
        """Take in one tilt: counts [y, x] and expected background [y, x] of each element.

        `gain` is what the tilt shows of the volume, relative: its dose over that of the first one.

        Raises BadInput if an element is missing or an image has another shape than the series.
        """
        shift = self._displacement(float(tilt_deg), images)
        new: dict[str, TiltSeries] = {}
        for name in self._data:
            if name not in images or np.shape(images[name]) != self._shape:
                found = np.shape(images[name]) if name in images else "no image"
                raise BadInput(f"live: element {name}: {found} at {tilt_deg:g} degrees, expected shape {self._shape}")
            expected = None if background is None or name not in background else np.asarray(background[name])[None]
            new[name] = _moved_back(tilt_series(np.asarray(images[name])[None], expected, gain=[gain]), shift)
        TiltGeometry((float(tilt_deg),), *self._slice())
        self._shifts.append((float(shift[0]), float(shift[1])))
        self._tilt_deg.append(float(tilt_deg))
        for name, tilt in new.items():
            self._data[name].append(tilt)
        for chosen in self._choices():
            tilts = tuple(self._tilt_deg[i] for i in chosen)
            projector = Projector(TiltGeometry(tilts, *self._slice()), self._threads)
            for name, tilts_data in self._data.items():
                self._update(name, projector, [tilts_data[i] for i in chosen])

    def volumes(self) -> dict[str, Stack]:
        """Copies of the volumes, float32 [z, y, x]; empty before the first tilt."""
        return {name: volume.copy() for name, volume in self._volumes.items()}

    @property
    def now(self) -> Mapping[str, Stack]:
        """The volumes themselves, until the next tilt: to look at."""
        return self._volumes

    def _displacement(self, tilt_deg: float, images: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float64]:
        name = self._align_by
        if name is None or name not in self._volumes or np.shape(images.get(name, 0)) != self._shape:
            return np.zeros(2)
        projector = Projector(TiltGeometry((tilt_deg,), *self._slice()), self._threads)
        return displacement_from(self._volumes[name], projector, np.asarray(images[name], np.float32))

    def _slice(self) -> tuple[int, int, int]:
        return self._shape[0], self._n_z, self._shape[0]

    def _choices(self) -> list[tuple[int, ...]]:
        """Indices of each update: the new tilt and earlier ones, evenly spaced, shifted on from update to update."""
        newest = len(self._tilt_deg) - 1
        spacing = max(1, -(-newest // (TILTS_AN_UPDATE - 1)))
        choices: list[tuple[int, ...]] = []
        for k in range(self._passes):
            first = (newest * self._passes + k) % spacing
            choices.append((*range(first, newest, spacing), newest))
        return choices

    def _update(self, name: str, projector: Projector, tilts: list[TiltSeries]) -> None:
        data = TiltSeries(
            np.concatenate([t.counts for t in tilts]),
            np.concatenate([t.background for t in tilts]),
            np.concatenate([t.gain for t in tilts]),
            np.concatenate([t.weight for t in tilts]),
        )
        volume = self._volumes.get(name)
        if volume is None or not volume.any():
            volume = uniform_start(data, projector)
        weighted = data.weight * data.gain[:, None, None]
        sensitivity = projector.back(weighted)
        update = projector.back(weighted * count_ratio(data, projector.forward(volume))) * reciprocal(sensitivity)
        volume = volume * np.where(sensitivity > 0, update, np.float32(1.0))
        if self._smoothing > 0:
            volume = np.asarray(gaussian_filter(volume, self._smoothing, truncate=3.0), np.float32)
        self._volumes[name] = volume


def _moved_back(tilt: TiltSeries, shift_px: npt.NDArray[np.float64]) -> TiltSeries:
    """One tilt with its displacement taken out; what came from beyond the edge weighs nothing."""
    if not shift_px.any():
        return tilt
    seen = covered(tilt.counts.shape[1:], shift_px)
    counts, background = (moved(stack[0], shift_px, 0.0)[None] for stack in (tilt.counts, tilt.background))
    return TiltSeries(counts, background, tilt.gain, tilt.weight * seen)
