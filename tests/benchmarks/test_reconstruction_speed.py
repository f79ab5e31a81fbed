"""Own MLEM beside scipy and ASTRA in the same process.

Run: `pytest -m benchmark -s tests/benchmarks/test_reconstruction_speed.py`.

Ratios are what to look at; the machine may be shared. Nothing is asserted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

from cryoctl.reconstruction.geometry import TiltGeometry, system_matrix
from cryoctl.reconstruction.live import LiveReconstruction
from cryoctl.reconstruction.mlem import mlem
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import tilt_series

N, ITERATIONS = 128, 30
TILTS = np.linspace(-60.0, 60.0, 41)
COUNTS = np.random.default_rng(0).poisson(3.0, (41, N, N)).astype(np.float32)
GEOMETRY = TiltGeometry(tuple(TILTS), N, N, N)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor_seconds(work: Callable[[], object]) -> float:
    """Of all threads: says more than the clock where the machine is shared."""
    start = time.process_time()
    work()
    return time.process_time() - start


def scipy_mlem() -> None:
    forward, back = system_matrix(GEOMETRY)
    counts = COUNTS.reshape(41 * N, N)
    volume = np.ones((N * N, N), np.float32)
    sensitivity = back @ np.ones_like(counts)
    for _ in range(ITERATIONS):
        volume *= (back @ (counts / np.maximum(forward @ volume, 1e-20))) / np.maximum(sensitivity, 1e-20)


def astra_sirt_of_one_slice(astra: Any) -> None:
    volume = astra.create_vol_geom(N, N)
    geometry = astra.create_proj_geom("parallel", 1.0, N, np.deg2rad(TILTS))
    projector = astra.create_projector("linear", geometry, volume)
    sinogram = astra.data2d.create("-sino", geometry, np.ascontiguousarray(COUNTS[:, :, 0]))
    result = astra.data2d.create("-vol", volume)
    settings = astra.astra_dict("SIRT")
    settings.update(ProjectorId=projector, ProjectionDataId=sinogram, ReconstructionDataId=result)
    task = astra.algorithm.create(settings)
    astra.algorithm.run(task, ITERATIONS)
    astra.algorithm.delete(task)
    astra.data2d.delete([sinogram, result])
    astra.projector.delete(projector)


@pytest.mark.benchmark
def test_mlem_beside_scipy_and_astra() -> None:
    build = seconds(lambda: system_matrix(GEOMETRY))
    first = seconds(lambda: Projector(GEOMETRY).forward(np.ones((N, N, N), np.float32)))
    series = tilt_series(COUNTS, 0.1)
    own = min(seconds(lambda: list(islice(mlem(series, Projector(GEOMETRY)), ITERATIONS))[-1]) for _ in range(3))
    peer = min(seconds(scipy_mlem) for _ in range(2))
    print(f"\n{N}^3, 41 tilts, {ITERATIONS} iterations: matrix {build:.2f} s, first projection {first:.2f} s")
    print(f"own MLEM {own:.2f} s; scipy CSR MLEM {peer:.2f} s ({peer / own:.1f} times)")
    spent = processor_seconds(lambda: list(islice(mlem(series, Projector(GEOMETRY)), ITERATIONS))[-1])
    print(f"processor time: own {spent:.2f} s, scipy {processor_seconds(scipy_mlem):.2f} s")
    astra: Any = pytest.importorskip("astra", reason="astra-toolbox is not installed")
    slices = 8
    other = seconds(lambda: [astra_sirt_of_one_slice(astra) for _ in range(slices)]) * N / slices
    print(f"ASTRA CPU SIRT {other:.1f} s (from {slices} of {N} slices), {other / own:.0f} times own MLEM")


@pytest.mark.benchmark
def test_live_cost_of_a_tilt() -> None:
    live = LiveReconstruction(["Si"], (N, N))
    took = [seconds(lambda i=i: live.add_tilt(float(TILTS[i]), {"Si": COUNTS[i]})) for i in range(41)]
    print(f"\nlive, {N}^3, a tilt and element: median {np.median(took) * 1e3:.0f} ms, worst {max(took) * 1e3:.0f} ms")
