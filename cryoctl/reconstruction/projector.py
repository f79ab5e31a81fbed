"""Forward projection of a volume and its exact transpose, for any set of tilts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.reconstruction.geometry import TiltGeometry, system_matrix
from cryoctl.reconstruction.slice_kernel import times_slices


class Projector:
    """Projects volumes [z, y, x] to stacks [tilt, y, x] and back, float32, in units of counts a voxel.

    `back` is the transpose of `forward` with the very same entries. Both are deterministic and independent of `threads`
    (default: all processors the process may use).
    """

    def __init__(self, geometry: TiltGeometry, threads: int | None = None) -> None:
        self.geometry = geometry
        self.threads = threads
        self._forward, self._back = system_matrix(geometry)

    def forward(self, volume: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Sum of the volume [z, y, x] along each ray: [tilt, y, x]. Raises BadInput on another shape."""
        g = self.geometry
        array = np.ascontiguousarray(volume, np.float32)
        if array.ndim != 3 or array.shape[:2] != (g.n_z, g.n_y):
            raise BadInput(f"volume: shape {array.shape}, the projector expects ({g.n_z}, {g.n_y}, slices)")
        flat = times_slices(self._forward, array.reshape(g.n_z * g.n_y, -1), self.threads)
        return flat.reshape(g.n_tilts, g.n_rows, -1)

    def back(self, projections: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Transpose of `forward`: [tilt, y, x] to [z, y, x]. Raises BadInput on another shape."""
        g = self.geometry
        array = np.ascontiguousarray(projections, np.float32)
        if array.ndim != 3 or array.shape[:2] != (g.n_tilts, g.n_rows):
            raise BadInput(f"projections: shape {array.shape}, the projector expects ({g.n_tilts}, {g.n_rows}, slices)")
        flat = times_slices(self._back, array.reshape(g.n_tilts * g.n_rows, -1), self.threads)
        return flat.reshape(g.n_z, g.n_y, -1)

    def of_tilts(self, indices: tuple[int, ...]) -> Projector:
        """The projector of some of the tilts, in the order given."""
        return Projector(self.geometry.of_tilts(indices), self.threads)
