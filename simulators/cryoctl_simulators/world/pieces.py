"""An endless wire cut into stretches and pieces along the tilt axis, so that a picture costs only what it shows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import RecipeError
from cryoctl_simulators.optics.projection import ImageGeometry, Projector, resample_plane
from cryoctl_simulators.specimens.composition import Composition
from cryoctl_simulators.specimens.nanowire import STAGES, NanowireParameters, build_nanowire, load_nanowire
from cryoctl_simulators.specimens.phases import ELEMENTS, mixture_atoms_per_m3
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.overrides import flatten, nested

Atoms = npt.NDArray[np.float32]
STRETCH_M = 2.56e-6
MOST_VOXELS = 2e7
"""Of a stretch; a voxel holds four bytes an element."""
_PIECES = 4
_COARSENESS = 2
_OWN = ("name", "stage", "voxel_size_m", "oversampling")


@dataclass(slots=True)
class Piece:
    """A part of the specimen with its centre at (x_m, y_m, z_m); keeps its projection at the latest tilt."""

    projector: Projector
    x_m: float
    y_m: float
    z_m: float
    half_m: float
    _tilt_deg: float = math.nan
    _plane: Atoms = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.float32))

    def plane(self, tilt_deg: float) -> Atoms:
        """[element and last the sum of atoms times their depth w, u, x] per m2, undamaged."""
        if self._tilt_deg != tilt_deg:
            atoms, depth = self.projector.plane(tilt_deg)
            a = math.radians(tilt_deg)
            depth = depth - self.y_m * math.sin(a) + self.z_m * math.cos(a)
            self._plane = np.concatenate([atoms, (atoms.sum(axis=0) * depth).astype(np.float32)[None]])
            self._tilt_deg = tilt_deg
        return self._plane


@dataclass(frozen=True, slots=True)
class Stretch:
    """2.56 um of the wire: its composition around (x_m, y_m, z_m), and the same cut into pieces."""

    composition: Composition
    x_m: float
    y_m: float
    z_m: float
    pieces: tuple[Piece, ...]


@lru_cache(maxsize=6)
def _drawn(fields: str, seed: int, voxel_m: float, voxels_along: int) -> Composition:
    return _draw(json.loads(fields), seed, voxel_m, voxels_along)


class Wire:
    """An endless wire along the tilt axis, drawn stretch by stretch where it is looked at.

    Even stretches (0 is at the specimen's origin) are drawn in full detail, odd ones with voxels twice as large. Each
    goes on where its neighbour ends.

    Args:
        fields: stage, voxel_size_m, oversampling, and what nanowire.yaml holds.
        seed: of the world; another seed is another wire.
    """

    def __init__(self, fields: Mapping[str, Any], seed: int) -> None:
        self._fields = {name: value for name, value in fields.items() if name != "name"}
        self._key = json.dumps(self._fields, sort_keys=True)
        self._seed = seed
        self._stretches: dict[int, Stretch] = {}

    @staticmethod
    def check(fields: Mapping[str, Any]) -> None:
        """
        Raises:
            RecipeError: a stage or parameter of the specimen that there is not.
        """
        parameters, stage = _parameters({name: value for name, value in fields.items() if name != "name"})
        for mixture in (parameters.sei, {parameters.marks.phase: 1.0}):
            mixture_atoms_per_m3(mixture)
        voxel_m = float(fields.get("voxel_size_m", 10e-9))
        voxels = _voxels_across(parameters, stage, STRETCH_M, voxel_m) ** 2 * STRETCH_M / voxel_m
        if voxels > MOST_VOXELS:
            raise RecipeError(
                f"simulation.specimen: a wire of {parameters.core_diameter_m * 1e9:.4g} nm takes {voxels:.2g} voxels "
                f"of {voxel_m * 1e9:.3g} nm, allowed are {MOST_VOXELS:.2g}: take larger voxels or a thinner wire"
            )

    @staticmethod
    def resolved(fields: Mapping[str, Any]) -> dict[str, Any]:
        """Stage and every parameter by its dotted name."""
        parameters, stage = _parameters({name: value for name, value in fields.items() if name != "name"})
        return {"stage": stage, **flatten(parameters.model_dump())}

    def stretch(self, number: int) -> Stretch:
        """
        Raises:
            RecipeError: a stage or parameter of the specimen that there is not.
        """
        found = self._stretches.get(number)
        if found is None:
            found = self._stretches[number] = self._mounted(number)
        return found

    def at(self, x_m: float) -> Stretch:
        return self.stretch(round(x_m / STRETCH_M))

    def _mounted(self, number: int) -> Stretch:
        voxel_m = float(self._fields.get("voxel_size_m", 10e-9)) * (1 if number % 2 == 0 else _COARSENESS)
        along = max(_PIECES, round(STRETCH_M / voxel_m / _PIECES) * _PIECES)
        drawn = _drawn(self._key, (self._seed + 7919 * number) % 2**32, voxel_m, along)
        if number == 0:
            return _stretch(drawn, 0.0, 0.0, 0.0)
        inward = -1 if number > 0 else 1
        neighbour = self.stretch(number + inward)
        y_m, z_m = _axis_m(neighbour.composition, -inward)
        own_y_m, own_z_m = _axis_m(drawn, inward)
        return _stretch(drawn, number * STRETCH_M, neighbour.y_m + y_m - own_y_m, neighbour.z_m + z_m - own_z_m)


def _axis_m(composition: Composition, end: int) -> tuple[float, float]:
    """(y, z) of the wire's middle at its end towards +x (1) or -x (-1), in its own frame (m)."""
    volume = composition.of("Si")
    plane = (volume[:, :, -4:] if end > 0 else volume[:, :, :4]).sum(axis=2, dtype=np.float64)
    total = max(float(plane.sum()), 1.0)
    z, y = ((np.arange(n) - (n - 1) / 2) * composition.voxel_size_m for n in plane.shape)
    return (float(plane.sum(axis=0) @ y) / total, float(plane.sum(axis=1) @ z) / total)


def _draw(fields: Mapping[str, Any], seed: int, voxel_m: float, voxels_along: int) -> Composition:
    parameters, stage = _parameters(fields)
    voxels = _voxels_across(parameters, stage, voxels_along * voxel_m, voxel_m)
    shape = (voxels, voxels, voxels_along)
    return build_nanowire(stage, seed, shape, voxel_m, parameters, int(fields.get("oversampling", 1)))


def _voxels_across(parameters: NanowireParameters, stage: str, length_m: float, voxel_m: float) -> int:
    """Of a square that holds the wire of this length with its SEI and marks, bend and slope; even."""
    across_m = parameters.core_diameter_m * (1 + 2 * parameters.core_diameter_spread + parameters.core_ellipticity)
    shell_m = parameters.stages[stage].sei_m + 2 * parameters.marks.diameter_m
    sloping_m = length_m * math.tan(math.radians(parameters.slope_deg))
    return math.ceil((across_m + 2 * (shell_m + parameters.bend_m) + sloping_m + 4 * voxel_m) / voxel_m / 2) * 2


def _parameters(fields: Mapping[str, Any]) -> tuple[NanowireParameters, str]:
    parameters = load_nanowire(nested({name: value for name, value in fields.items() if name not in _OWN}))
    stage = str(fields.get("stage") or STAGES[1])
    if stage not in parameters.stages:
        raise RecipeError(f"specimen.stage: found {stage!r}, allowed are {', '.join(parameters.stages)}")
    return parameters, stage


def _stretch(composition: Composition, x_m: float, y_m: float, z_m: float) -> Stretch:
    n = composition.shape[2]
    voxel_m = composition.voxel_size_m
    pieces: list[Piece] = []
    for index in range(_PIECES):
        first, last = index * n // _PIECES, (index + 1) * n // _PIECES
        part = Composition(
            composition.elements,
            composition.atoms_per_m3[:, :, :, first:last],
            voxel_m,
            composition.name,
            composition.stage,
            composition.seed,
        )
        centre_m = x_m + ((first + last - 1) / 2 - (n - 1) / 2) * voxel_m
        pieces.append(Piece(Projector(part), centre_m, y_m, z_m, (last - first) * voxel_m / 2))
    return Stretch(composition, x_m, y_m, z_m, tuple(pieces))


def project(wire: Wire, frame: ScanFrame) -> tuple[Atoms, Atoms]:
    """Atoms per m2 [element of `ELEMENTS`, y, x] in a scan frame's pixels, undamaged, and mean depth w [y, x] in m."""
    seen = np.zeros((len(ELEMENTS) + 1, *frame.shape), dtype=np.float32)
    reach_m = math.hypot(*frame.shape) * frame.pixel_size_m / 2
    _, dx_m = frame.image_of(0.0, 0.0)
    first, last = round((-dx_m - reach_m) / STRETCH_M), round((-dx_m + reach_m) / STRETCH_M)
    for number in range(first, last + 1):
        for piece in wire.stretch(number).pieces:
            here = (piece.x_m, piece.y_m, piece.z_m)
            start, end = frame.image_of(*here), frame.image_of(*here, end=True)
            shift_m = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
            if math.hypot(*shift_m) > reach_m + piece.half_m + 0.6e-6:
                continue
            image = ImageGeometry(frame.shape, frame.pixel_size_m, shift_m, frame.axis_deg)
            pitch_m = (piece.projector.bin_m, piece.projector.pitch_m)
            seen += resample_plane(piece.plane(frame.tilt_deg), pitch_m, image)
    atoms = seen[:-1]
    total = atoms.sum(axis=0)
    return atoms, np.divide(seen[-1], total, out=np.zeros_like(total), where=total > 0)
