"""What a specimen is to the world, whatever it is made of: kinds stand side by side, and the world knows none of them.

A kind is chosen by the recipe's `specimen.name` where that is the name of one, or by `simulation.specimen.kind`; else
it is the nanowire, whatever name the specimen goes by.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl_simulators.optics.edx import EdxFrame
from cryoctl_simulators.optics.haadf import HaadfDetector
from cryoctl_simulators.settings import EdxSettings, ImageDetectorSettings
from cryoctl_simulators.world.cell import Cell
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.dose_truth import Patch
from cryoctl_simulators.world.world_file import ArraySpec

if TYPE_CHECKING:
    from cryoctl_simulators.world.needle_contact import NeedleContact

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a specimen is kept and what it is drawn from.

    `arrays` are those of the world file, among them those of its kind's `specs`; they lie on `grid`. `record` is its
    part of the world's record, `tail` range (m) and share of the probe's tails, `temperature_k` what it is at a time of
    the world.
    """

    fields: Mapping[str, Any]
    seed: int
    arrays: Mapping[str, npt.NDArray[Any]]
    grid: MapGrid
    record: dict[str, Any]
    tail: tuple[float, float]
    temperature_k: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Near:
    """What of the specimen is nearest to the needle's surface: `body` is a particle's number, None any other matter.

    `gap_m` is negative where they overlap.
    """

    gap_m: float
    body: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """How matter gives way to a needle, by `push_share` of its way up to `push_m`; and how far it sticks to it."""

    push_share: float = 0.0
    push_m: float = 0.0
    adhesion_m: float = 0.0


class Specimen(Protocol):
    """One specimen; all times are the world's (s), places in the specimen's frame (m)."""

    has_cell: bool
    """Whether needle and specimen are a cell that a source can be wired to."""

    def irradiate(self, kind: str, patch: Patch, temperature_k: float) -> None:
        """Dose that a place has just received, and what it does there."""
        ...

    def scattered(self, frame: ScanFrame, settings: ImageDetectorSettings) -> tuple[FloatArray, HaadfDetector]:
        """Share of the electrons [y, x] that reach the detector, out of focus where it is, and the detector."""
        ...

    def x_rays(self, frame: ScanFrame, settings: EdxSettings, real_time_s: float, rng: np.random.Generator) -> EdxFrame:
        """Events of a scan frame."""
        ...

    def note_frame(self, row: int, time_s: float) -> None:
        """A scan frame was taken at this time and stands in this row of the frame log."""
        ...

    def composition(self, grid: VolumeGrid) -> Mapping[str, Any]:
        """Truth below /simulation that lies on a volume's grid."""
        ...

    def results(
        self, rows: npt.NDArray[np.int64], times_s: FloatArray, time_s: float, began_s: float
    ) -> Mapping[str, Any]:
        """Truth below /simulation/results for frames in these rows of the frame log, taken at these times of the run
        that began at `began_s` of the world; it is `time_s` there now."""
        ...

    # A source that is wired to it, light, and what the beam drives

    def wired(self, power: Callable[[float], None]) -> Cell | None:
        """The cell that it is by itself, without a needle, None where it is none.

        `power` brings the source that is wired to it to a time."""
        ...

    def illuminate(self, irradiance_w_per_m2: float, time_s: float) -> None:
        """So much light falls on it from this time on."""
        ...

    def opened(self, frame: ScanFrame, field_share: float) -> None:
        """The beam has opened on a scan frame; it is on the field for that share of the time."""
        ...

    def closed(self, time_s: float) -> None:
        """The beam is off it."""
        ...

    # A needle

    def meet(self, contact: NeedleContact) -> None:
        """From now on this needle stands beside it."""
        ...

    def nearest(self, apex_m: FloatArray, time_s: float) -> Near:
        """What is nearest to the surface of a needle with its apex there."""
        ...

    def hold(self, body: int | None) -> Hold:
        """How what is touched is held; None is any other matter than a particle."""
        ...

    def touch(self, body: int, time_s: float) -> None: ...

    def overlap(self, body: int, apex_m: FloatArray) -> float:
        """How far a needle with its apex there would overlap a touched particle that stayed as and where it was (m)."""
        ...

    def part(self, body: int, time_s: float) -> None: ...

    def react(self, body: int, between_s: tuple[float, float], voltage_v: float) -> None:
        """A touched particle was between these times at this voltage against the needle."""
        ...

    def circuit(self, touching: int | str | None, voltage_v: float) -> tuple[float, float]:
        """What a source sees of a contact at this voltage: its own voltage (V) and resistance (ohm; infinite: open)."""
        ...


class NotWired:
    """What a specimen has to say to light and beam where they drive nothing in it, and nothing is wired to it."""

    def wired(self, power: Callable[[float], None]) -> Cell | None:
        return None

    def illuminate(self, irradiance_w_per_m2: float, time_s: float) -> None: ...

    def opened(self, frame: ScanFrame, field_share: float) -> None: ...

    def closed(self, time_s: float) -> None: ...


class OutOfReach:
    """What a specimen has to say to a needle that stands before its support and has nothing to do with it."""

    has_cell = False

    def note_frame(self, row: int, time_s: float) -> None: ...

    def results(
        self, rows: npt.NDArray[np.int64], times_s: FloatArray, time_s: float, began_s: float
    ) -> Mapping[str, Any]:
        return {}

    def meet(self, contact: NeedleContact) -> None: ...

    def nearest(self, apex_m: FloatArray, time_s: float) -> Near:
        """The support ends at x = 0."""
        return Near(float(apex_m[0]), None)

    def hold(self, body: int | None) -> Hold:
        return Hold()

    def touch(self, body: int, time_s: float) -> None: ...

    def overlap(self, body: int, apex_m: FloatArray) -> float:
        return -float(apex_m[0])

    def part(self, body: int, time_s: float) -> None: ...

    def react(self, body: int, between_s: tuple[float, float], voltage_v: float) -> None: ...

    def circuit(self, touching: int | str | None, voltage_v: float) -> tuple[float, float]:
        return (0.0, math.inf)


class SpecimenKind(Protocol):
    """How specimens of a kind are checked and made."""

    def specs(self, shape: tuple[int, int]) -> dict[str, ArraySpec]:
        """Arrays that it keeps in the world file beside the damage maps [y, x] of that shape."""
        ...

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raises `BadInput` for a field that there is not, or a value that can't be."""
        ...

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Every field with the value that it has, whether it was given or not."""
        ...

    def make(self, place: Place) -> Specimen: ...
