"""A tilt series straight from the simulators' physics, without stage, engine or run file: seconds instead of minutes.

Specimen, projection, HAADF and X-ray detector are those of the simulated microscope; what an analysis gets here is what
it would find in a run file. Shifts and axis are given, so that they can be known or hidden from the analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.element_maps import MlemInput, event_weights, mlem_input
from cryoctl.analysis.spectrum_fit import SpectrumFit, fit_spectrum
from cryoctl_simulators.optics.edx import EdxDetector
from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.projection import ImageGeometry, Projector
from cryoctl_simulators.specimens.composition import Composition
from cryoctl_simulators.specimens.nanowire import build_nanowire

Array = npt.NDArray[np.float64]
Stack = npt.NDArray[np.float32]
ELEMENTS = ("Si", "O", "F", "C")
VOXEL_M = 10e-9
DWELL_TOTAL_S = 107.0
"""Live time of a tilt in the bundled recipe's series."""


@dataclass(frozen=True)
class Simulated:
    """`events` of each tilt are two halves of scan frames: (pixel, channel) each. `haadf` [tilt, y, x]."""

    specimen: Composition
    tilt_deg: tuple[float, ...]
    shift_px: Array
    tilt_axis_deg: float
    haadf: Stack
    events: tuple[tuple[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]], ...], ...]
    expected_peak: dict[str, float]
    offset_ev: float
    scale_ev: float
    n_channels: int

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.haadf.shape[1]), int(self.haadf.shape[2])


def simulate(
    specimen: Composition,
    tilt_deg: npt.ArrayLike,
    electrons_a_pixel: float,
    seed: int,
    *,
    shift_px: npt.ArrayLike | None = None,
    tilt_axis_deg: float = 0.0,
    with_edx: bool = True,
    detector: EdxDetector | None = None,
) -> Simulated:
    """Images of `specimen` at each tilt with shot noise, `electrons_a_pixel` in two halves; no drift, no damage."""
    angles = tuple(float(a) for a in np.atleast_1d(np.asarray(tilt_deg, float)))
    shifts = np.zeros((len(angles), 2)) if shift_px is None else np.asarray(shift_px, float)
    rng = np.random.default_rng([seed, 77])
    projector, haadf = Projector(specimen), HaadfDetector()
    edx = detector or EdxDetector()
    shape = (specimen.shape[1], specimen.shape[2])
    pixel_m = specimen.voxel_size_m
    gain = haadf.gain_for(electrons_a_pixel / 2)
    images: list[Stack] = []
    events: list[tuple[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]], ...]] = []
    peak: dict[str, list[float]] = {}
    for angle, (dy, dx) in zip(angles, shifts, strict=True):
        image = ImageGeometry(shape, pixel_m, (dy * pixel_m, dx * pixel_m), tilt_axis_deg)
        atoms, depth = projector.project(angle, image)
        share = haadf.blurred(haadf.scattered_share(specimen.elements, atoms), pixel_m, depth)
        halves = [haadf.expose(share, electrons_a_pixel / 2, rng, gain) for _ in range(2)]
        images.append(np.sum(halves, axis=0, dtype=np.float32))
        if not with_edx:
            continue
        sources = edx.sources(specimen.elements, atoms, angle)
        for source in sources:
            if source.name in ELEMENTS and source.family == "K":
                top = float(np.percentile(source.counts_per_electron, 99.5)) * electrons_a_pixel
                peak.setdefault(source.name, []).append(top)
        frames = [edx.expose(sources, electrons_a_pixel / 2, DWELL_TOTAL_S / 2, rng) for _ in range(2)]
        events.append(tuple((frame.pixel, frame.channel) for frame in frames))
    response = edx.response.parameters
    return Simulated(
        specimen,
        angles,
        shifts,
        tilt_axis_deg,
        np.stack(images),
        tuple(events),
        {name: float(np.median(values)) for name, values in peak.items()},
        response.energy_offset_ev,
        response.energy_scale_ev,
        response.channels,
    )


@dataclass(frozen=True)
class ElementSeries:
    """What the algorithms get: counts and expected background [tilt, y, x], halves [2, tilt, y, x]; the share of the
    background in what the brightest pixels (99.5th percentile) hold of the element."""

    counts: Stack
    background: Stack
    halves: Stack
    peak_counts: float
    background_of_peak: float


def fitted(series: Simulated, elements: tuple[str, ...] = ELEMENTS) -> SpectrumFit:
    """Fit of the summed spectrum."""
    spectrum = np.zeros(series.n_channels, np.int64)
    for halves in series.events:
        for _, channel in halves:
            spectrum += np.bincount(channel, minlength=series.n_channels)
    return fit_spectrum(spectrum, elements, offset_ev=series.offset_ev, scale_ev=series.scale_ev, beam_energy_ev=200e3)


def element_series(series: Simulated, elements: tuple[str, ...] = ELEMENTS) -> dict[str, ElementSeries]:
    """Window counts and expected background of each element as a run's reconstruction makes them."""
    fit = fitted(series, elements)
    weights = event_weights(fit)
    rows: dict[str, list[tuple[MlemInput, Stack]]] = {name: [] for name in elements}
    for halves in series.events:
        pixel, channel = (np.concatenate(both) for both in zip(*halves, strict=True))
        for name, one in mlem_input(pixel, channel, series.shape, fit, weights).items():
            parts = [_window(p, c, one, series.shape) for p, c in halves]
            rows[name].append((one, np.stack(parts)))
    made: dict[str, ElementSeries] = {}
    for name, found in rows.items():
        counts = np.stack([one.counts for one, _ in found]).astype(np.float32)
        background = np.stack([one.background_expectation for one, _ in found])
        peak = series.expected_peak[name] * found[0][0].signal_fraction
        bright = float(np.median([np.percentile(b, 99.5) for b in background]))
        halves = np.stack([parts for _, parts in found], axis=1)
        made[name] = ElementSeries(counts, background, halves, peak, bright / peak)
    return made


def _window(
    pixel: npt.NDArray[np.uint32], channel: npt.NDArray[np.uint16], one: MlemInput, shape: tuple[int, int]
) -> Stack:
    inside = (channel >= one.first_channel) & (channel <= one.last_channel)
    return np.bincount(pixel[inside], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float32)


def wire(stage: str, seed: int, n_x: int = 40, n: int = 72) -> Composition:
    """A short piece of the bundled nanowire at 10 nm."""
    return build_nanowire(stage, seed, (n, n, n_x), VOXEL_M)
