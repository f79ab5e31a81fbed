"""Carbon that the beam deposits: hydrocarbons that reach the beam's place are polymerised there."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from pydantic import Field

from cryoctl_simulators.parameters import Parameters

FloatArray = npt.NDArray[np.float64]


class ContaminationParameters(Parameters):
    """Atoms per electron at 295 K and the activation that slows the hydrocarbons down when cold.

    `shower_dose_e_per_a2` is the broad pre-irradiation that pins a share 1 - 1/e of the mobile hydrocarbons.
    """

    atoms_per_electron: float = Field(default=2.0e-4, ge=0)
    activation_ev: float = Field(default=0.05, ge=0)
    shower_dose_e_per_a2: float = Field(default=150.0, gt=0)

    def rate(self, temperature_k: float, shower_e_per_a2: float = 0.0) -> float:
        """Carbon atoms deposited per electron."""
        boltzmann_ev_k = 8.617333262e-5
        slower = math.exp(-self.activation_ev / boltzmann_ev_k * (1.0 / temperature_k - 1.0 / 295.0))
        return self.atoms_per_electron * min(slower, 10.0) * math.exp(-shower_e_per_a2 / self.shower_dose_e_per_a2)


def deposited_carbon_per_m2(
    dose_e_per_a2: npt.ArrayLike,
    temperature_k: float,
    parameters: ContaminationParameters,
    shower_e_per_a2: float = 0.0,
) -> FloatArray:
    """Carbon atoms per m2 that a dose (number or map) adds, of the shape of the dose."""
    return np.asarray(dose_e_per_a2, dtype=np.float64) * 1e20 * parameters.rate(temperature_k, shower_e_per_a2)
