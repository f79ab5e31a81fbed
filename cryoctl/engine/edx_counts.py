"""Counts of each element from the durable EDX events: the summed spectrum's fit, net maps, and two halves of a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.element_maps import EventWeights, event_weights, mlem_input, net_maps
from cryoctl.analysis.spectrum_fit import SpectrumFit, fit_spectrum
from cryoctl.runfile.journal import Record
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.registered import registered_events

Stack = npt.NDArray[np.float32]
HALVED = "Si"


@dataclass(slots=True)
class Halves:
    """Window counts [half, y, x] of one element and the background expected in both together [y, x], tilt by tilt."""

    element: str
    counts: list[Stack] = field(default_factory=list[Stack])
    background: list[Stack] = field(default_factory=list[Stack])


@dataclass(frozen=True, slots=True)
class EdxCounts:
    """`net` and `signal_fraction` by element: maps [frame, y, x], and the share of net counts that lies in the window
    the volumes were counted in."""

    fit: SpectrumFit
    net: dict[str, Stack]
    signal_fraction: dict[str, float]
    halves: Halves

    def relative_yield(self, element: str, frames: Sequence[int]) -> float:
        """Mean over frames of what a frame counted, over that of the frames whose detector was shadowed least.

        For a specimen that stays in the field, such as a wire: the same atoms are seen at each tilt.
        """
        totals = self.net[element][list(frames)].sum(axis=(1, 2), dtype=np.float64)
        best = float(np.percentile(totals, 90))
        return float(np.clip(totals.mean() / best, 0.05, 1.0)) if best > 0 else 1.0


def count_elements(
    reader: PartsReader, records: Sequence[Record], shape: tuple[int, int], head: Mapping[str, Any]
) -> EdxCounts | None:
    """Fit, maps and halves of all record frames; None where nothing was counted."""
    edx = head["edx"]
    spectrum = np.zeros(edx["n_channels"], dtype=np.int64)
    for record in records:
        for _, channel in reader.read_events(record):
            spectrum += np.bincount(channel, minlength=len(spectrum))
    if not spectrum.any():
        return None
    fit = fit_spectrum(
        spectrum,
        edx["elements"],
        offset_ev=edx["energy_offset_ev"],
        scale_ev=edx["energy_scale_ev"],
        beam_energy_ev=head["voltage_v"],
    )
    weights = event_weights(fit)
    halved = HALVED if HALVED in fit.elements else fit.elements[0]
    only = replace(weights, elements=(halved,))
    halves = Halves(halved)
    stacks: dict[str, list[Stack]] = {element: [] for element in fit.elements}
    for record in records:
        scans = list(reader.read_events(record))
        pixel, channel = _registered(scans, record, shape)
        for element, image in net_maps(pixel, channel, shape, fit, weights).net.items():
            stacks[element].append(image)
        one = mlem_input(pixel, channel, shape, fit, only)[halved]
        even, odd = _registered(scans[::2], record, shape, 0, 2), _registered(scans[1::2], record, shape, 1, 2)
        halves.counts.append(
            np.stack([_window(*part, one.first_channel, one.last_channel, shape) for part in (even, odd)])
        )
        halves.background.append(one.background_expectation)
    fractions = _fractions(fit, weights)
    return EdxCounts(fit, {name: np.stack(images) for name, images in stacks.items()}, fractions, halves)


def _registered(
    scans: Sequence[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]],
    record: Record,
    shape: tuple[int, int],
    first: int = 0,
    step: int = 1,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    return registered_events(scans, record["shifts_px"][first::step], shape)


def _window(
    pixel: npt.NDArray[np.uint32], channel: npt.NDArray[np.uint16], first: int, last: int, shape: tuple[int, int]
) -> Stack:
    inside = (channel >= first) & (channel <= last)
    return np.bincount(pixel[inside], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)


def _fractions(fit: SpectrumFit, weights: EventWeights) -> dict[str, float]:
    nothing = np.zeros(0, np.uint32), np.zeros(0, np.uint16)
    return {name: one.signal_fraction for name, one in mlem_input(*nothing, (8, 8), fit, weights).items()}
