"""The recorded particle frames with their masks, where this computer has them."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pytest

NAME = "real_particle_frames.h5"


@cache
def recorded_frames() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Frames and masks [20, 512, 512]; from `CRYOCTL_TEST_DATA`, else from `shared/data` above these tests."""
    named = os.environ.get("CRYOCTL_TEST_DATA")
    folders = [Path(named)] if named else [above / "shared" / "data" for above in Path(__file__).resolve().parents]
    for folder in folders:
        if (folder / NAME).is_file():
            with h5py.File(folder / NAME) as file:
                return file["frames"][()], file["masks"][()] > 0
    pytest.skip(f"{NAME} is not on this computer; name its folder in CRYOCTL_TEST_DATA")
