"""A half-cut grid with coated particles along its edge: parameters, and what a seed draws of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, model_validator

from cryoctl_simulators.parameters import Parameters, load_parameters
from cryoctl_simulators.specimens.phases import Materials, Phase

FloatArray = npt.NDArray[np.float64]
MOST_PARTICLES = 24
BY_COATING = "by-coating"
_LONGEST_WAVE_M, _SHORTEST_WAVE_M = 200e-6, 0.15e-6
_WAVES_PER_OCTAVE = 3

Length = Annotated[float, Field(gt=0, le=1e-3)]
Share = Annotated[float, Field(ge=0, le=1)]


def _by_coating_or(low: float, high: float, none: str = "") -> AfterValidator:
    """A number within bounds, or the text that leaves it to the table of coatings; `none` says what null means."""

    def check(value: Any) -> Any:
        if value == BY_COATING or (none and value is None):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            also = f", {none}" if none else ""
            raise ValueError(f"a number of {low:g} to {high:g} or the text {BY_COATING} is wanted{also}")
        return float(value)

    return AfterValidator(check)


class ParticleParameters(Parameters):
    count: int = Field(ge=1, le=MOST_PARTICLES)
    core_diameter_m: float = Field(ge=20e-9, le=1e-6)
    core_diameter_spread: float = Field(ge=0, le=0.3)
    touching: int = Field(ge=0, le=2)
    spacing_m: Length
    height_spread_m: float = Field(ge=0, le=1e-6)
    channelling_spread: float = Field(ge=0, le=0.4)


class CoatingParameters(Parameters):
    coating_m: float = Field(ge=0, le=100e-9)
    area_ratio: float = Field(ge=1, le=6)
    rate_per_s: float = Field(gt=0, le=10)
    break_s: float | None = Field(ge=0)


class IonParameters(Parameters):
    expansion: float = Field(gt=0, le=2)
    rate: float = Field(gt=0, le=10)
    atoms: float = Field(gt=0, le=5)


class IonTable(Parameters):
    lithium: IonParameters
    sodium: IonParameters


class CellParameters(Parameters):
    nominal_v: float = Field(gt=0, le=10)
    open_circuit_v: float = Field(ge=-5, le=0)
    nucleation_v: float = Field(ge=0, le=10)
    threshold_v: float = Field(ge=0, le=10)
    oxide_limit_m: Length
    leakage_ohm: float = Field(gt=0)
    conducts: bool
    contact_ohm: float = Field(gt=0)
    short_ohm: float = Field(gt=0)
    retained_share: Share

    @model_validator(mode="after")
    def _nominal_drives(self) -> CellParameters:
        if self.nominal_v - self.open_circuit_v <= max(self.threshold_v, self.nucleation_v):
            raise ValueError("nominal_v drives nothing: it lies below the thresholds: raise it or lower them")
        return self


class CrackParameters(Parameters):
    half_width_deg: float = Field(gt=0, lt=60)
    bulge: float = Field(ge=0, lt=0.5)
    bulge_radius: float = Field(gt=0.1, lt=1)
    opening_s: float = Field(ge=0)


class BeamParameters(Parameters):
    shrinks: float = Field(ge=0, lt=0.5)
    shrinking_dose_e_per_a2: float = Field(gt=0)


class ContactParameters(Parameters):
    contrast: float = Field(ge=0, lt=0.9)
    contrast_at_once: Share
    contrast_length_m: Length
    push_share: float = Field(ge=0, lt=1)
    push_m: float = Field(ge=0, le=1e-6)
    adhesion_m: float = Field(ge=0, le=1e-6)
    bonded_m: float = Field(ge=0, le=1e-6)


class GridParameters(Parameters):
    film_m: Length
    film_roughness: float = Field(ge=0, lt=1)
    film_grain_m: Length
    lip_m: float = Field(ge=0, le=1e-4)
    roughness_m: float = Field(ge=0, le=5e-5)
    roughness_exponent: float = Field(gt=0.5, le=2)
    copper_m: Length
    rim_m: Length
    opening_m: Length
    bar_m: Length


class MaterialTable(Materials):
    silicon: Phase
    titania: Phase
    carbon: Phase
    copper: Phase
    tungsten: Phase
    oxide: Phase

    @model_validator(mode="after")
    def _silicon_is_silicon(self) -> MaterialTable:
        if set(self.silicon.formula) != {"Si"}:
            raise ValueError("silicon is made of Si alone")
        return self


class CoatedParticlesParameters(Parameters):
    schema_version: int
    particles: ParticleParameters
    coating_m: float = Field(ge=0, le=100e-9)
    coatings: tuple[CoatingParameters, ...] = Field(min_length=1)
    area_ratio: Annotated[Any, _by_coating_or(1.0, 6.0)]
    rate_per_s: Annotated[Any, _by_coating_or(1e-6, 10.0)]
    break_s: Annotated[Any, _by_coating_or(0.0, 1e6, none="null: never")]
    ion: Literal["lithium", "sodium"]
    ions: IonTable
    cell: CellParameters
    crack: CrackParameters
    beam: BeamParameters
    contact: ContactParameters
    grid: GridParameters
    materials: MaterialTable

    @property
    def its_ion(self) -> IonParameters:
        return self.ions.lithium if self.ion == "lithium" else self.ions.sodium

    @cached_property
    def lithiation(self) -> CoatingParameters:
        """What holds for this coating and ion; a figure that was given stands for itself."""
        table = sorted(self.coatings, key=lambda one: one.coating_m)
        at = [one.coating_m for one in table]
        ion = self.its_ion
        ratio = 1 + ion.expansion * (float(np.interp(self.coating_m, at, [one.area_ratio for one in table])) - 1)
        rate = ion.rate * math.exp(float(np.interp(self.coating_m, at, [math.log(one.rate_per_s) for one in table])))
        broken = min(table, key=lambda one: abs(one.coating_m - self.coating_m)).break_s
        return CoatingParameters(
            coating_m=self.coating_m,
            area_ratio=ratio if isinstance(self.area_ratio, str) else self.area_ratio,
            rate_per_s=rate if isinstance(self.rate_per_s, str) else self.rate_per_s,
            break_s=broken if isinstance(self.break_s, str) else self.break_s,
        )


def load_coated_particles(
    overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> CoatedParticlesParameters:
    """The packaged coated_particles.yaml, or the user's `file`, with `overrides` merged over it."""
    package, given_as = "cryoctl_simulators.specimens", "simulation.specimen"
    return load_parameters(CoatedParticlesParameters, package, "coated_particles", overrides, file, given_as)


@dataclass(frozen=True, slots=True, kw_only=True)
class Particle:
    """One particle as it was drawn, before anything happened to it; x, y, z is its middle.

    `channelling` is what its crystal's orientation makes of the scattering of silicon, `turn` (-1 or 1) whether it
    gets brighter or darker when it is touched, `crack_deg` where its coating would break (in x-y, from x).
    """

    name: str
    x_m: float
    y_m: float
    z_m: float
    core_radius_m: float
    coating_m: float
    channelling: float
    turn: int
    crack_deg: float

    @property
    def radius_m(self) -> float:
        return self.core_radius_m + self.coating_m


class Edge:
    """The torn edge: x of it at any y, a self-affine line through the origin."""

    def __init__(self, parameters: GridParameters, seed: int) -> None:
        rng = np.random.default_rng([seed % 2**32, 51])
        octaves = np.arange(math.log2(_LONGEST_WAVE_M), math.log2(_SHORTEST_WAVE_M), -1.0)
        waves = np.repeat(2.0**octaves, _WAVES_PER_OCTAVE) * 2 ** rng.uniform(-0.5, 0.5, octaves.size * 3)
        size = parameters.roughness_m * (waves / 100e-6) ** parameters.roughness_exponent
        self._wave_numbers = 2 * math.pi / waves
        self._amplitudes = size * rng.uniform(0.3, 1.0, waves.size) / math.sqrt(_WAVES_PER_OCTAVE)
        self._phases = rng.uniform(0, 2 * math.pi, waves.size)
        self._at_origin = 0.0
        self._at_origin = float(self.at(np.zeros(1))[0])

    def at(self, y_m: FloatArray, shortest_m: float = 0.0) -> FloatArray:
        """x of the edge (m) at y [n] (m), waves shorter than `shortest_m` left out."""
        seen = self._wave_numbers * max(shortest_m, 1e-12) < 2 * math.pi
        phases = np.multiply.outer(y_m, self._wave_numbers[seen]) + self._phases[seen]
        return np.sin(phases) @ self._amplitudes[seen] - self._at_origin


class HalfGrid:
    """Edge and particles of a seed."""

    def __init__(self, parameters: CoatedParticlesParameters, seed: int) -> None:
        self.parameters = parameters
        self.seed = seed
        self.edge = Edge(parameters.grid, seed)
        self.particles = self._draw()

    def _draw(self) -> tuple[Particle, ...]:
        """The foremost at y = 0, then those that touch it, then the others to both sides along the edge."""
        p, coating_m = self.parameters.particles, self.parameters.coating_m
        rng = np.random.default_rng([self.seed % 2**32, 52])
        spread = np.clip(rng.standard_normal(p.count), -2, 2) * p.core_diameter_spread
        radii = 0.5 * p.core_diameter_m * (1 + spread) + coating_m
        behind = np.radians(rng.uniform(102.0, 114.0, 2))
        heights = p.height_spread_m * np.clip(rng.standard_normal(p.count), -2, 2)
        places: list[tuple[float, float]] = [(0.35 * radii[0], 0.0)]
        sides = {1: 0.0, -1: 0.0}
        for number in range(1, min(p.touching, p.count - 1) + 1):
            side, angle = (1, -1)[number - 1], behind[number - 1]
            flat = math.sqrt((radii[0] + radii[number]) ** 2 - (heights[number] - heights[0]) ** 2)
            places.append((places[0][0] + flat * math.cos(angle), side * flat * math.sin(angle)))
        for number in range(len(places), p.count):
            side = 1 if number % 2 == 1 else -1
            sides[side] += 1
            y_m = side * (sides[side] * p.spacing_m + rng.uniform(0.0, 0.08) * p.spacing_m)
            places.append((float(self.edge.at(np.array([y_m]))[0]) + rng.uniform(0.1, 0.4) * radii[number], y_m))
        channelling = 1 + p.channelling_spread * np.clip(rng.standard_normal(p.count), -2, 2)
        turns, cracks = rng.choice((-1, 1), p.count), rng.uniform(40.0, 58.0, p.count) * rng.choice((-1, 1), p.count)
        # A shell gives way where nothing supports it: on the side away from the foremost particle.
        for number in range(1, min(p.touching, p.count - 1) + 1):
            cracks[number] = math.copysign(cracks[number], (1, -1)[number - 1])
        return tuple(
            Particle(
                name=f"P{number + 1}",
                x_m=x_m,
                y_m=y_m,
                z_m=float(heights[number]),
                core_radius_m=float(radii[number]) - coating_m,
                coating_m=coating_m,
                channelling=float(channelling[number]),
                turn=int(turns[number]),
                crack_deg=float(cracks[number]),
            )
            for number, (x_m, y_m) in enumerate(places)
        )
