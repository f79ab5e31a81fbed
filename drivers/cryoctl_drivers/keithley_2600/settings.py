"""What an instrument file states of a 2600."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl.units import Amperes, Seconds, Volts
from cryoctl_drivers.cut_off import RelaySettings
from cryoctl_drivers.link import LinkSettings

LONGEST_INTERVAL_S = 5.0
OVERHEAD_S = 0.005
"""That a sample takes beside its two integrations: the script's own pace is part of it."""
MOST_LEVELS = 2500
PAGE = 100
"""Rows that one answer holds at most."""
_LEAST_A = {"2634B": 1e-9, "2635B": 1e-10, "2636B": 1e-10}
_TWO_CHANNELS = ("2602B", "2604B", "2612B", "2614B", "2634B", "2636B")
MODELS = ("2601B", "2611B", "2635B", *_TWO_CHANNELS)


class Keithley2600Settings(LinkSettings):
    channel: Literal["smua", "smub"] = "smua"
    voltage_range_v: tuple[Volts, Volts] = (-20.0, 20.0)
    """What the experiment may ever need; a 261xB or 263xB wants its interlock closed above 20 V."""
    current_range_a: tuple[Amperes, Amperes] = (-1.0, 1.0)
    wires: Literal[2, 4] = 2
    integration_cycles: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    """Of the mains, for each of the two measurements that a sample is."""
    buffer_samples: Annotated[int, Field(ge=1000, le=50_000)] = 10_000
    """That the script keeps in the instrument."""
    offset_a: Annotated[Amperes, Field(ge=0)] = 2e-10
    """Bound of what it reads with nothing connected, in its least range: measure it, see the how-to."""
    unattended_s: Annotated[Seconds, Field(gt=0)] | None = None
    """A constant bias is switched off by itself when nobody has asked for so long, as after the computer has died; null
    never. Of waveforms it has no say."""
    cut_off: RelaySettings | None = None
    """The second way to switch it off."""


def least_v(model: str) -> float:
    """The least voltage limit that it holds."""
    return 0.01 if model.startswith("260") else 0.02


def least_a(model: str) -> float:
    return _LEAST_A.get(model, 1e-8)


def has_channel(model: str, channel: str) -> bool:
    return channel == "smua" or model in _TWO_CHANNELS
