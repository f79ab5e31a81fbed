"""A perovskite solar cell on a chip as a kind of specimen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl_simulators.specimens.perovskite_cell import MOST_FACETS, PerovskiteCellParameters, load_perovskite_cell
from cryoctl_simulators.world.cell_course import CELL_COURSE
from cryoctl_simulators.world.frame_log import FRAME_LOG
from cryoctl_simulators.world.overrides import flatten, nested
from cryoctl_simulators.world.perovskite_cell import PerovskiteCell
from cryoctl_simulators.world.specimen import Place
from cryoctl_simulators.world.world_file import ArraySpec


class PerovskiteCellKind:
    """`perovskite-cell`; its fields are those of perovskite_cell.yaml."""

    def specs(self, shape: tuple[int, int]) -> dict[str, ArraySpec]:
        """The cell's course, and each facet's crystalline share in each scan frame."""
        return {"cell_course": CELL_COURSE, "facet_intensity": ((FRAME_LOG[0][0], MOST_FACETS), "<f4")}

    def check(self, fields: Mapping[str, Any]) -> None:
        _parameters(fields)

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return flatten(_parameters(fields).model_dump(mode="json"))

    def make(self, place: Place) -> PerovskiteCell:
        return PerovskiteCell(_parameters(place.fields), place)


def _parameters(fields: Mapping[str, Any]) -> PerovskiteCellParameters:
    return load_perovskite_cell(nested({name: one for name, one in fields.items() if name not in ("name", "kind")}))
