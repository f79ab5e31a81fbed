"""The specimen in the world: what scan frames see of it, and what they do to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from scipy.constants import elementary_charge

from cryoctl.dose.damage import DamageMap, critical_doses
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl_simulators.optics.contamination import ContaminationParameters, deposited_carbon_per_m2
from cryoctl_simulators.optics.edx import EdxFrame, Source
from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.projection import ImageGeometry
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings
from cryoctl_simulators.specimens.features import FeatureField
from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.detector_physics import edx_detector, haadf_detector
from cryoctl_simulators.world.dose_truth import Patch
from cryoctl_simulators.world.lasting import leave_marks
from cryoctl_simulators.world.pieces import STRETCH_M, Wire, project
from cryoctl_simulators.world.specimen import NotWired, OutOfReach
from cryoctl_simulators.world.volume_window import on_grid
from cryoctl_simulators.world.world_file import ArraySpec
from cryoctl_simulators.world.x_ray_sources import refreshed

Atoms = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
_CLOSE_PX = 0.05
_LITTLE_DAMAGE = 0.005
_DOSE_FIELDS = ("critical_dose_e_per_a2.", "contamination.")


@lru_cache(maxsize=1)
def _bundled_doses() -> dict[str, dict[float, float]]:
    text = (files("cryoctl_simulators.world") / "critical_doses.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["elements"]


@dataclass(slots=True)
class View:
    """Atoms per m2 [element of `ELEMENTS`, y, x] under each pixel of a scan frame and their mean depth w [y, x] (m).

    `weakest_e_per_a2` is the critical dose of the most sensitive element at its temperature.
    """

    frame: ScanFrame
    atoms: Atoms
    depth: Atoms
    weakest_e_per_a2: float
    shares: dict[ImageDetectorSettings, FloatArray] = field(default_factory=dict[ImageDetectorSettings, FloatArray])
    sources: dict[EdxSettings, list[Source]] = field(default_factory=dict[EdxSettings, list[Source]])
    first: View | None = None
    """Of the same exposure, where this one is not the first."""

    def is_same_exposure(self, frame: ScanFrame) -> bool:
        one = self.frame
        return (one.kind, one.exposure, one.shape, one.tilt_deg) == (
            frame.kind, frame.exposure, frame.shape, frame.tilt_deg
        )  # fmt: skip

    def holds_for(self, frame: ScanFrame) -> bool:
        """The same exposure, less than 1/20 pixel and 1/200 critical dose later."""
        one = self.frame
        if one is frame or not self.is_same_exposure(frame):
            return one is frame
        near = _CLOSE_PX * frame.pixel_size_m
        for end in (False, True):
            (y, x), (y0, x0) = frame.image_of(0.0, 0.0, end=end), one.image_of(0.0, 0.0, end=end)
            if abs(y - y0) > near or abs(x - x0) > near:
                return False
        fluence = frame.current_a * frame.dwell_s / (elementary_charge * frame.pixel_size_m**2 * 1e20)
        return (frame.index - one.index) * fluence < _LITTLE_DAMAGE * self.weakest_e_per_a2


class Sample(NotWired, OutOfReach):
    """A wire along the tilt axis, spanning the holes of a carbon film; damaged and contaminated by dose.

    Args:
        fields: the recipe's specimen and `simulation.specimen` fields.
        seed: of the world.
        arrays: of the world file, among them those of `specs`.
        grid: where the arrays lie.
        record: its part of the world's record.
        tail: range (m) and share of the probe's tails.
    """

    def __init__(
        self,
        fields: Mapping[str, Any],
        seed: int,
        arrays: Mapping[str, npt.NDArray[Any]],
        grid: MapGrid,
        record: dict[str, Any],
        tail: tuple[float, float] = (15e-9, 0.02),
    ) -> None:
        self._tail = tail
        self._fields = specimen_fields(fields)
        self._film_on = bool(fields.get("film", True))
        self._seed = seed
        self._grid = grid
        self._carbon = arrays["carbon"]
        self.record = record
        table = dict(_bundled_doses()) | _given_doses(fields)
        critical = critical_doses(table, ELEMENTS)
        exponents = {element: arrays["exponents"][index] for index, element in enumerate(ELEMENTS)}
        self._damage = DamageMap(grid.shape, critical, {name: exponents[name] for name in critical})
        self._contamination = ContaminationParameters(
            **{
                name.removeprefix("contamination."): v
                for name, v in fields.items()
                if name.startswith("contamination.")
            }
        )
        self._seen: View | None = None
        record.setdefault("shower_e_per_a2", 0.0)

    @staticmethod
    def specs(shape: tuple[int, int]) -> dict[str, ArraySpec]:
        """Arrays that it keeps in the world file: damage exponents [element, y, x], carbon atoms per m2 [y, x]."""
        return {"exponents": ((len(ELEMENTS), *shape), "<f4"), "carbon": (shape, "<f4")}

    @cached_property
    def wire(self) -> Wire:
        return Wire(self._fields, self._seed)

    @cached_property
    def _film(self) -> FeatureField:
        return FeatureField(self._seed % 2**32)

    def irradiate(self, kind: str, patch: Patch, temperature_k: float) -> None:
        """Dose that a place has just received: damage and carbon."""
        rows, columns, dose = patch
        self._damage.expose(dose, temperature_k, (rows, columns))
        shower = self.record["shower_e_per_a2"]
        self._carbon[rows, columns] += deposited_carbon_per_m2(dose, temperature_k, self._contamination, shower)
        if kind == "shower":
            self.record["shower_e_per_a2"] = shower + float(dose.max(initial=0.0))

    def view(self, frame: ScanFrame) -> View:
        """What lies under the pixels; kept for the next scan frames of an exposure while they see the same."""
        earlier = self._seen
        if earlier is not None and earlier.holds_for(frame):
            return earlier
        atoms, depth = project(self.wire, frame)
        along_m, across_m = plane_coordinates(frame)
        if self._film_on:
            self._add_film(atoms, frame, along_m)
        stretch = 1 / math.cos(math.radians(frame.tilt_deg))
        leave_marks(atoms, self._grid, self._damage.exponent, self._carbon, along_m, across_m, stretch)
        weakest = min((one.at(frame.temperature_k) for one in self._damage.critical.values()), default=math.inf)
        view = View(frame, atoms, depth, weakest)
        if earlier is not None and earlier.is_same_exposure(frame):
            view.first = earlier.first or earlier
        self._seen = view
        return view

    def scattered(self, frame: ScanFrame, settings: ImageDetectorSettings) -> tuple[FloatArray, HaadfDetector]:
        """Share of the electrons [y, x] that reach the detector, out of focus where it is, and the detector."""
        detector = haadf_detector(settings, frame.voltage_v, frame.convergence_rad, self._tail)
        view = self.view(frame)
        kept = view.shares.get(settings)
        if kept is not None:
            return kept, detector
        share, depth = detector.scattered_share(ELEMENTS, view.atoms), view.depth
        a = math.radians(frame.tilt_deg)
        height = depth + frame.y_m * math.sin(a) + frame.height_m * math.cos(a)
        rows = (np.arange(frame.shape[0]) - (frame.shape[0] - 1) / 2) * frame.pixel_size_m
        focus = frame.defocus_m - frame.dynamic_focus_rad * rows[:, None]
        height = np.where(depth == 0.0, focus, height)
        view.shares[settings] = blurred = detector.blurred(share, frame.pixel_size_m, height, focus)
        return blurred, detector

    def x_rays(self, frame: ScanFrame, settings: EdxSettings, real_time_s: float, rng: np.random.Generator) -> EdxFrame:
        """Events of a scan frame."""
        detector = edx_detector(settings, frame.voltage_v)
        view = self.view(frame)
        if settings not in view.sources:
            first = view.first
            if first is not None and settings in first.sources:
                view.sources[settings] = refreshed(
                    first.sources[settings], first.atoms, view.atoms, _drift_px(first.frame, frame)
                )
            else:
                view.sources[settings] = detector.sources(ELEMENTS, view.atoms, frame.tilt_deg)
        electrons = frame.current_a * frame.dwell_s / elementary_charge
        return detector.expose(view.sources[settings], electrons, real_time_s, rng)

    def composition(self, grid: VolumeGrid) -> dict[str, Any]:
        """`composition/EL` as it was drawn and `composition_final/EL` after all dose, atoms per m3 [z, y, x]."""
        stretch = self.wire.at(grid.x_m)
        told: dict[str, Any] = {}
        y = grid.y_m + (np.arange(grid.shape[1]) - (grid.shape[1] - 1) / 2) * grid.voxel_size_m
        x = grid.x_m + (np.arange(grid.shape[2]) - (grid.shape[2] - 1) / 2) * grid.voxel_size_m
        rows, columns = self._indices(y, self._grid.origin_y_m, 0), self._indices(x, self._grid.origin_x_m, 1)
        for element in ELEMENTS:
            told[f"composition/{element}"] = initial = on_grid(stretch, element, grid)
            exponent = self._damage.exponent.get(element)
            left = 1.0 if exponent is None else np.exp(-exponent[rows[:, None], columns[None, :]])
            told[f"composition_final/{element}"] = (initial * left).astype(np.float32)
        return told

    def _indices(self, places_m: npt.NDArray[np.floating[Any]], origin_m: float, axis: int) -> npt.NDArray[np.intp]:
        index = np.rint((places_m - origin_m) / self._grid.pixel_size_m).astype(np.intp)
        return np.clip(index, 0, self._grid.shape[axis] - 1)

    def _add_film(self, atoms: Atoms, frame: ScanFrame, along_m: FloatArray) -> None:
        """The film lies between the holes, whose middles are 5.12 um apart along the tilt axis."""
        on_bar = np.rint(along_m / STRETCH_M).astype(int) % 2 == 1
        if not on_bar.any():
            return
        image = ImageGeometry(frame.shape, frame.pixel_size_m, frame.image_of(0.0, 0.0), frame.axis_deg)
        atoms += self._film.project(frame.tilt_deg, image) * on_bar


def plane_coordinates(frame: ScanFrame) -> tuple[FloatArray, FloatArray]:
    """(x, y) [y, x] of the points of the specimen plane z = 0 under the pixels of a scan frame (m)."""
    rows, columns = frame.shape
    dy = ((np.arange(rows) - (rows - 1) / 2) * frame.pixel_size_m)[:, None]
    dx = ((np.arange(columns) - (columns - 1) / 2) * frame.pixel_size_m)[None, :]
    x0, y0 = frame.plane_point(0.0, 0.0)
    (cx, cy), (rx, ry) = frame.directions()
    cos = math.cos(math.radians(frame.tilt_deg))
    return x0 + dx * cx + dy * rx, y0 + (dx * cy + dy * ry) / cos


def _drift_px(first: ScanFrame, now: ScanFrame) -> tuple[float, float]:
    (y, x), (y0, x0) = now.image_of(0.0, 0.0), first.image_of(0.0, 0.0)
    return ((y - y0) / now.pixel_size_m, (x - x0) / now.pixel_size_m)


def specimen_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those that say how the wire is drawn."""
    return {name: value for name, value in fields.items() if name != "film" and not name.startswith(_DOSE_FIELDS)}


def _given_doses(fields: Mapping[str, Any]) -> dict[str, float]:
    prefix = "critical_dose_e_per_a2."
    return {name.removeprefix(prefix): float(value) for name, value in fields.items() if name.startswith(prefix)}
