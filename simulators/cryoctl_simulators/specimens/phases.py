"""Phases by density and formula, and the number densities of their elements."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pydantic import Field, model_validator

from cryoctl.errors import BadInput
from cryoctl_simulators.optics.cross_sections import atomic_mass_kg, atomic_number
from cryoctl_simulators.parameters import Parameters, load_parameters

ELEMENTS = ("Si", "O", "F", "C", "Li", "P", "Au")
"""Elements whose composition a specimen carries. Hydrogen weighs in a phase's density and is then left out."""


class Phase(Parameters):
    density_kg_m3: float = Field(gt=0)
    formula: dict[str, float] = Field(min_length=1)

    def atoms_per_m3(self) -> dict[str, float]:
        mass = sum(count * atomic_mass_kg(element) for element, count in self.formula.items())
        return {element: count * self.density_kg_m3 / mass for element, count in self.formula.items()}


class Materials(Parameters):
    """Base of a specimen's own materials: each field is a `Phase` of elements that there are."""

    @model_validator(mode="after")
    def _elements_exist(self) -> Materials:
        for element in {element for name in type(self).model_fields for element in getattr(self, name).formula}:
            try:
                atomic_number(element)
            except ValueError:
                raise ValueError(f"there is no element {element[:10]}") from None
        return self

    def atoms_per_m3(self) -> dict[str, dict[str, float]]:
        """Of each material, by element; hydrogen weighs and is then left out."""
        found = {name: getattr(self, name).atoms_per_m3() for name in type(self).model_fields}
        return {name: {element: n for element, n in one.items() if element != "H"} for name, one in found.items()}


class PhaseTable(Parameters):
    schema_version: int
    phases: dict[str, Phase]


@lru_cache(maxsize=1)
def bundled_phases() -> dict[str, Phase]:
    return load_parameters(PhaseTable, "cryoctl_simulators.specimens", "phases").phases


def mixture_atoms_per_m3(volume_fractions: Mapping[str, float]) -> dict[str, float]:
    """Atoms per m3 of each element of a mixture of phases; fractions below a sum of 1 leave pores.

    Raises BadInput for an unknown phase or fractions that sum to more than 1.
    """
    if sum(volume_fractions.values()) > 1.0 + 1e-9 or min(volume_fractions.values(), default=0.0) < 0.0:
        raise BadInput(
            f"specimen phases: fractions {dict(volume_fractions)} must be >= 0 and sum to at most 1; lower them"
        )
    total: dict[str, float] = {}
    for name, fraction in volume_fractions.items():
        phase = bundled_phases().get(name)
        if phase is None:
            raise BadInput(
                f"specimen phase {name!r}: not in phases.yaml ({', '.join(bundled_phases())}); use one of them"
            )
        for element, density in phase.atoms_per_m3().items():
            total[element] = total.get(element, 0.0) + fraction * density
    return total
