"""How large the beam current may be now, from the last measurement, its uncertainty and the drift since."""

from __future__ import annotations

from dataclasses import dataclass

UNMEASURED_SIGMA_REL = 0.1
"""Screen currents are good to 10 to 20 % until calibrated (science.md); taken as the bound at two sigma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCurrent:
    """Belongs to one optics preset; `measured` is False for the nominal value of the instrument file."""

    current_a: float
    sigma_rel: float
    time_s: float
    measured: bool

    def upper_a(self, now_s: float, drift_rel_per_s: float) -> float:
        """Two sigma more than measured, plus the largest drift since.

        A cup may read up to two sigma less than the truth; a nominal current may be surpassed by two of its sigmas.
        """
        age_s = max(0.0, now_s - self.time_s)
        bound_rel = 2 * self.sigma_rel
        highest_a = self.current_a / (1 - bound_rel) if self.measured else self.current_a * (1 + bound_rel)
        return highest_a * (1 + drift_rel_per_s * age_s)


def nominal(current_a: float, now_s: float) -> KnownCurrent:
    return KnownCurrent(current_a=current_a, sigma_rel=UNMEASURED_SIGMA_REL, time_s=now_s, measured=False)
