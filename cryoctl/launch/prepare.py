"""Everything that can be found before anything starts: recipe, instrument, protocol, faults, prior dose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cryoctl.analysis.lines import check_elements
from cryoctl.calibration import CalibrationSet
from cryoctl.clock.wall import utc_now
from cryoctl.errors import BadInput, FileProblem, InstrumentError, RecipeError
from cryoctl.instrument import Instrument, Limits, load_instrument
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.bias import BiasCapabilities
from cryoctl.interfaces.context import DeviceContext, DeviceFactory
from cryoctl.interfaces.device import Device, Identity
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.emulator import Emulator
from cryoctl.interfaces.stage import StageLimits
from cryoctl.launch.person import person
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.request import RunRequest
from cryoctl.protocol import CalibratedValue, InstrumentFacts, Protocol
from cryoctl.recipe.loading import RawRecipe
from cryoctl.recipe.strict_yaml import read_document
from cryoctl.recipe.validation import validate
from cryoctl.recipe.wording import nearest
from cryoctl.registry import find
from cryoctl.units import quoted

DEFAULT_INSTRUMENT = "simulated"


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A checked request; nothing was written, no device was connected."""

    request: RunRequest
    name: str
    seed: int
    raw: RawRecipe
    protocol_class: type[Protocol]
    parameters: Any
    instrument: Instrument
    instrument_source: Path | str
    faults: tuple[Mapping[str, Any], ...]
    calibrated_at: datetime | None = None
    """The day against which calibrations must not have expired; None for now."""

    @property
    def virtual(self) -> bool:
        return self.instrument.file.clock == "virtual"


@dataclass(slots=True, kw_only=True)
class Furnished:
    """Devices built for one world, what they allow, and the protocol that knows it."""

    devices: DeviceSet
    context: DeviceContext
    facts: InstrumentFacts
    protocol: Protocol
    warnings: tuple[str, ...]
    tilt_axis_deg: float = 0.0
    """In-plane angle of the tilt axis from image +x; NaN where it has to be found from the images."""
    identities: dict[str, Identity] = field(default_factory=dict[str, Identity])
    """Who answered when the devices were connected, by name."""
    replay_of: str = ""
    """Name of the recorded data, empty where devices are what they say."""


def prepare(request: RunRequest) -> Prepared:
    """Read and check recipe, instrument file and faults.

    Raises:
        BadInput: one sentence; nothing was written.
    """
    raw, protocol_class = read_recipe(request.recipe, request.overrides)
    parameters = validate(protocol_class.Parameters, raw)
    source = _named_instrument(request, raw)
    instrument = load_instrument(source, raw.instrument_overrides)
    if raw.simulation and instrument.file.clock != "virtual":
        raise RecipeError("simulation: this instrument is real; fields of the simulation can be set on simulators only")
    seed = request.seed if request.seed is not None else 0
    faults = read_faults(request.faults)
    check_fault_states(faults, protocol_class)
    return Prepared(
        request=request,
        name=recipe_name(request.recipe),
        seed=seed,
        raw=raw,
        protocol_class=protocol_class,
        parameters=parameters,
        instrument=instrument,
        instrument_source=source,
        faults=faults,
    )


def _named_instrument(request: RunRequest, raw: RawRecipe) -> Path | str:
    return request.instrument if request.instrument is not None else raw.instrument or DEFAULT_INSTRUMENT


def recipe_name(recipe: str) -> str:
    path = Path(recipe)
    return path.stem if path.suffix.lower() in (".yaml", ".yml", ".py") else path.name


def read_faults(path: Path | None) -> tuple[Mapping[str, Any], ...]:
    """The entries of a --faults file, a YAML list. Raises `FileProblem` or `RecipeError`."""
    if path is None:
        return ()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileProblem(f"--faults {path}: can't be read ({error.strerror}); give a YAML list of faults") from error
    entries = cast(list[Any], read_document(data, path.name, RecipeError, top="list").data)
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise RecipeError(f"--faults {path.name}: entry {number + 1} is no mapping; write device, fault and at")
    return tuple(cast(list[Mapping[str, Any]], entries))


def check_fault_states(faults: Sequence[Mapping[str, Any]], protocol_class: type[Protocol]) -> None:
    """Raises `RecipeError` for a fault at a state that the protocol does not have: it would never act."""
    states = protocol_class.chart.states
    for index, entry in enumerate(faults):
        at: Any = entry.get("at")
        state = cast(Mapping[str, Any], at).get("state") if isinstance(at, Mapping) else None
        if isinstance(state, str) and state not in states:
            near = nearest(state, states, limit=len(states))
            raise RecipeError(f"faults[{index}].at.state: {protocol_class.name} has no state {quoted(state)}: {near}")


def furnish(
    prepared: Prepared, world_file: Path | None, *, hidden_draws: bool = True, shared: Mapping[str, Any] | None = None
) -> Furnished:
    """Build the devices (nothing is opened) and the protocol, and let it look at what they allow.

    Args:
        shared: what simulators are told besides (`DeviceContext.shared`).

    Raises:
        InstrumentError, RecipeError: one sentence; nothing was written.
    """
    context = DeviceContext(
        seed=prepared.seed,
        world_file=world_file,
        simulation=prepared.raw.simulation,
        faults=prepared.faults,
        hidden_draws=hidden_draws,
        shared=dict(shared or {}),
    )
    specimen = getattr(prepared.parameters, "specimen", None)
    if specimen is not None:
        context.shared["specimen"] = {key: value for key, value in specimen.model_dump().items() if value}
    devices = build_devices(prepared.instrument, context, prepared.protocol_class.requires, prepared.raw.protocol)
    if devices.truth is not None:
        devices.truth.check()
    facts = gather_facts(prepared.instrument, devices, prepared.calibrated_at)
    _check_presets(prepared.instrument, facts, devices)
    check_wanted_elements(prepared.parameters, facts)
    _check_detectors(prepared.parameters, devices)
    _check_shapes(prepared.parameters, devices.beam.capabilities.square_px)
    warnings = prepared.protocol_class.check(prepared.parameters, facts)
    protocol = prepared.protocol_class(prepared.parameters, facts)
    return Furnished(devices=devices, context=context, facts=facts, protocol=protocol, warnings=tuple(warnings))


def _check_presets(instrument: Instrument, facts: InstrumentFacts, devices: DeviceSet) -> None:
    """Refuse optics that the column would refuse once it is asked for them."""
    voltages = devices.beam.capabilities.voltages_v
    low, high = facts.current_range_a
    for name, preset in facts.optics.items():
        if preset.voltage_v not in voltages:
            allowed = ", ".join(f"{value / 1e3:g}" for value in voltages)
            raise InstrumentError(
                f"optics.{name}.voltage_v: found {preset.voltage_v / 1e3:g} kV, the column is aligned for "
                f"{allowed} kV: choose one of them"
            )
        turned_deg = instrument.file.optics[name].scan_rotation_deg
        if turned_deg != 0.0:
            raise InstrumentError(
                f"optics.{name}.scan_rotation_deg: found {turned_deg:g} deg, dose is counted along the tilt axis only: "
                "set 0 and tell where the axis lies in a calibration of kind tilt_axis"
            )
        if not low <= preset.beam_current_a <= high:
            raise InstrumentError(
                f"optics.{name}.beam_current_a: found {preset.beam_current_a:.3g} A, allowed are {low:.3g} to "
                f"{high:.3g} A: change beam_current_a of the preset"
            )


def record_optics(parameters: Any, facts: InstrumentFacts) -> Optics | None:
    """The preset that the recipe records with; the first one where it names none, None where there is none."""
    named = facts.optics.get(str(getattr(getattr(parameters, "optics", None), "record", "")))
    return named or next(iter(facts.optics.values()), None)


def record_voltage_v(parameters: Any, facts: InstrumentFacts) -> float:
    """Of `record_optics`; NaN where there is none, as in recordings that tell nothing of the column."""
    optics = record_optics(parameters, facts)
    return math.nan if optics is None else optics.voltage_v


def check_wanted_elements(parameters: Any, facts: InstrumentFacts) -> None:
    """Raises `RecipeError` for an element without a line that this beam and this detector can give."""
    elements = getattr(getattr(parameters, "edx", None), "elements", None)
    optics = record_optics(parameters, facts)
    if elements is not None:
        try:
            check_elements(elements, 200e3 if optics is None else optics.voltage_v, facts.edx_max_energy_ev or None)
        except BadInput as error:
            raise RecipeError(error.message) from error


def _check_detectors(parameters: Any, devices: DeviceSet) -> None:
    pictures = tuple(devices.image_detectors)
    kinds = {"image": pictures, "pictures": pictures, "edx": () if devices.edx is None else (devices.edx.name,)}
    for group, there in kinds.items():
        wanted = getattr(getattr(parameters, group, None), "detector", None)
        if wanted is not None and wanted not in there and (group, wanted) != ("edx", "edx"):
            known = ", ".join(there) or "none"
            raise RecipeError(
                f"{group}.detector: found {quoted(wanted)}, the instrument file has {known}: name one of them"
            )
    shape = getattr(getattr(parameters, "image", None), "shape", None)
    most = None if devices.edx is None else devices.edx.capabilities.max_pixels
    if shape is None or most is None or getattr(parameters, "edx", None) is None:
        return
    if math.prod(shape) > most:
        raise RecipeError(
            f"image.shape: found {shape[0]} x {shape[1]} pixels, the EDX detector follows scans of at most {most}: "
            "scan fewer, or wire it as its how-to says"
        )


def _check_shapes(parameters: Any, sides_px: tuple[int, ...]) -> None:
    """Refuse pictures that the scan generator would refuse once it is asked for them."""
    if not sides_px:
        return
    for path, value in _leaves(parameters.model_dump()):
        if path.endswith("shape") and value is not None and (value[0] != value[1] or value[0] not in sides_px):
            allowed = ", ".join(map(str, sorted(sides_px)))
            raise RecipeError(
                f"{path}: found {list(value)}, this scan generator makes squares of {allowed} pixels a side: choose one"
            )


def _leaves(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every field that is no mapping, with its path."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found


def build_devices(
    instrument: Instrument, context: DeviceContext, requires: tuple[str, ...], protocol: str
) -> DeviceSet:
    """One device an entry of the instrument file; `InstrumentError` where a kind that the protocol needs is missing."""
    instrument.require_kinds(("stage", "beam", *requires), protocol)
    context.shared.setdefault("person", person())
    by_kind: dict[str, dict[str, Device]] = {}
    emulators: list[Emulator] = []
    for name, entry in instrument.file.devices.items():
        factory = cast(DeviceFactory, find("cryoctl.devices", entry.driver))
        settings = entry.settings
        if entry.emulator is not None:
            emulator = find("cryoctl.emulators", entry.emulator.model)(name, entry.emulator.settings, context)
            emulators.append(emulator)
            settings = {**settings, **emulator.open()}
        by_kind.setdefault(entry.kind, {})[name] = factory(name, settings, context)

    def only(kind: str) -> Any:
        return next(iter(by_kind.get(kind, {}).values()), None)

    world = context.shared.get("world")
    return DeviceSet(
        stage=only("stage"),
        beam=only("beam"),
        image_detectors=cast(Any, by_kind.get("image_detector", {})),
        edx=only("edx"),
        holder=only("holder"),
        bias=only("bias"),
        needle=only("needle"),
        light=only("light"),
        vacuum=only("vacuum"),
        emulators=tuple(emulators),
        truth=world,
        durable="process" if instrument.file.clock == "virtual" else "power",
    )


def gather_facts(instrument: Instrument, devices: DeviceSet, at: datetime | None = None) -> InstrumentFacts:
    """What a protocol may know; calibrations that have expired at that time (now) raise `CalibrationError`."""
    beam, limits = devices.beam.capabilities, instrument.file.limits
    tilts: dict[str, tuple[float, float]] = {
        name: detector.capabilities.tilt_limits_deg for name, detector in devices.image_detectors.items()
    }
    kinds = ["stage", "beam"]
    if devices.image_detectors:
        kinds.append("image_detector")
    if devices.edx is not None:
        tilts["edx"] = devices.edx.capabilities.tilt_limits_deg
        kinds.append("edx")
    if devices.holder is not None:
        tilts["holder"] = devices.holder.capabilities.tilt_limits_deg
        kinds.append("holder")
    kinds += [kind for kind in ("bias", "needle", "light", "vacuum") if getattr(devices, kind) is not None]
    edx = devices.edx.capabilities if devices.edx is not None else None
    limits = instrument.file.limits
    least_a, most_a = beam.current_range_a
    return InstrumentFacts(
        kinds=tuple(kinds),
        stage=_stage_limits(devices.stage.limits, limits),
        tilt_speed_deg_per_s=devices.stage.tilt_speed_deg_per_s,
        timing=beam.timing,
        image_shift_range_m=min(beam.image_shift_range_m, limits.image_shift_m or math.inf),
        defocus_range_m=beam.defocus_range_m,
        dwell_range_s=(beam.min_dwell_s, beam.max_dwell_s),
        max_scan_px=beam.max_scan_px,
        current_range_a=(least_a, min(most_a, limits.beam_current_a or math.inf)),
        tilt_limits_deg=tilts,
        optics=optics_of(instrument),
        calibrations=_calibrated(instrument.file.calibration_set(), at or utc_now()),
        current_drift_rel_per_s=beam.current_drift_rel_per_s,
        edx_max_energy_ev=edx.energy_offset_ev + edx.n_channels * edx.energy_scale_ev if edx else 0.0,
        bias=None if devices.bias is None else _bias_within(devices.bias.capabilities, limits),
        light=None if devices.light is None else devices.light.capabilities,
        needle=None if devices.needle is None else devices.needle.capabilities,
        dose_known=devices.dose_known,
        dose_rate_max_e_per_a2_s=limits.dose_rate_e_per_a2_s or math.inf,
    )


def _stage_limits(own: StageLimits, limits: Limits) -> StageLimits:
    """The narrower of the stage's own and the operator's."""

    def within(interval: tuple[float, float], low: float | None, high: float | None) -> tuple[float, float]:
        return (
            interval[0] if low is None else max(interval[0], low),
            interval[1] if high is None else min(interval[1], high),
        )

    xy_m, z_m = limits.xy_m, limits.z_m
    return StageLimits(
        x_m=within(own.x_m, None if xy_m is None else -xy_m, xy_m),
        y_m=within(own.y_m, None if xy_m is None else -xy_m, xy_m),
        z_m=within(own.z_m, None if z_m is None else -z_m, z_m),
        tilt_deg=within(own.tilt_deg, limits.tilt_min_deg, limits.tilt_max_deg),
    )


def _bias_within(own: BiasCapabilities, limits: Limits) -> BiasCapabilities:
    """The narrower of the source's own and the operator's."""
    most_v, most_a = limits.bias_v or math.inf, limits.bias_a or math.inf
    low_v, high_v = own.voltage_range_v
    low_a, high_a = own.current_range_a
    return replace(
        own,
        voltage_range_v=(max(low_v, -most_v), min(high_v, most_v)),
        current_range_a=(max(low_a, -most_a), min(high_a, most_a)),
    )


def optics_of(instrument: Instrument) -> dict[str, Optics]:
    """The presets by name, turned by the calibrated tilt axis so that the fast scan axis lies along it."""
    found = {name: preset.optics(name) for name, preset in instrument.file.optics.items()}
    axis = [one.scalar for one in instrument.file.calibration_set().by_name.values() if one.kind == "tilt_axis"]
    if not axis:
        return found
    return {name: replace(one, scan_rotation_deg=one.scan_rotation_deg + axis[0]) for name, one in found.items()}


def _calibrated(calibrations: CalibrationSet, now: datetime) -> dict[str, CalibratedValue]:
    """By kind; whatever name the file gives them."""
    values: dict[str, CalibratedValue] = {}
    for name in calibrations.by_name:
        entry = calibrations.require(name, now)
        values[entry.kind] = CalibratedValue(value=entry.value, sigma=entry.uncertainty / 2, date=entry.date)
    return values


__all__ = ["FileProblem", "Furnished", "Prepared", "furnish", "prepare"]
