"""What a biasing source is wired to: the interface between the source's simulator and what the needle touches.

A source tells the cell what is at its terminals at each change and asks it what they are connected to. Nothing else
passes between them:

    world.cell                          None where the specimen has none
    world.cell.apply(time_s, 2.0)       2 V from now on; None: output off, high impedance
    world.cell.apply(time_s, 0.0, 0.1)  a ramp from 0 V on, 0.1 V/s, until the next `apply`
    world.cell.connection(time_s)       what the terminals see: open, particle or short

Times are the world's (`world.time_s`). The voltage is what truly is at the terminals: a source in compliance applies what
it reaches. It stays applied until the next call, beyond the death of the process, as a source's output does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A voltage behind a resistance, and what flows in a reaction beside it.

    Attributes:
        kind: `open` (no contact), `particle`, or `short` (the needle on bare metal).
        open_circuit_v: what a voltmeter of infinite resistance reads; NaN where open.
        resistance_ohm: infinite where open. The current is (V - open_circuit_v) / resistance_ohm + reaction_a.
        reaction_a: of the ions that move now; some 0.1 pA for one particle.
    """

    kind: Literal["open", "particle", "short"]
    open_circuit_v: float
    resistance_ohm: float
    reaction_a: float = 0.0


class Cell(Protocol):
    def connection(self, time_s: float) -> Connection: ...

    def apply(self, time_s: float, voltage_v: float | None, slope_v_per_s: float = 0.0) -> None: ...
