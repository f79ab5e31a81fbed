"""What a scan frame sees of a half-cut grid, its particles and a needle: thickness along the beam, at its pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.rounded_shapes import cone_radius, mean_chord, reach_px, sphere, window
from cryoctl_simulators.specimens.coated_particles import CoatedParticlesParameters, Edge, GridParameters
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.film_texture import texture
from cryoctl_simulators.world.piezo_needle import HiddenNeedle

FloatArray = npt.NDArray[np.float64]
LITHIUM = "lithium"
_SHAFT_M = 125e-6
_SEEN_TEXTURE_M = 120e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenParticle:
    """A particle at one moment.

    `strength` of its core is relative to as much silicon as its thickness; `open_share` is how far a broken coating
    gapes (0: whole), `crack_deg` where, in x-y from x.
    """

    place_m: tuple[float, float, float]
    radius_m: float
    core_radius_m: float
    strength: float
    open_share: float = 0.0
    crack_deg: float = 0.0
    crack_half_width_deg: float = 0.0
    bulge: float = 0.0
    bulge_radius: float = 0.5


def as_in_its_middle(frame: ScanFrame) -> ScanFrame:
    """The frame with the content where it was half-way through."""
    start, end = frame.content_start_m, frame.content_end_m
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    return replace(frame, content_start_m=middle, content_end_m=middle)


def haadf_weights(parameters: CoatedParticlesParameters, detector: HaadfDetector) -> dict[str, float]:
    """Scattering events into the detector a metre of each material, and of lithium as dense as the atoms of silicon."""
    atoms = parameters.materials.atoms_per_m3()
    weights = {
        name: sum(density * detector.cross_section_m2(element) for element, density in one.items())
        for name, one in atoms.items()
    }
    ion = {"lithium": "Li", "sodium": "Na"}[parameters.ion]
    return weights | {LITHIUM: atoms["silicon"]["Si"] * detector.cross_section_m2(ion)}


def defocus_m(frame: ScanFrame, z_m: float) -> FloatArray:
    """Height above focus [y, 1] along the beam of a plane parallel to the specimen's at z (m)."""
    a = math.radians(frame.tilt_deg)
    rows = (np.arange(frame.shape[0]) - (frame.shape[0] - 1) / 2) * frame.pixel_size_m
    y_m = frame.plane_point(0.0, 0.0)[1] + rows[:, None] / math.cos(a)
    height = -(y_m - frame.y_m) * math.sin(a) + (z_m + frame.height_m) * math.cos(a)
    return height - frame.defocus_m + frame.dynamic_focus_rad * rows[:, None]


class Canvas:
    """Sums what materials contribute to each pixel: `weights` is how much a metre of each does."""

    def __init__(self, frame: ScanFrame, weights: Mapping[str, float]) -> None:
        self.frame = frame
        self.weights = weights
        self.total = np.zeros(frame.shape)
        self._px = frame.pixel_size_m

    def place_px(self, x_m: float, y_m: float, z_m: float) -> tuple[float, float]:
        """(row, column) where a point is seen."""
        dy, dx = self.frame.image_of(x_m, y_m, z_m)
        rows, columns = self.frame.shape
        return (dy / self._px + (rows - 1) / 2, dx / self._px + (columns - 1) / 2)

    def grid(self, edge: Edge, grid: GridParameters, seed: int) -> None:
        """Carbon film to the torn edge, copper less far, with openings."""
        x, y = _on_plane(self.frame)
        low, high, px = float(y.min()), float(y.max()), self._px
        lines = np.linspace(low, high, max(2, math.ceil(2 * (high - low) / px)))
        beyond = x - np.interp(y, lines, edge.at(lines, px))
        if float(beyond.min()) > px:
            return
        stretch = 1 / math.cos(math.radians(self.frame.tilt_deg))
        film = np.clip(0.5 - beyond / px, 0.0, 1.0)
        if px < _SEEN_TEXTURE_M:
            there = film > 0
            film[there] *= 1 + grid.film_roughness * texture(x[there], y[there], grid.film_grain_m, seed)
        self.total += (self.weights["carbon"] * grid.film_m * stretch) * film
        bare = beyond + grid.lip_m
        if float(bare.min()) > px:
            return
        copper = np.clip(0.5 - bare / px, 0.0, 1.0)
        if float(x.min()) < -grid.rim_m:
            along = np.mod(y + grid.opening_m / 2, grid.opening_m + grid.bar_m)
            opening = _openings(-x - grid.lip_m - grid.rim_m, grid, px) * _openings(along, grid, px)
            copper = copper * (1 - opening)
        self.total += (self.weights["copper"] * grid.copper_m * stretch) * copper

    def particles(self, particles: Sequence[SeenParticle]) -> None:
        for one in particles:
            self._particle(one)

    def _particle(self, one: SeenParticle) -> None:
        radius = one.radius_m / self._px
        swells = one.bulge * one.open_share
        around = window(self.frame.shape, self.place_px(*one.place_m), reach_px(radius * (1 + swells)))
        if around is None:
            return
        far = around.far_px()
        core = sphere(far, one.core_radius_m / self._px)
        coated = 1.0
        if one.open_share > 0:
            x, y, z = one.place_m
            angle = math.radians(one.crack_deg)
            here, there = self.place_px(*one.place_m), self.place_px(x + math.cos(angle), y + math.sin(angle), z)
            rise, run = there[0] - here[0], there[1] - here[1]
            along = (around.dy_px * rise + around.dx_px * run) / math.hypot(rise, run)
            gaping = radius * math.cos(math.radians(one.crack_half_width_deg) * one.open_share)
            coated = 1 - np.clip(along - gaping + 0.5, 0.0, 1.0)
            out = radius * (1 - one.bulge_radius + swells)
            beside = np.sqrt(np.maximum(far**2 - along**2, 0.0))
            core = np.maximum(core, sphere(np.hypot(along - out, beside), radius * one.bulge_radius))
        coating = coated * np.maximum(sphere(far, radius) - core, 0.0)
        silicon, titania = self.weights["silicon"] * one.strength, self.weights["titania"]
        self.total[around.rows, around.columns] += (silicon * core + titania * coating) * self._px

    def needle(self, apex_m: FloatArray, needle: HiddenNeedle) -> bool:
        """Tungsten cone and its oxide, the apex foremost at a place; False where the picture does not show it."""
        px = self._px
        axis = np.array(needle.axis)
        here = self.place_px(*(float(value) for value in apex_m))
        there = self.place_px(*(float(value) for value in apex_m + axis * 1e-6))
        rise, run = (there[0] - here[0]) * px / 1e-6, (there[1] - here[1]) * px / 1e-6
        seen = math.hypot(rise, run)
        shown = self._along(here, (rise / seen, run / seen), seen, needle)
        if shown is None:
            return False
        dy, dx = (
            (np.arange(shown[0].start, shown[0].stop) - here[0]) * px,
            (np.arange(shown[1].start, shown[1].stop) - here[1]) * px,
        )
        along = (dy[:, None] * rise + dx[None, :] * run) / seen**2
        across = np.abs(dx[None, :] * rise - dy[:, None] * run) / seen
        outer = cone_radius(along, needle.outer_radius_m, needle.half_angle_rad, _SHAFT_M)
        near = (outer > 0) & (across < outer + px)
        if not near.any():
            return False
        across, along, outer = across[near], along[near], outer[near]
        core = cone_radius(along - needle.lixo_m, needle.tip_radius_m, needle.half_angle_rad, _SHAFT_M)
        whole, metal = mean_chord(across, outer, px), mean_chord(across, core, px)
        oxide = np.maximum(whole - metal, 0.0)
        self.total[shown][near] += self.weights["tungsten"] * metal + self.weights["oxide"] * oxide
        return True

    def _along(
        self, here_px: tuple[float, float], way: tuple[float, float], seen: float, needle: HiddenNeedle
    ) -> tuple[slice, slice] | None:
        """Rows and columns that may show a needle from a place on along a way (unit vector in the picture)."""
        shape, px = self.frame.shape, self._px
        corners = [(r - here_px[0]) * way[0] + (c - here_px[1]) * way[1] for r in (0, shape[0]) for c in (0, shape[1])]
        if max(corners) <= 0:
            return None
        furthest = np.array([max(corners) * px / seen])
        widest = float(cone_radius(furthest, needle.outer_radius_m, needle.half_angle_rad, _SHAFT_M)[0]) / px + 1
        found: list[slice] = []
        for size, first, part in zip(shape, here_px, way, strict=True):
            last = first + part * max(corners)
            low, high = math.floor(min(first, last) - widest), math.ceil(max(first, last) + widest) + 1
            if max(low, 0) >= min(high, size):
                return None
            found.append(slice(max(low, 0), min(high, size)))
        return found[0], found[1]


def _on_plane(frame: ScanFrame) -> tuple[FloatArray, FloatArray]:
    """(x, y) [y, x] of the points of the plane z = 0 under the pixels (m)."""
    rows, columns = frame.shape
    px = frame.pixel_size_m
    dy, dx = ((np.arange(n) - (n - 1) / 2) * px for n in (rows, columns))
    x0, y0 = frame.plane_point(0.0, 0.0)
    (cx, cy), (rx, ry) = frame.directions()
    cos = math.cos(math.radians(frame.tilt_deg))
    return x0 + dx[None, :] * cx + dy[:, None] * rx, y0 + (dx[None, :] * cy + dy[:, None] * ry) / cos


def _openings(along_m: FloatArray, grid: GridParameters, px: float) -> FloatArray:
    """How much of each pixel lies in an opening along one direction: they begin at 0, one a pitch."""
    pitch = grid.opening_m + grid.bar_m
    from_middle = np.abs((along_m % pitch) - grid.opening_m / 2)
    return np.where(along_m < -grid.bar_m / 2, 0.0, np.clip(0.5 + (grid.opening_m / 2 - from_middle) / px, 0.0, 1.0))
