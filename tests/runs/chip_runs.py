"""Whole runs of a solar cell on the simulated chip, and what became of them beside the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl import open_run
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import run
from cryoctl.registry import find

RECIPE = "chip-biasing"
SMALL = (
    "facets=[{name: '100', spacing_m: 6.28e-10}, {name: '110', spacing_m: 4.44e-10}]",
    "sweep={cycles: 1, rate_v_per_s: 0.4}",
    "bias={hold: constant-voltage, voltage_v: 1.0, duration_s: 30, dwell_s: 5}",
    "frame_interval_s=8",
    "before=1",
    "blanked.every=0",
    "pictures={shape: [320, 480], pixel_size_m: 1.7e-10, search_shape: [768, 768]}",
)
"""Quick sweeps, half a minute at one voltage, four pictures of each region: some seconds of CPU. Later ones win."""
SERIES = (
    "sweep={cycles: 1, rate_v_per_s: 0.4}",
    "bias={hold: constant-voltage, voltage_v: 1.0, duration_s: 500, dwell_s: 5}",
    "frame_interval_s=12",
    "blanked.for_s=40",
    "beam_current.dose_e_per_a2=0",
    "pictures={shape: [456, 456], pixel_size_m: 1.65e-10, search_shape: [800, 800]}",
)
"""What tells the order of the facets and the cause, with as little as can be of the rest."""


def requested(out: Path, *overrides: str, seed: int = 1, **options: Any) -> RunRequest:
    """`options` are those of `RunRequest`."""
    return RunRequest(
        recipe=RECIPE,
        instrument=Path(str(find("cryoctl.instruments", "chip-holder"))),
        out=out,
        seed=seed,
        overrides=overrides,
        **options,
    )


def play(out: Path, *overrides: str, seed: int = 1, **options: Any) -> RunResult:
    """See `requested`."""
    return run(requested(out, *overrides, seed=seed, **options))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweepErrors:
    """Relative errors of means over the sweeps before the hold, of hysteresis absolute as well; `sweeps` of each."""

    voc: float
    jsc: float
    fill_factor: float
    hysteresis: float
    hysteresis_index: float
    single: dict[str, npt.NDArray[np.float64]]


def sweep_errors(run_file: Path) -> SweepErrors:
    """Against the truth of the sweeps that began at the same time."""
    with open_run(run_file) as found:
        measured, truth = found.results.jv, found.truth.results.jv
        chosen = np.array([str(when) == "before" for when in measured.when])
        began = np.asarray(measured.began_s)[chosen]
        at = [int(np.abs(np.asarray(truth.time_s) - time).argmin()) for time in began]
        assert [str(truth.direction[k]) for k in at] == [str(one) for one in np.asarray(measured.direction)[chosen]]
        power = np.asarray(truth.power_w)[at]
        index = np.repeat(1 - power[0::2] / power[1::2], 2)
        pairs = {
            name: (np.asarray(getattr(measured, name))[chosen], np.asarray(getattr(truth, name))[at])
            for name in ("voc_v", "jsc_a", "fill_factor")
        }
        pairs["hysteresis"] = (np.asarray(measured.hysteresis)[chosen], index)
    mean = {name: float(one.mean() / other.mean() - 1) for name, (one, other) in pairs.items()}
    one, other = pairs["hysteresis"]
    return SweepErrors(
        voc=mean["voc_v"],
        jsc=mean["jsc_a"],
        fill_factor=mean["fill_factor"],
        hysteresis=mean["hysteresis"],
        hysteresis_index=float(one.mean() - other.mean()),
        single={name: one / other - 1 for name, (one, other) in pairs.items()},
    )


def held_share(run_file: Path) -> float:
    """Of the power that the cell could have given while it was held, what it gave, by the truth of both."""
    with open_run(run_file) as found:
        times = np.asarray(found.results.hold.time_s)
        truth = found.truth.results.hold
        own = (np.asarray(truth.time_s) >= times[0] - 2.6) & (np.asarray(truth.time_s) <= times[-1] + 2.6)
        return float(np.asarray(truth.power_w)[own].mean() / np.asarray(truth.maximum_w)[own].mean())


def told_order(run_file: Path) -> tuple[list[str], list[str]]:
    """Names of the biased facets in the order in which they fade: as measured, and in truth."""
    with open_run(run_file) as found:
        return _order(found.results.facets), _order(found.truth.results.facets)


def _order(facets: Any) -> list[str]:
    ranked = [(int(rank), str(name)) for rank, name in zip(facets.rank, facets.name, strict=True) if rank > 0]
    return [name for _, name in sorted(ranked)]


def told_cause(run_file: Path) -> tuple[str, list[float], str]:
    """As measured with its probabilities, and in truth."""
    with open_run(run_file) as found:
        cause = found.results.cause
        return str(cause.name), [float(one) for one in cause.probability], str(found.truth.results.cause.name)
