"""Own SIRT and WBP beside ASTRA's on the same data."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import tilt_series
from cryoctl.reconstruction.sirt import sirt
from cryoctl.reconstruction.wbp import wbp
from tests.nanowire_phantom import nanowire, projections

pytestmark = pytest.mark.peers
TILTS = np.linspace(-60.0, 60.0, 41)
N, N_X = 64, 4


@pytest.fixture(scope="module")
def counts() -> npt.NDArray[np.float32]:
    images = projections(nanowire(N, N_X)["Si"], TILTS)
    return np.random.default_rng(0).poisson(images * 20 / images.max()).astype(np.float32)


def astra_slices(counts: npt.NDArray[np.float32], algorithm: str, iterations: int, **option: Any) -> Any:
    """Volume [z, y, x] by ASTRA on the CPU; its row axis points up and its rays turn the other way, hence the flips."""
    import astra

    volume = astra.create_vol_geom(N, N)
    geometry = astra.create_proj_geom("parallel", 1.0, N, -np.deg2rad(TILTS))
    projector = astra.create_projector("strip", geometry, volume)
    out = np.empty((N, N, counts.shape[2]), np.float32)
    for x in range(counts.shape[2]):
        sinogram = astra.data2d.create("-sino", geometry, np.ascontiguousarray(counts[:, :, x]))
        result = astra.data2d.create("-vol", volume)
        settings = astra.astra_dict(algorithm)
        settings.update(ProjectorId=projector, ProjectionDataId=sinogram, ReconstructionDataId=result, option=option)
        task = astra.algorithm.create(settings)
        astra.algorithm.run(task, iterations)
        out[:, :, x] = astra.data2d.get(result)[::1]
        astra.algorithm.delete(task)
        astra.data2d.delete([sinogram, result])
    astra.projector.delete(projector)
    return out


def ncc(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("non_negative", [False, True])
def test_sirt_equals_astra(counts: npt.NDArray[np.float32], non_negative: bool) -> None:
    projector = Projector(TiltGeometry(tuple(TILTS), N, N, N))
    own = next(islice(sirt(tilt_series(counts), projector, non_negative), 29, None)).volume
    option = {"MinConstraint": 0.0} if non_negative else {}
    found = ncc(own, astra_slices(counts, "SIRT", 30, **option))
    print(f"\nSIRT {option}: NCC with ASTRA's {found:.4f}")
    assert found >= 0.98


def test_wbp_equals_astra(counts: npt.NDArray[np.float32]) -> None:
    projector = Projector(TiltGeometry(tuple(TILTS), N, N, N))
    own = wbp(tilt_series(counts), projector, 1.0)
    found = ncc(own, astra_slices(counts, "FBP", 1, FilterType="hann", FilterD=1.0))
    print(f"\nWBP: NCC with ASTRA's {found:.4f}")
    assert found >= 0.98
