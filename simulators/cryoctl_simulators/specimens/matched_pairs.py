"""Pairs of wires, core-shell and plum-pudding, whose projections at 0 degrees are equal for every element.

Built by exchanging voxels along the beam: the plum-pudding partner is the core-shell wire with the voxels of each
column (x, y) put into another order along z. Every column keeps exactly its voxels, so that every projection along
z is equal to the last bit of float sums, whatever the element; any other tilt differs. The order is that of a random
field with the correlation length of the islands, one field a specimen, so that silicon forms blobs among the SEI.

What this is not: a model of how a wire grows. Columns near the rim hold little silicon and columns through the middle
much, as in the core-shell wire, so that the partner has no SEI-rich middle in projection; the composition of a
voxel is one of the core-shell wire's. It answers one question only, whether 3-D tells what 2-D can't.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl_simulators.specimens.composition import Composition
from cryoctl_simulators.specimens.nanowire import NanowireParameters, build_nanowire


def build_matched_pair(
    seed: int,
    shape: tuple[int, int, int] = (96, 96, 128),
    voxel_size_m: float = 10e-9,
    parameters: NanowireParameters | None = None,
    island_m: float = 60e-9,
    surface_kept_m: float = 20e-9,
) -> tuple[Composition, Composition]:
    """A core-shell wire and its plum-pudding partner with equal 0-degree projections of each element.

    The outermost `surface_kept_m` of each column stay where they are, so that both have the same outline and marks.
    """
    core_shell = build_nanowire("core-shell", seed, shape, voxel_size_m, parameters)
    atoms = core_shell.atoms_per_m3
    occupied = atoms.sum(axis=0) > 0
    order = _orders(
        occupied,
        _field(seed, shape, island_m / voxel_size_m),
        round(surface_kept_m / voxel_size_m),
        core_shell,
    )
    pudding = np.take_along_axis(atoms, order[None], axis=1)
    return core_shell, replace(core_shell, atoms_per_m3=np.ascontiguousarray(pudding), stage="plum-pudding")


def _field(seed: int, shape: tuple[int, int, int], length_voxels: float) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng([seed, 21]).standard_normal(shape, dtype=np.float32)
    return ndimage.gaussian_filter(noise, length_voxels / 3, mode="wrap")


def _orders(
    occupied: npt.NDArray[np.bool_], field: npt.NDArray[np.float32], kept: int, wire: Composition
) -> npt.NDArray[np.int64]:
    """For each (y, x) the order along z in which to take the voxels of the core-shell wire."""
    nz, ny, nx = occupied.shape
    order = np.broadcast_to(np.arange(nz)[:, None, None], (nz, ny, nx)).copy()
    silicon = wire.of("Si")
    marks = wire.of("Au") > 0
    for y in range(ny):
        for x in range(nx):
            filled = np.nonzero(occupied[:, y, x])[0]
            if filled.size <= 2 * kept + 2:
                continue
            free = filled[kept : filled.size - kept]
            free = free[~marks[free, y, x]]
            # The places with the highest field receive the voxels with the most silicon.
            places = free[np.argsort(field[free, y, x], kind="stable")]
            voxels = free[np.argsort(silicon[free, y, x], kind="stable")]
            order[places, y, x] = voxels
    return order
