"""Which characteristic X-ray line stands for an element, and which elements EDX can't see.

The energies in `MAIN_LINES_EV` are the ones the project quotes (issue 2, E1); every other line comes from `xraydb`
(Elam, Ravel and Sieber, Radiat. Phys. Chem. 63 (2002) 121), loaded only when asked for. An element is named by its
symbol, ``Fe``, which means its main line family, or with a family, ``Fe_L``.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

_ALL = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr "
    "Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir "
    "Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf"
)
SYMBOLS: tuple[str, ...] = tuple(_ALL.split())

ENGLISH_NAMES: dict[str, str] = {
    "boron": "B", "carbon": "C", "nitrogen": "N", "oxygen": "O", "fluorine": "F", "sodium": "Na", "magnesium": "Mg",
    "aluminium": "Al", "aluminum": "Al", "silicon": "Si", "phosphorus": "P", "sulfur": "S", "sulphur": "S",
    "chlorine": "Cl", "potassium": "K", "calcium": "Ca", "titanium": "Ti", "iron": "Fe", "nickel": "Ni",
    "copper": "Cu", "gallium": "Ga", "lithium": "Li", "gold": "Au", "platinum": "Pt",
}  # fmt: skip

USUAL = frozenset(ENGLISH_NAMES.values())

MAIN_LINES_EV: dict[str, float] = {
    "C_K": 277.0, "N_K": 392.0, "Ti_L": 452.0, "O_K": 525.0, "F_K": 677.0, "Fe_L": 705.0, "Mg_K": 1254.0,
    "Si_K": 1740.0, "P_K": 2013.0, "S_K": 2308.0, "Ti_K": 4511.0, "Fe_K": 6404.0, "Cu_K": 8046.0, "Ga_K": 9252.0,
}  # fmt: skip

K_BETA_SHARE: dict[str, float] = {
    "Na": 0.005, "Mg": 0.010, "Al": 0.013, "Si": 0.027, "P": 0.046, "S": 0.062, "Cl": 0.078, "Ar": 0.093,
    "K": 0.098, "Ca": 0.105,
}  # fmt: skip
"""K-beta's share of the K counts where Elam's tables extrapolate (they say 0.11 for Mg to Ca): Hartree-Fock values
after Scofield, Phys. Rev. A 9 (1974) 1041, lowered for Na to Si as measured spectra show."""

INVISIBLE: dict[str, str] = {
    "H": "hydrogen has no X-ray line",
    "He": "helium has no X-ray line",
    "Li": "Li K (0.054 keV) lies below what an EDX detector can see; measure it by EELS or ToF-SIMS",
    "Be": "Be K (0.109 keV) lies in the detector's noise peak; measure it by EELS",
}

LOWEST_LINE_EV = 150.0
HIGHEST_MAIN_LINE_EV = 20_000.0
MAIN_NAMES = {"K": ("Ka1",), "L": ("La1",), "M": ("Ma", "Mz")}
SUBSHELLS: dict[str, tuple[tuple[str, int], ...]] = {
    "K": (("K", 2),),
    "L": (("L1", 2), ("L2", 2), ("L3", 4)),
    "M": (("M4", 4), ("M5", 6), ("M4,5", 10)),
}


@dataclass(frozen=True)
class Family:
    """All lines of one element that start from one shell.

    `name` is the element's key (``Si`` where K is the main family, else ``Fe_L``); `weights` sum to one, so the
    family's net counts are those of all its lines. `edge_ev` is the lowest ionisation edge.
    """

    name: str
    element: str
    family: str
    energy_ev: float
    edge_ev: float
    energies_ev: tuple[float, ...]
    weights: tuple[float, ...]
    subshells: tuple[str, ...]


@cache
def _lines(symbol: str, family: str) -> Family | None:
    """Lines of a family from xraydb, weighted by occupation and fluorescence yield of the subshells."""
    import xraydb

    edges = xraydb.xray_edges(symbol)
    energies: list[float] = []
    weights: list[float] = []
    subshells: list[str] = []
    main = float("nan")
    lowest_edge = float("inf")
    carried = 0.0
    for shell, occupation in SUBSHELLS[family]:
        source = shell.split(",")[0]  # xraydb lists M zeta as starting from "M4,5"
        if source not in edges or edges[source].energy <= 0:
            continue
        lowest_edge = min(lowest_edge, float(edges[source].energy))
        vacancies = occupation + carried
        carried = 0.0
        follower = {"L1": "L2", "L2": "L3"}.get(shell)
        if follower is not None and shell == "L2":
            carried = vacancies * float(xraydb.ck_probability(symbol, "L2", "L3") or 0.0)
        strength = vacancies * max(float(edges[source].fyield), 1e-9)
        for name, line in xraydb.xray_lines(symbol, initial_level=shell).items():
            if line.energy < LOWEST_LINE_EV or line.intensity <= 0:
                continue
            energies.append(float(line.energy))
            weights.append(strength * float(line.intensity))
            subshells.append(shell)
            if name in MAIN_NAMES[family]:
                main = float(line.energy)
    if not energies:
        return None
    strongest = int(np.argmax(weights))
    if not np.isfinite(main):
        main = energies[strongest]
    quoted = MAIN_LINES_EV.get(f"{symbol}_{family}")
    if quoted is not None:
        energies = [energy + quoted - main for energy in energies]
        main = quoted
    if main < LOWEST_LINE_EV:
        return None
    if family == "K" and symbol in K_BETA_SHARE:
        beta = [energy > main + 20 for energy in energies]
        tabled = sum(weight for weight, is_beta in zip(weights, beta, strict=True) if is_beta)
        ratio = K_BETA_SHARE[symbol] / (1 - K_BETA_SHARE[symbol]) * (sum(weights) - tabled) / max(tabled, 1e-12)
        weights = [w * ratio if is_beta else w for w, is_beta in zip(weights, beta, strict=True)]
    total = sum(weights)
    default = main_family(symbol) == family
    return Family(
        name=symbol if default else f"{symbol}_{family}",
        element=symbol,
        family=family,
        energy_ev=main,
        edge_ev=lowest_edge,
        energies_ev=tuple(energies),
        weights=tuple(weight / total for weight in weights),
        subshells=tuple(subshells),
    )


def by_subshell(family: Family) -> tuple[Family, ...]:
    """The family cut into its subshells, for L and M of elements above Kr, whose tabulated ratios are poor."""
    if family.family == "K" or SYMBOLS.index(family.element) < 36:
        return (family,)
    parts: list[Family] = []
    for shell in sorted(set(family.subshells)):
        rows = [i for i, owner in enumerate(family.subshells) if owner == shell]
        total = sum(family.weights[i] for i in rows)
        parts.append(
            replace(
                family,
                name=f"{family.element}_{shell}",
                energy_ev=family.energies_ev[max(rows, key=lambda i: family.weights[i])],
                energies_ev=tuple(family.energies_ev[i] for i in rows),
                weights=tuple(family.weights[i] / total for i in rows),
                subshells=tuple(shell for _ in rows),
            )
        )
    return tuple(parts)


@cache
def main_family(symbol: str) -> str:
    """The family that stands for the element by convention: K up to 20 keV, then L."""
    if f"{symbol}_K" in MAIN_LINES_EV:
        return "K"
    import xraydb

    return "K" if xraydb.xray_edge(symbol, "K").energy <= HIGHEST_MAIN_LINE_EV else "L"


def _nearest(text: str) -> str | None:
    if text.lower() in ENGLISH_NAMES:
        return ENGLISH_NAMES[text.lower()]
    word = text[:20].capitalize()
    if word in SYMBOLS:
        return word

    def likeness(symbol: str) -> float:
        same_start = 0.3 * (symbol[:1] == word[:1]) + 0.3 * (len(symbol) == len(word))
        return difflib.SequenceMatcher(None, symbol, word).ratio() + same_start + 0.1 * (symbol in USUAL)

    best = max(SYMBOLS, key=likeness)
    return best if likeness(best) > 0.5 else None


def split_name(name: str) -> tuple[str, str]:
    """``"Fe"`` -> ``("Fe", "K")``, ``"Fe_L"`` -> ``("Fe", "L")``.

    Raises `BadInput` naming `edx.elements` where the name is no element, with the nearest one offered, and for H, He,
    Li and Be with the reason why EDX can't measure them.
    """
    symbol, _, family = str(name).partition("_")
    if symbol not in SYMBOLS:
        near = _nearest(symbol)
        offer = f"did you mean {near}?" if near else "use a symbol such as Si, O, F, C."
        raise BadInput(f"edx.elements: {str(name)[:40]!r} is not an element symbol; {offer}")
    if symbol in INVISIBLE:
        raise BadInput(f"edx.elements: {symbol} can't be measured by EDX: {INVISIBLE[symbol]}; remove it here.")
    if not family:
        return symbol, main_family(symbol)
    if family[0] not in SUBSHELLS or family not in ("K", "L", "M", "Ka", "La", "Ma"):
        raise BadInput(f"edx.elements: {str(name)[:40]!r} names no line family; use {symbol}_K, _L or _M.")
    return symbol, family[0]


def family_of(name: str) -> Family:
    """The lines that an element's name stands for. Raises `BadInput` as `split_name` and where no such line exists."""
    symbol, family = split_name(name)
    found = _lines(symbol, family)
    if found is None:
        lowest = LOWEST_LINE_EV / 1e3
        raise BadInput(f"edx.elements: {symbol} has no {family} line above {lowest:g} keV; name another family.")
    return found


def line_energy_ev(name: str) -> float:
    """Energy in eV of the main line of an element or family name. Raises `BadInput` as `family_of`."""
    return family_of(name).energy_ev


def families(symbol: str, beam_energy_ev: float, max_ev: float) -> tuple[Family, ...]:
    """Every family of the element that the beam can excite and that has its main line below `max_ev`."""
    found = (_lines(symbol, family) for family in SUBSHELLS)
    return tuple(f for f in found if f is not None and f.edge_ev < beam_energy_ev and f.energy_ev < max_ev)


def check_elements(elements: Sequence[str], beam_energy_ev: float, max_ev: float | None = None) -> tuple[str, ...]:
    """The elements as they were given, if every one can be measured.

    `max_ev` is the upper end of the detector's energy axis. Raises `BadInput` naming `edx.elements` for an empty list,
    an element given twice, one that EDX can't see, one unknown, or a line above the beam's energy or the axis.
    """
    if len(elements) == 0:
        raise BadInput("edx.elements: the list is empty; name at least one element, for example [Si, O, F, C].")
    seen: dict[str, str] = {}
    for name in elements:
        found = family_of(name)
        key = f"{found.element}_{found.family}"
        if key in seen:
            raise BadInput(f"edx.elements: {name!r} is given twice (as {seen[key]!r} before); name each element once.")
        seen[key] = name
        if found.edge_ev >= beam_energy_ev:
            raise BadInput(
                f"edx.elements: {name} {found.family} at {found.energy_ev / 1e3:.3f} keV needs more than "
                f"{found.edge_ev / 1e3:.3f} keV and the beam has {beam_energy_ev / 1e3:g} keV; name a softer line"
                f" or raise the beam energy."
            )
        if max_ev is not None and found.energy_ev >= max_ev:
            raise BadInput(
                f"edx.elements: {name} {found.family} at {found.energy_ev / 1e3:.3f} keV lies above the detector's "
                f"range of {max_ev / 1e3:g} keV; name a softer line of {found.element} or remove it."
            )
    return tuple(str(name) for name in elements)


def energy_axis(n_channels: int, offset_ev: float, scale_ev: float) -> npt.NDArray[np.float64]:
    """Start of each channel in eV, shape [channel]: offset + scale * channel."""
    return offset_ev + scale_ev * np.arange(n_channels, dtype=np.float64)


def window_channels(
    line_ev: float, window_ev: float, n_channels: int, offset_ev: float, scale_ev: float
) -> npt.NDArray[np.bool_]:
    """Mask [channel] of the channels whose start lies within half a window of the line, both ends included."""
    axis = energy_axis(n_channels, offset_ev, scale_ev)
    return np.abs(axis - line_ev) <= window_ev / 2


def window_counts(
    counts: npt.ArrayLike, line_ev: float, window_ev: float, offset_ev: float, scale_ev: float
) -> npt.NDArray[np.float64]:
    """Counts within a window around a line, background and overlaps included.

    `counts` is [..., channel]; the result has the leading shape. Energies in eV.
    """
    values = np.asarray(counts)
    mask = window_channels(line_ev, window_ev, values.shape[-1], offset_ev, scale_ev)
    return np.asarray(values[..., mask].sum(axis=-1), dtype=np.float64)
