"""What source-measure units on a port share: what they can do, what they refuse, how they come to rest."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.bias import BiasCapabilities, BiasLimits, BiasRest, OffMode
from cryoctl.interfaces.bias_rest import bring_to_rest
from cryoctl.interfaces.device_settings import InOrder
from cryoctl.units import Amperes, Volts
from cryoctl_drivers.cut_off import CutOff, RelaySettings
from cryoctl_drivers.link import Link, LinkSettings
from cryoctl_drivers.port_device import PortDevice

_SLACK = 1e-9


class SourceSettings(LinkSettings):
    voltage_range_v: Annotated[tuple[Volts, Volts], InOrder] = (-20.0, 20.0)
    """What the experiment may ever need; above some 20 or 42 V its interlock has to be closed."""
    current_range_a: Annotated[tuple[Amperes, Amperes], InOrder] = (-1.0, 1.0)
    wires: Literal[2, 4] = 2
    integration_cycles: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    """Of the mains, for each of the two measurements that a sample is."""
    offset_a: Annotated[Amperes, Field(ge=0)] = 2e-10
    """Bound of what it reads with nothing connected, in its least range: measure it, see the how-to."""
    cut_off: RelaySettings | None = None
    """The second way to switch it off."""


S = TypeVar("S", bound=SourceSettings)


class SourceDevice(PortDevice[S]):
    """
    Attributes:
        overhead_s: that a sample takes beside its two integrations.
    """

    kind = "bias"
    overhead_s: ClassVar[float]
    longest_interval_s: ClassVar[float]

    def __init__(self, name: str, settings: S, link: Link) -> None:
        super().__init__(name, settings, link)
        self._cut_off = CutOff(name, settings.cut_off)
        self._mains_hz = 50.0
        self._interval_s: float | None = None
        self._rest_v: float | None = None

    async def close(self) -> None:
        await super().close()
        await self._cut_off.close()

    # What it can do

    @property
    def least_limits(self) -> BiasLimits:
        """That it holds."""
        raise NotImplementedError

    @property
    def kept_samples(self) -> int:
        raise NotImplementedError

    @property
    def capabilities(self) -> BiasCapabilities:
        one = self.settings
        return BiasCapabilities(
            voltage_range_v=one.voltage_range_v,
            current_range_a=one.current_range_a,
            has_high_impedance_off=True,
            sample_interval_s=(self._least_interval_s, self.longest_interval_s),
            buffer_samples=self.kept_samples,
            least_compliance_a=self.least_limits.compliance_a,
            offset_a=one.offset_a,
        )

    @property
    def _aperture_s(self) -> float:
        return self.settings.integration_cycles / self._mains_hz

    @property
    def _least_interval_s(self) -> float:
        """Voltage and current are measured one after the other."""
        return 2 * self._aperture_s + self.overhead_s

    @property
    def _sampling_s(self) -> float:
        return self._interval_s or self._least_interval_s

    async def sample_every(self, interval_s: float | None) -> float:
        self._interval_s = self._checked(interval_s)
        return self._interval_s

    # What it refuses

    def _check_limits(self, limits: BiasLimits) -> None:
        least, largest_a = self.least_limits, self.settings.current_range_a[1]
        self._check("voltage_limit_v", limits.voltage_limit_v, least.voltage_limit_v, self.capabilities.largest_v, "V")
        self._check("compliance_a", limits.compliance_a, least.compliance_a, largest_a, "A")

    def _check(self, field: str, value: float, low: float, high: float, unit: str) -> None:
        """
        Raises:
            OutOfRange: it is beyond, or no number.
        """
        if not low <= value <= high:
            raise OutOfRange(f"{self.name}.{field}: {value:g} {unit} is beyond {low:g} to {high:g} {unit}")

    def _check_voltage(self, voltage_v: float, limits: BiasLimits) -> None:
        self._check_level("voltage_v", voltage_v, limits.voltage_limit_v, "V")

    def _check_current(self, current_a: float, limits: BiasLimits) -> None:
        self._check_level("current_a", current_a, limits.compliance_a, "A")

    def _check_level(self, field: str, value: float, limit: float, unit: str) -> None:
        """
        Raises:
            OutOfRange: it is beyond the limit that is set, to either side.
        """
        if not abs(value) <= limit * (1 + _SLACK):
            raise OutOfRange(
                f"{self.name}.{field}: {value:g} {unit} is beyond its limit of {limit:g} {unit}; unchanged"
            )

    def _checked(self, interval_s: float | None) -> float:
        low_s, high_s = self.capabilities.sample_interval_s
        if interval_s is not None and not low_s * (1 - _SLACK) <= interval_s <= high_s:
            raise OutOfRange(
                f"{self.name}.sample_interval_s: {interval_s:g} s is beyond {low_s:g} to {high_s:g} s; unchanged"
            )
        return low_s if interval_s is None else interval_s

    # Rest

    async def make_safe(self) -> None:
        """Ramp to the cell's own voltage where that is known, output off in high impedance, all read back."""
        await bring_to_rest(self, BiasRest(off_mode=OffMode.HIGH_IMPEDANCE, voltage_v=self._rest_v))

    async def cut_off(self) -> None:
        await self._cut_off.open_relay()
