"""What an instrument file holds: devices and their drivers, optics presets, limits, calibrations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from cryoctl.calibration import KINDS, Calibration, CalibrationSet
from cryoctl.errors import CalibrationError
from cryoctl.interfaces.beam import Optics
from cryoctl.units import (
    Amperes,
    Degrees,
    DoseRatePerA2,
    Metres,
    Radians,
    StrictModel,
    Volts,
    parse_quantity,
    quoted,
    suffix_dimension,
)

DeviceKind = Literal["stage", "beam", "image_detector", "edx", "holder", "bias", "needle", "light", "vacuum"]
SEVERAL: frozenset[str] = frozenset({"image_detector"})
"""Kinds of which an instrument may have more than one."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
"""Names reach file names and HDF5 paths on every platform: letters, digits, - and _ only."""

Positive = Field(gt=0)


class EmulatorEntry(StrictModel):
    """What answers at the wire instead of the instrument, moved by the simulated world."""

    model: str
    """Name of an entry point of the group cryoctl.emulators (`cryoctl devices`)."""
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Of the emulated instrument and of what it is connected to, as of the simulated device of its kind."""


class DeviceEntry(StrictModel):
    kind: DeviceKind
    """What the device is."""
    driver: str
    """Name of an entry point of the group cryoctl.devices (`cryoctl devices`)."""
    settings: Annotated[dict[str, Any], Field(default_factory=dict)]
    """The driver's own settings; the driver checks them."""
    emulator: EmulatorEntry | None = None
    """Only to rehearse the driver without its instrument; leave its port out."""


class OpticsPreset(StrictModel):
    """One complete state of the column, applied as a whole while the beam is blanked."""

    voltage_v: Annotated[Volts, Field(gt=0, le=1.5e6)]
    mode: Literal["stem", "tem", "diffraction"] = "stem"
    spot: Annotated[int, Field(ge=1, le=20)] = 6
    condenser_aperture_m: Annotated[Metres, Positive] = 50e-6
    objective_aperture_m: Annotated[Metres, Positive] | None = None
    """null: out."""
    camera_length_m: Annotated[Metres, Positive] = 0.1
    convergence_rad: Annotated[Radians, Field(gt=0, le=0.2)] = 0.01
    scan_rotation_deg: Annotated[Degrees, Field(ge=-360, le=360)] = 0.0
    """0: the scan is turned by the calibrated tilt axis (kind tilt_axis), so that its fast axis lies along it."""
    dynamic_focus: bool = True
    beam_current_a: Annotated[Amperes, Positive] = 2e-10
    """Nominal; the current that counts is measured."""

    def optics(self, name: str) -> Optics:
        return Optics(name=name, **self.model_dump())


class Limits(StrictModel):
    """What the operator allows on this instrument, within what its devices allow; null: the device's own limit.

    Recipes are held against it before anything moves, and each step again before it reaches a device.
    """

    tilt_min_deg: Degrees | None = None
    tilt_max_deg: Degrees | None = None
    xy_m: Annotated[Metres, Positive] | None = None
    """To either side of 0."""
    z_m: Annotated[Metres, Positive] | None = None
    """To either side of 0."""
    image_shift_m: Annotated[Metres, Positive] | None = None
    beam_current_a: Annotated[Amperes, Positive] | None = None
    """Nominal, of any preset."""
    bias_v: Annotated[Volts, Positive] | None = None
    """Of the biasing source, to either side of 0."""
    bias_a: Annotated[Amperes, Positive] | None = None
    """Largest compliance of the biasing source."""
    dose_rate_e_per_a2_s: Annotated[DoseRatePerA2, Positive] | None = None
    """Averaged over the scanned field; an exposure above it is refused."""

    @model_validator(mode="after")
    def _tilts_in_order(self) -> Limits:
        low, high = self.tilt_min_deg, self.tilt_max_deg
        if low is not None and high is not None and low >= high:
            raise ValueError(f"tilt_min_deg is {low:g}, not below tilt_max_deg {high:g}: exchange them")
        return self


class CalibrationEntry(StrictModel):
    """`value` and `uncertainty` (a bound at two sigma) are numbers or quantities in the kind's unit."""

    kind: str | None = None
    """Only where the entry's name is not the kind itself."""
    value: float | str | list[float | str] | list[list[float | str]]
    uncertainty: float | str
    date: str
    """ISO, like 2026-11-20 or 2026-11-20T10:00+01:00."""
    expires: str | None = None
    """ISO; null: never."""
    method: str = ""

    def calibration(self, name: str) -> Calibration:
        kind = self.kind or name
        if kind not in KINDS:
            raise CalibrationError(f"has no known kind: add kind, one of {', '.join(KINDS)}")
        unit = KINDS[kind][0]
        return Calibration(
            name=name,
            kind=kind,
            value=tuple(_number(v, unit) for v in _flat(self.value)),
            uncertainty=_number(self.uncertainty, unit),
            unit=unit,
            date=self.date,
            expires=self.expires,
            method=self.method,
        )


def _ports(entry: DeviceEntry) -> list[str]:
    """Wires of its own that it leads to, itself and by the second way to switch a source off."""
    if entry.emulator is not None:
        return []
    cut_off: Any = entry.settings.get("cut_off")
    given = [entry.settings.get("port"), cut_off.get("port") if isinstance(cut_off, dict) else None]
    return [one for one in given if isinstance(one, str) and one and not one.startswith("transcript:")]


def _flat(value: Any) -> list[float | str]:
    if not isinstance(value, list):
        return [value]
    return [number for one in value for number in _flat(one)]


def _number(value: float | str, unit: str) -> float:
    if unit != "1":
        return parse_quantity(value, suffix_dimension(f"_{unit}"))
    if isinstance(value, str):
        raise CalibrationError(f"found the text {quoted(value)} where a plain number is wanted: remove quotes and unit")
    return float(value)


class InstrumentFile(StrictModel):
    """The file as written; `schema_version` is checked before."""

    schema_version: Literal[1]
    name: Name
    clock: Literal["virtual", "real"]
    """virtual for simulators: time jumps; real for hardware."""
    devices: Annotated[dict[Name, DeviceEntry], Field(min_length=1)]
    optics: Annotated[dict[Name, OpticsPreset], Field(default_factory=dict)]
    limits: Limits = Limits()
    calibrations: Annotated[dict[Name, CalibrationEntry], Field(default_factory=dict)]

    @field_validator("devices")
    @classmethod
    def _one_of_a_kind(cls, devices: dict[str, DeviceEntry]) -> dict[str, DeviceEntry]:
        first: dict[str, str] = {}
        for name, entry in devices.items():
            if entry.kind in first and entry.kind not in SEVERAL:
                raise ValueError(
                    f"{quoted(first[entry.kind])} and {quoted(name)} are both {entry.kind}: one is allowed, remove one"
                )
            first[entry.kind] = name
        return devices

    @field_validator("devices")
    @classmethod
    def _a_port_each(cls, devices: dict[str, DeviceEntry]) -> dict[str, DeviceEntry]:
        """Two drivers on one wire would take each other's answers."""
        first: dict[str, str] = {}
        for name, entry in devices.items():
            for port in _ports(entry):
                if port in first:
                    raise ValueError(
                        f"{quoted(first[port])} and {quoted(name)} are both at the port {quoted(port)}: correct one"
                    )
                first[port] = name
        return devices

    @field_validator("calibrations")
    @classmethod
    def _sound(cls, calibrations: dict[str, CalibrationEntry]) -> dict[str, CalibrationEntry]:
        first: dict[str, str] = {}
        for name, entry in calibrations.items():
            try:
                kind = entry.calibration(name).kind
            except (CalibrationError, ValueError) as problem:
                raise ValueError(f"{quoted(name)}: {problem}") from None
            if kind in first:
                raise ValueError(f"{quoted(first[kind])} and {quoted(name)} are both {kind}: keep one of them")
            first[kind] = name
        return calibrations

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of device that are there, sorted."""
        return tuple(sorted({entry.kind for entry in self.devices.values()}))

    @property
    def is_remote(self) -> bool:
        """Whether a node elsewhere has all of its devices."""
        return all(entry.driver.startswith("remote-") for entry in self.devices.values())

    def calibration_set(self) -> CalibrationSet:
        return CalibrationSet.of(entry.calibration(name) for name, entry in self.calibrations.items())
