"""Feeds the live reconstruction: each durable tilt becomes counts and expected background of every element.

The elements' windows and templates are fixed by the first tilt's summed spectrum, so that what is stored as `live` is a
function of the tilts in order and nothing else. Image and events of a tilt are registered alike, by whole pixels; the
child aligns each tilt by its image, which takes out what that left as well. Several targets are several series, one
after another, each with a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.element_maps import EventWeights, event_weights, mlem_input
from cryoctl.analysis.spectrum_fit import SpectrumFit, fit_spectrum
from cryoctl.clock import in_virtual_time
from cryoctl.errors import CryoctlError
from cryoctl.events import Event
from cryoctl.reconstruction.live_process import LiveProcess
from cryoctl.streaming.sink import Picture

Volume = npt.NDArray[np.float32]

HAADF = "HAADF"
"""The image itself is reconstructed beside the elements, under this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What is reconstructed while it is acquired; `elements` empty where there is no EDX.

    `slices_to` is a file for whoever looks on (`reconstruction.live_slices`), None where nobody could.
    """

    elements: tuple[str, ...]
    n_channels: int
    energy_offset_ev: float
    energy_scale_ev: float
    beam_energy_ev: float
    passes: int = 2
    slices_to: Path | None = None


MOST_WAITING_BYTES = 2 << 30
"""Of tilts that wait for a live reconstruction that is slower than the run, in real time."""


@dataclass(frozen=True, slots=True)
class _Tilt:
    """One tilt as the child takes it; `images` and `expected` by element, float [y, x]."""

    target: str
    shape: tuple[int, int]
    tilt_deg: float
    dose_e_per_a2: float
    images: Mapping[str, npt.NDArray[Any]]
    expected: Mapping[str, npt.NDArray[Any]]

    @property
    def bytes(self) -> int:
        return sum(one.nbytes for one in (*self.images.values(), *self.expected.values()))


class LiveFollower:
    """A sink. `failure` is a sentence once the live reconstruction was lost; the run goes on without it.

    In real time a thread hands the tilts over, so that the run's loop, and with it the operator, never waits for a slow
    child. They are prepared in the loop, while the beam is blanked: beside it they would delay a blanking.
    """

    def __init__(self, settings: LiveSettings) -> None:
        self._settings = settings
        self._fit: SpectrumFit | None = None
        self._weights: EventWeights | None = None
        self._process: LiveProcess | None = None
        self._target = ""
        self._shape = (0, 0)
        self._first_dose = math.nan
        self._done: dict[str, dict[str, Volume]] = {}
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: list[tuple[Future[None], int]] = []
        self.failure = ""

    def event(self, event: Event) -> None:
        """Nothing to do."""

    def picture(self, picture: Picture) -> None:
        if picture.stream != "image":
            return
        if self.failure:
            raise RuntimeError(self.failure)  # whoever hands the pictures on tells it and hands on no more
        shape = (int(picture.scans.shape[1]), int(picture.scans.shape[2]))
        images: dict[str, npt.NDArray[Any]] = {HAADF: above_offset(picture.registered_sum())}
        expected: dict[str, npt.NDArray[Any]] = {}
        try:
            if self._settings.elements and picture.edx:
                pixel, channel = picture.registered_events()
                for name, one in mlem_input(pixel, channel, shape, self._fitted(channel), self._weights).items():
                    images[name], expected[name] = one.counts, one.background_expectation
            else:
                images |= {name: np.zeros(shape, np.float32) for name in self._settings.elements}
        except CryoctlError as error:
            self.failure = error.message
            raise
        tilt = _Tilt(picture.target, shape, picture.tilt_deg, picture.dose_e_per_a2, images, expected)
        if in_virtual_time():
            self._hand_over(tilt)
            if self.failure:
                raise RuntimeError(self.failure)
        else:
            self._hand_over_beside(tilt)

    def _hand_over_beside(self, tilt: _Tilt) -> None:
        self._waiting = [(one, size) for one, size in self._waiting if not one.done()]
        if sum(size for _, size in self._waiting) > MOST_WAITING_BYTES:
            self.failure = f"the live reconstruction is {len(self._waiting)} tilts behind; the run goes on without it"
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "cryoctl-live")
        self._waiting.append((self._thread.submit(self._hand_over, tilt), tilt.bytes))

    def _hand_over(self, tilt: _Tilt) -> None:
        try:
            if self._process is None or tilt.target != self._target or tilt.shape != self._shape:
                self._begin(tilt.target, tilt.shape)
            assert self._process is not None
            gain = self._gain(tilt.dose_e_per_a2)
            if not self._process.add_tilt(tilt.tilt_deg, tilt.images, tilt.expected, gain):
                self.failure = self._process.failure or "the live reconstruction did not take a tilt"
        except Exception as error:  # in a thread nobody else would hear of it
            self.failure = f"live reconstruction: {type(error).__name__}: {error}"

    def _gain(self, dose_e_per_a2: float) -> float:
        """A tilt of less dose, or one that was stopped on its way, shows as much less; 1 where dose is unknown."""
        if not 0.0 < self._first_dose < math.inf:
            self._first_dose = dose_e_per_a2
        return dose_e_per_a2 / self._first_dose if 0.0 < dose_e_per_a2 < math.inf else 1.0

    def _begin(self, target: str, shape: tuple[int, int]) -> None:
        self._finish()
        self._target, self._shape, self._first_dose = target, shape, math.nan
        names = (HAADF, *self._settings.elements)
        self._process = LiveProcess(
            names,
            shape,
            slices_to=self._settings.slices_to,
            target=target,
            passes=self._settings.passes,
            align_by=HAADF,
        )

    def _fitted(self, channel: npt.NDArray[np.uint16]) -> SpectrumFit:
        if self._fit is None:
            spectrum = np.bincount(channel, minlength=self._settings.n_channels)
            self._fit = fit_spectrum(
                spectrum,
                self._settings.elements,
                offset_ev=self._settings.energy_offset_ev,
                scale_ev=self._settings.energy_scale_ev,
                beam_energy_ev=self._settings.beam_energy_ev,
            )
            self._weights = event_weights(self._fit)
        return self._fit

    def volumes(self) -> Mapping[str, Mapping[str, Volume]]:
        """By target, by element: float32 [z, y, x]; waits for the tilts handed over so far."""
        if self._thread is not None:
            self._thread.shutdown()
        self._finish()
        return self._done

    def _finish(self) -> None:
        if self._process is None:
            return
        found = self._process.volumes()
        if found:
            self._done[self._target] = found
        elif self._process.failure:
            self.failure = self._process.failure
        self._process.close()
        self._process = None

    def kill(self) -> None:
        """For simulators: the child dies."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the child; may be called twice."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
        if self._process is not None:
            self._process.close()
            self._process = None
        if self._settings.slices_to is not None:  # the volumes stand in the run file by now
            self._settings.slices_to.unlink(missing_ok=True)


def above_offset(image: npt.NDArray[Any]) -> Volume:
    """An image minus the level of its emptiest twentieth, not below 0: the detector's offset projects nothing."""
    values = np.asarray(image, dtype=np.float32)
    return np.maximum(values - np.float32(np.percentile(values, 5)), 0)
