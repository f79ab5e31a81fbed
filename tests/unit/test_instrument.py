from __future__ import annotations

import datetime as dt

import pytest

from cryoctl.calibration import Calibration, CalibrationSet
from cryoctl.errors import CalibrationError, InstrumentError
from cryoctl.instrument import parse_instrument
from cryoctl.interfaces.beam import Optics
from cryoctl.recipe import parse_override

GOOD = """\
schema_version: 1
name: sim
clock: virtual
devices:
  stage: {kind: stage, driver: sim-stage}
  beam: {kind: beam, driver: sim-beam, settings: {current: 1}}
  haadf: {kind: image_detector, driver: sim-haadf}
  camera: {kind: image_detector, driver: sim-camera}
optics:
  record: {voltage_v: 200 kV, convergence_rad: 10 mrad, beam_current_a: 0.2 nA}
limits: {tilt_min_deg: -70, tilt_max_deg: 70}
calibrations:
  beam_current: {value: 1.03, uncertainty: 0.008, date: 2026-11-20, expires: 2026-11-27}
  tilt_axis: {value: 0.4 deg, uncertainty: 0.2 deg, date: 2026-11-20}
  shift_low_mag: {kind: image_shift, value: [[1, 0], [0.1, 1]], uncertainty: 0.01, date: 2026-11-20}
"""


def test_a_good_file_gives_optics_and_calibrations() -> None:
    found = parse_instrument(GOOD, check_drivers=False)
    optics = found.file.optics["record"].optics("record")
    assert optics == Optics(name="record", voltage_v=2e5, convergence_rad=0.01, beam_current_a=2e-10)
    assert found.file.kinds == ("beam", "image_detector", "stage")
    assert list(found.devices_of("image_detector")) == ["haadf", "camera"]
    calibrations = found.file.calibration_set()
    assert calibrations.by_name["shift_low_mag"].value == (1.0, 0.0, 0.1, 1.0)
    assert calibrations.by_name["beam_current"].relative == pytest.approx(0.008 / 1.03)
    assert parse_instrument(found.yaml(), check_drivers=False).file == found.file


def test_overrides_of_the_instrument() -> None:
    override = parse_override("optics.record.voltage_v=80 kV")
    assert parse_instrument(GOOD, overrides=[override], check_drivers=False).file.optics["record"].voltage_v == 8e4
    with pytest.raises(InstrumentError, match=r"--set.*did you mean 'optics.record.voltage_v'"):
        parse_instrument(GOOD, overrides=[parse_override("optics.record.voltag_v=1")], check_drivers=False)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: beam", "kind: stage", "'stage' and 'beam' are both stage"),
        ("kind: beam", "kind: baem", "did you mean 'beam'"),
        (
            "  haadf: {",
            "  holder: {kind: holder, driver: a, settings: {port: COM3}}\n"
            "  bias: {kind: bias, driver: b, settings: {port: COM4, cut_off: {port: COM3}}}\n  haadf: {",
            "'holder' and 'bias' are both at the port 'COM3'",
        ),
        ("  beam: {", "  stage: {", "devices.stage is given twice, first in line 5"),
        ("  beam: {", "  'be:am': {", "must match"),
        ("name: sim", "name: 'si:m'", "must match"),
        ("200 kV", "20 um", "a length, where a voltage"),
        ("200 kV", "-5 kV", "above 0 V"),
        ("200 kV", "'200'", "without a unit"),
        ("0.4 deg", "0.4 m", "'tilt_axis': found '0.4 m', a length"),
        ("tilt_axis: {", "tilt_axi: {", "no known kind"),
        ("value: 1.03", "value: [1, 2]", "2 numbers"),
        ("value: 1.03", "value: '1.03'", "remove quotes"),
        ("uncertainty: 0.008", "uncertainty: -1", "below 0"),
        ("date: 2026-11-20}", "date: today}", "write it like 2026-11-20"),
        ("expires: 2026-11-27", "expires: 2026-11-01", "expires before"),
        ("clock: virtual", "clock: vitual", "did you mean 'virtual'"),
        ("schema_version: 1", "schema_version: 2", "update cryoctl"),
        ("settings:", "setings:", "did you mean 'devices.beam.settings'"),
        ("tilt_max_deg: 70", "tilt_max_deg: -80", "exchange them"),
    ],
)
def test_bad_instruments_are_refused_in_one_sentence(old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(InstrumentError) as caught:
        parse_instrument(GOOD.replace(old, new, 1), "scope.yaml", check_drivers=False)
    message = str(caught.value)
    assert says in message
    assert "scope.yaml" in message
    assert len(message) <= 300
    message.encode("cp1252")


def test_missing_devices_are_refused() -> None:
    found = parse_instrument(GOOD, check_drivers=False)
    found.require_kinds(["stage", "beam"], "edx-tomography")
    with pytest.raises(InstrumentError, match="needs edx, holder; the instrument has beam, image_detector, stage"):
        found.require_kinds(["stage", "holder", "edx"], "edx-tomography")


def calibration(expires: str | None = "2026-11-27") -> CalibrationSet:
    one = Calibration(
        name="beam_current", kind="beam_current", value=(1.03,), uncertainty=0.008, unit="1", date="2026-11-20",
        expires=expires,
    )  # fmt: skip
    return CalibrationSet.of([one])


@pytest.mark.parametrize(
    ("today", "says"),
    [
        (dt.date(2026, 11, 27), "expired on 2026-11-27"),
        (dt.datetime(2026, 11, 27, 0, 0, 1), "expired"),
        (dt.date(2026, 11, 18), "dated 2026-11-20, after today"),
    ],
)
def test_calibrations_out_of_force_are_refused(today: dt.date, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        calibration().require("beam_current", today)


def test_calibrations_in_force_are_given() -> None:
    assert calibration().require("beam_current", dt.date(2026, 11, 26)).scalar == 1.03
    instant = dt.datetime(2026, 11, 27, 0, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    assert calibration().require("beam_current", instant).scalar == 1.03
    assert calibration(None).require("beam_current", dt.date(2090, 1, 1)).scalar == 1.03
    with pytest.raises(CalibrationError, match="did you mean 'beam_current'"):
        calibration().require("beam_curent", dt.date(2026, 11, 26))
    with pytest.raises(CalibrationError, match="missing: run"):
        CalibrationSet({}).require("backlash", dt.date(2026, 11, 26))
