"""The textured support off the target: a thin carbon film with gold particles, flat in the plane z = 0.

Track and focus areas lie several micrometres along the tilt axis from the wire. Any window of the endless film can be
drawn: texture and particles are keyed by (seed, cell), so that the same place looks the same at every visit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from cryoctl_simulators.optics.projection import ImageGeometry
from cryoctl_simulators.parameters import Parameters, load_parameters
from cryoctl_simulators.specimens.phases import ELEMENTS, bundled_phases

FloatArray = npt.NDArray[np.float64]
CELL_M = 0.5e-6


class FeatureParameters(Parameters):
    schema_version: int
    film_m: float = Field(ge=0)
    film_roughness: float = Field(ge=0, lt=1)
    film_grain_m: float = Field(gt=0)
    particles_per_m2: float = Field(ge=0)
    particle_diameter_m: float = Field(gt=0)
    particle_diameter_spread: float = Field(ge=0, lt=1)


def load_features(overrides: Mapping[str, Any] | None = None, file: Path | None = None) -> FeatureParameters:
    """The packaged features.yaml, or the user's `file`, with `overrides` merged over it."""
    return load_parameters(FeatureParameters, "cryoctl_simulators.specimens", "features", overrides, file)


class FeatureField:
    """A film that can be looked at anywhere."""

    elements = ELEMENTS

    def __init__(self, seed: int, parameters: FeatureParameters | None = None) -> None:
        self.seed = seed
        self.parameters = parameters or load_features()
        self._carbon = bundled_phases()["carbon"].atoms_per_m3()["C"]
        self._gold = bundled_phases()["gold"].atoms_per_m3()["Au"]
        self._texture = self._make_texture()

    def project(self, tilt_deg: float, image: ImageGeometry) -> npt.NDArray[np.float32]:
        """Atoms per m2 [element, y, x] in the image; `image.centre_m` is (u, x), the scan's centre on the film."""
        p = self.parameters
        cos = max(float(np.cos(np.radians(tilt_deg))), 0.02)
        y, x = self._specimen_coordinates(image, cos)
        atoms = np.zeros((len(ELEMENTS), *image.shape), dtype=np.float32)
        atoms[ELEMENTS.index("C")] = self._thickness(y, x) / cos * self._carbon
        atoms[ELEMENTS.index("Au")] = self._gold_thickness(image, cos, y, x) * self._gold
        return atoms if p.film_m > 0 or p.particles_per_m2 > 0 else np.zeros_like(atoms)

    def _specimen_coordinates(self, image: ImageGeometry, cos: float) -> tuple[FloatArray, FloatArray]:
        height, width = image.shape
        rows = (np.arange(height) - (height - 1) / 2) * image.pixel_size_m - image.shift_m[0]
        columns = (np.arange(width) - (width - 1) / 2) * image.pixel_size_m - image.shift_m[1]
        angle = np.radians(image.tilt_axis_deg)
        u = -columns[None, :] * np.sin(angle) + rows[:, None] * np.cos(angle) + image.centre_m[0]
        x = columns[None, :] * np.cos(angle) + rows[:, None] * np.sin(angle) + image.centre_m[1]
        return u / cos, x

    def _make_texture(self) -> npt.NDArray[np.float32]:
        """One period of the film's texture, 256 samples of a fifth of a grain."""
        noise = np.random.default_rng([self.seed, 31]).standard_normal((256, 256), dtype=np.float32)
        smooth = ndimage.gaussian_filter(noise, 5 / 3, mode="wrap")
        return smooth / smooth.std()

    def _thickness(self, y: FloatArray, x: FloatArray) -> FloatArray:
        pitch = self.parameters.film_grain_m / 5
        texture = ndimage.map_coordinates(
            self._texture, [(y / pitch) % 256, (x / pitch) % 256], order=1, mode="grid-wrap"
        )
        return self.parameters.film_m * np.clip(1 + self.parameters.film_roughness * texture, 0, None)

    def _gold_thickness(self, image: ImageGeometry, cos: float, y: FloatArray, x: FloatArray) -> FloatArray:
        """Chord through spherical particles, which don't foreshorten; averaged over pixels larger than them."""
        p = self.parameters
        out = np.zeros(image.shape)
        reach = 2.5 * p.particle_diameter_m
        u = y * cos
        angle = np.radians(image.tilt_axis_deg)
        for i in range(
            int(np.floor((y.min() - reach / cos) / CELL_M)),
            int(np.floor((y.max() + reach / cos) / CELL_M)) + 1,
        ):
            for j in range(int(np.floor((x.min() - reach) / CELL_M)), int(np.floor((x.max() + reach) / CELL_M)) + 1):
                for yp, xp, radius in self._particles(i, j):
                    du, dx = yp * cos - image.centre_m[0], xp - image.centre_m[1]
                    row = (dx * np.sin(angle) + du * np.cos(angle) + image.shift_m[0]) / image.pixel_size_m
                    column = (dx * np.cos(angle) - du * np.sin(angle) + image.shift_m[1]) / image.pixel_size_m
                    r, c = row + (image.shape[0] - 1) / 2, column + (image.shape[1] - 1) / 2
                    span = radius / image.pixel_size_m + 2
                    rows = slice(max(0, int(r - span)), max(0, min(image.shape[0], int(r + span) + 2)))
                    cols = slice(max(0, int(c - span)), max(0, min(image.shape[1], int(c + span) + 2)))
                    if rows.start >= rows.stop or cols.start >= cols.stop:
                        continue
                    far2 = (u[rows, cols] - yp * cos) ** 2 + (x[rows, cols] - xp) ** 2
                    blur2 = image.pixel_size_m**2 / 12
                    chord = 2 * np.sqrt(np.clip(radius**2 - far2, 0, None) + 0.0)
                    volume = 4 / 3 * np.pi * radius**3
                    if radius < 1.5 * image.pixel_size_m:  # too small to sample: a Gaussian of the same volume
                        s2 = radius**2 / 5 + blur2
                        chord = volume * np.exp(-far2 / (2 * s2)) / (2 * np.pi * s2)
                    out[rows, cols] += chord
        return out

    def _particles(self, i: int, j: int) -> list[tuple[float, float, float]]:
        """(y, x, radius) of the particles of one cell of the film."""
        p = self.parameters
        rng = np.random.default_rng([self.seed, 32, i + 2**31, j + 2**31])
        count = int(rng.poisson(p.particles_per_m2 * CELL_M**2))
        places = rng.uniform(0, 1, (count, 2))
        sizes = np.clip(1 + p.particle_diameter_spread * rng.standard_normal(count), 0.3, 2.5)
        return [
            (float((i + a) * CELL_M), float((j + b) * CELL_M), float(0.5 * p.particle_diameter_m * size))
            for (a, b), size in zip(places, sizes, strict=True)
        ]
