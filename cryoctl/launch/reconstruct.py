"""`reconstruct`: volumes of a run's elements, with what is known of their quality, and into its file."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.compare import error_against_truth
from cryoctl.analysis.elongation import Elongation, elongation
from cryoctl.analysis.fsc import ShellCorrelation, fourier_shell_correlation
from cryoctl.errors import BadInput
from cryoctl.launch.aligned_series import (
    HAADF,
    AlignedSeries,
    align_recording,
    element_series,
    fit_recording,
    image_series,
)
from cryoctl.launch.tilt_recording import TiltRecording
from cryoctl.reconstruction.algorithms import MAX_ITERATIONS, Reconstruction, reconstruct
from cryoctl.reconstruction.alignment import Alignment
from cryoctl.reconstruction.cluster import Farm
from cryoctl.reconstruction.methods import ALGORITHMS
from cryoctl.reconstruction.stopping import thinned_halves, whole_counts

Volume = npt.NDArray[np.float32]
Tell = Callable[[str], None]

IMAGE_ITERATIONS = 60
"""The image has so many counts that its held-out error falls for hundreds of iterations and by next to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for; `elements` empty takes all of the run and its image."""

    elements: tuple[str, ...] = ()
    algorithm: str = "mlem"
    iterations: int | None = None
    scheduler: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ElementVolume:
    """`volume` [z, y, x]: net counts a voxel and tilt (image counts for HAADF) at the median detector yield."""

    element: str
    volume: Volume
    made: Reconstruction
    elongation: Elongation | None
    shells: ShellCorrelation | None
    error_truth: float | None
    ncc_truth: float | None
    seconds: float
    shortfalls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Volumes:
    """All volumes of one call, and the alignment that they share."""

    recording: TiltRecording
    alignment: Alignment
    elements: dict[str, ElementVolume] = field(default_factory=dict[str, ElementVolume])

    def report(self) -> dict[str, Any]:
        """The JSON of contract.md."""
        told: dict[str, Any] = {name: element_report(one) for name, one in self.elements.items()}
        told["alignment"] = {
            "tilt_axis_deg": self.alignment.tilt_axis_deg,
            "residual_px": self.alignment.residual_px,
        }
        return told


def check_wanted(wanted: Wanted, known: Sequence[str]) -> tuple[str, ...]:
    """The elements to reconstruct, each once.

    Raises:
        BadInput: an element that the run does not have, an unknown algorithm, no iteration.
    """
    if wanted.algorithm not in ALGORITHMS:
        raise BadInput(f"--algorithm: {wanted.algorithm[:40]!r} is unknown; choose one of {', '.join(ALGORITHMS)}")
    if wanted.iterations is not None and wanted.iterations < 1:
        raise BadInput(
            f"--iterations: found {wanted.iterations}, at least 1 is needed; leave it out and the data decide"
        )
    if wanted.scheduler is not None:
        Farm(wanted.scheduler).close()
    for element in wanted.elements:
        if element not in (*known, HAADF):
            has = ", ".join((*known, HAADF))
            raise BadInput(f"--element: {element[:20]!r} is not in the run; it has {has}")
    return tuple(dict.fromkeys(wanted.elements)) or (*known, HAADF)


@one_blas_thread
def reconstruct_recording(
    recording: TiltRecording, wanted: Wanted, tell: Tell = lambda text: None, alignment: Alignment | None = None
) -> Volumes:
    """Align by the images, count by the events, reconstruct each element at its own truth-free stop.

    Args:
        tell: hears a sentence a stage, for the person who waits.
        alignment: of the recording's tilts where it is known already.

    Raises:
        BadInput: see `check_wanted`; or the run holds nothing of what was asked for.
    """
    known = recording.energy.elements if recording.energy is not None else ()
    chosen = check_wanted(wanted, known)
    if alignment is None:
        tell(f"aligning {len(recording.tilts)} tilts")
        alignment = align_recording(recording)
    done = Volumes(recording=recording, alignment=alignment)
    series: dict[str, AlignedSeries] = {}
    if any(element != HAADF for element in chosen):
        tell("fitting the spectrum, counting each element")
        series = element_series(recording, alignment, fit_recording(recording, known), wanted.seed)
    for element in chosen:
        tell(f"{element}: {wanted.algorithm}")
        one = image_series(recording, alignment) if element == HAADF else series[element]
        done.elements[element] = _one_volume(element, one, recording, wanted)
    return done


def _one_volume(element: str, series: AlignedSeries, recording: TiltRecording, wanted: Wanted) -> ElementVolume:
    began_s = time.perf_counter()
    made = reconstruct(
        series.counts,
        recording.tilt_deg,
        algorithm=wanted.algorithm,
        iterations=None if wanted.algorithm == "wbp" else wanted.iterations,
        background=series.background,
        gain="fit",
        weight=series.weight,
        halves=series.halves,
        half_shares=series.half_shares,
        thickness_px=recording.thickness_px,
        seed=wanted.seed,
        scheduler=wanted.scheduler,
        max_iterations=IMAGE_ITERATIONS if element == HAADF else MAX_ITERATIONS,
    )
    volume = np.asarray(made.volume / np.float32(max(series.net_fraction, 1e-6)), dtype=np.float32)
    seconds = time.perf_counter() - began_s
    shortfalls: list[str] = []
    drawn_out: Elongation | None = None
    shells: ShellCorrelation | None = None
    error, ncc = None, None
    try:
        drawn_out = elongation(volume, recording.pixel_size_m)
    except BadInput as problem:
        shortfalls.append(problem.message)
    try:
        shells = half_data_shells(series, recording, made, wanted.seed)
    except BadInput as problem:
        shortfalls.append(problem.message)
    truth = recording.truth.get(element)
    if truth is not None and truth.shape == volume.shape and truth.any():
        compared = error_against_truth(volume, truth)
        error, ncc = compared.error, compared.correlation
    return ElementVolume(
        element=element,
        volume=volume,
        made=made,
        elongation=drawn_out,
        shells=shells,
        error_truth=error,
        ncc_truth=ncc,
        seconds=seconds,
        shortfalls=tuple(shortfalls),
    )


def half_data_shells(
    series: AlignedSeries, recording: TiltRecording, made: Reconstruction, seed: int = 0
) -> ShellCorrelation:
    """Fourier shell correlation of the two halves, each reconstructed as the whole was.

    Even and odd scan frames are the halves; of a single scan frame the counts are thinned with `seed`.

    Raises:
        BadInput: there are no halves, or one is empty.
    """
    halves, shares, what = series.halves, series.half_shares, "scan frames"
    if halves is None or shares is None:
        if not whole_counts(series.counts):
            raise BadInput("fsc: a single scan frame a tilt that is no counts has no halves; record two or more")
        halves, shares = thinned_halves(series.counts, seed), np.full((2, len(series.counts)), 0.5)
        what = "thinned counts"
    volumes = [
        reconstruct(
            half,
            recording.tilt_deg,
            algorithm=made.algorithm,
            iterations=None if made.algorithm == "wbp" else made.iterations,
            cutoff=made.cutoff,
            background=series.background * share[:, None, None].astype(np.float32),
            gain=made.gain * share.astype(np.float32),
            weight=series.weight,
            thickness_px=recording.thickness_px,
        ).volume
        for half, share in zip(halves, shares, strict=True)
    ]
    found = fourier_shell_correlation(volumes[0], volumes[1], recording.pixel_size_m)
    return dataclasses.replace(found, halves=what)


def element_report(one: ElementVolume) -> dict[str, Any]:
    """One element's part of the JSON."""
    shells = one.shells
    whole = shells.shell if shells is not None else None
    cones = {"x": shells.x, "y": shells.y, "z": shells.z} if shells is not None else {}
    drawn_out = one.elongation
    return {
        "algorithm": one.made.algorithm,
        "iterations": one.made.iterations,
        "cutoff": one.made.cutoff,
        "stop_rule": one.made.stop_rule,
        "elongation": drawn_out.ratio if drawn_out is not None else None,
        "elongation_of": drawn_out.of if drawn_out is not None else None,
        "elongation_sigma": drawn_out.ratio_sigma if drawn_out is not None else None,
        "fsc_m": whole.resolution_m if whole is not None else None,
        "fsc_low_m": whole.resolution_m_low if whole is not None else None,
        "fsc_high_m": whole.resolution_m_high if whole is not None else None,
        "fsc_halves": shells.halves if shells is not None else None,
        "fsc_axes_m": {axis: curve.resolution_m for axis, curve in cones.items()},
        "error_truth": one.error_truth,
        "ncc_truth": one.ncc_truth,
        "total_counts": float(one.volume.sum(dtype=np.float64)),
        "seconds": one.seconds,
        "shortfalls": list(one.shortfalls),
    }


def tree_of(done: Volumes) -> dict[str, Any]:
    """Paths below /reconstruction/NAME and their values."""
    tree: dict[str, Any] = {}
    for element, one in done.elements.items():
        tree[f"{element}/volume"] = one.volume
        tree[f"{element}/voxel_size_m"] = done.recording.pixel_size_m
        tree[f"{element}/gain"] = one.made.gain
        told = element_report(one)
        for key in ("algorithm", "iterations", "stop_rule", "cutoff", "error_truth", "ncc_truth"):
            tree[f"{element}/{key}"] = told[key]
        if one.made.curve:
            tree[f"{element}/held_out_error"] = np.asarray(one.made.curve, dtype=np.float64)
        for name, result in (("elongation", one.elongation), ("fsc", one.shells)):
            if result is not None:
                tree |= _flat(f"{element}/{name}", dataclasses.asdict(result))
    tree["alignment/shift_px"] = np.asarray(done.alignment.shift_px, dtype=np.float64)
    tree["alignment/tilt_axis_deg"] = float(done.alignment.tilt_axis_deg)
    tree["alignment/residual_px"] = float(done.alignment.residual_px)
    tree["alignment/tilt_deg"] = np.asarray(done.recording.tilt_deg)
    tree["alignment/frame"] = np.array([tilt.frame for tilt in done.recording.tilts], dtype=np.int64)
    tree["target"] = done.recording.target
    return {path: value for path, value in tree.items() if not (value is None or _nan(value))}


def _flat(base: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Paths of nested results; tuples as arrays."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(f"{base}/{key}", cast("Mapping[str, Any]", value))
        else:
            flat[f"{base}/{key}"] = np.asarray(value) if isinstance(value, tuple) else value
    return flat


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
