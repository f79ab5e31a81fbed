"""What an instrument file states of a 2600."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl.interfaces.bias import BiasLimits
from cryoctl.units import Seconds
from cryoctl_drivers.source_device import SourceSettings

LONGEST_INTERVAL_S = 5.0
OVERHEAD_S = 0.005
"""That a sample takes beside its two integrations: the script's own pace is part of it."""
MOST_LEVELS = 2500
PAGE = 100
"""Rows that one answer holds at most."""
_LEAST_A = {"2634B": 1e-9, "2635B": 1e-10, "2636B": 1e-10}
_TWO_CHANNELS = ("2602B", "2604B", "2612B", "2614B", "2634B", "2636B")
MODELS = ("2601B", "2611B", "2635B", *_TWO_CHANNELS)


class Keithley2600Settings(SourceSettings):
    channel: Literal["smua", "smub"] = "smua"
    buffer_samples: Annotated[int, Field(ge=1000, le=50_000)] = 10_000
    """That the script keeps in the instrument."""
    unattended_s: Annotated[Seconds, Field(gt=0)] | None = None
    """A constant bias is switched off by itself when nobody has asked for so long, as after the computer has died; null
    never. Of waveforms it has no say."""


def least_limits(model: str) -> BiasLimits:
    """The least that it holds."""
    return BiasLimits(voltage_limit_v=0.01 if model.startswith("260") else 0.02, compliance_a=_LEAST_A.get(model, 1e-8))


def has_channel(model: str, channel: str) -> bool:
    return channel == "smua" or model in _TWO_CHANNELS
