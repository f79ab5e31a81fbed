"""What a region of the world held before dose is laid on it: a process that dies halfway leaves no dose half laid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world.dose_truth import KINDS, Patch
from cryoctl_simulators.world.world_file import ArraySpec


class PreImage:
    """Kept before the first change, forgotten with the commit that makes the changes valid.

    Args:
        arrays: of the world file, among them those of `specs`.
        record: of the world; `laying` in it names the region while it is changed.
        commit: stores the record.
    """

    def __init__(
        self, arrays: Mapping[str, npt.NDArray[Any]], record: dict[str, Any], commit: Callable[[], None]
    ) -> None:
        self._arrays = arrays
        self._record = record
        self._commit = commit

    @staticmethod
    def specs(shape: tuple[int, int]) -> dict[str, ArraySpec]:
        """Arrays [y, x] of one kind's dose, the damage exponents [element, y, x] and the carbon."""
        kind = np.dtype(np.float32).str
        return {
            "before_dose": (shape, kind),
            "before_exponents": ((len(ELEMENTS), *shape), kind),
            "before_carbon": (shape, kind),
        }

    def keep(self, kind: str, patches: Sequence[Patch]) -> None:
        """Of the region that these patches will change."""
        if not patches:
            return
        rows = slice(min(one[0].start for one in patches), max(one[0].stop for one in patches))
        columns = slice(min(one[1].start for one in patches), max(one[1].stop for one in patches))
        for kept, now in self._pairs(kind, rows, columns):
            kept[...] = now
        region = [int(edge) for edge in (rows.start, rows.stop, columns.start, columns.stop)]
        self._record["laying"] = {"kind": kind, "region": region}
        self._commit()

    def forget(self) -> None:
        """The changes count with the next commit."""
        self._record["laying"] = None

    def put_back(self) -> None:
        """Where the process died in between."""
        laying = self._record.get("laying")
        if not laying:
            return
        top, bottom, left, right = laying["region"]
        for kept, now in self._pairs(laying["kind"], slice(top, bottom), slice(left, right)):
            now[...] = kept
        self.forget()

    def _pairs(self, kind: str, rows: slice, columns: slice) -> tuple[tuple[npt.NDArray[Any], npt.NDArray[Any]], ...]:
        arrays = self._arrays
        return (
            (arrays["before_dose"][rows, columns], arrays["dose"][KINDS.index(kind), rows, columns]),
            (arrays["before_exponents"][:, rows, columns], arrays["exponents"][:, rows, columns]),
            (arrays["before_carbon"][rows, columns], arrays["carbon"][rows, columns]),
        )
