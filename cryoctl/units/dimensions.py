"""The dimensions that a field's name can end in, and the spellings of units that each of them takes.

Factors are decimals, so that `20 um` is exactly the float that `2e-5` is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import pi

PREFIXES: dict[str, str] = {
    "f": "1e-15", "p": "1e-12", "n": "1e-9", "u": "1e-6", "m": "1e-3", "": "1", "k": "1e3", "M": "1e6", "G": "1e9",
}  # fmt: skip

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SAME = str.maketrans({"\u00b5": "u", "\u03bc": "u", "\u212b": "\u00c5", "\u2212": "-", "\u00b7": "*", "\u22c5": "*"})


def normal_spelling(unit: str) -> str:
    """One spelling of a unit: both micro signs `u`, superscripts plain, `e` for `e-` and `electrons`, no spaces beside
    operators. Other spaces stay, so that `n m` is no unit."""
    text = unit.strip().translate(_SUPERSCRIPTS).translate(_SAME)
    text = re.sub(r"\s*([/*^()])\s*", r"\1", text)
    text = text.replace("**", "^").replace("^", "")
    for long, short in (("electrons", "e"), ("electron", "e"), ("e-", "e"), ("angstrom", "\u00c5"), ("\u00c5", "Å")):
        if text.lower().startswith(long):
            text = short + text[len(long) :]
    return text.replace("Angstrom", "Å").replace("angstrom", "Å")


@dataclass(frozen=True)
class Dimension:
    """A physical dimension: the suffix of the fields that carry it and the units it is written in."""

    name: str
    suffix: str
    unit: str
    """The unit of a bare number."""
    units: Mapping[str, tuple[Decimal, Decimal]]
    """Normal spelling of a unit to (factor, offset): bare number = value * factor + offset."""
    shown: tuple[str, ...]
    """The units as a message lists them."""
    example: str
    largest: float
    smallest: float

    def __repr__(self) -> str:
        return f"Dimension({self.suffix!r})"


def _scaled(base: str, prefixes: Iterable[str], power: int = 1) -> dict[str, str]:
    return {prefix + base: str(Decimal(PREFIXES[prefix]) ** power) for prefix in prefixes}


def _dimension(
    name: str,
    suffix: str,
    unit: str,
    units: Mapping[str, str],
    example: str,
    *,
    largest: float,
    smallest: float | None = None,
    offsets: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Dimension:
    zero = offsets or {}
    table = {normal_spelling(u): (Decimal(f), Decimal(zero.get(u, "0"))) for u, f in units.items()}
    for alias, meant in (aliases or {}).items():
        table[normal_spelling(alias)] = table[normal_spelling(meant)]
    low = -largest if smallest is None else smallest
    return Dimension(name, suffix, unit, table, tuple(units), example, largest, low)


_DEGREE = repr(180.0 / pi)
_ANGLES = {"deg": "1", "mrad": str(Decimal(_DEGREE) / 1000), "rad": _DEGREE}
_RADIANS = {"rad": "1", "mrad": "1e-3", "urad": "1e-6", "deg": repr(pi / 180.0)}
_PER_TIME = {"s": Decimal(1), "min": Decimal(60), "h": Decimal(3600)}


def _rate(base: str, times: Mapping[str, Decimal] = _PER_TIME, factor: str = "1") -> dict[str, str]:
    return {f"{base}/{t}": str(Decimal(factor) / seconds) for t, seconds in times.items()}


_DIMENSIONS: tuple[Dimension, ...] = (
    _dimension(
        "a dose rate", "_e_per_a2_s", "e-/A^2/s", {"e-/A^2/s": "1", "e-/nm^2/s": "0.01"}, "10 e-/A^2/s",
        largest=1e15, aliases={"e-/Å^2/s": "e-/A^2/s", "e-/(A^2*s)": "e-/A^2/s", "e-/A^2*s^-1": "e-/A^2/s"},
    ),
    _dimension(
        "a dose", "_e_per_a2", "e-/A^2", {"e-/A^2": "1", "ke-/A^2": "1e3", "e-/nm^2": "0.01"}, "5e4 e-/A^2",
        largest=1e15, aliases={"e-/Å^2": "e-/A^2", "ke/A^2": "ke-/A^2"},
    ),
    _dimension("an irradiance", "_w_per_m2", "W/m^2", {"W/m^2": "1", "mW/cm^2": "10"}, "100 mW/cm^2", largest=1e9),
    _dimension(
        "an areal density", "_per_m2", "1/m^2", {"1/m^2": "1", "1/cm^2": "1e4", "1/nm^2": "1e18"}, "1e15 1/cm^2",
        largest=1e40,
        aliases={"/m^2": "1/m^2", "m^-2": "1/m^2", "/cm^2": "1/cm^2", "cm^-2": "1/cm^2", "ions/m^2": "1/m^2",
                 "ions/cm^2": "1/cm^2", "/nm^2": "1/nm^2", "nm^-2": "1/nm^2"},
    ),
    _dimension(
        "a number density", "_per_m3", "1/m^3", {"1/m^3": "1", "1/cm^3": "1e6", "1/nm^3": "1e27"}, "5e28 1/m^3",
        largest=1e40, aliases={"/m^3": "1/m^3", "m^-3": "1/m^3", "/cm^3": "1/cm^3", "cm^-3": "1/cm^3"},
    ),
    _dimension("a drift per angle", "_m_per_s_per_deg", "m/s/deg",
               {"m/s/deg": "1", "um/s/deg": "1e-6", "nm/s/deg": "1e-9"}, "0.02 nm/s/deg", largest=1e3),
    _dimension("an angular speed", "_deg_per_s", "deg/s",
               {"deg/s": "1", "deg/min": str(Decimal(1) / 60), "mrad/s": str(Decimal(_DEGREE) / 1000)}, "2 deg/s",
               largest=1e5, aliases={"°/s": "deg/s", "°/min": "deg/min"}),
    _dimension("a piezo's gain", "_m_per_v", "m/V", {"m/V": "1", "um/V": "1e-6", "nm/V": "1e-9"}, "33 nm/V",
               largest=1e3),
    _dimension(
        "a speed", "_m_per_s", "m/s",
        {**_rate("m", {"s": Decimal(1)}), **_rate("um", factor="1e-6"), **_rate("nm", factor="1e-9"),
         **_rate("mm", {"s": Decimal(1)}, "1e-3")},
        "1 nm/min", largest=1e6,
    ),
    _dimension("a temperature ramp", "_k_per_s", "K/s", {**_rate("K"), "mK/s": "1e-3"}, "2 K/min", largest=1e6,
               aliases={"C/s": "K/s", "C/min": "K/min", "C/h": "K/h", "degC/min": "K/min"}),
    _dimension("a voltage ramp", "_v_per_s", "V/s", {**_rate("V"), **_rate("mV", factor="1e-3")}, "10 mV/s",
               largest=1e9),
    _dimension("a rate", "_per_s", "1/s", {"1/s": "1", "1/min": str(Decimal(1) / 60), "1/h": str(Decimal(1) / 3600)},
               "0.02 1/s", largest=1e15, aliases={"/s": "1/s", "s^-1": "1/s", "/min": "1/min", "/h": "1/h"}),
    _dimension("an area", "_m2", "m^2",
               {"m^2": "1", "mm^2": "1e-6", "um^2": "1e-12", "nm^2": "1e-18", "Å^2": "1e-20"}, "2 um^2", largest=1e6),
    _dimension("a volume", "_m3", "m^3", {"m^3": "1", "um^3": "1e-18", "nm^3": "1e-27"}, "2 um^3", largest=1e6),
    _dimension("a length", "_m", "m", {**_scaled("m", ("", "m", "u", "n", "p")), "cm": "1e-2", "Å": "1e-10"}, "20 um",
               largest=1e3),
    _dimension("a time", "_s", "s", {**_scaled("s", ("", "m", "u", "n")), "min": "60", "h": "3600", "d": "86400"},
               "30 min", largest=1e9),
    _dimension("a current", "_a", "A", _scaled("A", ("", "m", "u", "n", "p", "f")), "0.2 nA", largest=1e3),
    _dimension("a voltage", "_v", "V", _scaled("V", ("", "u", "m", "k", "M")), "200 kV", largest=1e8),
    _dimension("a temperature", "_k", "K", {"K": "1", "mK": "1e-3", "C": "1"}, "95 K", largest=1e5, smallest=0.0,
               offsets={"C": "273.15"}, aliases={"°C": "C", "degC": "C"}),
    _dimension("an angle", "_deg", "deg", _ANGLES, "2.5 deg", largest=1e5,
               aliases={"°": "deg", "degree": "deg", "degrees": "deg"}),
    _dimension("an angle", "_rad", "rad", _RADIANS, "10 mrad", largest=1e3,
               aliases={"°": "deg", "degree": "deg", "degrees": "deg"}),
    _dimension("a solid angle", "_sr", "sr", {"sr": "1", "msr": "1e-3"}, "0.7 sr", largest=20.0, smallest=0.0),
    _dimension("an energy", "_ev", "eV", _scaled("eV", ("", "m", "k", "M")), "1.74 keV", largest=1e10),
    _dimension("a pressure", "_pa", "Pa", {**_scaled("Pa", ("", "u", "m", "k")), "mbar": "100"}, "2e-5 Pa",
               largest=1e9, smallest=0.0),
    _dimension("a frequency", "_hz", "Hz", _scaled("Hz", ("", "m", "k", "M", "G")), "50 Hz", largest=1e15),
    _dimension("a charge", "_c", "C", _scaled("C", ("", "m", "u", "n", "p", "f")), "16 pC", largest=1e6),
    _dimension("a resistance", "_ohm", "ohm", _scaled("ohm", ("", "m", "k", "M", "G")), "1 Mohm", largest=1e18,
               aliases={"Ω": "ohm", "kΩ": "kohm", "MΩ": "Mohm", "GΩ": "Gohm"}),
    _dimension("a capacitance", "_farad", "F", _scaled("F", ("", "m", "u", "n", "p")), "200 nF", largest=1e3),
    _dimension("a power", "_w", "W", _scaled("W", ("", "m", "u")), "25 W", largest=1e9),
    _dimension("a size", "_bytes", "B",
               {"B": "1", "kB": "1e3", "MB": "1e6", "GB": "1e9", "TB": "1e12", "MiB": "1048576", "GiB": "1073741824"},
               "20 GB", largest=1e18, smallest=0.0),
)  # fmt: skip

DIMENSIONS: Mapping[str, Dimension] = {d.suffix: d for d in _DIMENSIONS}
"""Suffix of a field's name to its dimension, longest suffix first."""

_BY_LENGTH = tuple(sorted(_DIMENSIONS, key=lambda d: -len(d.suffix)))

TEMPERATURE_DIFFERENCE = _dimension(
    "a temperature difference", "_k", "K", {"K": "1", "mK": "1e-3"}, "20 K", largest=1e5
)
"""A difference, where Celsius would be ambiguous and is refused."""


def dimension_of(field_name: str) -> Dimension | None:
    """The dimension that the suffix of a field's name demands, None where the name carries no unit."""
    for dimension in _BY_LENGTH:
        if field_name.endswith(dimension.suffix):
            return dimension
    return None


def kinds_with_unit(spelling: str) -> tuple[str, ...]:
    """Names of the dimensions that know this unit (normal spelling)."""
    return tuple(dict.fromkeys(d.name for d in _DIMENSIONS if spelling in d.units))
