"""Voltage and current at a source's terminals, and what it reads of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.settings import BiasSettings
from cryoctl_simulators.world.cell import Load
from cryoctl_simulators.world.noise import generator

FloatArray = npt.NDArray[np.float64]
_LEAST_RANGE_A = 1e-9
_NOISE_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Terminals:
    """V, A, and where a limit holds; arrays where the control's values were."""

    voltage_v: FloatArray
    current_a: FloatArray
    limited: npt.NDArray[np.bool_]


def terminals(control: str, value: FloatArray, load: Load, voltage_limit_v: float, compliance_a: float) -> Terminals:
    """Of what is connected, as the source drives it.

    Args:
        value: what is controlled: V, A, or anything in `open`.
    """
    value = np.asarray(value, dtype=np.float64)
    if control == "voltage":
        wanted = load.current_a(value)
        current = np.clip(wanted, -compliance_a, compliance_a)
        limited = current != wanted
        return Terminals(np.where(limited, load.voltage_v(current), value), current, limited)
    if control == "current":
        wanted = load.voltage_v(value)
        voltage = np.clip(wanted, -voltage_limit_v, voltage_limit_v)
        limited = voltage != wanted
        return Terminals(voltage, np.where(limited, load.current_a(voltage), value), limited)
    open_circuit = np.zeros_like(value)
    return Terminals(load.voltage_v(open_circuit), open_circuit, np.zeros(value.shape, dtype=np.bool_))


class Meter:
    """Offset, leakage, noise and resolution of the range that holds the compliance.

    Args:
        offset_a: what it truly reads with nothing connected (A).
    """

    def __init__(self, settings: BiasSettings, seed: int, offset_a: float) -> None:
        self._settings = settings
        self._seed = seed
        self._offset_a = offset_a
        self._block: tuple[tuple[str, int], FloatArray] | None = None

    def range_a(self, compliance_a: float) -> float:
        """The least decade that holds the compliance."""
        return max(_LEAST_RANGE_A, 10.0 ** math.ceil(math.log10(compliance_a) - 1e-9))

    def sigma_a(self, compliance_a: float) -> float:
        one = self._settings
        least = max(one.noise_a, one.noise_rel * self.range_a(compliance_a))
        return least / math.sqrt(one.integration_cycles)

    def read(
        self, voltage_v: FloatArray, current_a: FloatArray, compliance_a: float, noise: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """What is read of true values; `noise` [n, 2] standard normal."""
        one = self._settings
        current = current_a + voltage_v / one.leakage_ohm + self._offset_a + self.sigma_a(compliance_a) * noise[:, 1]
        step_a = self.range_a(compliance_a) * one.resolution_rel
        voltage = voltage_v + one.noise_v / math.sqrt(one.integration_cycles) * noise[:, 0]
        return voltage, np.round(current / step_a) * step_a

    def noise_at(self, time_s: float) -> FloatArray:
        """[1, 2], keyed by the time of a single reading."""
        return generator(self._seed, "bias", f"{time_s:.6f}").normal(size=(1, 2))

    def noise_of(self, session: str, first: int, count: int) -> FloatArray:
        """[count, 2] of samples by their number."""
        rows: list[FloatArray] = []
        number = first
        while number < first + count:
            block, inside = divmod(number, _NOISE_BLOCK)
            if self._block is None or self._block[0] != (session, block):
                drawn = generator(self._seed, "bias", session, block).normal(size=(_NOISE_BLOCK, 2))
                self._block = ((session, block), drawn)
            rows.append(self._block[1][inside : inside + first + count - number])
            number += len(rows[-1])
        return np.concatenate(rows) if rows else np.zeros((0, 2))
