"""Coated particles on a half-cut grid as a kind of specimen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl_simulators.specimens.coated_particles import (
    MOST_PARTICLES,
    CoatedParticlesParameters,
    load_coated_particles,
)
from cryoctl_simulators.world.coated_particles import CoatedParticles
from cryoctl_simulators.world.frame_log import FRAME_LOG
from cryoctl_simulators.world.overrides import flatten, nested
from cryoctl_simulators.world.reaction_log import REACTION_LOG
from cryoctl_simulators.world.specimen import Place
from cryoctl_simulators.world.world_file import ArraySpec


class CoatedParticlesKind:
    """`coated-particles`; its fields are those of coated_particles.yaml."""

    def specs(self, shape: tuple[int, int]) -> dict[str, ArraySpec]:
        """The reaction's course, and each particle's area in each scan frame."""
        return {"reaction": REACTION_LOG, "particle_area": ((FRAME_LOG[0][0], MOST_PARTICLES), "<f4")}

    def check(self, fields: Mapping[str, Any]) -> None:
        _parameters(fields)

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return flatten(_parameters(fields).model_dump())

    def make(self, place: Place) -> CoatedParticles:
        return CoatedParticles(_parameters(place.fields), place)


def _parameters(fields: Mapping[str, Any]) -> CoatedParticlesParameters:
    return load_coated_particles(nested({name: one for name, one in fields.items() if name not in ("name", "kind")}))
