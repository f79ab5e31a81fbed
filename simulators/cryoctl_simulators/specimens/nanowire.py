"""A silicon nanowire with SEI, in stages of cycling: pristine, core-shell, plum-pudding.

The wire lies along x, the tilt axis. It is drawn from a seed on a grid finer than asked for and averaged down, so
that surfaces fall between voxels. Random fields are Gaussian noise smoothed to a correlation length.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage
from scipy.spatial import cKDTree

from cryoctl.errors import BadInput
from cryoctl_simulators.parameters import Parameters, load_parameters
from cryoctl_simulators.specimens.composition import Composition, binned, from_phase_fractions
from cryoctl_simulators.specimens.phases import bundled_phases, mixture_atoms_per_m3

STAGES = ("pristine", "core-shell", "plum-pudding")
Volume = npt.NDArray[np.float32]


class StageParameters(Parameters):
    sei_m: float = Field(ge=0)
    inward_m: float = Field(ge=0)
    silicon_left: float = Field(ge=0, le=1)
    island_m: float = Field(gt=0)
    pore_fraction: float = Field(ge=0, lt=1)
    pore_m: float = Field(gt=0)


class MarkParameters(Parameters):
    phase: str
    spacing_m: float = Field(gt=0)
    diameter_m: float = Field(gt=0)
    diameter_spread: float = Field(ge=0, lt=1)


class NanowireParameters(Parameters):
    schema_version: int
    core_diameter_m: float = Field(gt=0)
    core_diameter_spread: float = Field(ge=0, lt=0.5)
    core_ellipticity: float = Field(ge=0, lt=0.5)
    bend_m: float = Field(ge=0)
    slope_deg: float = Field(ge=0, le=20)
    roughness_m: float = Field(ge=0)
    roughness_length_m: float = Field(gt=0)
    silica_m: float = Field(ge=0)
    sei: dict[str, float]
    sei_grain_m: float = Field(gt=0)
    sei_contrast: float = Field(ge=0, le=1)
    stages: dict[str, StageParameters]
    marks: MarkParameters


def load_nanowire(overrides: Mapping[str, Any] | None = None, file: Path | None = None) -> NanowireParameters:
    """The packaged nanowire.yaml, or the user's `file`, with `overrides` merged over it."""
    package, given_as = "cryoctl_simulators.specimens", "simulation.specimen"
    return load_parameters(NanowireParameters, package, "nanowire", overrides, file, given_as)


def build_nanowire(
    stage: str,
    seed: int,
    shape: tuple[int, int, int] = (96, 96, 128),
    voxel_size_m: float = 10e-9,
    parameters: NanowireParameters | None = None,
    oversampling: int = 2,
    name: str = "si-nanowire",
) -> Composition:
    """Draw a nanowire on a grid [z, y, x] of `shape`.

    The same seed gives the same wire axis, diameter and marks in every stage, as if one wire were cycled.
    Raises BadInput for an unknown stage or a grid that the wire does not fit across.
    """
    p = parameters or load_nanowire()
    if stage not in p.stages:
        raise BadInput(f"specimen.stage: found {stage!r}, allowed are {', '.join(p.stages)}; use one of them")
    s = p.stages[stage]
    reach = p.core_diameter_m * (1 + 2 * p.core_diameter_spread + p.core_ellipticity) + 2 * (s.sei_m + p.bend_m)
    if reach > min(shape[:2]) * voxel_size_m:
        raise BadInput(
            f"specimen grid: {min(shape[:2]) * voxel_size_m:.3g} m across, the wire needs {reach:.3g} m; "
            "enlarge the grid or thin the wire"
        )
    # Only the box around the wire is drawn finely; seeds see a box that no stage changes.
    tallest = max(other.sei_m for other in p.stages.values()) + p.bend_m + p.silica_m + 2 * p.marks.diameter_m
    lean = np.tan(np.radians(p.slope_deg)) * 0.5 * shape[2] * voxel_size_m
    half = 0.5 * p.core_diameter_m * (1 + 2 * p.core_diameter_spread + p.core_ellipticity) + tallest + lean
    margin = [max(0, int(n / 2 - half / voxel_size_m) - 2) for n in shape[:2]]
    box = (shape[0] - 2 * margin[0], shape[1] - 2 * margin[1], shape[2])
    wire = _Wire(p, seed, box, voxel_size_m / oversampling, oversampling)
    around = ((margin[0], margin[0]), (margin[1], margin[1]), (0, 0))
    fractions = {phase: np.pad(fraction, around) for phase, fraction in wire.phases(s).items()}
    atoms_of = {phase: bundled_phases()[phase].atoms_per_m3() for phase in ("silicon", "silica", "LiF", p.marks.phase)}
    other = {phase: share for phase, share in p.sei.items() if phase != "LiF"}
    rest = sum(other.values())
    atoms_of["rest"] = mixture_atoms_per_m3({phase: share / rest for phase, share in other.items()}) if rest else {}
    return from_phase_fractions(fractions, atoms_of, voxel_size_m, name, stage, seed)


class _Wire:
    """One wire's geometry on the fine grid; `phases` fills it for a stage."""

    def __init__(
        self, p: NanowireParameters, seed: int, shape: tuple[int, int, int], pitch_m: float, factor: int
    ) -> None:
        self.p, self.pitch_m, self.factor, self.seed = p, pitch_m, factor, seed
        self.fine = tuple(n * factor for n in shape)
        z, y, x = (((np.arange(n) - (n - 1) / 2) * pitch_m).astype(np.float32) for n in self.fine)
        self.x = x
        rng = np.random.default_rng([seed, 1])
        length = float(x[-1] - x[0]) + pitch_m
        slope = np.tan(np.radians(rng.uniform(-p.slope_deg, p.slope_deg, 2)))
        phase, turns = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.4, 0.9, 2)
        self.axis_y = slope[0] * x + 0.5 * p.bend_m * np.sin(2 * np.pi * turns[0] * x / length + phase[0])
        self.axis_z = slope[1] * x + 0.5 * p.bend_m * np.sin(2 * np.pi * turns[1] * x / length + phase[1])
        thickness = self._field([seed, 2], (x.size,), 4 * p.roughness_length_m)
        self.radius = 0.5 * p.core_diameter_m * (1 + p.core_diameter_spread * np.clip(thickness, -2, 2))
        twist = rng.uniform(0, np.pi)
        dy = y[None, :, None] - self.axis_y[None, None, :].astype(np.float32)
        dz = z[:, None, None] - self.axis_z[None, None, :].astype(np.float32)
        stretch = np.float32(np.sqrt(1 + p.core_ellipticity))
        along = (dy * np.float32(np.cos(twist)) + dz * np.float32(np.sin(twist))) * stretch
        across = (-dy * np.float32(np.sin(twist)) + dz * np.float32(np.cos(twist))) / stretch
        self.outside = np.sqrt(along**2 + across**2) - self.radius[None, None, :].astype(np.float32)

    def _field(self, key: list[int], shape: tuple[int, ...], length_m: float) -> Volume:
        """Unit-variance noise whose features are about `length_m` across (Gaussian of a third of that)."""
        sigma = length_m / 3 / self.pitch_m
        coarse = max(1, int(sigma // 2))
        small = tuple(-(-n // coarse) + 1 for n in shape)
        noise = np.random.default_rng(key).standard_normal(small, dtype=np.float32)
        noise = ndimage.gaussian_filter(noise, sigma / coarse, mode="wrap")
        noise /= noise.std()
        if coarse > 1:
            noise = ndimage.zoom(noise, coarse, order=1, grid_mode=True, mode="grid-wrap")
            noise = noise[tuple(slice(0, n) for n in shape)]
        return np.ascontiguousarray(noise[tuple(slice(0, n) for n in shape)], dtype=np.float32)

    def _inside(self, distance: Volume) -> Volume:
        """Volume fraction of a fine voxel below a surface at signed `distance` in metres."""
        return np.clip(0.5 - distance / np.float32(self.pitch_m), 0, 1)

    def phases(self, s: StageParameters) -> dict[str, Volume]:
        """Volume fractions [z, y, x] of silicon, silica, LiF, rest of the SEI, marks, on the coarse grid."""
        p, seed = self.p, self.seed
        rough = np.float32(p.roughness_m)
        inner = self.outside + rough * self._field([seed, 3], self.fine, p.roughness_length_m)
        # The SEI's thickness is uneven: its outer surface is rougher than the wire's.
        outer = self.outside - np.float32(p.silica_m + s.sei_m)
        unevenness = np.float32(min(0.22 * s.sei_m, 2 * p.roughness_m))
        outer = outer + unevenness * self._field([seed, 4], self.fine, 1.5 * p.roughness_length_m)
        core, whole = self._inside(inner), self._inside(outer)
        oxide = np.clip(self._inside(inner - np.float32(p.silica_m)) - core, 0, 1)
        whole = np.maximum(whole, core)
        pores = np.zeros_like(core)
        if s.inward_m > 0:
            core = core * self._silicon_left(s, inner)
            oxide = oxide * np.float32(1 - s.inward_m / (s.inward_m + p.silica_m))
        if s.pore_fraction > 0:
            holes = self._field([seed, 6], self.fine, s.pore_m)
            threshold = np.quantile(holes[::3, ::3, ::3], 1 - s.pore_fraction)
            pores = self._smooth_step(holes - np.float32(threshold), s.pore_m)
        silicon = core * (1 - (pores if s.inward_m > 0 else 0))
        oxide = np.minimum(oxide, 1 - core)
        sei = np.clip(whole - core - oxide, 0, 1) * (1 - pores)
        grains = np.tanh(1.5 * self._field([seed, 7], self.fine, p.sei_grain_m))
        total = sum(p.sei.values())
        lif = p.sei.get("LiF", 0.0)
        lif_share = np.clip(lif * (1 + p.sei_contrast * grains), 0, total) * sei
        marks = self._marks(s)
        free = 1 - marks
        return {
            "silicon": binned(silicon * free, self.factor),
            "silica": binned(oxide * free, self.factor),
            "LiF": binned(lif_share * free, self.factor),
            "rest": binned((total * sei - lif_share) * free, self.factor),
            p.marks.phase: binned(marks, self.factor),
        }

    def _silicon_left(self, s: StageParameters, depth: Volume) -> Volume:
        """Share of silicon where SEI has grown inward: islands, smaller towards the former surface.

        Islands are the cells around random points, each shrunk from the walls to its neighbours until
        `silicon_left` of the attacked core is left, so that SEI runs between them and most of them no longer
        touch. Uneven walls leave some bridges. Below `inward_m` the core is whole.
        """
        attacked = (depth < np.float32(self.pitch_m)) & (depth > -np.float32(s.inward_m))
        left = np.ones_like(depth)
        where = np.nonzero(attacked)
        if s.silicon_left >= 1 or not where[0].size:
            return left
        rng = np.random.default_rng([self.seed, 5])
        volume_m = np.array(self.fine) * self.pitch_m
        points = rng.uniform(0, 1, (max(2, int(volume_m.prod() / s.island_m**3)), 3)) * np.array(self.fine)
        distance, _ = cKDTree(points).query(np.stack(where, axis=1), k=2, workers=1)
        wall = ((distance[:, 1] - distance[:, 0]) * self.pitch_m / s.island_m).astype(np.float32)
        reach = np.clip(1 + depth[where] / np.float32(s.inward_m), 0, 1)  # 1 at the surface, 0 at the attack's front
        uneven = self._field([self.seed, 9], self.fine, 1.5 * s.island_m)[where]
        level = wall - np.float32(0.12) * reach + np.float32(0.10) * uneven
        level -= np.float32(np.quantile(level[::7], 1 - s.silicon_left))
        left[where] = np.clip(0.5 + level * np.float32(0.6 * s.island_m / self.pitch_m), 0, 1)
        return left

    def _smooth_step(self, level: Volume, length_m: float) -> Volume:
        """Level set of a unit-variance field as a volume fraction; its slope is about 3 / length."""
        return np.clip(0.5 + level * np.float32(length_m / 3 / self.pitch_m), 0, 1)

    def _marks(self, s: StageParameters) -> Volume:
        """Spheres on the SEI's surface, spread along the wire, at azimuths that cover the circle."""
        p = self.p.marks
        rng = np.random.default_rng([self.seed, 8])
        half = float(self.x[-1])
        count = max(6, round(2 * half / p.spacing_m))
        marks = np.zeros(self.fine, dtype=np.float32)
        azimuth = rng.uniform(0, 2 * np.pi)
        for i in range(count):
            azimuth += np.pi * (3 - np.sqrt(5)) + rng.normal(0, 0.25)
            x0 = -half + (i + rng.uniform(0.25, 0.75)) * 2 * half / count
            radius = 0.5 * p.diameter_m * float(np.clip(1 + p.diameter_spread * rng.normal(), 0.4, 2))
            j = int(np.argmin(np.abs(self.x - x0)))
            height = float(self.radius[j]) + self.p.silica_m + s.sei_m + 0.6 * radius
            y0 = float(self.axis_y[j]) + height * np.cos(azimuth)
            z0 = float(self.axis_z[j]) + height * np.sin(azimuth)
            self._sphere(marks, (z0, y0, x0), radius)
        return marks

    def _sphere(self, target: Volume, centre_m: tuple[float, float, float], radius_m: float) -> None:
        index = [c / self.pitch_m + (n - 1) / 2 for c, n in zip(centre_m, self.fine, strict=True)]
        reach = radius_m / self.pitch_m + 2
        window = tuple(
            slice(max(0, int(i - reach)), max(0, min(n, int(i + reach) + 2)))
            for i, n in zip(index, self.fine, strict=True)
        )
        z, y, x = (np.arange(w.start, w.stop) - i for w, i in zip(window, index, strict=True))
        distance = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None, :] ** 2) * self.pitch_m
        filled = self._inside((distance - radius_m).astype(np.float32))
        target[window] = np.maximum(target[window], filled)
