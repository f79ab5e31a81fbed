"""The biasing source for plans: voltage within limits that were set before, read with its current and charge."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cryoctl.bluesky.given import is_number, shown
from cryoctl.bluesky.readings import DataKeys, Reading, flag_key, number_key, readings, text_key
from cryoctl.bluesky.status import RequestStatus, failed
from cryoctl.errors import BadInput
from cryoctl.interfaces.bias import BiasCapabilities
from cryoctl.steps import ApplyBias, BiasRead, ReadBias, RestBias, SetBiasLimits

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session


class Bias:
    """Readable, Movable, Checkable and Stoppable. Without `limit` no voltage is applied: the run refuses it.

    What is on stays on between plans; a plan that fails, a pause and the end of the session bring it to rest.
    """

    name = "bias"
    parent: Any = None

    def __init__(self, session: Session, capabilities: BiasCapabilities) -> None:
        self._session = session
        self._capabilities = capabilities

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": ["bias_voltage_v", "bias_current_a"]}

    def limit(self, voltage_limit_v: float, compliance_a: float) -> RequestStatus:
        """The source's own limits to either side, read back with its output off."""
        most_v, most_a = self._capabilities.largest_v, self._capabilities.current_range_a[1]
        for name, value, most in (("voltage_limit_v", voltage_limit_v, most_v), ("compliance_a", compliance_a, most_a)):
            if not (is_number(value) and 0.0 < value <= most):
                return failed(BadInput(f"bias.{name}: found {shown(value)}, allowed is up to {most:g}, above 0"))
        return RequestStatus(
            self._session.ask(SetBiasLimits(voltage_limit_v=float(voltage_limit_v), compliance_a=float(compliance_a)))
        )

    def check_value(self, value: float) -> None:
        """Raises `BadInput` beyond what the source can, or for what is no number."""
        if not is_number(value):
            raise BadInput(f"bias: found {shown(value)}, allowed is a number in V, without unit")
        low_v, high_v = self._capabilities.voltage_range_v
        if not low_v <= value <= high_v:
            raise BadInput(f"bias: {value:g} V is beyond the {low_v:g} to {high_v:g} V that are allowed")

    def set(self, value: float) -> RequestStatus:
        """Apply a voltage, output on, and hold it."""
        try:
            self.check_value(value)
        except BadInput as error:
            return failed(error)
        return RequestStatus(self._session.ask(ApplyBias(voltage_v=float(value), switch_on=True)))

    def rest(self) -> RequestStatus:
        """To the open-circuit voltage, output off in high impedance, verified."""
        return RequestStatus(self._session.ask(RestBias()))

    def stop(self, success: bool = True) -> None:
        """Rests where the stop is no planned one; a RunEngine stops what it has set at the end of each plan."""
        if not success:
            self.rest()

    async def read(self) -> Reading:
        found: BiasRead = await asyncio.wrap_future(self._session.ask(ReadBias()))
        return readings(
            {
                "bias_voltage_v": found.voltage_v,
                "bias_current_a": found.current_a,
                "bias_charge_c": found.charge_c,
                "bias_output_on": found.output_on,
                "bias_in_compliance": found.in_compliance,
                "bias_stopped_by": found.stopped_by,
            }
        )

    async def describe(self) -> DataKeys:
        return {
            "bias_voltage_v": number_key("bias.voltage_v", "V", self._capabilities.voltage_range_v),
            "bias_current_a": number_key("bias.current_a", "A"),
            "bias_charge_c": number_key("bias.charge_c", "C"),
            "bias_output_on": flag_key("bias.output_on"),
            "bias_in_compliance": flag_key("bias.in_compliance"),
            "bias_stopped_by": text_key("bias.stopped_by"),
        }
