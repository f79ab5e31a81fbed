"""What has to be stated of a microscope that does as it is told and tells little."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cryoctl.interfaces.device_settings import Above0, From0, InOrder, Settings
from cryoctl.units import (
    Amperes,
    Degrees,
    DegreesPerSecond,
    DriftPerDegree,
    Metres,
    MetresPerSecond,
    PerSecond,
    Seconds,
)


class LeggedStageSettings(Settings):
    limits_m: Annotated[tuple[Metres, Metres], InOrder] = (-0.9e-3, 0.9e-3)
    limits_z_m: Annotated[tuple[Metres, Metres], InOrder] = (-0.3e-3, 0.3e-3)
    limits_tilt_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-70.0, 70.0)
    """What specimen, holder and pole piece allow; refused at connect where the stage itself allows less."""
    speed_m_per_s: Annotated[MetresPerSecond, Above0] = 5e-6
    tilt_speed_deg_per_s: Annotated[DegreesPerSecond, Above0] = 2.0
    """As measured with short moves: with them and `leg_s` the way is divided."""
    leg_s: Annotated[Seconds, Field(gt=0, le=5)] = 0.4
    """A move is sent in legs of about so long, since no call stops one: `stop` waits for the leg under way."""
    tolerance_m: Annotated[Metres, Above0] = 1e-7
    tolerance_deg: Annotated[Degrees, Above0] = 0.05
    """How far from where it was sent it may end."""
    settle_s: Annotated[Seconds, From0] = 1.0
    drift_m_per_s: Annotated[MetresPerSecond, From0] = 2e-11
    tilt_drift_m_per_s_per_deg: Annotated[DriftPerDegree, From0] = 5e-11
    tilt_drift_decay_s: Annotated[Seconds, Above0] = 60.0


class CommandedPreset(Settings):
    """What belongs to a preset of `optics` (of the same name) and stands in no field of it."""

    current_a: Annotated[Amperes, Above0]
    """As measured by hand (screen, Faraday cup); `beam_current_a` of the preset has to be the same."""
    current_sigma_rel: Annotated[float, Field(gt=0, lt=0.5)]
    """One sigma, relative: of the measurement and of all that the current does until it is measured again."""


class CommandedBeamSettings(Settings):
    presets: Annotated[dict[str, CommandedPreset], Field(min_length=1)]
    blanker_latency_limit_s: Annotated[Seconds, Field(gt=0, le=2)] = 0.1
    """What plans count with; a blanker that is slower when it is tried is refused at connect."""
    settle_px: Annotated[int, Field(ge=0)] = 0
    flyback_s: Annotated[Seconds, From0] = 1e-4
    """A line's time is that of its pixels and of `settle_px` more, and this; the beam is on for all of it."""
    frame_s: Annotated[Seconds, From0] = 0.2
    """At most, from the command that opens the beam to the first line, and from the last to the confirmed blank."""
    second_stop_s: Annotated[Seconds, Above0] = 3.0
    """What the second way of stopping the beam takes: column valves, or the source switched off."""
    current_drift_rel_per_s: Annotated[PerSecond, From0] = 3e-6
    min_dwell_s: Annotated[Seconds, Above0] = 5e-7
    max_dwell_s: Annotated[Seconds, Above0] = 1e-2
    image_shift_range_m: Annotated[Metres, Above0] = 2e-6
    """Of the beam shift, which is what moves a scan."""
    defocus_range_m: Annotated[Metres, Above0] = 1e-5
    optics_s: Annotated[Seconds, From0] = 2.0
    """What lenses take to settle."""
