"""Whole runs on Thermo Fisher drivers and emulated servers: the ledger against what the world received."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cryoctl.errors import RecipeError
from cryoctl.instrument import parse_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import run
from cryoctl.runfile.check import check_run
from cryoctl.testing.connected import FAILED, check_devices

INSTRUMENT = """\
schema_version: 1
name: emulated-tem
clock: virtual
devices:
  stage:
    kind: stage
    driver: thermo-fisher-stage
    settings: {leg_s: 2.0, tilt_drift_m_per_s_per_deg: 2.0e-11, drift_m_per_s: 8.0e-12}
    emulator: {model: thermo-fisher-stage}
  beam:
    kind: beam
    driver: thermo-fisher-beam
    settings:
      presets: {record: {current_a: 2.0e-10, current_sigma_rel: 0.05, intensity: 0.5}}
      idle_probe: scans
      field_at_unit_magnification_m: 0.1
      image_shift_range_m: 8.0e-6
      defocus_range_m: 5.0e-5
      max_dwell_s: 0.1
      binnings: [1, 2, 4, 8, 16, 32]
    emulator: {model: thermo-fisher-beam}
  haadf:
    kind: image_detector
    driver: thermo-fisher-haadf
    settings: {kept_inserted: true}
    emulator: {model: thermo-fisher-haadf}
  gauge:
    kind: vacuum
    driver: thermo-fisher-vacuum
    emulator: {model: thermo-fisher-vacuum}
optics:
  record:
    voltage_v: 200.0e3
    spot: 6
    condenser_aperture_m: 5.0e-5
    camera_length_m: 0.1
    convergence_rad: 0.01
    dynamic_focus: false
    beam_current_a: 2.0e-10
calibrations:
  backlash: {value: 3.0e-7, uncertainty: 1.0e-7, date: "2026-11-01"}
  image_shift: {value: [1.0, 0.0, 0.0, 1.0], uncertainty: 0.01, date: "2026-11-01"}
  pixel_size: {value: 1.0, uncertainty: 6.0e-4, date: "2026-11-01"}
  tilt_axis: {value: 0.0, uncertainty: 0.8, date: "2026-11-01"}
  beam_current: {value: 1.0, uncertainty: 0.1, date: "2026-11-01"}
  eucentric_offset: {value: 0.0, uncertainty: 2.0e-7, date: "2026-11-01"}
"""
SERIES = '''"""A few pictures at a few tilts."""

from cryoctl.steps import Expose, Insert, MeasureCurrent, MoveStage, Retract, UseOptics


def _picture(kind, y_m, scans):
    return Expose(
        kind=kind, area="here", target="here", x_m=0.0, y_m=y_m, shift_x_m=0.0, shift_y_m=y_m, defocus_m=0.0,
        shape=(64, 64), pixel_size_m=20e-9, dwell_s=2e-5, scans=scans, detector="haadf", register=scans > 1,
        position_sigma_m=2e-7,
    )  # fmt: skip


def series(tilts_deg: str = "0 6 -4", dose_limit_e_per_a2: float = 400.0):
    yield from UseOptics(name="record")
    yield from Insert(detector="haadf")
    yield from MeasureCurrent()
    for tilt_deg in map(float, tilts_deg.split()):
        yield from MoveStage(tilt_deg=tilt_deg)
        yield from _picture("track", 0.0, 1)
        yield from _picture("record", 0.0, 2)
    yield from Retract(detector="haadf")
'''


def play(folder: Path, *overrides: str, recipe: str = "", faults: str = "") -> RunResult:
    instrument, script = folder / "tem.yaml", folder / "series.py"
    instrument.write_text(INSTRUMENT, encoding="utf-8")
    script.write_text(SERIES, encoding="utf-8")
    (folder / "faults.yaml").write_text(faults, encoding="utf-8")
    request = RunRequest(
        recipe=recipe or str(script),
        instrument=instrument,
        out=folder / "runs",
        seed=5,
        overrides=overrides,
        faults=folder / "faults.yaml" if faults else None,
    )
    return run(request)


def is_sound(result: RunResult) -> dict[str, Any]:
    assert result.run_file is not None
    report = check_run(result.run_file)
    assert report.ok, [one for one in report.checks if not one.ok]
    assert report.ledger_minus_truth is not None
    assert report.ledger_minus_truth["min"] >= 0.0
    return dict(report.ledger_minus_truth)


def test_a_series_on_drivers_and_emulated_servers(tmp_path: Path) -> None:
    result = play(tmp_path)
    assert result.exit_code == 0, result.summary["message"]
    assert result.summary["frames"] == 3
    # Charged are twice the five percent that the current is known to, and frame_s a scan frame.
    assert 1.0 < is_sound(result)["sum_ratio"] < 3.5
    with h5py.File(result.run_file) as file:
        assert file["entry/exposures/tilt_deg"][()] == pytest.approx([0, 0, 6, 6, -4, -4], abs=0.01)
        assert np.all(file["entry/monitors/pressure/value"][()] > 0)
        assert file["simulation/final/beam_blanked"][()]
        assert not file["simulation/final/stage_moving"][()]


@pytest.mark.campaign
def test_the_limit_of_dose_ends_it(tmp_path: Path) -> None:
    result = play(tmp_path, "dose_limit_e_per_a2=40")
    assert (result.exit_code, result.summary["end_reason"]) == (4, "dose")
    is_sound(result)


FAULTS = {
    "reads-open": (5, "- {device: beam, fault: reads-open, at: {exposure: 1}}\n"),
    "blank-late": (5, "- {device: beam, fault: blank-late, late_s: 30, at: {exposure: 1}}\n"),
    "stall": (5, "- {device: stage, fault: stall, at: {time_s: 3}, for_s: 600}\n"),
    "line-reset": (4, "- {device: wire, fault: line-reset, at: {exposure: 1}}\n"),
}


@pytest.mark.parametrize(
    "fault",
    ["reads-open", *(pytest.param(name, marks=pytest.mark.campaign) for name in FAULTS if name != "reads-open")],
)
def test_a_fault_ends_it_blanked_or_with_closed_valves(tmp_path: Path, fault: str) -> None:
    exit_code, faults = FAULTS[fault]
    result = play(tmp_path, faults=faults)
    assert result.exit_code == exit_code, result.summary["message"]
    is_sound(result)
    with h5py.File(result.run_file) as file:
        assert file["simulation/final/beam_blanked"][()] or not file["simulation/final/valves_open"][()]


def test_a_pc_that_hangs_with_both_servers_leaves_the_safe_state_unconfirmed(tmp_path: Path) -> None:
    """Nothing on this side of the wire can blank it: the how-to says what hardware has to cover."""
    result = play(tmp_path, faults="- {device: beam, fault: no-answer, at: {exposure: 1}, for_s: 600}\n")
    assert (result.exit_code, result.summary["end_reason"]) == (6, "safe-state-unconfirmed")


@pytest.mark.campaign
def test_a_calibration_on_drivers_and_emulated_servers(tmp_path: Path) -> None:
    small = ("pictures.shape=[128, 128]", "pictures.pixel_size_m=40e-9", "repeats=3", "settle_s=5")
    result = play(tmp_path, *small, recipe="calibrate")
    assert result.exit_code == 0, result.summary["message"]
    print(is_sound(result))
    assert abs(result.summary["results"]["calibration_backlash"]["value"][0] - 3e-7) < 1.5e-7


def test_a_picture_that_it_does_not_make_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"pictures\.shape.*squares of 16, 32, 64"):
        play(tmp_path, recipe="calibrate")
    assert not (tmp_path / "runs").exists()


def test_its_devices_are_checked_as_any_others(tmp_path: Path) -> None:
    instrument = tmp_path / "tem.yaml"
    instrument.write_text(INSTRUMENT, encoding="utf-8")
    found = check_devices(instrument, ("haadf",), lambda device, check, does: True, lambda one: None)
    failed = [(one.device, one.check, one.detail) for one in found if one.outcome == FAILED]
    assert not failed
    assert {one.device for one in found} == {"haadf"}


def test_the_instrument_file_of_the_how_to_can_be_used_as_it_stands() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/connect-a-thermo-fisher-tem.md"
    shown = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    devices = build_devices(parse_instrument(shown), DeviceContext(seed=1), (), "test")
    assert devices.durable == "power"
    assert devices.beam.capabilities.square_px == (64, 128, 256, 512, 1024, 2048)
