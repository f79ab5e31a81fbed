"""A small file of the layout "cryoctl sparse EDX tilt series", made up, with all that it holds known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

TILTS_DEG = (20.0, -20.0, 0.0, 10.0, -10.0)
"""Neither sorted nor beginning at 0: the order is the data's."""
SHAPE = (16, 24)
OFFSET_KEV, SCALE_KEV = -0.2, 0.01
REAL_TIME_S = 12.5


@dataclass(frozen=True, slots=True, eq=False)
class MadeSeries:
    """`counts` [tilt, y, x, channel]."""

    path: Path
    images: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.int64]


def make_series(path: Path, seed: int = 1) -> MadeSeries:
    """O (0.525 keV) and Si (1.740 keV) on a faint flat background; some entries count more than once."""
    rng = np.random.default_rng(seed)
    energy = OFFSET_KEV + SCALE_KEV * (np.arange(256) + 0.5)
    lines = sum(a * np.exp(-0.5 * ((energy - e) / 0.03) ** 2) for e, a in ((0.525, 0.15), (1.740, 0.4)))
    y, x = np.indices(SHAPE)
    thickness = np.exp(-((y - 8) ** 2 + (x - 11) ** 2) / 30.0)
    counts = rng.poisson(thickness[None, :, :, None] * lines + 0.001, (len(TILTS_DEG), *SHAPE, 256))
    images = rng.poisson(500 + 4000 * thickness, (len(TILTS_DEG), *SHAPE)).astype(np.uint16)
    with h5py.File(path, "w") as file:
        file.attrs["title"] = "a made series"
        file.attrs["source"] = "nowhere, 120 kV"
        file["tilt_deg"] = np.array(TILTS_DEG)
        file["energy_offset_kev"], file["energy_scale_kev"], file["pixel_size_nm"] = OFFSET_KEV, SCALE_KEV, 20.0
        for tilt, image, cube in zip(TILTS_DEG, images, counts, strict=True):
            group = file.create_group(f"tilt_{round(tilt):+03d}")
            flat = cube.reshape(-1, 256)
            pixel, channel = np.nonzero(flat)
            group["haadf"] = image
            group["entries_per_pixel"] = np.bincount(pixel, minlength=flat.shape[0]).astype(np.uint16)
            group["channel"] = channel.astype(np.uint16)
            group["counts"] = flat[pixel, channel].astype(np.uint8)
            group.attrs["real_time_s"] = REAL_TIME_S
            group.attrs["total_counts"] = int(cube.sum())
    return MadeSeries(path, images, counts)
