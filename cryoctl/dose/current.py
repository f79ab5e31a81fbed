"""How large the beam current may be now, from the last measurement, its uncertainty and the drift since."""

from __future__ import annotations

from dataclasses import dataclass

UNMEASURED_SIGMA_REL = 0.1
"""Screen currents are good to 10 to 20 % until calibrated (science.md); taken as the bound at two sigma."""


UNSEEN_JUMP_REL = 0.1
UNSEEN_DRIFT_REL_PER_S = 0.02 / 60
"""What a gun out of order does to its current between two measurements, where nobody sees it: one jump up to this, and
a drift of 2 % a minute. The gate keeps so much back; what was exposed is charged for it unless a later measurement
tells how much it was."""


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

    def unseen_rel(self, now_s: float) -> float:
        """How far the current may have risen above `upper_a` by now without anybody seeing it, relative; a later
        measurement may read it by another two sigma too high."""
        age_s = max(0.0, now_s - self.time_s)
        bound_rel = 2 * self.sigma_rel
        misread = (1 + bound_rel) / (1 - bound_rel) if self.measured else 1.0
        return (1 + UNSEEN_JUMP_REL) * (1 + UNSEEN_DRIFT_REL_PER_S * age_s) * misread - 1


def nominal(current_a: float, since_s: float) -> KnownCurrent:
    """As the optics state it, in use since then."""
    return KnownCurrent(current_a=current_a, sigma_rel=UNMEASURED_SIGMA_REL, time_s=since_s, measured=False)
