"""A perovskite solar cell on a chip, in the world: seen, irradiated, illuminated, and wired to a source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.constants import elementary_charge

from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl_simulators.optics.edx import EdxFrame
from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.stopping import stopping_ev_per_m
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings
from cryoctl_simulators.specimens.perovskite_cell import Facet, Lamella, PerovskiteCellParameters
from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world import perovskite_pictures, perovskite_truth
from cryoctl_simulators.world.cell_course import CellCourse
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.detector_physics import edx_detector, haadf_detector
from cryoctl_simulators.world.dose_truth import Patch
from cryoctl_simulators.world.photovoltaic import Photovoltaic
from cryoctl_simulators.world.specimen import NotWired, OutOfReach, Place

FloatArray = npt.NDArray[np.float64]
_PARTS = 8
"""Of a dose pixel, either way, by which it is told how much of it a facet fills."""


class PerovskiteCell(NotWired, OutOfReach):
    """See `cryoctl_simulators.world.specimen.Specimen`.

    `record` holds what dose has done to each facet, what the cell has come to, and the rows of its course.
    """

    def __init__(self, parameters: PerovskiteCellParameters, place: Place) -> None:
        self.parameters = parameters
        self.lamella = Lamella(parameters, place.seed)
        self.record = place.record
        self._place = place
        self._seen = place.arrays["facet_intensity"]
        self._critical = parameters.damage.critical
        if not self.record:
            nothing = [0.0] * len(self.lamella.facets)
            self.record |= {"dose": list(nothing), "beam": list(nothing), "cell": {}, "course": {}}
        self._before_frame = np.array(self.record["beam"])
        self._covered = [_covered(facet, place.grid) for facet in self.lamella.facets]
        self._active = np.array([facet.region == "active" for facet in self.lamella.facets])
        self._rates = np.array([facet.bias_rate_per_s for facet in self.lamella.facets])
        course = CellCourse(place.arrays["cell_course"], self.record["course"])
        self.cell = Photovoltaic(parameters, self.record["cell"], course, place.temperature_k, self._intact)
        self._power: Callable[[float], None] = lambda time_s: None

    # The cell

    def wired(self, power: Callable[[float], None]) -> Photovoltaic:
        self._power = power
        return self.cell

    def illuminate(self, irradiance_w_per_m2: float, time_s: float) -> None:
        self._power(time_s)
        self.record["cell"]["light_w_per_m2"] = irradiance_w_per_m2

    def opened(self, frame: ScanFrame, field_share: float) -> None:
        self._power(frame.time_s)
        self._before_frame = np.array(self.record["beam"])
        within = perovskite_pictures.share_within(frame, self.parameters.lamella)
        self.record["cell"]["beam_a"] = frame.current_a * field_share * within * self.pairs_an_electron(frame)

    def closed(self, time_s: float) -> None:
        if self.record["cell"]["beam_a"]:
            self._power(time_s)
            self.record["cell"]["beam_a"] = 0.0

    def pairs_an_electron(self, frame: ScanFrame) -> float:
        """That one beam electron makes on its way through the active layer."""
        cell, atoms = self.parameters.cell, self.parameters.materials.atoms_per_m3()["perovskite"]
        way_m = self.parameters.lamella.thickness_m / math.cos(math.radians(frame.tilt_deg))
        return stopping_ev_per_m(atoms, frame.voltage_v) * way_m / (cell.pair_energy_gaps * cell.gap_ev)

    # The facets

    def irradiate(self, kind: str, patch: Patch, temperature_k: float) -> None:
        critical = self._critical.at(temperature_k)
        for number, covered in enumerate(self._covered):
            dose = _mean_over(patch, *covered)
            if dose > 0.0:
                self.record["dose"][number] += dose
                self.record["beam"][number] += self.parameters.damage.beam * dose / critical

    def lost_to_bias(self, drive_v_s: npt.ArrayLike) -> FloatArray:
        """Exponents [..., facet] of what a drive (V s above the threshold) has taken; what is left is exp of -them."""
        return np.multiply.outer(np.asarray(drive_v_s, dtype=np.float64), self._rates)

    def crystalline(self, beam: npt.ArrayLike | None = None) -> FloatArray:
        """Share [facet] that is so still; `beam` are exponents of what dose has taken, by default up to now."""
        taken = self.record["beam"] if beam is None else beam
        return np.exp(-np.asarray(taken) - self.lost_to_bias(self.record["cell"]["drive_v_s"]))

    def _half_way(self) -> FloatArray:
        """As a frame that has just been taken shows them: what its own dose did is half done."""
        return self.crystalline(0.5 * (self._before_frame + np.array(self.record["beam"])))

    def _intact(self) -> tuple[float, float]:
        by_bias = np.exp(-self.lost_to_bias(self.record["cell"]["drive_v_s"]))
        return float(by_bias[self._active].mean()), float(self.crystalline()[self._active].mean())

    # What is seen

    def scattered(self, frame: ScanFrame, settings: ImageDetectorSettings) -> tuple[FloatArray, HaadfDetector]:
        """In a camera, which takes what is not scattered, with fringes."""
        detector = haadf_detector(settings, frame.voltage_v, frame.convergence_rad, self._place.tail)
        bright_field = settings.type == "camera"
        return perovskite_pictures.scattered(frame, self.lamella, self._half_way(), detector, bright_field), detector

    def x_rays(self, frame: ScanFrame, settings: EdxSettings, real_time_s: float, rng: np.random.Generator) -> EdxFrame:
        """Of silicon, oxygen, carbon and gold; what else there is gives none."""
        detector = edx_detector(settings, frame.voltage_v)
        atoms = np.zeros((len(ELEMENTS), *frame.shape), dtype=np.float32)
        densities, places = self.parameters.materials.atoms_per_m3(), perovskite_pictures.OnPlane.of(frame)
        for index, element in enumerate(ELEMENTS):
            weights = {name: one.get(element, 0.0) for name, one in densities.items()}
            if any(weights.values()):
                atoms[index] = perovskite_pictures.strength(frame, places, self.lamella, weights)
        electrons = frame.current_a * frame.dwell_s / elementary_charge
        return detector.expose(detector.sources(ELEMENTS, atoms, frame.tilt_deg), electrons, real_time_s, rng)

    def note_frame(self, row: int, time_s: float) -> None:
        self._power(time_s)
        if row < len(self._seen):
            self._seen[row, : len(self.lamella.facets)] = self._half_way()

    # What is told

    def composition(self, grid: VolumeGrid) -> Mapping[str, Any]:
        """Nothing: the specimen is no volume."""
        return {}

    def results(
        self, rows: npt.NDArray[np.int64], times_s: FloatArray, time_s: float, began_s: float
    ) -> Mapping[str, Any]:
        self._power(time_s)
        return perovskite_truth.tell(self, self._seen[rows, : len(self.lamella.facets)], times_s, began_s)


def _covered(facet: Facet, grid: MapGrid) -> tuple[int, int, FloatArray]:
    """First row and column of the dose map's pixels that a facet lies on, and the share of the facet on each."""
    px, radius = grid.pixel_size_m, facet.size_m / 2
    row, column = (facet.y_m - grid.origin_y_m) / px, (facet.x_m - grid.origin_x_m) / px
    reach = math.ceil(radius / px + 0.5)
    first_row, first_column = round(row) - reach, round(column) - reach
    parts = (np.arange((2 * reach + 1) * _PARTS) + 0.5) / _PARTS - 0.5
    far = np.hypot((parts + first_row - row)[:, None], (parts + first_column - column)[None, :])
    inside = (far <= max(radius / px, 1.0 / _PARTS)).reshape(2 * reach + 1, _PARTS, 2 * reach + 1, _PARTS)
    share = inside.sum(axis=(1, 3), dtype=np.float64)
    return first_row, first_column, share / share.sum()


def _mean_over(patch: Patch, first_row: int, first_column: int, share: FloatArray) -> float:
    """Mean dose over the pixels of `share`, 0 where the patch has none."""
    rows, columns, dose = patch
    top, left = first_row - rows.start, first_column - columns.start
    y = slice(max(top, 0), min(top + share.shape[0], dose.shape[0]))
    x = slice(max(left, 0), min(left + share.shape[1], dose.shape[1]))
    if y.start >= y.stop or x.start >= x.stop:
        return 0.0
    within = share[y.start - top : y.stop - top, x.start - left : x.stop - left]
    return float((within * dose[y, x]).sum())
