"""What an instrument file states of a 2400, and what it is set to before its output is switched on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl.interfaces.bias import BiasLimits
from cryoctl.interfaces.device_settings import InOrder
from cryoctl.units import Amperes, Seconds, Volts
from cryoctl_drivers.cut_off import RelaySettings
from cryoctl_drivers.link import Link, LinkSettings
from cryoctl_drivers.scpi import Setting, clear_errors, make

LEAST_V, LEAST_A = 1e-3, 1e-9
"""The least limits: a thousandth of its least ranges."""
MOST_POINTS = 2500
OVERHEAD_S = 0.002
MARK = ":CALC2:LIM5:UPP"
"""A limit of a test that nothing uses: 1 after the instrument was switched on, and set with the limits."""
MARKED = 0.25
_OVP_V = (20, 40, 60, 80, 100, 120, 160)
SHORT = {"voltage": "VOLT", "current": "CURR"}
_OTHER = {"voltage": "CURR", "current": "VOLT"}


class Keithley2400Settings(LinkSettings):
    voltage_range_v: Annotated[tuple[Volts, Volts], InOrder] = (-20.0, 20.0)
    current_range_a: Annotated[tuple[Amperes, Amperes], InOrder] = (-1.0, 1.0)
    terminals: Literal["front", "rear"] = "front"
    wires: Literal[2, 4] = 2
    integration_cycles: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    """Of the mains, for each of the two measurements that a sample is."""
    longest_play_s: Annotated[Seconds, Field(gt=0, le=8)] = 6.0
    """For so long it can't be asked anything."""
    kept_samples: Annotated[int, Field(ge=1000, le=10_000_000)] = 1_000_000
    offset_a: Annotated[Amperes, Field(ge=0)] = 2e-9
    """Bound of what it reads with nothing connected, in its least range."""
    cut_off: RelaySettings | None = None
    """The second way to switch it off."""


async def prepare(link: Link, name: str, one: Keithley2400Settings) -> None:
    """What readings depend on, and the error queue empty; the output is off."""
    await link.tell(":ABOR")
    await clear_errors(link)
    await make(
        link,
        name,
        Setting(":ROUT:TERM", {"front": "FRON", "rear": "REAR"}[one.terminals]),
        Setting(":SYST:RSEN", int(one.wires == 4)),
        Setting(":SENS:CURR:NPLC", one.integration_cycles),
        Setting(":SENS:VOLT:NPLC", one.integration_cycles),
        Setting(":SENS:FUNC:CONC", 1),
        Setting(":SOUR:CLE:AUTO", 0),
        Setting(":SYST:TIME:RES:AUTO", 0),
        Setting(":SYST:AZER", 0),
        Setting(":ARM:COUN", 1),
        Setting(":TRIG:DEL", 0.0),
    )
    await link.tell(':SENS:FUNC "VOLT","CURR"', ":FORM:ELEM VOLT,CURR,TIME,STAT")


def limit_settings(limits: BiasLimits) -> list[Setting]:
    protection = next((level for level in _OVP_V if level >= limits.voltage_limit_v), None)
    return [
        Setting(":SOUR:VOLT:MODE", "FIX"),
        Setting(":SOUR:CURR:MODE", "FIX"),
        Setting(":SOUR:VOLT", 0.0),
        Setting(":SOUR:CURR", 0.0),
        Setting(":SENS:CURR:RANG:AUTO", 1),
        Setting(":SENS:VOLT:RANG:AUTO", 1),
        Setting(":SENS:CURR:PROT", limits.compliance_a),
        Setting(":SENS:VOLT:PROT", limits.voltage_limit_v),
        *([] if protection is None else [Setting(":SOUR:VOLT:PROT", protection)]),
        Setting(MARK, MARKED),
    ]
