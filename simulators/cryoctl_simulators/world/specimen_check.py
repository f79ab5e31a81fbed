"""The recipe's specimen and `simulation.specimen` fields: what kind they mean, and whether they can be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.errors import RecipeError
from cryoctl.units import quoted
from cryoctl_simulators.world.coated_particles_kind import CoatedParticlesKind
from cryoctl_simulators.world.perovskite_cell_kind import PerovskiteCellKind
from cryoctl_simulators.world.specimen import SpecimenKind
from cryoctl_simulators.world.wire_kind import WireKind

NANOWIRE = "nanowire"
KINDS: Mapping[str, SpecimenKind] = {
    NANOWIRE: WireKind(),
    "coated-particles": CoatedParticlesKind(),
    "perovskite-cell": PerovskiteCellKind(),
}


def kind_name(fields: Mapping[str, Any]) -> str:
    """Raises `RecipeError` for a `kind` that there is not."""
    given = fields.get("kind")
    if given is None:
        name = fields.get("name")
        return name if name in KINDS else NANOWIRE
    if given not in KINDS:
        raise RecipeError(f"simulation.specimen.kind: found {quoted(str(given))}, allowed are {', '.join(KINDS)}")
    return given


def kind_of(fields: Mapping[str, Any]) -> SpecimenKind:
    return KINDS[kind_name(fields)]


def check_specimen(fields: Mapping[str, Any]) -> None:
    """
    Raises:
        BadInput: a kind or a parameter of the specimen that there is not, or a value that can't be.
    """
    kind_of(fields).check(fields)


def differing(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Name of the first field of `wanted` that a specimen of the fields `there` has otherwise; empty where none is."""
    if kind_name(there) != kind_name(wanted):
        return "kind" if "kind" in wanted else "name"
    has = _resolved(there)
    return next((name for name, value in _resolved(wanted).items() if name in wanted and has.get(name) != value), "")


def _resolved(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {**fields, **kind_of(fields).resolved(fields)}
