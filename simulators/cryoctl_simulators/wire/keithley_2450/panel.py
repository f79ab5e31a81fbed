"""Settings of an emulated 2450: what each header takes, and what a 2450 has when it is switched on."""

from __future__ import annotations

import re
from typing import Any

from cryoctl_simulators.wire.scpi import BAD_VALUE, ScpiError, Take, between, switch, word

_OVP = re.compile(r"PROT(2|5|10|20|40|60|80|100|120|140|160|180)|NONE")


def _protection(text: str) -> str:
    if not _OVP.fullmatch(text.upper()):
        raise ScpiError(BAD_VALUE)
    return text.upper()


_EACH: dict[str, tuple[Any, Take]] = {
    "SENS:{}:NPLC": (1.0, between(0.01, 10.0)),
    "SENS:{}:AZER": (1, switch),
    "SENS:{}:RSEN": (0, switch),
    "SENS:{}:RANG:AUTO": (1, switch),
    "SENS:{}:AVER": (0, switch),
    "SENS:{}:AVER:COUN": (10.0, between(1, 100)),
    "SENS:{}:AVER:TCON": ("REP", word("REP", "MOV")),
    "SENS:{}:DEL:USER5": (0.0, between(0.0, 10_000.0)),
    "SOUR:{}:READ:BACK": (1, switch),
    "SOUR:{}:DEL": (0.0, between(0.0, 10_000.0)),
    "SOUR:{}:DEL:AUTO": (1, switch),
    "SOUR:{}:RANG:AUTO": (1, switch),
    "OUTP:{}:SMOD": ("NORM", word("NORM", "HIMP", "ZERO", "GUAR")),
}
TABLE: dict[str, tuple[Any, Take]] = {
    **{header.format(one): told for header, told in _EACH.items() for one in ("CURR", "VOLT")},
    "SENS:CURR:RANG": (1e-4, between(-1.05, 1.05)),
    "SENS:VOLT:RANG": (2.0, between(-210.0, 210.0)),
    "SOUR:CURR:RANG": (1e-8, between(-1.05, 1.05)),
    "SOUR:VOLT:RANG": (0.02, between(-210.0, 210.0)),
    "SOUR:VOLT": (0.0, between(-210.0, 210.0)),
    "SOUR:CURR": (0.0, between(-1.05, 1.05)),
    "SOUR:VOLT:ILIM": (1.05e-4, between(1e-9, 1.05)),
    "SOUR:CURR:VLIM": (21.0, between(0.02, 210.0)),
    "SOUR:VOLT:PROT": ("NONE", _protection),
    "SOUR:FUNC": ("VOLT", word("VOLT", "CURR")),
    "SENS:FUNC": ("CURR", word("VOLT", "CURR", "RES")),
    "ROUT:TERM": ("FRON", word("FRON", "REAR")),
    "FORM:DATA": ("ASC", word("ASC")),
    "FORM:ASC:PREC": (0.0, between(0, 16)),
    "TRIG:TIM1:STAT": (0, switch),
    "TRIG:TIM1:DEL": (1e-5, between(8e-6, 100_000.0)),
    "TRIG:TIM1:COUN": (1.0, between(0, 1_048_575)),
    "TRIG:TIM1:STAR:STIM": ("NONE", word("NONE", "NOT1", "NOT2")),
    "TRIG:TIM1:STAR:GEN": (0, switch),
}
WHOLE = ("FORM:ASC:PREC", "TRIG:TIM1:COUN")


def switched_on() -> dict[str, Any]:
    """As the maker set it, in plain values."""
    return {
        "set": {header: value for header, (value, _) in TABLE.items()},
        "points": {'"defbuffer1"': 100_000, '"defbuffer2"': 100_000},
        "lists": {"VOLT": [], "CURR": []},
        "blocks": {},
        "trigger": None,
        "single": {},
        "hidden": [],
        "events": [],
        "power_on": True,
        "tripped": False,
    }
