"""Settings of an emulated 2400: what each header takes, and what a 2400 has when it is switched on."""

from __future__ import annotations

from typing import Any

from cryoctl_simulators.wire.scpi import Take, between, switch, word

MOST_POINTS = 2500
_AMPERES, _VOLTS = between(-1.05, 1.05), between(-210.0, 210.0)
TABLE: dict[str, tuple[Any, Take]] = {
    "ROUT:TERM": ("FRON", word("FRON", "REAR")),
    "SYST:RSEN": (0, switch),
    "SYST:AZER": (1, switch),
    "SYST:TIME:RES:AUTO": (0, switch),
    "SENS:CURR:NPLC": (1.0, between(0.01, 10)),
    "SENS:VOLT:NPLC": (1.0, between(0.01, 10)),
    "SENS:FUNC:CONC": (1, switch),
    "SENS:CURR:PROT": (1.05e-4, _AMPERES),
    "SENS:VOLT:PROT": (21.0, _VOLTS),
    "SENS:CURR:RANG": (1.05e-4, _AMPERES),
    "SENS:VOLT:RANG": (21.0, _VOLTS),
    "SENS:CURR:RANG:AUTO": (1, switch),
    "SENS:VOLT:RANG:AUTO": (1, switch),
    "SENS:AVER": (0, switch),
    "SOUR:FUNC": ("VOLT", word("VOLT", "CURR")),
    "SOUR:VOLT": (0.0, _VOLTS),
    "SOUR:CURR": (0.0, _AMPERES),
    "SOUR:VOLT:RANG": (21.0, _VOLTS),
    "SOUR:CURR:RANG": (1.05e-4, _AMPERES),
    "SOUR:VOLT:RANG:AUTO": (1, switch),
    "SOUR:CURR:RANG:AUTO": (1, switch),
    "SOUR:VOLT:MODE": ("FIX", word("FIX", "LIST")),
    "SOUR:CURR:MODE": ("FIX", word("FIX", "LIST")),
    "SOUR:VOLT:PROT": (210.0, _VOLTS),
    "SOUR:DEL": (0.0, between(0.0, 999.9999)),
    "SOUR:DEL:AUTO": (1, switch),
    "SOUR:CLE:AUTO": (0, switch),
    "SOUR:CLE:AUTO:MODE": ("ALW", word("ALW", "TCO")),
    "OUTP:SMOD": ("NORM", word("NORM", "HIMP", "ZERO", "GUAR")),
    "ARM:COUN": (1.0, between(1, MOST_POINTS)),
    "TRIG:COUN": (1.0, between(1, MOST_POINTS)),
    "TRIG:DEL": (0.0, between(0.0, 999.9999)),
    "CALC2:LIM5:UPP": (1.0, between(-1e10, 1e10)),
    "TRAC:POIN": (100.0, between(1, MOST_POINTS)),
    "FORM:DATA": ("ASC", word("ASC")),
}
WHOLE = ("ARM:COUN", "TRIG:COUN", "TRAC:POIN")


def switched_on() -> dict[str, Any]:
    """As the maker set it, in plain values."""
    return {
        "set": {header: value for header, (value, _) in TABLE.items()},
        "sensed": ["CURR"],
        "elements": ["VOLT", "CURR", "RES", "TIME", "STAT"],
        "lists": {"VOLT": [], "CURR": []},
        "sweep": None,
        "rows": [],
        "errors": [],
        "power_on": True,
        "tripped": False,
    }
