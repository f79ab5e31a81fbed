"""The course of a run before it begins: the protocol itself, played on what the instrument's devices state.

A protocol is pure, so its states can be played in a moment by answering its steps; `rehearse` plays the same with
pictures, noise and physics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count
from typing import Any

from cryoctl.dose.ledger import DoseLedger
from cryoctl.engine.machine import ProtocolMachine
from cryoctl.engine.played import played
from cryoctl.engine.thrown import Thrown
from cryoctl.errors import CryoctlError, RecipeError
from cryoctl.launch.prepare import Furnished
from cryoctl.launch.stated_instrument import StatedInstrument

MOST_STEPS = 12000
"""Some 900 tilts. What is left then takes as long as its part of the whole, by the protocol's own word."""


class _Reached(Exception):
    """The state where the forecast ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What is foretold; `picture_bytes` as the detectors give them, `edx_electrons` exposed with the EDX detector.

    NaN and 0 where the protocol can't be played without pictures.
    """

    duration_s: float = math.nan
    peak_e_per_a2: float = math.nan
    frames: int = 0
    picture_bytes: int = 0
    edx_electrons: float = 0.0
    end_reason: str = ""
    """As the chart names the state that was reached; empty where it was none of its final ones."""


def foretell(furnished: Furnished, ledger: DoseLedger, until: str = "") -> Course:
    """Play a fresh instance of the protocol to its end, or to `until`.

    Args:
        ledger: is charged with what the run would expose; not to be used again.

    Raises:
        RecipeError: it asks for what this instrument refuses.
    """
    instrument = StatedInstrument(furnished.devices, furnished.facts, ledger)
    try:
        share, end_reason = _play(furnished, instrument, until)
    except RecipeError:
        raise
    except CryoctlError:
        return Course()
    return Course(
        duration_s=instrument.time_s / share,
        peak_e_per_a2=ledger.peak_e_per_a2,
        frames=round(instrument.frames / share),
        picture_bytes=round(instrument.bytes / share),
        edx_electrons=instrument.edx_electrons / share,
        end_reason=end_reason,
    )


def _play(furnished: Furnished, instrument: StatedInstrument, until: str) -> tuple[float, str]:
    """Gives the share of the whole that was played, 1 unless it is a very long one, and how it ended."""
    given = furnished.protocol
    protocol = type(given)(given.parameters, given.facts)
    machine = ProtocolMachine(protocol)

    def entered(state: str) -> None:
        if state == until:
            raise _Reached

    playing = played(protocol, machine, entered)
    result: Any = None
    error: CryoctlError | None = None
    for steps in count():
        try:
            step = playing.send(result) if error is None else playing.throw(error)
        except (StopIteration, _Reached):
            break
        if steps >= MOST_STEPS and instrument.progress > 0.0:
            return instrument.progress, ""
        result, error = None, None
        try:
            result = instrument.answer(step)
        except Thrown as thrown:
            error = thrown
    return 1.0, protocol.chart.finals.get(machine.state, "")
