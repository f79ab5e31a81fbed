"""From recorded tilts to what the algorithms take: aligned counts, backgrounds and halves of each element."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.element_maps import event_weights, mlem_input
from cryoctl.analysis.scan_frames import registered_image
from cryoctl.analysis.spectrum_fit import SpectrumFit, fit_spectrum
from cryoctl.errors import BadInput
from cryoctl.launch.moved_events import move_events
from cryoctl.launch.tilt_recording import RecordedTilt, ScanEvents, TiltRecording
from cryoctl.reconstruction.align_series import align
from cryoctl.reconstruction.alignment import Alignment

Stack = npt.NDArray[np.float32]

HAADF = "HAADF"
"""The image's own volume stands beside the elements under this name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlignedSeries:
    """Input of one reconstruction: arrays [tilt, y, x], `halves` [2, tilt, y, x] or None with a single scan frame.

    `half_shares` [2, tilt] is each half's part of the exposure; `net_fraction` the part of the element's net counts
    that lies in the window counted.
    """

    counts: Stack
    background: Stack
    halves: Stack | None
    half_shares: npt.NDArray[np.float64] | None
    weight: Stack
    net_fraction: float


def align_recording(recording: TiltRecording) -> Alignment:
    """Shifts and axis from the images.

    Raises:
        BadInput: there is no tilt.
    """
    if not recording.tilts:
        raise BadInput(f"{recording.name}: it holds no record frame of target {recording.target!r}, nothing to align")
    stack = np.stack([_registered(tilt, range(len(tilt.scans))) for tilt in recording.tilts])
    return align(stack, recording.tilt_deg, recording.tilt_axis_deg)


def image_series(recording: TiltRecording, alignment: Alignment) -> AlignedSeries:
    """The image itself, its detector's offset taken away, even and odd scan frames as halves."""
    whole = np.stack([_registered(tilt, range(len(tilt.scans))) for tilt in recording.tilts])
    base = np.percentile(whole, 5, axis=(1, 2), keepdims=True).astype(np.float32)
    weight = alignment.coverage(recording.shape)
    counts = alignment.apply(np.maximum(whole - base, 0))
    numbers = np.array([len(tilt.scans) for tilt in recording.tilts])
    halves, shares = None, None
    if numbers.min() >= 2:
        evens = np.array([len(range(0, n, 2)) for n in numbers])
        shares = np.stack([evens / numbers, 1 - evens / numbers])
        parts = [
            np.stack([_registered(tilt, range(start, len(tilt.scans), 2)) for tilt in recording.tilts])
            for start in (0, 1)
        ]
        halves = np.stack(
            [
                alignment.apply(part - base * share[:, None, None].astype(np.float32))
                for part, share in zip(parts, shares, strict=True)
            ]
        )
    return AlignedSeries(
        counts=counts,
        background=np.zeros_like(counts),
        halves=halves,
        half_shares=shares,
        weight=weight,
        net_fraction=1.0,
    )


def fit_recording(recording: TiltRecording, elements: Sequence[str]) -> SpectrumFit:
    """The summed spectrum of all tilts, fitted.

    Raises:
        BadInput: the run has no EDX events.
    """
    energy = recording.energy
    if energy is None:
        raise BadInput(f"{recording.name}: it holds no EDX data; --element HAADF reconstructs its image")
    spectrum = np.zeros(energy.n_channels, dtype=np.int64)
    for tilt in recording.tilts:
        for _, channel in tilt.events:
            spectrum += np.bincount(channel, minlength=energy.n_channels)[: energy.n_channels]
    return fit_spectrum(
        spectrum,
        elements,
        offset_ev=energy.offset_ev,
        scale_ev=energy.scale_ev,
        beam_energy_ev=energy.beam_energy_ev,
    )


def element_series(
    recording: TiltRecording, alignment: Alignment, fit: SpectrumFit, seed: int = 0
) -> dict[str, AlignedSeries]:
    """Aligned window counts and expected background of each fitted element; `seed` keys where in a pixel events lay."""
    weights = event_weights(fit)
    shape = recording.shape
    found: dict[str, list[tuple[Stack, Stack, Stack]]] = {name: [] for name in fit.elements}
    fractions: dict[str, float] = {}
    shares: list[tuple[float, float]] = []
    for number, tilt in enumerate(recording.tilts):
        halves = [_moved(tilt, alignment, number, range(start, len(tilt.events), 2), shape, seed) for start in (0, 1)]
        pixel, channel = (np.concatenate(both) for both in zip(*halves, strict=True))
        for name, one in mlem_input(pixel, channel, shape, fit, weights).items():
            split = [_window_counts(*half, one.first_channel, one.last_channel, shape) for half in halves]
            found[name].append((one.counts.astype(np.float32), one.background_expectation, np.stack(split)))
            fractions[name] = one.signal_fraction
        n_scans = max(len(tilt.events), 1)
        even = len(range(0, n_scans, 2)) / n_scans
        shares.append((even, 1 - even))
    weight = alignment.coverage(shape)
    for number, tilt in enumerate(recording.tilts):
        if not tilt.events:
            weight[number] = 0.0
    split_well = min(share[1] for share in shares) > 0
    half_shares = np.array(shares, dtype=np.float64).T if split_well else None
    return {
        name: AlignedSeries(
            counts=np.stack([counts for counts, _, _ in rows]),
            background=np.stack([background for _, background, _ in rows]),
            halves=np.stack([split for _, _, split in rows], axis=1) if half_shares is not None else None,
            half_shares=half_shares,
            weight=weight,
            net_fraction=fractions[name],
        )
        for name, rows in found.items()
    }


def _registered(tilt: RecordedTilt, scans: Sequence[int]) -> Stack:
    """Sum [y, x] of some scan frames, each moved back to where the first one stands."""
    return registered_image(tilt.scans[list(scans)], [tilt.shifts_px[scan] for scan in scans])


def _moved(
    tilt: RecordedTilt, alignment: Alignment, number: int, scans: Sequence[int], shape: tuple[int, int], seed: int
) -> ScanEvents:
    """Events of some scan frames on the aligned grid, scan and tilt displacement taken out in one move."""
    pixels: list[npt.NDArray[np.uint32]] = [np.zeros(0, np.uint32)]
    channels: list[npt.NDArray[np.uint16]] = [np.zeros(0, np.uint16)]
    dy, dx = (float(one) for one in alignment.shift_px[number])
    for scan in scans:
        own_dy, own_dx = tilt.shifts_px[scan]
        pixel, channel = tilt.events[scan]
        key = (seed, tilt.frame, scan)
        moved_pixel, kept = move_events(pixel, channel, shape, (dy + own_dy, dx + own_dx), alignment.tilt_axis_deg, key)
        pixels.append(moved_pixel)
        channels.append(kept)
    return np.concatenate(pixels), np.concatenate(channels)


def _window_counts(
    pixel: npt.NDArray[np.uint32], channel: npt.NDArray[np.uint16], first: int, last: int, shape: tuple[int, int]
) -> Stack:
    inside = (channel >= first) & (channel <= last)
    counts = np.bincount(pixel[inside], minlength=shape[0] * shape[1])
    return counts.reshape(shape).astype(np.float32)
