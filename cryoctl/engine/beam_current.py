"""The beam current as it is known, and what has to be charged again when it turns out to have been higher."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cryoctl.clock import now_s
from cryoctl.dose.current import KnownCurrent, nominal
from cryoctl.dose.ledger import Deposit
from cryoctl.errors import DeviceError, StepLost
from cryoctl.interfaces.beam import CurrentReading, Optics

RISING = ("dose_e_per_a2", "charge_c", "upper_current_a")
"""What of an exposure's row grows with the current."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """An exposure as it stands in the ledger, made at no more than `upper_current_a`."""

    exposure: int
    kind: str
    position_sigma_m: float
    upper_current_a: float
    row: dict[str, Any]
    deposits: tuple[Deposit, ...]
    unseen_rel: float = 0.0
    """How much more the current may have been, relative (`KnownCurrent.unseen_rel`)."""

    def more(self, factor: float) -> tuple[Deposit, ...]:
        """What to add so that it was `factor` times as much."""
        return tuple(replace(one, dose_e_per_a2=one.dose_e_per_a2 * (factor - 1)) for one in self.deposits)


class BeamCurrent:
    """Of the optics in use: measured since they were set, or nominal with a wide bound.

    Args:
        counted: False where dose is unknown (a replay of data without currents): nothing is checked.
    """

    def __init__(self, drift_rel_per_s: float, *, counted: bool = True) -> None:
        self._counted = counted
        self._drift_rel_per_s = drift_rel_per_s
        self._optics: Optics | None = None
        self._known: KnownCurrent | None = None
        self._since: list[Charged] = []
        self._since_s = 0.0

    def forget(self) -> None:
        """The optics are about to change, by more than a drift: nothing is known until they are read back."""
        self._optics = self._known = None
        self._since.clear()

    def use(self, optics: Optics) -> None:
        self.forget()
        self._optics, self._since_s = optics, now_s()

    def now(self) -> KnownCurrent:
        if self._optics is None:
            raise StepLost("optics: no preset is in use; a protocol starts with UseOptics")
        return self._known or nominal(self._optics.beam_current_a, self._since_s)

    @property
    def unmeasured(self) -> tuple[Charged, ...]:
        """Exposures since the last measurement, made with a current that may have risen unseen."""
        return tuple(self._since)

    def give_up(self) -> list[tuple[Charged, float]]:
        """Nobody will measure the current any more: exposures since the last measurement, and the factor up to which
        each may have been made."""
        since, self._since = self._since, []
        return [(one, 1 + one.unseen_rel) for one in since if self._counted and one.unseen_rel > 0]

    def remember(self) -> tuple[KnownCurrent | None, list[Charged]]:
        """For `recall`, where the same optics are about to be set once more."""
        return self._known, list(self._since)

    def recall(self, known: KnownCurrent | None, since: Sequence[Charged]) -> None:
        """What an earlier session knew of the optics that are in use again: its exposures may have to be charged again
        once the current is measured."""
        self._known, self._since = known, list(since)

    def note(self, charged: Charged) -> None:
        """An exposure since the last measurement."""
        self._since.append(charged)

    def learn(self, reading: CurrentReading) -> list[tuple[Charged, float]]:
        """Take a measurement.

        Returns:
            Exposures that were charged for less current than may have been found now, and the factor for each.

        Raises:
            DeviceError: no current; what can't be measured can't be counted.
        """
        if self._counted and not (0 < reading.current_a < math.inf and 0 <= reading.sigma_rel < 0.5):
            raise DeviceError(
                f"beam: the Faraday cup reads {reading.current_a:g} A (sigma {reading.sigma_rel:g}); "
                "see if the gun emits and the valves are open"
            )
        self._known = KnownCurrent(
            current_a=reading.current_a, sigma_rel=reading.sigma_rel, time_s=now_s(), measured=True
        )
        since, self._since = self._since, []
        if not self._counted:
            return []
        upper_a = self._known.upper_a(now_s(), self._drift_rel_per_s)
        return [(one, upper_a / one.upper_current_a) for one in since if upper_a > one.upper_current_a]
