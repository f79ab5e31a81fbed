"""What a user waits for at the command line, and what the simulator spends on a tilt.

Run: `pytest -m benchmark -s tests/benchmarks/test_interactive_speed.py`. Nothing is asserted.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from cryoctl_simulators.optics.edx import EdxDetector
from cryoctl_simulators.optics.projection import ImageGeometry, Projector
from cryoctl_simulators.specimens.nanowire import build_nanowire

VOXEL_M = 10e-9


def fastest(arguments: list[str], times: int = 4) -> float:
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
        took.append(time.perf_counter() - began)
    return min(took)


@pytest.mark.benchmark
def test_the_command_line_answers() -> None:
    bare = fastest(["-c", "pass"])
    for arguments in (["--help"], ["recipes"], ["run", "edx-tomography", "--set", "edx.elements=[Li]"]):
        took = fastest(["-m", "cryoctl", *arguments])
        print(f"\ncryoctl {' '.join(arguments)}: {took:.2f} s, {took / bare:.1f} times a bare interpreter", end="")


@pytest.mark.benchmark
def test_a_simulated_tilt_costs_little() -> None:
    wire = build_nanowire("plum-pudding", 2)
    projector, image = Projector(wire), ImageGeometry((96, 128), VOXEL_M, (1e-9, 2e-9), 0.3)
    projector.project(0.0, image)
    began = time.process_time()
    for tilt_deg in range(-60, 61, 15):
        projector.project(float(tilt_deg), image)
    print(f"\nprojection of 96 x 96 x 128 voxels, 7 elements: {1e3 * (time.process_time() - began) / 9:.1f} ms a tilt")
    detector = EdxDetector()
    atoms_per_m2, _ = projector.project(0.0, image)
    sources = detector.sources(wire.elements, atoms_per_m2, 0.0)
    electrons = 3e5 / sum(source.counts_per_electron.sum() for source in sources)
    began = time.process_time()
    frame = detector.expose(sources, electrons, 100.0, np.random.default_rng(0))
    print(f"{frame.pixel.size} X-ray events: {1e3 * (time.process_time() - began):.0f} ms")
