"""A perovskite solar cell on a biasing chip: parameters, and what a seed draws of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cryoctl.dose.damage import CriticalDose
from cryoctl.errors import BadInput
from cryoctl_simulators.parameters import Parameters, load_parameters
from cryoctl_simulators.specimens.phases import Materials, Phase

MOST_FACETS = 32
DRAWN = "drawn"

Length = Annotated[float, Field(gt=0, le=1e-3)]
Share = Annotated[float, Field(ge=0, le=1)]
FacetName = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(
    pattern=r"^[A-Za-z0-9_-]{1,16}$"
)]  # fmt: skip


def _order(value: Any) -> Any:
    if value != DRAWN and not (isinstance(value, list | tuple) and value):
        raise ValueError(f"names of facets or the text {DRAWN} are wanted")
    return DRAWN if value == DRAWN else tuple(str(name) for name in value)


class LamellaParameters(Parameters):
    width_m: Length
    thickness_m: float = Field(ge=5e-9, le=2e-6)
    active_m: Length
    electrode_m: Length
    control_m: Length
    substrate_m: Length
    film_m: Length
    film_roughness: float = Field(ge=0, lt=1)
    film_grain_m: Length
    grain_m: float = Field(ge=20e-9, le=1e-4)
    channelling_spread: float = Field(ge=0, le=0.3)

    @model_validator(mode="after")
    def _control_is_apart(self) -> LamellaParameters:
        if self.control_m < self.active_m + self.electrode_m:
            raise ValueError("control_m lies within the cell: raise it above active_m and electrode_m together")
        return self

    @property
    def area_m2(self) -> float:
        """Of the cell, as the current sees it."""
        return self.width_m * self.thickness_m


class CellParameters(Parameters):
    photocurrent_a_per_m2: float = Field(ge=0, le=1e4)
    saturation_a_per_m2: float = Field(gt=0, le=1)
    temperature_k: float = Field(ge=50, le=500)
    ideality: float = Field(ge=0.5, le=5)
    gap_ev: float = Field(ge=0.3, le=6)
    series_ohm_m2: float = Field(ge=0, le=1)
    shunt_ohm_m2: float = Field(gt=0, le=1e9)
    collection: Share
    pair_energy_gaps: float = Field(ge=1, le=20)
    amorphous_loss: Share


class IonParameters(Parameters):
    tau_s: float = Field(ge=0.05, le=1e5)
    collection_loss: Share
    built_in_v: float = Field(gt=0, le=10)


class FacetParameters(Parameters):
    name: FacetName
    d_m: float = Field(ge=1e-10, le=1e-7)
    angle_deg: float = Field(ge=-360, le=360)
    centre_m: tuple[float, float]
    size_m: float = Field(ge=2e-9, le=1e-6)
    intensity: Share
    bias_rate_per_s: float = Field(ge=0, le=10)


class DamageParameters(Parameters):
    threshold_v: float = Field(ge=0, le=20)
    rate_spread: float = Field(ge=0, le=0.4)
    bias: float = Field(ge=0, le=1e3)
    beam: float = Field(ge=0, le=1e3)
    critical_dose_e_per_a2: dict[float, float] = Field(min_length=1)
    counts_from: Share

    @model_validator(mode="after")
    def _doses_can_be(self) -> DamageParameters:
        try:
            _ = self.critical
        except BadInput as problem:
            raise ValueError(problem.message) from None
        return self

    @property
    def critical(self) -> CriticalDose:
        rising = sorted(self.critical_dose_e_per_a2.items())
        return CriticalDose(tuple(kelvin for kelvin, _ in rising), tuple(dose for _, dose in rising))


class PictureParameters(Parameters):
    fringes: float = Field(ge=0, le=0.9)
    coherence_rad: float = Field(ge=0, le=0.1)
    limit_m: float = Field(ge=0, le=1e-9)
    rocking_deg: float = Field(gt=0, le=90)
    edge_m: float = Field(gt=0, le=1e-7)


class MaterialTable(Materials):
    perovskite: Phase
    gold: Phase
    oxide: Phase
    substrate: Phase
    spacer: Phase
    film: Phase


class PerovskiteCellParameters(Parameters):
    schema_version: int
    lamella: LamellaParameters
    cell: CellParameters
    ions: IonParameters
    facets: tuple[FacetParameters, ...] = Field(min_length=1, max_length=MOST_FACETS // 2)
    facet_order: Annotated[Any, AfterValidator(_order)]
    damage: DamageParameters
    picture: PictureParameters
    materials: MaterialTable

    @model_validator(mode="after")
    def _facets_are_named_once(self) -> PerovskiteCellParameters:
        names = [one.name for one in self.facets]
        if len(set(names)) != len(names):
            raise ValueError("two facets have one name: name each differently")
        if self.facet_order != DRAWN and sorted(self.facet_order) != sorted(names):
            raise ValueError(f"facet_order has to name each of {', '.join(names)} once")
        return self


def load_perovskite_cell(
    overrides: Mapping[str, Any] | None = None, file: Path | None = None
) -> PerovskiteCellParameters:
    """The packaged perovskite_cell.yaml, or the user's `file`, with `overrides` merged over it."""
    package, given_as = "cryoctl_simulators.specimens", "simulation.specimen"
    return load_parameters(PerovskiteCellParameters, package, "perovskite_cell", overrides, file, given_as)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One facet as it was drawn. `bias_rate_per_s` is 0 where no voltage reaches it, `phase_rad` is of its fringes."""

    name: str
    region: Literal["active", "control"]
    d_m: float
    angle_deg: float
    x_m: float
    y_m: float
    size_m: float
    intensity: float
    bias_rate_per_s: float
    phase_rad: float


class Lamella:
    """Facets of a seed: those of the active layer as they are listed, then those of the control layer."""

    def __init__(self, parameters: PerovskiteCellParameters, seed: int) -> None:
        self.parameters = parameters
        self.seed = seed

    @cached_property
    def facets(self) -> tuple[Facet, ...]:
        p = self.parameters
        rng = np.random.default_rng([self.seed % 2**32, 61])
        rates = self._rates(rng)
        phases = rng.uniform(0, 2 * math.pi, 2 * len(p.facets))
        regions: tuple[tuple[Literal["active", "control"], float], ...] = (
            ("active", 0.0),
            ("control", p.lamella.control_m),
        )
        return tuple(
            Facet(
                name=one.name,
                region=region,
                d_m=one.d_m,
                angle_deg=one.angle_deg,
                x_m=one.centre_m[0],
                y_m=one.centre_m[1] + away_m,
                size_m=one.size_m,
                intensity=one.intensity,
                bias_rate_per_s=rates[one.name] if region == "active" else 0.0,
                phase_rad=float(phases[number + (region == "control") * len(p.facets)]),
            )
            for region, away_m in regions
            for number, one in enumerate(p.facets)
        )

    def _rates(self, rng: np.random.Generator) -> dict[str, float]:
        """By name: the listed ones dealt out by the order that is given or drawn, each with its spread."""
        p, names = self.parameters, [one.name for one in self.parameters.facets]
        spread = 1 + p.damage.rate_spread * np.clip(rng.standard_normal(len(names)), -2, 2)
        drawn = [names[index] for index in rng.permutation(len(names))]
        order = drawn if p.facet_order == DRAWN else list(p.facet_order)
        listed = sorted((one.bias_rate_per_s for one in p.facets), reverse=True)
        return {name: p.damage.bias * rate * float(s) for name, rate, s in zip(order, listed, spread, strict=True)}
