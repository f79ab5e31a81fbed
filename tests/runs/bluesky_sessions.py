"""Small bluesky sessions on the simulated microscope, and what their run files show of dose."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bluesky.plans as bp
import event_model
import numpy as np
from bluesky import RunEngine
from bluesky.utils import FailedStatus

from cryoctl import open_run
from cryoctl.bluesky import Session, open_session
from cryoctl.bluesky.framing import KINDS
from cryoctl.errors import DoseRefused
from cryoctl.runfile.check import check_run

SMALL = {"edx.elements": ["Si"]}
Documents = list[tuple[str, dict[str, Any]]]


def opened(out: Path, *, seed: int = 1, speed: float | None = None, **overrides: Any) -> Session:
    """Overrides have `__` for the points of their paths."""
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    session = open_session(out=out, seed=seed, speed=speed, set=SMALL | named)
    for detector in session.devices.pictures.values():
        detector.configure({"shape": (24, 32)})
    return session


def engine_of(session: Session) -> tuple[RunEngine, Documents]:
    """With the documents that it will tell; its signal handlers are left out, which belong to a person's terminal."""
    engine: RunEngine = session.run_engine(context_managers=[])
    told: Documents = []
    engine.subscribe(lambda name, document: told.append((name, document)))
    return engine, told


def check_documents(told: Documents) -> None:
    """Each against event-model's schema of its kind."""
    for name, document in told:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dosed:
    """Doses in units of the limit, the ledger dilated by what places are unsure; `exposures` were made, `refused` says
    whether one was, `sound` what `cryoctl check` says."""

    peak: float
    ledger_minus_truth: float
    sound: bool
    exposures: int
    refused: bool


def random_session(case: int, out: Path) -> Dosed:
    """Scans over tilts and places with what framings come, until one is refused or all are done."""
    rng = random.Random(case)
    limit = 10 ** rng.uniform(2.0, 4.0)
    refused = False
    with opened(out, seed=case, dose__limit_e_per_a2=limit) as session:
        engine, _ = engine_of(session)
        haadf, devices = session.devices.pictures["haadf"], session.devices
        for _ in range(rng.randint(1, 4)):
            pixel_m = rng.choice((10e-9, 15e-9, 20e-9))
            part = 10 ** rng.uniform(-2.0, 0.0) * limit  # of an exposure, about
            haadf.configure(
                {
                    "shape": (rng.choice((24, 32, 48)), rng.choice((32, 48))),
                    "pixel_size_m": pixel_m,
                    "dwell_s": min(part * (pixel_m * 1e10) ** 2 * 1.6e-19 / 2e-10, 0.05),
                    "scans": rng.choice((1, 1, 3)),
                    "shift_x_m": rng.uniform(-1e-6, 1e-6),
                    "shift_y_m": rng.uniform(-1e-6, 1e-6),
                    "kind": rng.choice(KINDS),
                }
            )
            detectors = [haadf, devices.edx] if haadf.framing.kind == "record" and rng.random() < 0.5 else [haadf]
            axis, low, high = rng.choice(((devices.tilt, -60, 60), (devices.x, -2e-6, 2e-6), (devices.y, -2e-6, 2e-6)))
            ends = sorted((rng.uniform(low, high), rng.uniform(low, high)), reverse=rng.random() < 0.5)
            try:
                engine(bp.scan(detectors, axis, *ends, rng.randint(1, 4)))
            except FailedStatus as failure:
                refused |= isinstance(failure.__cause__, DoseRefused)
    assert session.result is not None
    assert session.result.run_file is not None
    report = check_run(session.result.run_file)
    with open_run(session.result.run_file) as run:
        truth = np.asarray(run.truth.dose_map_e_per_a2)
        exposures = len(run.exposures.time_s)
    assert report.ledger_minus_truth is not None
    return Dosed(
        peak=float(truth.max()) / limit,
        ledger_minus_truth=report.ledger_minus_truth["min"] / limit,
        sound=report.ok,
        exposures=exposures,
        refused=refused,
    )
