"""The instrument file of the laboratory itself, with its ports, rehearsed where none of them is."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from cryoctl.errors import InstrumentError
from cryoctl.instrument import parse_instrument
from cryoctl.launch.on_emulators import on_emulators
from cryoctl.launch.prepare import prepare
from cryoctl.launch.rehearse import rehearse
from cryoctl.launch.request import RunRequest
from cryoctl_drivers.lake_shore import FACTORY, LakeShoreSettings

DEVICES = """\
schema_version: 1
name: our-lab
clock: real
devices:
  stage: {kind: stage, driver: thermo-fisher-stage, settings: {host: tem-pc, limits_tilt_deg: [-60, 60]}}
  beam:
    kind: beam
    driver: thermo-fisher-beam
    settings:
      host: tem-pc
      presets: {record: {current_a: 200 pA, current_sigma_rel: 0.03}}
      idle_probe: off-specimen
      field_at_unit_magnification_m: 0.12
      binnings: [1, 2, 4, 8, 16, 32]
      max_dwell_s: 0.1
  haadf: {kind: image_detector, driver: thermo-fisher-haadf, settings: {host: tem-pc, kept_inserted: true}}
  gauge: {kind: vacuum, driver: thermo-fisher-vacuum, settings: {host: tem-pc, gauge: IGPco}}
"""
SPECIMEN = """\
  holder:
    kind: holder
    driver: lake-shore-33x
    settings: {port: /dev/ttyNOWHERE1, temperature_range_k: [90, 350], transcript: lake-shore.txt}
  bias:
    kind: bias
    driver: keithley-2450
    settings: {port: "socket://tem-pc:5025", voltage_range_v: [-5, 5], cut_off: {port: /dev/ttyNOWHERE2}}
  needle: {kind: needle, driver: pi-gcs2, settings: {port: /dev/ttyNOWHERE3, state_file: /nowhere/needle.json}}
  edx: {kind: edx, driver: amptek-dp5, settings: {host: tem-pc, serial: "51", channels: 2048, pixel_buffers: 128}}
"""
OPTICS = """\
optics:
  record: {voltage_v: 200 kV, camera_length_m: 0.1, convergence_rad: 0.01, dynamic_focus: false, beam_current_a: 200 pA}
calibrations:
  tilt_axis: {value: 0.0, uncertainty: 0.8, date: "2026-11-01"}
"""
RECIPE = '''"""A picture at a voltage."""

from cryoctl.steps import ApplyBias, Expose, Insert, MeasureCurrent, MoveStage, RestBias, SetBiasLimits, UseOptics


def biased_picture(dose_limit_e_per_a2: float = 400.0):
    yield from UseOptics(name="record")
    yield from Insert(detector="haadf")
    yield from MeasureCurrent()
    yield from MoveStage(tilt_deg=4.0)
    yield from SetBiasLimits(voltage_limit_v=1.0, compliance_a=1e-6)
    yield from ApplyBias(voltage_v=0.5, switch_on=True)
    yield from Expose(
        kind="record", area="here", target="here", x_m=0.0, y_m=0.0, shift_x_m=0.0, shift_y_m=0.0, defocus_m=0.0,
        shape=(64, 64), pixel_size_m=20e-9, dwell_s=2e-5, scans=1, detector="haadf", register=False,
        position_sigma_m=2e-7,
    )  # fmt: skip
    yield from RestBias()
'''


def test_its_drivers_play_on_emulators_and_none_of_its_ports_is_touched(tmp_path: Path) -> None:
    instrument, recipe = tmp_path / "lab.yaml", tmp_path / "biased_picture.py"
    instrument.write_text(DEVICES + SPECIMEN + OPTICS, encoding="utf-8")
    recipe.write_text(RECIPE, encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()
    result = rehearse(RunRequest(recipe=str(recipe), instrument=instrument, out=out))
    assert (result.exit_code, result.summary["status"]) == (0, "completed")
    assert result.summary["dose"]["by_kind"]["record"] > 0
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["biased_picture.py", "lab.yaml"]


def test_settings_that_both_know_are_the_emulated_instruments_too() -> None:
    found = on_emulators(parse_instrument(DEVICES + SPECIMEN + OPTICS)).file
    assert found.clock == "virtual"
    assert all(entry.emulator is not None for entry in found.devices.values())
    bias, holder, edx = (found.devices[name] for name in ("bias", "holder", "edx"))
    assert bias.emulator is not None
    assert bias.emulator.settings == {"voltage_range_v": [-5, 5]}
    assert bias.settings == {"voltage_range_v": [-5, 5]}
    assert holder.emulator is not None
    assert holder.emulator.model == "lake-shore-336"
    assert edx.emulator is not None
    assert edx.emulator.settings == {"serial": 51, "n_channels": 2048, "pixel_clock_wired": True, "buffers": 128}


@pytest.mark.parametrize(
    ("driver", "told"), [("remote-needle", "a node has it"), ("replay-needle", "has no emulator to rehearse it on")]
)
def test_what_can_not_be_rehearsed_is_named(driver: str, told: str) -> None:
    text = f"{DEVICES}  needle: {{kind: needle, driver: {driver}, settings: {{}}}}\n{OPTICS}"
    with pytest.raises(InstrumentError, match=told) as caught:
        on_emulators(parse_instrument(text, check_drivers=False))
    assert str(caught.value).startswith("devices.needle: ")


@pytest.mark.parametrize("clock", ["real", "virtual"])
def test_devices_that_have_an_emulator_already_touch_nothing_else(clock: str) -> None:
    """A relay that is a real one, a transcript and a needle's record are settings beside an emulator."""
    text = (DEVICES + SPECIMEN + OPTICS).replace("clock: real", f"clock: {clock}")
    for model, line_end in (
        ("lake-shore-336", "transcript: lake-shore.txt}\n"),
        ("keithley-2450", "cut_off: {port: /dev/ttyNOWHERE2}}\n"),
    ):
        assert line_end in text
        text = text.replace(line_end, f"{line_end}    emulator: {{model: {model}}}\n")
    text = text.replace("needle.json}", "needle.json}, emulator: {model: pi-gcs2}")
    found = on_emulators(parse_instrument(text)).file.devices
    assert all(one.emulator is not None for one in found.values())
    for name in ("holder", "bias", "needle"):
        assert not {"port", "transcript", "cut_off", "state_file"} & set(found[name].settings)


def test_time_does_not_jump_on_a_real_device(tmp_path: Path) -> None:
    instrument, recipe = tmp_path / "lab.yaml", tmp_path / "biased_picture.py"
    instrument.write_text((DEVICES + SPECIMEN + OPTICS).replace("clock: real", "clock: virtual"), encoding="utf-8")
    recipe.write_text(RECIPE, encoding="utf-8")
    request = RunRequest(recipe=str(recipe), instrument=instrument, out=tmp_path / "out")
    with pytest.raises(InstrumentError, match=r"clock: found virtual, and devices\.stage\.settings\.host"):
        prepare(request)
    assert not (tmp_path / "out").exists()
    assert all(
        entry.emulator is not None for entry in prepare(request, rehearsed=True).instrument.file.devices.values()
    )


def test_a_driver_names_what_else_leads_out_of_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(LakeShoreSettings):
        leads_elsewhere: ClassVar[frozenset[str]] = LakeShoreSettings.leads_elsewhere | {"sensor"}

    monkeypatch.setattr(FACTORY, "settings_model", Own)
    text = DEVICES + SPECIMEN.replace("transcript: lake-shore.txt", "sensor: B") + OPTICS
    assert on_emulators(parse_instrument(text)).file.devices["holder"].settings == {"temperature_range_k": [90, 350]}
