"""The devices of one instrument by what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cryoctl.interfaces.beam import Beam
from cryoctl.interfaces.bias import BiasSource
from cryoctl.interfaces.device import Device
from cryoctl.interfaces.edx import EdxDetector
from cryoctl.interfaces.emulator import Emulator
from cryoctl.interfaces.holder import Holder
from cryoctl.interfaces.image_detector import ImageDetector
from cryoctl.interfaces.light import Light
from cryoctl.interfaces.needle import Needle
from cryoctl.interfaces.stage import Stage
from cryoctl.interfaces.truth import TruthSource
from cryoctl.interfaces.vacuum import VacuumGauge


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSet:
    stage: Stage
    beam: Beam
    image_detectors: Mapping[str, ImageDetector]
    edx: EdxDetector | None = None
    holder: Holder | None = None
    bias: BiasSource | None = None
    needle: Needle | None = None
    light: Light | None = None
    vacuum: VacuumGauge | None = None
    truth: TruthSource | None = None
    """Only where the instrument is simulated."""
    dose_known: bool = True
    """False only where recorded data are replayed that hold no beam current: nothing is exposed, nothing gated."""
    durable: str = "process"
    """What an acknowledgement survives: process (simulated) or power (real instruments)."""
    emulators: tuple[Emulator, ...] = ()
    """What answers in the place of some of the devices' instruments."""
    others: Mapping[str, Device] = field(default_factory=dict[str, Device])

    def __iter__(self) -> Iterator[Device]:
        yield self.beam
        yield self.stage
        yield from self.image_detectors.values()
        for device in (self.edx, self.holder, self.bias, self.needle, self.light, self.vacuum):
            if device is not None:
                yield device
        yield from self.others.values()
