"""All that a 2450 is set to before its output is switched on."""

from __future__ import annotations

from cryoctl.interfaces.bias import BiasLimits
from cryoctl_drivers.keithley_2450.front import MARK
from cryoctl_drivers.keithley_2450.settings import BUFFER, OVP_V, Keithley2450Settings
from cryoctl_drivers.link import Link
from cryoctl_drivers.scpi import Setting, clear_errors, make

_MARKED_S = 1.0


async def prepare(link: Link, name: str, one: Keithley2450Settings) -> None:
    """What readings depend on, and the error queue empty; the output is off."""
    await clear_errors(link)
    await link.tell(":ABOR")
    settings = [
        Setting(":ROUT:TERM", {"front": "FRON", "rear": "REAR"}[one.terminals]),
        Setting(":FORM:DATA", "ASC"),
        Setting(":FORM:ASC:PREC", 16),
    ]
    for function in ("CURR", "VOLT"):
        settings += [
            Setting(f":SENS:{function}:NPLC", one.integration_cycles),
            Setting(f":SENS:{function}:AZER", 0),
            Setting(f":SENS:{function}:RSEN", int(one.wires == 4)),
            Setting(f":SOUR:{function}:READ:BACK", 1),
            Setting(f":SOUR:{function}:DEL", 0.0),
        ]
    await make(link, name, *settings)
    await link.tell(":SENS:AZER:ONCE")
    # To set these clears the buffer, and with it the numbers of the samples.
    for setting in (Setting(":TRAC:POIN", one.buffer_samples, BUFFER), Setting(":TRAC:FILL:MODE", "CONT", BUFFER)):
        if not setting.matches(await link.ask(setting.asked)):
            await make(link, name, setting)


def limit_settings(limits: BiasLimits) -> list[Setting]:
    """In an order in which each is allowed: the voltage limit has to stay below the over-voltage protection."""
    protection = next((level for level in OVP_V if level >= limits.voltage_limit_v), None)
    return [
        Setting(":SOUR:VOLT", 0.0),
        Setting(":SOUR:CURR", 0.0),
        Setting(":SOUR:VOLT:PROT", "NONE"),
        Setting(":SENS:CURR:RANG:AUTO", 1),
        Setting(":SOUR:VOLT:ILIM", limits.compliance_a),
        Setting(":SOUR:CURR:VLIM", limits.voltage_limit_v),
        Setting(":SOUR:VOLT:PROT", "NONE" if protection is None else f"PROT{protection}"),
        Setting(MARK, _MARKED_S),
    ]
