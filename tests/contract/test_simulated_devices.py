"""The simulated devices keep the contracts that real drivers have to keep."""

from __future__ import annotations

from cryoctl.interfaces.beam import Beam
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import BeamContract
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.edx import EdxContract
from cryoctl.testing.holder import HolderContract
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.light import LightContract
from cryoctl.testing.needle import NeedleContract
from cryoctl.testing.stage import StageContract
from cryoctl.testing.vacuum import VacuumContract
from cryoctl_simulators.devices import beam, bias, edx, holder, image_detector, light, needle, stage, vacuum


def fresh() -> DeviceContext:
    return DeviceContext(seed=11)


class TestSimulatedStage(StageContract):
    def build(self):
        return stage.FACTORY("stage", {}, fresh())


class TestSimulatedBeam(BeamContract):
    def build(self):
        return beam.FACTORY("beam", {}, fresh())


class TestBeamThatCannotBlankFlyback(BeamContract):
    def build(self):
        return beam.FACTORY("beam", {"blanks_flyback": False}, fresh())


class WithBeam:
    factory = image_detector.HAADF
    settings: dict[str, object] = {}  # noqa: RUF012

    def build(self):
        self.context = fresh()
        return self.factory("detector", self.settings, self.context)

    def build_beam(self) -> Beam:
        return beam.FACTORY("beam", {}, self.context)


class TestSimulatedHaadf(WithBeam, ImageDetectorContract):
    pass


class TestSimulatedCamera(WithBeam, ImageDetectorContract):
    factory = image_detector.CAMERA


class TestSimulatedEdx(WithBeam, EdxContract):
    factory = edx.FACTORY


class TestSimulatedHolder(HolderContract):
    def build(self):
        return holder.FACTORY("holder", {}, fresh())


class TestSimulatedBias(BiasContract):
    def build(self):
        return bias.FACTORY("bias", {}, fresh())


class TestSourceWithoutHighImpedance(BiasContract):
    def build(self):
        return bias.FACTORY("bias", {"has_high_impedance_off": False}, fresh())


class TestSourceOnABattery(BiasContract):
    def build(self):
        return bias.FACTORY("bias", {"cell_voltage_v": 0.3, "cell_resistance_ohm": 1e8}, fresh())


class TestSimulatedNeedle(NeedleContract):
    def build(self):
        return needle.FACTORY("needle", {}, fresh())


class TestSimulatedVacuum(VacuumContract):
    def build(self):
        return vacuum.FACTORY("vacuum", {}, fresh())


class TestSimulatedLight(LightContract):
    def build(self):
        return light.FACTORY("light", {}, fresh())


class TestLightThatCannotBeFaint(LightContract):
    def build(self):
        return light.FACTORY("light", {"irradiance_w_per_m2": [200.0, 1000.0]}, fresh())


class TestSourceOnASolarCell(BiasContract):
    def build(self):
        cell = {"specimen.kind": "perovskite-cell"}
        return bias.FACTORY("bias", {}, DeviceContext(seed=11, simulation=cell))
