"""Devices behind a node keep the contracts that they keep without one."""

from __future__ import annotations

import pytest

from cryoctl.testing.beam import BeamContract
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.edx import EdxContract
from cryoctl.testing.holder import HolderContract
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.light import LightContract
from cryoctl.testing.needle import NeedleContract
from cryoctl.testing.stage import StageContract
from tests.node_bench import NodeBench


class TestRemoteStage(StageContract):
    def build(self):
        return NodeBench().remote("stage")


class TestRemoteBeam(BeamContract):
    def build(self):
        return NodeBench().remote("beam")


class WithRemoteBeam:
    name = "haadf"

    def build(self):
        self.bench = NodeBench("simulated")
        self.client = self.bench.client()
        return self.bench.remote(self.name, self.client)

    def build_beam(self):
        return self.bench.remote("beam", self.client)


@pytest.mark.campaign
class TestRemoteImageDetector(WithRemoteBeam, ImageDetectorContract):
    pass


@pytest.mark.campaign
class TestRemoteEdx(WithRemoteBeam, EdxContract):
    name = "edx"


@pytest.mark.campaign
class TestRemoteHolder(HolderContract):
    def build(self):
        return NodeBench(heartbeat_limit_s=3600.0).remote("holder")  # a night in virtual time


class TestRemoteBias(BiasContract):
    def build(self):
        return NodeBench().remote("bias")


class TestRemoteNeedle(NeedleContract):
    def build(self):
        return NodeBench().remote("needle")


@pytest.mark.campaign
class TestRemoteLight(LightContract):
    def build(self):
        return NodeBench("chip-holder").remote("light")
