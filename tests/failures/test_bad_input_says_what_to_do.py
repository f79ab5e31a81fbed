"""Bad input that was once taken, told in the wrong place or without a remedy: what the sentence says of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cryoctl.cli.main import call
from cryoctl.registry import find
from tests.failures.test_bad_input_writes_nothing import HEAD, refused

SETS: list[tuple[tuple[str, ...], str]] = [
    # the place of a value, and the nearest name inside it
    (("tilts.scheme=dose-symetric",), "tilts (--set): scheme is 'dose-symetric': did you mean 'dose-symmetric'"),
    (("tilts.scheme=3",), "scheme is 3: allowed"),
    (("tilts.scheme=null",), "scheme is nothing: allowed"),
    (("tilts={scheme: list}",), "like `list_deg: [2.5 deg]`"),
    (("edx.elements=[Si, O, Si]",), "edx (edx-tomography.yaml:22 with --set): elements hold Si twice"),
    (("dose.limit_e_per_a2=.nan",), "--set dose.limit_e_per_a2: found .nan"),
    (("edx.elements=[si]",), "a chemical symbol is wanted, did you mean 'Si'"),
    (("edx.elements=[Silicon]",), "a chemical symbol is wanted, like Si"),
    (("targets=[{name: ../x}]",), "letters, digits"),
    (("edx.elements=[]",), "at least 1 entry is wanted"),
    (("image.pixel_size_m=10 n m",), "unknown unit"),
    (("dose.limt=3",), "did you mean 'dose.limit_e_per_a2'"),
    # numbers that no plan can hold
    (("tilts={scheme: list, list_deg: [0, 9]}", "dose.split=explicit", "dose.weights=[1e308, 1e308]"), "at most 1e+06"),
    (("shower.enabled=true", "shower.width_m=1"), "make areas or shower smaller"),
    (("search.pixel_size_m=1e-5",), "make areas or shower smaller"),
    (("targets=[{name: a}, {name: b, x_m: 9e-4, y_m: 9e-4}]",), "targets that lie nearer"),
    (("focus.step_m=1e-4",), "focus.step_m: found 100 um"),
    # the beam that records decides, not the strongest preset
    (
        (
            "edx.elements=[Si]",
            "instrument.devices.beam.settings.voltages_v=[1 kV, 80 kV, 200 kV]",
            "instrument.optics.record.voltage_v=1 kV",
        ),
        "raise the beam energy",
    ),
    (("instrument.optics.record.voltage_v=123 kV",), "the column is aligned for 80, 200, 300 kV"),
    (("instrument.optics.record.beam_current_a=1 uA",), "change beam_current_a of the preset"),
    (("instrument.optics.record.scan_rotation_deg=30",), "dose is counted along the tilt axis only"),
    # the instrument file
    (("instrument.devices.stag.settings.speed_m_per_s=1e-6",), "devices has no 'stag': did you mean 'stage'"),
    (("instrument.optics.recrd.voltage_v=2e5",), "optics has no 'recrd': did you mean 'record'"),
    (("instrument.calibrations.pixl_size.value=1",), "did you mean 'pixel_size'"),
    (("instrument.devices.stage.settings.sped_m_per_s=1",), "did you mean 'devices.stage.settings.speed_m_per_s'"),
    (("instrument.devices.stage.settings.speed_m_per_s='1e-6'",), "quoted text '1e-6'"),
    (("instrument.devices.stage.settings.speed_m_per_s=true",), "found true where a speed is wanted"),
    (("instrument.devices.stage.settings.speed_m_per_s=5 kV",), "a voltage, where a speed is wanted"),
    (("instrument.devices.stage.settings.limits_tilt_deg=[75, -75]",), "exchange them"),
    (("instrument.devices.beam.settings.blanks_flyback=yes",), "a switch is true or false, write true"),
    (("instrument.devices.beam.settings.voltages_v=[]",), "at least 1 entry is wanted"),
    (("instrument.calibrations.pixel_size.value=0",), "above 0"),
    (("instrument.limits.tilt_max_deg=10",), "the stage allows -75 to 10 deg"),
    (("instrument.limits.image_shift_m=1e-7",), "the image shift reaches 0.1 um"),
    (("instrument.limits.beam_current_a=1e-12",), "allowed are 1e-12 to 1e-12 A"),
    (("instrument.limits.xy_m=1 um", "targets=[{name: a, x_m: 5e-6}]"), "move the target"),
    (("instrument.limits.voltage=1",), "is not a field"),
    # the simulated world
    (("simulation.beam.current_error=-1",), "allowed are -0.9 to 9"),
    (("simulation.stage.backlash_m=-1e-7",), "allowed are 0 to 0.0001"),
    (("simulation.stage.drift_m_per_s=1 kV",), "a voltage, where a speed is wanted"),
    (("simulation.clocks.stge.offset_s=1",), "those that do are bias"),
    (("simulation.needle.gap=1",), "nearest is simulation.needle.gap_m"),
    (
        ("simulation.specimen.sei_grain_n=1",),
        "sei_grain_n: there is no such parameter: did you mean",
    ),
    (("simulation.specimen.core_diameter_m=true",), "simulation.specimen.core_diameter_m: found 'True'"),
    (("simulation.specimen.core_diameter_m=1",), "a thinner wire"),
    (("simulation.specimen.voxel_size_m=0",), "voxel_size_m: found 0"),
    (("simulation.specimen.oversampling=1.5",), "oversampling: found 1.5"),
    (("simulation.specimen.critical_dose_e_per_a2.Xx=1",), "no such element"),
    (("simulation.specimen.critical_dose_e_per_a2.Si=-1",), "above 0"),
    (("simulation.specimen.contamination.nosuch=1",), "there are atoms_per_electron"),
    (("simulation.specimen.marks.phase=nosuch",), "use one of them"),
    (("simulation.specimen.kind=dots",), "allowed are nanowire, coated-particles"),
    (("specimen.name=coated-particles", "simulation.specimen.coating_m=-5 nm"), "found '-5e-09'"),
    (("specimen.name=coated-particles", "simulation.specimen.area_ratio=0.9"), "a number of 1 to 6"),
    (("specimen.name=coated-particles", "simulation.specimen.break_s=-3"), "null: never"),
    (("specimen.name=coated-particles", "simulation.specimen.rate_per_s='1'"), "without a unit"),
    (("specimen.name=coated-particles", "specimen.stage=pristine"), "there is no such parameter"),
    (("simulation.needle.drift_m_per_s=1 um/s",), "allowed are 0 to 1e-08"),
    (("simulation.needle.tip_radius_m=0",), "allowed are 2e-09 to 1e-06"),
]


@pytest.mark.parametrize(("sets", "says"), SETS, ids=[" ".join(sets)[-60:] for sets, _ in SETS])
def test_a_value(sets: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [part for text in sets for part in ("--set", text)]
    assert says in refused(["run", "edx-tomography", *arguments], tmp_path / "out", capsys)


CALIBRATE = [
    ("pictures.detector=hadf", "pictures.detector"),
    ("dose_limit_e_per_a2=0.01", "one picture needs"),
    ("pictures.dose_e_per_a2=1e-9", "a dwell of"),
    ("x_m=1 mm", "take a place within"),
    ("height_m=1e-4", "height_m"),
]


@pytest.mark.parametrize(("value", "says"), CALIBRATE)
def test_a_value_of_a_calibration(value: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in refused(["run", "calibrate", "--set", value], tmp_path / "out", capsys)


FAULTS = [
    ("", "a list"),
    ("- {device: stage, fault: stal, at: {time_s: 5}}", "did you mean stall"),
    ("- {device: stge, fault: stall, at: {time_s: 5}}", "did you mean stage"),
    ("- {device: stage, fault: stall, at: {time_s: 5}, for: 3}", "did you mean for_s"),
    ("- {device: stage, fault: stall, at: {time_s: -5}}", "0 or more"),
    ("- {device: stage, fault: stall, at: {time_s: 5}, for_s: -3}", "0 or more"),
    ("- {device: stage, fault: stall, at: {exposure: 1.5}}", "whole number from 0 on"),
    ("- {device: stage, fault: stall, at: {exposure: -1}}", "whole number from 0 on"),
    ("- {device: stage, fault: stall, at: {state: tlt}}", "did you mean 'tilt'"),
    ("- {device: stage, fault: stall, at: {state: 3}}", "allowed is a name"),
    ("- {device: stage, fault: stall, at: {state: tilt, visit: 0}}", "whole number from 1 on"),
    (f"- {{device: stage, fault: {'x' * 500}, at: {{time_s: 5}}}}", "there are beam-lost"),
    (f"- {{device: stage, fault: stall, at: {{{'x' * 500}: 1}}}}", "give one of time_s"),
]


@pytest.mark.parametrize(("text", "says"), FAULTS, ids=[text[:60] for text, _ in FAULTS])
def test_a_fault(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    assert says in refused(["run", "edx-tomography", "--faults", str(file)], tmp_path / "out", capsys)


MAGIC = b"CRYOCTL-WORLD-3\n"
WORLDS = {
    "a head longer than the file": MAGIC + (2**40).to_bytes(8, "little"),
    "a head that is cut off": MAGIC + (10).to_bytes(8, "little") + b"{}",
    "a head of something else": MAGIC + (2).to_bytes(8, "little") + b"{}" + bytes(600_000),
    "a head that is a list": MAGIC + (2).to_bytes(8, "little") + b"[]" + bytes(600_000),
    "no slots": MAGIC + (27).to_bytes(8, "little") + b'{"arrays":{}, "header":{}  }' + bytes(600),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_damaged_world(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = tmp_path / "damaged.world"
    world.write_bytes(WORLDS[name])
    assert "--world" in refused(["run", "edx-tomography", "--world", str(world)], tmp_path / "out", capsys)
    assert world.read_bytes() == WORLDS[name]


OPTIONS = [
    (("--seed", "1_000"), "whole numbers from 0 to 2**63-1"),
    (("--seed", "0x10"), "found '0x10'"),
    (("--seed", ""), "found ''"),
    (("--speed", "1e999"), "a finite number above 0"),
    (("--instrument", "simulatd"), "did you mean 'simulated'"),
    (("--instrument", ""), "give a path or a bundled name"),
    (("--until", "recrd"), "did you mean 'record'"),
    (("--on-end", "nxt"), "'nxt' is not one of"),
]


@pytest.mark.parametrize(("option", "says"), OPTIONS)
def test_an_option(option: tuple[str, str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in refused(["run", "edx-tomography", *option], tmp_path / "out", capsys)


def test_a_name_too_long_for_any_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["check"], ["show"], ["reconstruct"], ["measure", "fsc"], ["run", "edx-tomography", "--out"]):
        assert call([*command, "x" * 5000]) == 2
        assert "shorter" in capsys.readouterr().err
    assert call(["check", ""]) == 2
    assert "name a run file" in capsys.readouterr().err


def test_of_several_recipes_none_is_begun_where_one_is_bad(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(HEAD + "does: {}\n")
    assert "did you mean 'dose'" in refused(["run", "edx-tomography", str(bad)], tmp_path / "out", capsys)


def test_a_rehearsal_knows_its_states(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["rehearse", "edx-tomography", "--until", "recrd"]) == 2
    assert "did you mean 'record'" in capsys.readouterr().err


def test_an_instrument_without_presets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(str(find("cryoctl.instruments", "simulated"))).read_text(encoding="utf-8")
    without = re.sub(r"^optics:\n(?:[ #].*\n|\n)*", "", text, flags=re.MULTILINE)
    assert without != text
    bare = tmp_path / "bare.yaml"
    bare.write_text(without, encoding="utf-8")
    assert "optics.record" in refused(["run", "edx-tomography", "--instrument", str(bare)], tmp_path / "out", capsys)


def test_an_instrument_can_be_named_or_given_in_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["devices", "--instrument", "simulated"]) == 0
    text = Path(str(find("cryoctl.instruments", "simulated"))).read_text(encoding="utf-8")
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("speed_m_per_s: 5.0e-6", "speed_m_per_s: 7 um/s"), encoding="utf-8")
    capsys.readouterr()
    assert call(["devices", "--instrument", str(file)]) == 0
    assert "7e-06" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("driver", "field"),
    [
        ("keithley-2450", "voltage_range_v: [10, -10]"),
        ("keithley-2400", "current_range_a: [1 A, 1 A]"),
        ("lake-shore-33x", "temperature_range_k: [350, 80]"),
    ],
)
def test_limits_of_a_driver_in_a_wrong_order(
    driver: str, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind = "holder" if driver.startswith("lake") else "bias"
    text = Path(str(find("cryoctl.instruments", "simulated"))).read_text(encoding="utf-8")
    old = re.search(rf"^  {kind}:\n(?:    .*\n)+", text, flags=re.MULTILINE)
    assert old is not None
    file = tmp_path / "mine.yaml"
    entry = f"  {kind}: {{kind: {kind}, driver: {driver}, settings: {{port: COM3, {field}}}}}\n"
    file.write_text(text.replace(old[0], entry), encoding="utf-8")
    assert call(["devices", "--instrument", str(file)]) == 2
    told = capsys.readouterr().err
    assert field.partition(":")[0] in told
    assert "the lower end stands first" in told
