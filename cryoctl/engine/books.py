"""What was charged for exposures: corrected once the beam current is known, at its worst where it never will be."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping

from cryoctl.clock import now_s
from cryoctl.dose.ledger import Deposit
from cryoctl.dose.permits import DoseGate
from cryoctl.engine.beam_current import RISING, BeamCurrent, Charged
from cryoctl.engine.monitors import UNITS
from cryoctl.engine.patience import within
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.underway import Underway
from cryoctl.interfaces.beam import Beam, CurrentReading
from cryoctl.steps.codec import plain

LAST_MEASUREMENT_LIMIT_S = 5.0


class Books:
    """Of one run; `current` is what is known of the beam."""

    def __init__(self, gate: DoseGate, recorder: Recorder) -> None:
        self._gate = gate
        self._recorder = recorder
        self._open: tuple[Underway, float] | None = None
        self.current = BeamCurrent(gate.drift_rel_per_s, counted=gate.dose_known)

    @property
    def beam_unconfirmed(self) -> bool:
        """Neither blanking nor closed valves could be confirmed after an exposure."""
        return self._open is not None

    def leave_open(self, one: Underway) -> None:
        """Its beam could not be confirmed stopped: from now on it is charged until someone stopped it or gave up."""
        self._open = (one, now_s())

    def unmeasured(self) -> Iterator[Deposit]:
        """What exposures since the last measurement may have given beyond their charge."""
        for one in self.current.unmeasured:
            yield from one.more(1 + one.unseen_rel)

    def learn_current(self, reading: CurrentReading) -> None:
        """Take a measurement of the current; exposures that may have been made with more are charged again.

        Raises:
            DeviceError: there is no current.
        """
        again = self.current.learn(reading)
        self._charge_again(again, {})
        most = max((factor for _, factor in again), default=1.0)
        if most * (1 - 2 * reading.sigma_rel) ** 2 > 1:  # beyond both uncertainties
            self._recorder.event(
                "fault",
                "beam current",
                f"the beam current rose beyond its stated drift: {len(again)} exposures since the last measurement "
                f"are charged up to {most:.3g} times as much",
                "warning",
            )

    async def measure_last(self, beam: Beam) -> None:
        """At the end of a run, where it is blanked: nothing has then to be charged at its worst. Never raises.

        Not after an alarm, which closes the valves: then it is charged at its worst.
        """
        if not self.current.unmeasured or not self._gate.dose_known or self._open is not None:
            return

        async def measured() -> None:
            if await beam.is_blanked():
                reading = await beam.measure_current()
                self.learn_current(reading)
                told = {"name": "beam_current", "unit": UNITS["beam_current"], "value": reading.current_a}
                self._recorder.record("monitor", told)

        with contextlib.suppress(Exception):  # whatever stands in its way: it is then charged at its worst
            await within(measured(), LAST_MEASUREMENT_LIMIT_S)

    def close(self) -> None:
        """Nothing will be exposed or measured any more: charge what nobody can tell any more at its worst."""
        self._charge_again(self.current.give_up(), self._late())

    def _late(self) -> dict[int, tuple[Deposit, ...]]:
        """By exposure what a beam gave that could not be confirmed stopped."""
        if self._open is None:
            return {}
        one, since_s = self._open
        self._open = (one, now_s())
        dose = one.plan.rate_e_per_a2_s * (1 + one.current.unseen_rel(now_s())) * (now_s() - since_s)
        return {one.exposure: tuple(dataclasses.replace(field, dose_e_per_a2=dose) for field in one.plan.reserved)}

    def _charge_again(self, again: list[tuple[Charged, float]], beside: Mapping[int, tuple[Deposit, ...]]) -> None:
        """Up to a factor each, and what else an exposure gave."""
        for charged, factor in again:
            more = (*charged.more(factor), *beside.get(charged.exposure, ()))
            self._gate.ledger.charge(charged.kind, more, charged.position_sigma_m)
            risen = {name: charged.row[name] * factor for name in RISING}
            deposits = [plain(one) for one in (*charged.deposits, *more)]
            told = {"exposure": charged.exposure, "row": {**charged.row, **risen}, "deposits": deposits}
            self._recorder.record("exposed", told)
