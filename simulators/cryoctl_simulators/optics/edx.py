"""X-ray photons counted by a segmented detector: expected maps and events of one scan frame.

Counts per electron of a line = N (atoms/m2) * cross-section * solid angle / 4 pi * efficiency * view * absorption.
Absorption is that of a column: photons leave from its mean depth, chi = sum of N_i * mu_i over the column divided by
the direction's component across the wire, (1 - exp(-chi)) / chi. Exact for a slab; for a wire it takes the exit path
to be like the beam's path, good to about a tenth for chi < 1. Bremsstrahlung: Kramers' law for a thin target,
16 pi / (3 sqrt 3) alpha r_e^2 Z^2 / (beta^2 E), isotropic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import constants

from cryoctl_simulators.optics.cross_sections import (
    INVISIBLE,
    XRayLine,
    atomic_number,
    attenuation_per_atom_m2,
    beta_squared,
    lines_of,
)
from cryoctl_simulators.optics.detector_response import DetectorResponse
from cryoctl_simulators.parameters import Parameters, load_parameters

FloatArray = npt.NDArray[np.float64]
CLASSICAL_ELECTRON_RADIUS_M = constants.physical_constants["classical electron radius"][0]
STRAY = "stray"
BREMSSTRAHLUNG = "bremsstrahlung"


class Shadow(Parameters):
    sign: Literal[-1, 1]
    half_tilt_deg: float
    width_deg: float = Field(gt=0)
    hard_tilt_deg: float


class Segment(Parameters):
    azimuth_deg: float
    elevation_deg: float = Field(gt=0, lt=90)
    share: float = Field(gt=0, le=1)
    shadow: Shadow


class Stray(Parameters):
    base: float = Field(ge=0)
    scattered: float = Field(ge=0)
    growth: float = Field(ge=0)


class Bremsstrahlung(Parameters):
    scale: float = Field(ge=0)
    lowest_ev: float = Field(gt=0)


class EdxParameters(Parameters):
    schema_version: int
    beam_energy_ev: float = Field(gt=1e4, lt=1e6)
    solid_angle_sr: float = Field(gt=0, lt=2 * math.pi)
    segments: tuple[Segment, ...] = Field(min_length=1)
    stray: dict[str, Stray]
    bremsstrahlung: Bremsstrahlung
    scattering_m2_at_si: float = Field(ge=0)


def load_edx(overrides: Mapping[str, Any] | None = None, file: Path | None = None) -> EdxParameters:
    """The packaged edx.yaml, or the user's `file`, with `overrides` merged over it."""
    return load_parameters(EdxParameters, "cryoctl_simulators.optics", "edx", overrides, file)


@dataclass(frozen=True)
class Source:
    """Photons of one kind: expected counts per electron [y, x] and their distribution over channels."""

    name: str
    family: str
    counts_per_electron: FloatArray
    spectrum: FloatArray


@dataclass(frozen=True)
class EdxFrame:
    """Events of one scan frame. `pixel` is row * columns + column, rising: the order of the scan."""

    pixel: npt.NDArray[np.uint32]
    channel: npt.NDArray[np.uint16]
    live_time_s: float
    real_time_s: float
    input_rate_hz: float
    output_rate_hz: float


class EdxDetector:
    """X-ray production and detection at one beam energy."""

    def __init__(self, parameters: EdxParameters | None = None, response: DetectorResponse | None = None) -> None:
        self.parameters = parameters or load_edx()
        self.response = response or DetectorResponse()
        self._shapes: dict[float, FloatArray] = {}

    def view(self, tilt_deg: float) -> float:
        """Share of the solid angle that the holder leaves open at a tilt."""
        return float(sum(self.segment_views(tilt_deg)))

    def segment_views(self, tilt_deg: float) -> list[float]:
        """Share of the solid angle seen by each segment at a tilt; a segment's whole share where nothing shadows it."""
        views: list[float] = []
        for segment in self.parameters.segments:
            s = segment.shadow
            turned = s.sign * tilt_deg
            soft = 1.0 / (1.0 + math.exp((turned - s.half_tilt_deg) / s.width_deg))
            edge = min(max((s.hard_tilt_deg + 2.0 - turned) / 4.0, 0.0), 1.0)  # a hard edge, 4 degrees of penumbra
            views.append(segment.share * soft * edge)
        return views

    def absorption(self, chi: FloatArray, tilt_deg: float) -> FloatArray:
        """View of the detector times the share of photons that leave a column of optical depth `chi` [y, x].

        The depth is that along the beam, for the line's energy.
        """
        total = np.zeros_like(chi)
        for segment, view in zip(self.parameters.segments, self.segment_views(tilt_deg), strict=True):
            if view <= 0.0:
                continue
            elevation, azimuth = math.radians(segment.elevation_deg), math.radians(segment.azimuth_deg)
            across = math.hypot(math.sin(elevation), math.cos(elevation) * math.sin(azimuth))
            depth = np.maximum(chi / across, 1e-9)
            total += view * -np.expm1(-depth) / depth
        return total

    def line_factor(self, line: XRayLine) -> float:
        """Counts per electron and atom/m2 of a line, without shadow and absorption, in m2."""
        solid_angle = self.parameters.solid_angle_sr / (4.0 * math.pi)
        return line.cross_section_m2 * solid_angle * self.response.efficiency(line.energy_ev)

    def sources(
        self, elements: tuple[str, ...], atoms_per_m2: npt.NDArray[np.floating], tilt_deg: float
    ) -> list[Source]:
        """Every kind of photon from columns [element, y, x] at a tilt, lines of a family together."""
        atoms = np.asarray(atoms_per_m2, dtype=np.float64)
        beam_ev = self.parameters.beam_energy_ev
        found: list[Source] = []
        for index, element in enumerate(elements):
            if element in INVISIBLE or not atoms[index].any():
                continue
            lines = lines_of(element, beam_ev)
            for family in sorted({line.family for line in lines}):
                of_family = [line for line in lines if line.family == family]
                factors = np.array([self.line_factor(line) for line in of_family])
                energy = float(np.average([line.energy_ev for line in of_family], weights=factors))
                counts = atoms[index] * (factors.sum() * self.absorption(self._chi(elements, atoms, energy), tilt_deg))
                found.append(Source(element, family, counts, self._family_shape(of_family, factors)))
        return found + self._stray(elements, atoms, tilt_deg) + [self._bremsstrahlung(elements, atoms, tilt_deg)]

    def expected_maps(
        self,
        elements: tuple[str, ...],
        atoms_per_m2: npt.NDArray[np.floating],
        tilt_deg: float,
        electrons: float,
    ) -> dict[str, FloatArray]:
        """Expected counts [y, x] of each element's lines (K, else its strongest family) at `electrons` a pixel.

        Dead time and stray lines are not in it; elements that give no counts are.
        """
        result = {element: np.zeros(atoms_per_m2.shape[1:]) for element in elements if element not in INVISIBLE}
        best: dict[str, float] = {}
        for source in self.sources(elements, atoms_per_m2, tilt_deg):
            total = float(source.counts_per_electron.sum())
            if source.name in result and source.family in "KLM" and total > best.get(source.name, 0.0):
                result[source.name] = source.counts_per_electron * electrons
                best[source.name] = total
        return result

    def expose(
        self,
        sources: list[Source],
        electrons: float | FloatArray,
        real_time_s: float,
        rng: np.random.Generator,
    ) -> EdxFrame:
        """Draw the events of one scan frame: `electrons` a pixel (number or [y, x]) within `real_time_s`."""
        means = [
            np.broadcast_to(source.counts_per_electron * electrons, source.counts_per_electron.shape)
            for source in sources
        ]
        totals = np.array([mean.sum() for mean in means])
        input_rate = float(totals.sum()) / real_time_s
        live = self.response.live_fraction(input_rate)
        drawn = rng.poisson(totals * live)
        channels = self.response.parameters.channels
        keys: list[npt.NDArray[np.uint64]] = []
        for mean, source, count in zip(means, sources, drawn, strict=True):
            pixel = np.repeat(np.arange(mean.size, dtype=np.uint64), _share_out(int(count), mean.ravel(), rng))
            if pixel.size:
                channel = _draw(source.spectrum, pixel.size, rng).astype(np.uint64)
                mixed = rng.integers(0, 1 << 16, pixel.size, dtype=np.uint64)  # order of arrival within a pixel
                keys.append((pixel << np.uint64(32)) | (mixed << np.uint64(16)) | channel)
        key = np.sort(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.uint64)
        pixel = (key >> np.uint64(32)).astype(np.uint32)
        channel = (key & np.uint64(0xFFFF)).astype(np.int64)
        keep = self._pile_up(channel, input_rate, rng) if channel.size else np.zeros(0, dtype=np.bool_)
        keep &= (channel >= 0) & (channel < channels)
        pixel, channel = pixel[keep], channel[keep].astype(np.uint16)
        return EdxFrame(pixel, channel, real_time_s * live, real_time_s, input_rate, pixel.size / real_time_s)

    def _pile_up(
        self, channel: npt.NDArray[np.int64], input_rate: float, rng: np.random.Generator
    ) -> npt.NDArray[np.bool_]:
        """Add the next photon's energy to those that can't be told from it, in place; what is left to count."""
        p = self.response.parameters
        first = np.nonzero(rng.random(channel.size - 1) < self.response.pile_up_probability(input_rate))[0]
        first = first[np.diff(first, prepend=-2) > 1]
        zero = round(-p.energy_offset_ev / p.energy_scale_ev)
        channel[first] += channel[first + 1] - zero
        keep = np.ones(channel.size, dtype=np.bool_)
        keep[first + 1] = False
        return keep

    def _chi(self, elements: tuple[str, ...], atoms: FloatArray, energy_ev: float) -> FloatArray:
        chi = np.zeros(atoms.shape[1:])
        for index, element in enumerate(elements):
            chi += atoms[index] * attenuation_per_atom_m2(element, energy_ev)
        return chi

    def _shape(self, energy_ev: float) -> FloatArray:
        if energy_ev not in self._shapes:
            self._shapes[energy_ev] = self.response.line_shape(energy_ev)
        return self._shapes[energy_ev]

    def _family_shape(self, lines: list[XRayLine], factors: FloatArray) -> FloatArray:
        shape = sum(f * self._shape(line.energy_ev) for line, f in zip(lines, factors, strict=True))
        return np.asarray(shape) / factors.sum()

    def scattered_share(self, elements: tuple[str, ...], atoms: FloatArray) -> FloatArray:
        """Share of the electrons [y, x] scattered out of the beam, to hit grid and pole piece."""
        total = np.zeros(atoms.shape[1:])
        for index, element in enumerate(elements):
            total += atoms[index] * self.parameters.scattering_m2_at_si * (atomic_number(element) / 14.0) ** 1.5
        return -np.expm1(-total)

    def _stray(self, elements: tuple[str, ...], atoms: FloatArray, tilt_deg: float) -> list[Source]:
        share = self.scattered_share(elements, atoms)
        rise = math.sin(math.radians(tilt_deg)) ** 2
        found: list[Source] = []
        for element, stray in self.parameters.stray.items():
            lines = lines_of(element, self.parameters.beam_energy_ev)
            factors = np.array([self.line_factor(line) for line in lines])
            counts = (stray.base + stray.scattered * share) * (1.0 + stray.growth * rise)
            found.append(Source(element, STRAY, counts, self._family_shape(list(lines), factors)))
        return found

    def _bremsstrahlung(self, elements: tuple[str, ...], atoms: FloatArray, tilt_deg: float) -> Source:
        p = self.parameters
        response = self.response
        kramers = 16.0 * math.pi / (3.0 * math.sqrt(3.0)) * constants.alpha * CLASSICAL_ELECTRON_RADIUS_M**2
        kramers *= p.bremsstrahlung.scale / beta_squared(p.beam_energy_ev) * p.solid_angle_sr / (4.0 * math.pi)
        top = response.edges_ev[-1]
        edges = np.geomspace(p.bremsstrahlung.lowest_ev, top, 60)
        nodes = np.sqrt(edges[1:] * edges[:-1])
        z2 = np.tensordot([atomic_number(element) ** 2 for element in elements], atoms, axes=1)
        mean_columns = np.average(atoms.reshape(len(elements), -1), axis=1, weights=np.maximum(z2.ravel(), 1e-30))
        spectrum = np.zeros(response.parameters.channels)
        total = 0.0
        for node, width in zip(nodes, np.diff(edges), strict=True):
            chi = sum(n * attenuation_per_atom_m2(e, float(node)) for e, n in zip(elements, mean_columns, strict=True))
            weight = kramers / node * width * response.efficiency(float(node))
            weight *= float(self.absorption(np.array([chi]), tilt_deg)[0])
            total += weight
            spectrum += weight * self._continuum_shape(float(node), float(width))
        return Source(BREMSSTRAHLUNG, BREMSSTRAHLUNG, z2 * total, spectrum / spectrum.sum())

    def _continuum_shape(self, energy_ev: float, width_ev: float) -> FloatArray:
        """A slice of continuum as wide as its node, blurred by the detector."""
        key = -energy_ev
        if key not in self._shapes:
            steps = max(1, round(width_ev / 20.0))
            energies = energy_ev + width_ev * ((np.arange(steps) + 0.5) / steps - 0.5)
            self._shapes[key] = np.mean([self.response.line_shape(float(max(e, 20.0))) for e in energies], axis=0)
        return self._shapes[key]


def _share_out(count: int, means: FloatArray, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` photons shared among pixels in proportion to `means`."""
    total = float(means.sum())
    if count == 0 or total <= 0.0:
        return np.zeros(means.size, dtype=np.int64)
    return rng.multinomial(count, means / total)


def _draw(weights: FloatArray, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """`count` indices with probability in proportion to `weights`, by inverting the cumulative sum."""
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right").clip(0, weights.size - 1)
