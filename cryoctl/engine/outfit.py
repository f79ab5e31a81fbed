"""Everything one run needs, put together by `launch` and handed to the runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryoctl.dose.ledger import DoseLedger
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.recorder import Recorder
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_set import DeviceSet


@dataclass(slots=True, kw_only=True)
class Outfit:
    devices: DeviceSet
    optics: Mapping[str, Optics]
    ledger: DoseLedger
    recorder: Recorder
    monitors: Monitors
    operator: OperatorDesk
    desk: ExposureDesk
    shelf: FrameShelf
    allowed: Allowed = field(default_factory=Allowed)
    flush: Callable[[], None] | None = None
    """Brings journal and frames to the disk."""
    identities: Mapping[str, Identity] = field(default_factory=dict[str, Identity])
    """Who answered at the start, by the device's name."""
    on_state: tuple[Callable[[str, int], None], ...] = ()
    """Called with each state and how often it was entered; simulators schedule faults by it."""
    on_disk_fault: Callable[[], None] = lambda: None
    """Makes what room it can for the last records."""
