"""Joins devices, gate and stores to what a runner needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cryoctl.dose.ledger import DoseLedger
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.outfit import Outfit
from cryoctl.engine.recorder import Recorder
from cryoctl.launch.counting import make_gate
from cryoctl.launch.prepare import Furnished

if TYPE_CHECKING:
    pass


def build_outfit(
    furnished: Furnished,
    ledger: DoseLedger,
    recorder: Recorder,
    shelf: FrameShelf,
    optics: Any,
    operator: OperatorDesk | None = None,
) -> Outfit:
    """Join devices, gate and stores."""
    devices, facts = furnished.devices, furnished.facts
    gate = make_gate(devices, facts, ledger)
    monitors = Monitors(devices=devices, recorder=recorder)
    return Outfit(
        devices=devices,
        optics=optics,
        ledger=ledger,
        recorder=recorder,
        monitors=monitors,
        operator=operator or OperatorDesk(),
        desk=ExposureDesk(devices, gate, recorder, shelf, monitors, facts.calibrated("pixel_size", 1.0)),
        shelf=shelf,
        allowed=Allowed(
            stage=facts.stage,
            image_shift_m=facts.image_shift_range_m,
            beam_current_a=facts.current_range_a[1],
            dose_rate_e_per_a2_s=facts.dose_rate_max_e_per_a2_s,
            bias_v=math.inf if facts.bias is None else facts.bias.largest_v,
            bias_a=math.inf if facts.bias is None else facts.bias.current_range_a[1],
            current_ratio=facts.calibrated("beam_current", 1.0),
        ),
        identities=furnished.identities,
        on_state=tuple(furnished.context.shared.get("on_state", ())),
    )
