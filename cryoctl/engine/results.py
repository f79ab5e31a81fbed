"""First results of a tilt series: alignment, and what a scientist quotes of the live volumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.classify import core_shell_score
from cryoctl.analysis.compare import error_against_truth
from cryoctl.analysis.connectivity import connectivity, pores
from cryoctl.analysis.elongation import elongation
from cryoctl.analysis.fsc import fourier_shell_correlation
from cryoctl.analysis.ionisation import cross_section
from cryoctl.analysis.partial_volume import spill, transfer_matrix
from cryoctl.analysis.radial_profile import radial_profile
from cryoctl.analysis.wire_amounts import amounts, wire_regions
from cryoctl.engine.edx_counts import EdxCounts
from cryoctl.errors import BadInput
from cryoctl.reconstruction.algorithms import reconstruct
from cryoctl.reconstruction.alignment import Alignment
from cryoctl.reconstruction.live import LiveReconstruction
from cryoctl.reconstruction.stopping import thinned_halves

Volume = npt.NDArray[np.float32]
Results = dict[str, dict[str, Any]]

SILICON, IMAGE = "Si", "HAADF"
HALF_ITERATIONS = 8
THINNING_SEED = 0
LARGEST_SHIFT_PX = 8.0
"""A live volume stands where the first tilt's image stood, up to some pixels beside the centre of the record area."""


def alignment_of(found: Alignment, base: str, frames: Sequence[int]) -> dict[str, Any]:
    """Paths and values of the alignment group; shifts [frame, (dy, dx)] are those of the first scan frame of each."""
    return {
        f"{base}/shift_px": np.asarray(found.shift_px, dtype=np.float64),
        f"{base}/tilt_axis_deg": float(found.tilt_axis_deg),
        f"{base}/residual_px": float(found.residual_px),
        f"{base}/frame": np.asarray(frames, dtype=np.int64),
    }


class Quoted:
    """Collects results by name; an analysis that can't be done leaves a sentence in `missing`."""

    def __init__(self) -> None:
        self.results: Results = {}
        self.missing: list[str] = []

    def add(self, name: str, analysis: Callable[[], Any]) -> None:
        """`analysis` returns a dataclass or a mapping of plain values."""
        try:
            found = analysis()
        except BadInput as error:
            self.missing.append(error.message)
            return
        self.results[name] = found if isinstance(found, dict) else dataclasses.asdict(found)


def shape_results(quoted: Quoted, volumes: Mapping[str, Volume], voxel_size_m: float) -> None:
    """Elongation, connection, pores, texture and radial profiles of the volumes [z, y, x] of one target."""
    core = volumes.get(SILICON, volumes.get(IMAGE))
    if core is None:
        return
    guide = volumes.get(IMAGE, core)
    quoted.add("elongation", lambda: elongation(core, voxel_size_m))
    quoted.add("connectivity", lambda: connectivity(core, voxel_size_m))
    quoted.add("pores", lambda: pores(guide))
    if SILICON in volumes:
        quoted.add("texture", lambda: core_shell_score(core))
    for element, volume in volumes.items():
        quoted.add(f"radial_profile/{element}", lambda v=volume: radial_profile(v, voxel_size_m, axis_from=guide))


def amount_results(
    quoted: Quoted,
    volumes: Mapping[str, Volume],
    counts: EdxCounts,
    frames: Sequence[int],
    tilts_deg: Sequence[float],
    *,
    dose_e_per_m2: float,
    solid_angle_sr: float,
    beam_energy_ev: float,
    voxel_size_m: float,
    live_passes: int,
) -> None:
    """Net counts of each element, and atoms/m3 and at% in core and shell from the volumes [z, y, x].

    Args:
        dose_e_per_m2: of one tilt, mean over the tilts, dead time taken off.
        live_passes: of the live reconstruction, whose blur between core and shell joins sigma.
    """
    fit = counts.fit
    for element in fit.elements:
        quoted.results[f"net_counts/{element}"] = {
            "counts": fit.net_counts[element],
            "counts_sigma": fit.net_counts_sigma[element],
        }
    elements = [element for element in fit.elements if element in volumes]
    if SILICON not in elements or len(elements) < 2 or not dose_e_per_m2 > 0:
        return
    try:
        sections = {element: cross_section(element, beam_energy_ev, solid_angle_sr) for element in elements}
        net = {element: volumes[element] / max(counts.signal_fraction[element], 1e-6) for element in elements}
        whole = np.sum([v / max(float(v.max()), 1e-12) for v in net.values()], axis=0)
        regions = wire_regions(net[SILICON], whole)
        meeting = wire_regions(net[SILICON], whole, away_px=0)
    except BadInput as error:
        quoted.missing.append(error.message)
        return
    seen = dose_e_per_m2 * counts.relative_yield(SILICON, frames)
    across_m = float(quoted.results.get("elongation", {}).get("across_m", 0.0))
    mixed = transfer_matrix(meeting, regions, tilts_deg, lambda ideal: _as_live(ideal, tilts_deg, whole, live_passes))
    spilled = {
        element: spill(mixed, [float(volume[mask].mean()) if mask.any() else 0.0 for mask in regions.values()])
        for element, volume in net.items()
    }
    for number, (region, mask) in enumerate(regions.items()):
        blurred = {element: float(counts_a_voxel[number]) for element, counts_a_voxel in spilled.items()}
        try:
            found = amounts(net, mask, sections, seen, voxel_size_m, across_m / 2, SILICON, blurred)
        except BadInput as error:
            quoted.missing.append(f"{region}: {error.message}")
            continue
        for element, amount in found.items():
            quoted.results[f"quantification/{region}/{element}"] = dataclasses.asdict(amount)


def _as_live(projections: Volume, tilts_deg: Sequence[float], like: Volume, passes: int) -> Volume:
    """What the live reconstruction makes of aligned projections."""
    live = LiveReconstruction(("filled",), (like.shape[1], like.shape[2]), thickness_px=like.shape[0], passes=passes)
    for angle, image in zip(tilts_deg, projections, strict=True):
        live.add_tilt(angle, {"filled": image})
    return live.volumes()["filled"]


def half_data_results(
    quoted: Quoted,
    counts: EdxCounts,
    frames: Sequence[int],
    tilts_deg: Sequence[float],
    place: Alignment,
    voxel_m: float,
) -> None:
    """Fourier shell correlation of one element from even and odd scan frames, each half reconstructed by MLEM.

    Where a tilt has a single scan frame, counts are thinned instead.
    """
    halves = counts.halves
    parts = np.stack([halves.counts[k] for k in frames], axis=1)
    by_scans = bool(parts[1].any(axis=(1, 2)).all())
    if not by_scans:
        parts = thinned_halves(parts.sum(axis=0), THINNING_SEED)
    background = place.apply(np.stack([halves.background[k] for k in frames])) / np.float32(2)
    weight = place.coverage((background.shape[1], background.shape[2]))

    def correlate() -> dict[str, Any]:
        volumes = [
            reconstruct(
                place.apply(part),
                tilts_deg,
                iterations=HALF_ITERATIONS,
                background=np.maximum(background, 0),
                weight=weight,
            ).volume
            for part in parts
        ]
        found = fourier_shell_correlation(volumes[0], volumes[1], voxel_m)
        told: dict[str, Any] = {"criterion": found.criterion, "iterations": HALF_ITERATIONS}
        told["halves"] = "scan frames" if by_scans else "thinned counts"
        for direction in ("shell", "x", "y", "z"):
            curve = dataclasses.asdict(getattr(found, direction))
            told |= {f"{direction}/{key}": value for key, value in curve.items()}
        return told

    quoted.add(f"fsc/{halves.element}", correlate)


def truth_results(quoted: Quoted, volumes: Mapping[str, Volume], truth: Mapping[str, Any]) -> None:
    """Error of each volume against the simulated composition (paths below /simulation)."""
    for element, volume in volumes.items():
        real = truth.get(f"composition/{element}")
        if real is None or np.shape(real) != volume.shape or not np.any(real):
            continue
        unit = float(np.max(real))
        quoted.add(
            f"error_truth/{element}",
            lambda v=volume, r=real, u=unit: error_against_truth(v, np.asarray(r) / u, LARGEST_SHIFT_PX),
        )


def conclusions_of(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Paths below /results and their values."""
    extras: dict[str, Any] = {}
    for name, values in results.items():
        for key, value in values.items():
            extras[f"results/{name}/{key}"] = np.asarray(value) if isinstance(value, tuple | list) else value
    return extras
