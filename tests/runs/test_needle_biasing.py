"""A needle is brought to a particle, and away from it however the run ends: by the simulated world's own truth."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import cryoctl
from cryoctl.launch.measure_area import AreaRequest, measure_area
from cryoctl.runfile.check import check_run
from cryoctl.runfile.journal import Journal
from tests.runs.killed_runs import in_a_child, resumed
from tests.runs.needle_runs import play


def at_rest(path: Path) -> None:
    with cryoctl.open_run(path) as run:
        final = run.truth.final
        assert str(final.needle_state) == "free"
        assert float(final.needle_gap_m) > 2e-6
        assert not final.output_on
        assert str(final.output_mode) == "high-impedance"
        assert final.beam_blanked
        assert int(final.collisions) == 0
        assert float(final.max_indentation_m) < 20e-9


def the_particles_are_told(run: Any, touched: np.ndarray) -> int:
    """Areas against the truth's; the row of the particle in contact."""
    told, true = run.results.particles, run.truth.results.particles
    control = np.asarray(told.control)
    assert (~control).sum() == 1
    assert control.sum() >= 2, "beside needle and grid"
    number = int(np.flatnonzero(~control)[0])
    area, shown = np.asarray(told.area_m2), np.asarray(true.area_m2)[touched][0]
    told_over_true = area[number] / shown
    assert np.isfinite(told_over_true).sum() >= len(shown) - 1, "one picture of these coarse ones may not tell it"
    assert np.nanmax(np.abs(told_over_true / np.nanmedian(told_over_true) - 1)) < 0.05
    assert np.nanmax(np.abs(np.asarray(told.expansion)[control] - 1)) < 0.05
    labels = np.asarray(run.image.labels)
    assert labels.shape == np.shape(run.image.data)
    assert {f"p{k}" for k in np.unique(labels) if k} == set(told.name)
    size = (labels == int(str(told.name[number]).removeprefix("p"))).sum(axis=(1, 2))
    assert size[-1] > 1.1 * size[0]
    return number


def test_the_needle_comes_to_the_particle_at_its_height_and_leaves_it(tmp_path: Path) -> None:
    result = play(tmp_path)
    assert result.exit_code == 0, result.summary["message"]
    assert result.run_file is not None
    at_rest(result.run_file)
    assert all(one.ok for one in check_run(result.run_file).checks)
    with cryoctl.open_run(result.run_file) as run:
        told, true = run.results, run.truth.results
        assert bool(true.contact.found)
        assert -1.0 < float(told.contact.time_s) - float(true.contact.time_s) < 15.0
        assert float(true.contact.max_overlap_m) < 10e-9
        assert abs(float(true.eucentric.needle_z_m) - float(true.eucentric.grid_z_m)) < 30e-9
        for name in ("grid_z_m", "needle_z_m"):
            assert abs(float(told.eucentric[name]) - float(true.eucentric[name])) < 200e-9
        touched = np.asarray(true.particles.touched)
        expansion = np.asarray(true.particles.expansion)
        assert touched.sum() == 1
        assert expansion[touched][0] > 1.2
        assert np.all(expansion[~touched] < 1.01)
        number = the_particles_are_told(run, touched)
        assert told.current.verdict == "normal"
        assert float(told.current.capacity_c_low) < float(np.asarray(true.current.capacity_c)[touched][0])
        assert float(told.current.capacity_c_high) > float(np.asarray(true.current.capacity_c)[touched][0])
        live = [event for event in run.entry.events.event if str(event) == "particles"]
        assert len(live) == len(run.image), "one after each frame, while the run goes on"
        rows = np.asarray(run.exposures.state) == "series"
        rate = np.asarray(run.exposures.dose_e_per_a2)[rows] / np.asarray(run.exposures.duration_s)[rows]
        assert rows.sum() >= 4
        assert np.all(np.abs(rate / 10.0 - 1.0) < 0.03), "charged is the upper current"
        kept = {name: np.asarray(told.particles[name])[number] for name in ("area_m2", "expansion", "rate_per_s")}
    with h5py.File(result.run_file) as file:
        empty: list[str] = []
        file.visititems(lambda name, one: empty.append(name) if getattr(one, "size", 1) == 0 else None)
    assert not empty, "HyperSpy can't read a file with an empty dataset"
    again = measure_area(result.run_file, AreaRequest()).report["area"]
    name = list(again)[number]
    assert all(np.array_equal(np.asarray(again[name][key]), value, equal_nan=True) for key, value in kept.items())


def test_without_a_needle_in_the_field_nothing_is_moved(tmp_path: Path) -> None:
    result = play(tmp_path, "simulation.needle.gap_m=4e-4")
    assert (result.exit_code, result.summary["end_reason"]) == (4, "target-lost")
    assert "needle" in result.summary["message"]
    assert result.run_file is not None
    at_rest(result.run_file)


@pytest.mark.parametrize(
    ("state", "records"), [("series", 120), pytest.param("approach", 40, marks=pytest.mark.campaign)]
)
def test_a_killed_run_is_not_gone_on_with_but_withdrawn(state: str, records: int, tmp_path: Path) -> None:
    def act() -> None:
        append = Journal.append
        seen = 0

        def counted(self: Journal, kind: str, fields: Any, **how: Any) -> Any:
            nonlocal seen
            record = append(self, kind, fields, **how)
            seen += seen > 0
            if kind == "state" and fields["state"] == state:
                seen = 1
            if seen == records:
                os._exit(9)
            return record

        Journal.append = counted  # type: ignore[method-assign]
        play(tmp_path, "needle.conducts=true", "simulation.specimen.cell.conducts=true")

    assert in_a_child(act) == 9
    run_file = next(path.with_suffix(".nxs") for path in tmp_path.glob("*.parts"))
    result = resumed(run_file)
    assert (result.exit_code, result.summary["end_reason"]) == (4, "target-lost")
    assert "interrupted" in result.summary["message"]
    at_rest(run_file)
    with cryoctl.open_run(run_file) as run:
        taken = len(run.image) if "image" in run else 0
        assert [str(kind) for kind in run.exposures.kind].count("record") == taken, "none is exposed again"
        if state == "series":
            assert np.shape(run.results.particles.area_m2)[1] == taken > 0
            through_a = float(run.results.contact.current_a)
            assert through_a == pytest.approx(3.5e-10, rel=0.02), "0.05 V above the cell's own -0.3 V, over 1 GOhm"


@pytest.mark.campaign
def test_many_needles() -> None:
    """Run: `CRYOCTL_NEEDLES=200 pytest -m campaign -s tests/runs/test_needle_biasing.py`: some 25 s of CPU each."""
    rng = np.random.default_rng(7)
    rows: list[tuple[int, bool, float, float, float, float]] = []
    for seed in range(100, 100 + int(os.environ.get("CRYOCTL_NEEDLES", "200"))):
        given = (
            f"simulation.needle.drift_m_per_s={rng.uniform(0.0, 2e-9)}",
            f"simulation.needle.tip_radius_m={rng.uniform(10e-9, 60e-9)}",
            f"simulation.needle.direction_ratio={rng.uniform(0.6, 1.6)}",
            f"simulation.needle.scatter_rel={rng.uniform(0.05, 0.15)}",
            f"instrument.devices.holder.settings.temperature_k={rng.uniform(95.0, 300.0)}",
            "end.time_s=1",
        )
        with tempfile.TemporaryDirectory() as folder:
            result = play(Path(folder), *given, seed=seed)
            assert result.run_file is not None
            with cryoctl.open_run(result.run_file) as run:
                contact, heights, final = run.truth.results.contact, run.truth.results.eucentric, run.truth.final
                found = bool(contact.found) and "contact" in run.results
                apart = float(heights.needle_z_m) - float(heights.grid_z_m)
                dose = float(run.results.contact.dose_e_per_a2) if found else float("nan")
                rows.append(
                    (seed, found, float(contact.max_overlap_m), float(final.max_indentation_m), abs(apart), dose)
                )
        print(rows[-1], result.summary["message"][:100], flush=True)
    found = np.array([row[1] for row in rows])
    beyond, deepest, apart, dose = (np.array([row[k] for row in rows])[found] for k in (2, 3, 4, 5))
    print(
        f"{len(rows)} approaches, contact found in {found.sum()}; overshoot median {np.median(beyond) * 1e9:.1f} nm, "
        f"p95 {np.percentile(beyond, 95) * 1e9:.1f}; indentation at most {deepest.max() * 1e9:.1f} nm; heights apart "
        f"at most {apart.max() * 1e9:.0f} nm; dose of the approach median {np.median(dose):.0f} e-/A^2"
    )
    assert found.all()
    assert np.median(beyond) < 5e-9
    assert np.percentile(beyond, 95) < 10e-9
    assert deepest.max() < 20e-9
    assert apart.max() < 30e-9
