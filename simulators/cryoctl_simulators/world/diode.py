"""A solar cell as a circuit: a diode that light and beam drive, with series and shunt resistance, in closed form.

I = I0 (exp(Vj / a) - 1) + Vj / Rp - Ig, Vj = V - I Rs, solved either way by Wright's omega (A. Jain, A. Kapoor, Sol.
Energy Mater. Sol. Cells 81 (2004) 269).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import wrightomega

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diode:
    """A `cryoctl_simulators.world.cell.Load`; currents that flow in are positive.

    `generated_a` is what light and beam make, a number or one for each moment; `emission_v` is ideality times kT/e.
    """

    generated_a: FloatArray | float
    saturation_a: float
    emission_v: float
    series_ohm: float
    shunt_ohm: float

    def current_a(self, voltage_v: FloatArray) -> FloatArray:
        a, saturation = self.emission_v, self.saturation_a
        offered = np.asarray(self.generated_a) + saturation
        if self.series_ohm == 0.0:
            return saturation * np.exp(voltage_v / a) + voltage_v / self.shunt_ohm - offered
        shared = 1 + self.series_ohm / self.shunt_ohm
        open_v = (voltage_v + self.series_ohm * offered) / shared
        omega = wrightomega(np.log(self.series_ohm * saturation / (a * shared)) + open_v / a)
        junction_v = open_v - a * omega
        return a * shared * omega / self.series_ohm + junction_v / self.shunt_ohm - offered

    def voltage_v(self, current_a: FloatArray) -> FloatArray:
        a = self.emission_v
        passed = current_a + np.asarray(self.generated_a) + self.saturation_a
        ratio = np.log(self.saturation_a * self.shunt_ohm / a)
        argument = ratio + self.shunt_ohm * passed / a
        omega = wrightomega(argument)
        # Of two equal expressions the one that takes no small difference of large numbers.
        with np.errstate(divide="ignore"):
            forward = a * (np.log(omega) - ratio)
        junction_v = np.where(argument > 0.0, forward, self.shunt_ohm * passed - a * omega)
        return junction_v + current_a * self.series_ohm

    def behind(self, ohm: float) -> Diode:
        return replace(self, series_ohm=self.series_ohm + ohm)
