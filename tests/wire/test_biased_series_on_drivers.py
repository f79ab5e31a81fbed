"""A whole recipe on drivers of real instruments, each at the wire of an emulated one: what the simulators give, within
noise, also while the wire is bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.runfile.check import check_run
from tests.runs.biased_runs import play


def run_on(instrument: str, out: Path, *overrides: str, **more: Any) -> dict[str, Any]:
    result = play(out, *overrides, instrument=instrument, seed=5, **more)
    assert result.run_file is not None
    report = check_run(result.run_file)
    assert all(one.ok for one in report.checks), report.to_json()
    with open_run(result.run_file) as run:
        currents, volts = (np.asarray(run.monitors[name].value) for name in ("bias_current", "bias_voltage"))
        return {
            "code": result.exit_code,
            "frames": len(run.exposures.time_s),
            "conductance": float(np.median((currents / volts)[np.abs(volts) > 0.4])),
            "dose": float(np.asarray(run.dose.map).sum()),
            "off": not run.truth.final.output_on,
        }


def test_the_same_series_on_drivers_as_on_simulators(tmp_path: Path) -> None:
    simulated, driven = (run_on(name, tmp_path / name) for name in ("needle-holder", "emulated-needle-holder"))
    assert driven["code"] == simulated["code"] == 0
    assert driven["frames"] == simulated["frames"]
    assert driven["conductance"] == pytest.approx(simulated["conductance"], rel=0.01)
    assert driven["dose"] == pytest.approx(simulated["dose"], rel=0.02)
    assert driven["off"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"fault": "pressure-high", "at": {"time_s": 25}, "for_s": 1e4}, 4),
        ({"fault": "lost-link", "at": {"time_s": 25}, "for_s": 20}, 0),
        ({"fault": "no-answer", "at": {"time_s": 25}, "for_s": 20}, 0),
    ],
)
def test_what_a_gauge_tells_and_does_not(tmp_path: Path, fault: dict[str, Any], code: int) -> None:
    found = run_on(
        "emulated-needle-holder",
        tmp_path,
        "interlocks.pressure_max_pa=1e-3",
        faults=[{"device": "gauge", **fault}],
    )
    assert found["code"] == code
    assert found["off"]


def test_a_wire_that_goes_bad_loses_nothing(tmp_path: Path) -> None:
    faults = [
        {"device": "wire", "fault": fault, "at": {"time_s": at_s}}
        for at_s, fault in ((20, "line-garbage"), (24, "line-lost"), (28, "line-damaged"), (32, "line-split"))
    ]
    found = run_on("emulated-needle-holder", tmp_path, faults=faults)
    assert found["code"] == 0
    assert found["off"]
