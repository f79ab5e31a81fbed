"""The bundled instrument file is what its schema and the simulated drivers allow."""

from __future__ import annotations

from importlib.resources import files

import pytest

from cryoctl.errors import InstrumentError
from cryoctl.instrument import parse_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl_simulators.devices import beam, bias, edx, holder, image_detector, needle, stage

DRIVERS = {
    "simulated-stage": stage.FACTORY,
    "simulated-beam": beam.FACTORY,
    "simulated-haadf": image_detector.HAADF,
    "simulated-camera": image_detector.CAMERA,
    "simulated-edx": edx.FACTORY,
    "simulated-holder": holder.FACTORY,
    "simulated-bias": bias.FACTORY,
    "simulated-needle": needle.FACTORY,
}


def bundled():
    text = (files("cryoctl_simulators.instruments") / "simulated.yaml").read_text(encoding="utf-8")
    return parse_instrument(text, "simulated", check_drivers=False).file


def test_every_device_can_be_built():
    context = DeviceContext(seed=0)
    for name, entry in bundled().devices.items():
        factory = DRIVERS[entry.driver]
        assert factory.kind == entry.kind
        factory.check(entry.settings)
        assert factory(name, entry.settings, context).name == name
    assert len(context.shared["world"].devices) == len(bundled().devices)


def test_stated_uncertainties_are_the_bounds_of_the_hidden_draws():
    file = bundled()
    said = {name: entry.calibration(name) for name, entry in file.calibrations.items()}
    on_stage, on_beam = file.devices["stage"].settings, file.devices["beam"].settings
    assert said["backlash"].uncertainty == pytest.approx(2 * on_stage["backlash_sigma_m"])
    assert said["backlash"].scalar == pytest.approx(on_stage["backlash_m"])
    assert said["image_shift"].uncertainty == pytest.approx(2 * on_beam["image_shift_sigma_rel"])
    assert said["pixel_size"].uncertainty == pytest.approx(2 * on_beam["pixel_size_sigma_rel"])
    assert said["tilt_axis"].uncertainty == pytest.approx(2 * on_stage["tilt_axis_sigma_deg"])
    assert said["eucentric_offset"].uncertainty == pytest.approx(2 * on_stage["eucentric_sigma_m"])


def test_optics_lie_within_what_the_beam_allows():
    file = bundled()
    low, high = file.devices["beam"].settings["current_range_a"]
    for preset in file.optics.values():
        assert low <= preset.beam_current_a <= high
        assert preset.voltage_v in file.devices["beam"].settings["voltages_v"]
    assert {"record", "search"} <= set(file.optics)


@pytest.mark.parametrize(
    ("factory", "settings", "says"),
    [
        (stage.FACTORY, {"backlesh_m": 1e-7}, "backlash_m"),
        (stage.FACTORY, {"speed_m_per_s": 0}, "greater than 0"),
        (beam.FACTORY, {"latency_s": -1}, "greater than or equal"),
        (edx.FACTORY, {"n_channels": 3}, "64"),
        (holder.FACTORY, {"nitrogen": "full"}, "number"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(factory, settings, says):
    with pytest.raises(InstrumentError) as caught:
        factory.check(settings)
    assert says in str(caught.value)
    assert next(iter(settings)) in str(caught.value)
    assert len(str(caught.value)) <= 300
