"""Net counts of each element in a summed spectrum, by fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from cryoctl.analysis.spectrum_fit import fit_spectrum


def counts_of_spectrum(
    spectrum: npt.NDArray[Any], elements: Sequence[str], *, offset_ev: float, scale_ev: float, voltage_v: float
) -> dict[str, float]:
    """Counts by element from a spectrum [channel]; `voltage_v` bounds the bremsstrahlung."""
    fit = fit_spectrum(spectrum, elements, offset_ev=offset_ev, scale_ev=scale_ev, beam_energy_ev=voltage_v)
    return {element: float(fit.net_counts[element]) for element in elements}
