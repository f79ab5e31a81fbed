"""What a scan frame sees of a solar cell's lamella: layers, grains, and in bright field the fringes of its facets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.optics.layered_picture import Layer, scattered_share
from cryoctl_simulators.optics.rounded_shapes import window
from cryoctl_simulators.specimens.perovskite_cell import Facet, Lamella, LamellaParameters, PictureParameters
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.film_texture import texture
from cryoctl_simulators.world.particle_pictures import as_in_its_middle, defocus_m

FloatArray = npt.NDArray[np.float64]
_BOUNDARY_SHARE = 0.02
"""Of a grain: so wide a boundary may look."""
_LEAST_PX = 2.0
"""Pixels a period, without which no fringes are seen."""
_LOOKS = 64
"""Places along either side of a field at which it is asked what lies there."""


@dataclass(frozen=True, slots=True)
class OnPlane:
    """(x, y) [y, x] of the points of the specimen plane under the pixels (m), drift within the frame included."""

    x_m: FloatArray
    y_m: FloatArray

    @classmethod
    def of(cls, frame: ScanFrame) -> OnPlane:
        rows, columns = frame.shape
        px, share = frame.pixel_size_m, (np.arange(frame.shape[0]) + 0.5)[:, None] / frame.shape[0]
        dy, dx = ((np.arange(n) - (n - 1) / 2) * px for n in (rows, columns))
        start, end = np.array(frame.plane_point(0.0, 0.0)), np.array(frame.plane_point(0.0, 0.0, end=True))
        (cx, cy), (rx, ry) = frame.directions()
        cos = math.cos(math.radians(frame.tilt_deg))
        x = start[0] + share * (end[0] - start[0]) + dx[None, :] * cx + dy[:, None] * rx
        y = start[1] + share * (end[1] - start[1]) + (dx[None, :] * cy + dy[:, None] * ry) / cos
        return cls(x, y)


def strength(frame: ScanFrame, places: OnPlane, lamella: Lamella, weights: Mapping[str, float]) -> FloatArray:
    """Sum [y, x] of what materials contribute: `weights` is how much a metre of each does."""
    p, px = lamella.parameters.lamella, frame.pixel_size_m
    stretch = 1 / math.cos(math.radians(frame.tilt_deg))
    along_px = px * stretch
    rough = texture(places.x_m, places.y_m, p.film_grain_m, lamella.seed)
    film = weights["film"] * p.film_m * (1 + p.film_roughness * rough)
    wide = np.clip(0.5 + (p.width_m / 2 - np.abs(places.x_m)) / px, 0.0, 1.0)
    total = np.zeros(frame.shape)
    for material, low_m, high_m in layers(p):
        there = np.clip(0.5 + (places.y_m - low_m) / along_px, 0.0, 1.0)
        there = there * np.clip(0.5 + (high_m - places.y_m) / along_px, 0.0, 1.0)
        if not there.any():
            continue
        if material == "perovskite" and p.channelling_spread > 0:
            there = there * (1 + p.channelling_spread * _grains(places, p.grain_m, lamella.seed))
        total += weights[material] * there
    return stretch * (p.thickness_m * wide * total + film)


def layers(p: LamellaParameters) -> tuple[tuple[str, float, float], ...]:
    """Material, and where along y it begins and ends (m)."""
    half, above, control = p.active_m / 2, p.active_m / 2 + p.electrode_m, p.control_m
    return (
        ("substrate", -above - p.substrate_m, -above),
        ("oxide", -above, -half),
        ("perovskite", -half, half),
        ("gold", half, above),
        ("spacer", above, control - half),
        ("perovskite", control - half, control + half),
        ("spacer", control + half, control + 2 * half),
    )


def scattered(
    frame: ScanFrame,
    lamella: Lamella,
    crystalline: FloatArray,
    detector: HaadfDetector,
    bright_field: bool,
) -> FloatArray:
    """Share of the electrons [y, x] that are scattered into a ring, or in bright field lost to the disc within it.

    Args:
        crystalline: share of each facet that is so still.
    """
    materials = lamella.parameters.materials.atoms_per_m3()
    weights = {
        name: sum(density * detector.cross_section_m2(element) for element, density in one.items())
        for name, one in materials.items()
    }
    places = OnPlane.of(frame)
    seen = strength(frame, places, lamella, weights)
    share = scattered_share([Layer(seen, defocus_m(as_in_its_middle(frame), 0.0))], detector, frame.pixel_size_m)
    if not bright_field:
        return share
    passed = 1.0 - share
    for facet, left in zip(lamella.facets, crystalline, strict=True):
        _add_fringes(passed, frame, places, facet, float(left), lamella.parameters.picture)
    return 1.0 - passed


def _add_fringes(
    passed: FloatArray, frame: ScanFrame, places: OnPlane, facet: Facet, left: float, p: PictureParameters
) -> None:
    px = frame.pixel_size_m
    if _LEAST_PX * px >= facet.d_m:
        return
    rows, columns = frame.shape
    dy, dx = as_in_its_middle(frame).image_of(facet.x_m, facet.y_m)
    place_px = (dy / px + (rows - 1) / 2, dx / px + (columns - 1) / 2)
    around = window(frame.shape, place_px, (facet.size_m / 2 + p.edge_m) / px + 2)
    if around is None:
        return
    x = places.x_m[around.rows, around.columns] - facet.x_m
    y = places.y_m[around.rows, around.columns] - facet.y_m
    inside = np.clip(0.5 + (facet.size_m / 2 - np.hypot(x, y)) / p.edge_m, 0.0, 1.0)
    angle = math.radians(facet.angle_deg)
    kx, ky = math.cos(angle) / facet.d_m, math.sin(angle) / facet.d_m
    seen = p.fringes * facet.intensity * left * float(np.sinc(kx * px) * np.sinc(ky * px)) * _envelope(frame, facet, p)
    wave = np.cos(2 * math.pi * (kx * x + ky * y) + facet.phase_rad)
    passed[around.rows, around.columns] *= 1 + seen * inside * wave


def _envelope(frame: ScanFrame, facet: Facet, p: PictureParameters) -> float:
    """What defocus, the microscope's limit and the tilt leave of its fringes."""
    a = math.radians(frame.tilt_deg)
    height_m = -(facet.y_m - frame.y_m) * math.sin(a) + frame.height_m * math.cos(a)
    blurred = math.pi * p.coherence_rad * (height_m - frame.defocus_m) / facet.d_m
    return math.exp(-(blurred**2) - (p.limit_m / facet.d_m) ** 2 - (frame.tilt_deg / p.rocking_deg) ** 2)


def share_within(frame: ScanFrame, p: LamellaParameters) -> float:
    """Share of a frame's field that lies on the active layer."""
    steps = np.arange(_LOOKS) - (_LOOKS - 1) / 2
    dy, dx = (steps * size * frame.pixel_size_m / _LOOKS for size in frame.shape)
    x0, y0 = frame.plane_point(0.0, 0.0)
    (cx, cy), (rx, ry) = frame.directions()
    x = x0 + dx[None, :] * cx + dy[:, None] * rx
    y = y0 + (dx[None, :] * cy + dy[:, None] * ry) / math.cos(math.radians(frame.tilt_deg))
    return float(np.mean((np.abs(x) <= p.width_m / 2) & (np.abs(y) <= p.active_m / 2)))


@lru_cache(maxsize=2)
def _grain_tree(seed: int, grain_m: float, reach: int) -> tuple[cKDTree, FloatArray]:
    """Middles of grains around the origin, one in each square of a grid, and how each scatters (sigma 1)."""
    rng = np.random.default_rng([seed % 2**32, 62])
    cells = np.arange(-reach, reach + 1)
    y, x = np.meshgrid(cells, cells, indexing="ij")
    jitter = rng.uniform(-0.5, 0.5, (2, *y.shape))
    middles = np.stack([y + jitter[0], x + jitter[1]], axis=-1).reshape(-1, 2) * grain_m
    return cKDTree(middles), np.clip(rng.standard_normal(len(middles)), -2, 2)


def _grains(places: OnPlane, grain_m: float, seed: int) -> FloatArray:
    """How each pixel's grain scatters (sigma 1); between places that are looked at it goes evenly."""
    rows, columns = places.x_m.shape
    px = math.hypot(places.x_m[0, -1] - places.x_m[0, 0], places.y_m[0, -1] - places.y_m[0, 0]) / max(columns - 1, 1)
    stride = max(1, math.floor(_BOUNDARY_SHARE * grain_m / px))
    looked = tuple(np.unique(np.append(np.arange(0, n, stride), n - 1)) for n in (rows, columns))
    at = np.ix_(*looked)
    tree, brightness = _grain_tree(seed, grain_m, math.ceil(20e-6 / grain_m))
    _, nearest = tree.query(np.stack([places.y_m[at], places.x_m[at]], axis=-1))
    found = brightness[nearest]
    if stride == 1:
        return found
    steps = [np.interp(np.arange(n), one, np.arange(len(one))) for n, one in zip((rows, columns), looked, strict=True)]
    return ndimage.map_coordinates(found, np.meshgrid(*steps, indexing="ij"), order=1, mode="nearest")
