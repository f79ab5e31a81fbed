"""Keithley 2600 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from cryoctl.errors import DeviceError, InstrumentError, NoAnswer, OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import BiasLimits, BiasRest, OffMode
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.device import refused
from tests.wire.emulated import BadLine, EmulatedInstrument, plugged_in, with_source

_LIMITS = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-6)
_FAST = {"deadline_s": 0.05, "confirm": True}
_EXACT = {"noise_v": 0.0, "noise_a": 0.0, "noise_rel": 0.0, "offset_a": 0.0, "clock_drift_sigma_rel": 0.0}


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2600", "keithley-2600"


class TestKeithley2600OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestKeithley2600OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012


def _with(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    """In virtual time, connected and with limits."""
    with_source("keithley-2600", _LIMITS, check, settings, {**_EXACT, **emulated})
