"""A perovskite solar cell between a source's terminals: light, beam and voltage, and the ions that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import constants

from cryoctl_simulators.specimens.perovskite_cell import PerovskiteCellParameters
from cryoctl_simulators.world.cell_course import CellCourse, Stretch
from cryoctl_simulators.world.diode import Diode

FloatArray = npt.NDArray[np.float64]
ONE_SUN_W_PER_M2 = 1000.0
_STEP_SHARE = 0.1
_LONGEST_STEP_S = 0.5
_KELVIN_V = constants.k / constants.e


class Photovoltaic:
    """A `cryoctl_simulators.world.cell.Cell`. `record` is its part of the world's record.

    `ion_v` in it is the voltage that the ions have come to at `at_s`, `voltage_v` what they follow. `biased_s` is how
    long the source drove a voltage, `drive_v_s` the integral of what of it lay above the threshold, to either side.

    Args:
        temperature_k: of the specimen at a time of the world.
        intact: share of the active layer that no voltage, and share of what the beam shines on that nothing, has made
            amorphous.
    """

    def __init__(
        self,
        parameters: PerovskiteCellParameters,
        record: dict[str, Any],
        course: CellCourse,
        temperature_k: Callable[[float], float],
        intact: Callable[[], tuple[float, float]],
    ) -> None:
        self.parameters = parameters
        self.record = record
        self.course = course
        self._temperature_k = temperature_k
        self._intact = intact
        if not record:
            record |= {"ion_v": 0.0, "at_s": 0.0, "voltage_v": 0.0, "drive_v_s": 0.0, "biased_s": 0.0}
            record |= {"light_w_per_m2": 0.0, "beam_a": 0.0}

    @property
    def step_s(self) -> float:
        return min(_LONGEST_STEP_S, _STEP_SHARE * self.parameters.ions.tau_s)

    def load(self, times_s: FloatArray) -> Diode:
        record, intact = self.record, self._intact()
        collected = self.collects(self.ions_at(times_s, record["at_s"], record["ion_v"], record["voltage_v"]))
        generated = self.generated_a(record["light_w_per_m2"], record["beam_a"], intact)
        return self.diode(collected * generated, float(times_s[0]))

    def carry(self, since_s: float, until_s: float, voltage_v: float, current_a: float) -> None:
        record, ions = self.record, self.parameters.ions
        lasted_s, before_v = until_s - since_s, float(record["ion_v"])
        after_v = voltage_v + (before_v - voltage_v) * math.exp(-lasted_s / ions.tau_s)
        record |= {"ion_v": after_v, "at_s": until_s, "voltage_v": voltage_v}
        if current_a != 0.0:  # at open circuit nothing drives
            record["drive_v_s"] += max(0.0, abs(voltage_v) - self.parameters.damage.threshold_v) * lasted_s
            record["biased_s"] += lasted_s
        self.course.add(
            Stretch(
                since_s=since_s,
                until_s=until_s,
                voltage_v=voltage_v,
                current_a=current_a,
                ion_v=before_v,
                light_w_per_m2=record["light_w_per_m2"],
                drive_v_s=record["drive_v_s"],
                biased_s=record["biased_s"],
            )
        )

    # What it is made of

    def diode(self, generated_a: FloatArray | float, time_s: float) -> Diode:
        """At the temperature of that time."""
        cell, area_m2 = self.parameters.cell, self.parameters.lamella.area_m2
        kelvin = self._temperature_k(time_s)
        warmer = kelvin / cell.temperature_k
        gap = cell.gap_ev / (cell.ideality * _KELVIN_V) * (1 / cell.temperature_k - 1 / kelvin)
        return Diode(
            generated_a=generated_a,
            saturation_a=cell.saturation_a_per_m2 * area_m2 * warmer ** (3 / cell.ideality) * math.exp(gap),
            emission_v=cell.ideality * _KELVIN_V * kelvin,
            series_ohm=cell.series_ohm_m2 / area_m2,
            shunt_ohm=cell.shunt_ohm_m2 / area_m2,
        )

    def generated_a(self, light_w_per_m2: float, beam_a: float, intact: tuple[float, float]) -> float:
        """Current of the pairs that would be collected were the ions at `built_in_v`."""
        cell = self.parameters.cell
        layer, spot = (1 - cell.amorphous_loss * (1 - share) for share in intact)
        light_a = cell.photocurrent_a_per_m2 * self.parameters.lamella.area_m2 * light_w_per_m2 / ONE_SUN_W_PER_M2
        return cell.collection * (light_a * layer + beam_a * spot)

    def collects(self, ion_v: FloatArray) -> FloatArray:
        """What the field that the ions leave collects, over what it does at `built_in_v`."""
        ions = self.parameters.ions
        return 1 - ions.collection_loss * (1 - np.clip(ion_v / ions.built_in_v, 0.0, 1.0))

    def ions_at(self, times_s: FloatArray, at_s: float, ion_v: float, voltage_v: float) -> FloatArray:
        """Where they are at times beside `at_s`, when they were at `ion_v`, while they follow a voltage.

        Also at earlier ones, as far back as that voltage has been there."""
        return voltage_v + (ion_v - voltage_v) * np.exp(-(times_s - at_s) / self.parameters.ions.tau_s)
