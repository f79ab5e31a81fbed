"""What a specimen is made of: atoms per m3 of each element on a voxel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.specimens.phases import ELEMENTS


@dataclass(frozen=True)
class Composition:
    """`atoms_per_m3` is float32 [element, z, y, x]; voxel i of n sits at (i - (n - 1) / 2) * voxel_size_m."""

    elements: tuple[str, ...]
    atoms_per_m3: npt.NDArray[np.float32]
    voxel_size_m: float
    name: str
    stage: str
    seed: int

    def of(self, element: str) -> npt.NDArray[np.float32]:
        """The volume [z, y, x] of one element."""
        return self.atoms_per_m3[self.elements.index(element)]

    @property
    def shape(self) -> tuple[int, int, int]:
        _, nz, ny, nx = self.atoms_per_m3.shape
        return nz, ny, nx


def binned(fine: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Mean over blocks of factor^3: the anti-aliased voxelisation of a volume drawn on a finer grid."""
    nz, ny, nx = (n // factor for n in fine.shape)
    blocks = fine.reshape(nz, factor, ny, factor, nx, factor)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float32)


def from_phase_fractions(
    fractions: dict[str, npt.NDArray[np.float32]],
    atoms_of: dict[str, dict[str, float]],
    voxel_size_m: float,
    name: str,
    stage: str,
    seed: int,
) -> Composition:
    """Sum over phases of volume fraction [z, y, x] times atoms per m3 (`atoms_of` phase and element)."""
    shape = next(iter(fractions.values())).shape
    atoms = np.zeros((len(ELEMENTS), *shape), dtype=np.float32)
    for phase, fraction in fractions.items():
        for element, density in atoms_of[phase].items():
            if element in ELEMENTS:
                atoms[ELEMENTS.index(element)] += fraction * np.float32(density)
    return Composition(ELEMENTS, atoms, voxel_size_m, name, stage, seed)
