"""The live reconstruction of a run, as its recipe wants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cryoctl.launch.against_devices import record_voltage_v
from cryoctl.launch.prepare import Furnished, Prepared
from cryoctl.runfile.parts import RunParts

if TYPE_CHECKING:
    from cryoctl.streaming.live_reconstruction import LiveFollower


def volumes_of(live: LiveFollower | None) -> Mapping[str, Mapping[str, npt.NDArray[np.float32]]]:
    """Of the live reconstruction, none where it failed: it is no reason to lose the run's own file."""
    try:
        return live.volumes() if live is not None else {}
    except Exception:
        return {}


def live_follower(prepared: Prepared, furnished: Furnished, parts: RunParts) -> LiveFollower | None:
    """As the recipe's `live` says; None where it is off or the protocol records no series.

    Slices for a window are kept where the run is slow enough to be watched: in real time and at a `--speed`.
    """
    live = getattr(prepared.parameters, "live", None)
    if live is None or not live.enabled:
        return None
    from cryoctl.streaming.live_reconstruction import LiveFollower, LiveSettings

    edx = furnished.devices.edx
    described = furnished.protocol.describe().get("edx")
    return LiveFollower(
        LiveSettings(
            elements=tuple(described["elements"]) if edx is not None and described else (),
            n_channels=edx.capabilities.n_channels if edx is not None else 1,
            energy_offset_ev=edx.capabilities.energy_offset_ev if edx is not None else 0.0,
            energy_scale_ev=edx.capabilities.energy_scale_ev if edx is not None else 1.0,
            beam_energy_ev=record_voltage_v(prepared.parameters, furnished.facts),
            passes=live.passes,
            slices_to=parts.live_slices if not prepared.virtual or prepared.request.speed is not None else None,
        )
    )
